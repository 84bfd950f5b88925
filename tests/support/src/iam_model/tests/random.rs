use super::super::{Action, CreateRole, Iam, PageRequest, Rng};
use super::{Outcome, account, document, policy, role};

const AWS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";

/// One random operation; it may be rejected.
fn step(iam: &mut Iam, rng: &mut Rng) -> Action {
    let role_name = format!("r{}", rng.below(4));
    let policy_name = format!("p{}", rng.below(4));
    let user = format!("u{}", rng.below(2));
    let own = format!("arn:aws:iam::111122223333:policy/{policy_name}");
    let arn = if rng.chance(0.1) { AWS.to_owned() } else { own };
    let version = format!("v{}", rng.below(6) + 1);
    let actions = [
        Action::CreateRole,
        Action::DeleteRole,
        Action::CreatePolicy,
        Action::DeletePolicy,
        Action::AttachRolePolicy,
        Action::DetachRolePolicy,
        Action::PutRolePermissionsBoundary,
        Action::DeleteRolePermissionsBoundary,
        Action::CreateUser,
        Action::DeleteUser,
        Action::AttachUserPolicy,
        Action::DetachUserPolicy,
        Action::PutUserPermissionsBoundary,
        Action::CreatePolicyVersion,
        Action::DeletePolicyVersion,
        Action::SetDefaultPolicyVersion,
    ];
    let action = actions[usize::try_from(rng.below(16)).unwrap_or(0)];
    let _refused = match action {
        Action::CreateRole => {
            let boundary = rng.chance(0.3).then(|| arn.clone());
            iam.create_role(&CreateRole { boundary, ..role(&role_name) }).map(drop)
        }
        Action::DeleteRole => iam.delete_role(&role_name),
        Action::CreatePolicy => iam.create_policy(&policy(&policy_name)).map(drop),
        Action::DeletePolicy => iam.delete_policy(&arn),
        Action::AttachRolePolicy => iam.attach_role_policy(&role_name, &arn),
        Action::DetachRolePolicy => iam.detach_role_policy(&role_name, &arn),
        Action::PutRolePermissionsBoundary => iam.put_role_permissions_boundary(&role_name, &arn),
        Action::DeleteRolePermissionsBoundary => iam.delete_role_permissions_boundary(&role_name),
        Action::CreateUser => iam.create_user(&user, None).map(drop),
        Action::DeleteUser => iam.delete_user(&user),
        Action::AttachUserPolicy => iam.attach_user_policy(&user, &arn),
        Action::DetachUserPolicy => iam.detach_user_policy(&user, &arn),
        Action::PutUserPermissionsBoundary => iam.put_user_permissions_boundary(&user, &arn),
        Action::CreatePolicyVersion => iam.create_policy_version(&arn, &document(), rng.chance(0.5)).map(drop),
        Action::DeletePolicyVersion => iam.delete_policy_version(&arn, &version),
        _ => iam.set_default_policy_version(&arn, &version),
    };
    action
}

/// The counts are stored separately from roles and users: they must match after any sequence of operations.
#[test]
fn counts_and_versions_stay_consistent_under_random_operations() -> Outcome {
    for seed in 0..20 {
        let (mut iam, mut rng) = (account(), Rng::new(seed));
        for number in 0..500 {
            let action = step(&mut iam, &mut rng);
            let context = format!("seed {seed}, step {number}, {action:?}");
            let snapshot = iam.snapshot();
            let holders = || {
                let objects = ["roles", "users"].map(|kind| snapshot[kind].as_object());
                objects.into_iter().flatten().flat_map(serde_json::Map::values)
            };
            let policies = snapshot["policies"].as_object();
            let own = policies.into_iter().flatten().filter_map(|(_, policy)| policy["arn"].as_str());
            for arn in own.chain([AWS]) {
                let policy = iam.get_policy(arn)?;
                let attached = holders().filter(|holder| {
                    holder["attached"].as_array().is_some_and(|arns| arns.iter().any(|held| held == arn))
                });
                assert_eq!(policy.attachment_count, attached.count(), "{context}");
                let bounded = holders().filter(|holder| holder["boundary"] == arn).count();
                assert_eq!(policy.boundary_count, bounded, "{context}");
                let versions = iam.list_policy_versions(arn, &PageRequest::default())?.items;
                let defaults: Vec<_> = versions.iter().filter(|held| held.is_default).map(|held| &held.id).collect();
                assert_eq!(defaults, [&policy.default_version], "{context}");
                assert!(versions.len() <= 5, "{context}");
            }
            for holder in holders() {
                let attached = holder["attached"].as_array().into_iter().flatten();
                for arn in attached.chain([&holder["boundary"]]).filter_map(|arn| arn.as_str()) {
                    assert!(iam.get_policy(arn).is_ok(), "{context}: {arn} is used but does not exist");
                }
            }
        }
    }
    Ok(())
}
