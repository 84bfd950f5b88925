use super::super::{CreatePolicy, PageRequest, PolicyScope, UsageFilter};
use super::{ACCOUNT, Outcome, account, code, document, policy, role, tags};

#[test]
fn arn_has_partition_account_path_and_name() -> Outcome {
    let mut iam = super::super::Iam::in_partition(ACCOUNT, "aws-cn");
    let created = iam.create_policy(&CreatePolicy { path: Some("/a/b/".into()), ..policy("p") })?;
    assert_eq!(created.arn, "arn:aws-cn:iam::111122223333:policy/a/b/p");
    assert!(created.id.starts_with("ANPA"));
    Ok(())
}

#[test]
fn a_name_is_unique_in_any_case_and_path() -> Outcome {
    let mut iam = account();
    iam.create_policy(&policy("Name"))?;
    assert_eq!(code(iam.create_policy(&policy("Name"))), "EntityAlreadyExists");
    assert_eq!(code(iam.create_policy(&policy("nAME"))), "EntityAlreadyExists");
    let elsewhere = CreatePolicy { path: Some("/x/".into()), ..policy("Name") };
    assert_eq!(code(iam.create_policy(&elsewhere)), "EntityAlreadyExists");
    assert_eq!(code(iam.get_policy("arn:aws:iam::111122223333:policy/x/Name")), "NoSuchEntity");
    assert_eq!(code(iam.get_policy("arn:aws:iam::111122223333:policy/name")), "NoSuchEntity");
    Ok(())
}

#[test]
fn names_paths_and_descriptions_have_limits() {
    let mut iam = account();
    assert_eq!(code(iam.create_policy(&policy(""))), "ValidationError");
    assert_eq!(code(iam.create_policy(&policy(&"n".repeat(129)))), "ValidationError");
    assert_eq!(code(iam.create_policy(&policy("a b"))), "ValidationError");
    assert_eq!(code(iam.create_policy(&policy(&"n".repeat(128)))), "OK");
    for path in ["", "x", "/x", "x/", "//", "/a//b/", "/a b/"] {
        let request = CreatePolicy { path: Some(path.into()), ..policy("p") };
        assert_eq!(code(iam.create_policy(&request)), "ValidationError", "{path:?}");
    }
    let long = CreatePolicy { description: Some("d".repeat(1001)), ..policy("p") };
    assert_eq!(code(iam.create_policy(&long)), "ValidationError");
}

#[test]
fn arns_of_another_account_or_partition_are_invalid() {
    let iam = account();
    assert_eq!(code(iam.get_policy("arn:aws:iam::999999999999:policy/p")), "InvalidInput");
    assert_eq!(code(iam.get_policy("arn:aws-cn:iam::111122223333:policy/p")), "InvalidInput");
    assert_eq!(code(iam.get_policy("p")), "ValidationError");
}

#[test]
fn five_versions_and_ids_are_never_used_again() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    for expected in ["v2", "v3", "v4", "v5"] {
        assert_eq!(iam.create_policy_version(&arn, &document(), false)?.id, expected);
    }
    assert_eq!(code(iam.create_policy_version(&arn, &document(), true)), "LimitExceeded");
    assert_eq!(iam.get_policy(&arn)?.default_version, "v1");
    iam.delete_policy_version(&arn, "v5")?;
    assert_eq!(iam.create_policy_version(&arn, &document(), true)?.id, "v6");
    assert_eq!(iam.get_policy(&arn)?.default_version, "v6");
    let listed = iam.list_policy_versions(&arn, &PageRequest::default())?.items;
    let ids: Vec<_> = listed.iter().map(|version| (version.id.as_str(), version.is_default)).collect();
    assert_eq!(ids, [("v6", true), ("v4", false), ("v3", false), ("v2", false), ("v1", false)]);
    Ok(())
}

#[test]
fn the_default_version_stays_and_cannot_be_deleted() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.set_default_policy_version(&arn, "v1")?;
    assert!(iam.get_policy_version(&arn, "v1")?.is_default);
    assert_eq!(code(iam.delete_policy_version(&arn, "v1")), "DeleteConflict");
    assert_eq!(code(iam.set_default_policy_version(&arn, "v2")), "NoSuchEntity");
    assert_eq!(code(iam.delete_policy_version(&arn, "v2")), "NoSuchEntity");
    assert_eq!(code(iam.get_policy_version(&arn, "2")), "ValidationError");
    iam.create_policy_version(&arn, &document(), true)?;
    iam.delete_policy_version(&arn, "v1")?;
    assert_eq!(iam.get_policy(&arn)?.default_version, "v2");
    Ok(())
}

#[test]
fn a_policy_in_use_or_with_versions_is_not_deleted() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&role("r"))?;
    iam.create_user("u", None)?;
    iam.attach_role_policy("r", &arn)?;
    assert_eq!(code(iam.delete_policy(&arn)), "DeleteConflict");
    iam.detach_role_policy("r", &arn)?;
    iam.attach_user_policy("u", &arn)?;
    assert_eq!(code(iam.delete_policy(&arn)), "DeleteConflict");
    iam.detach_user_policy("u", &arn)?;
    iam.put_role_permissions_boundary("r", &arn)?;
    assert_eq!(code(iam.delete_policy(&arn)), "DeleteConflict");
    iam.delete_role_permissions_boundary("r")?;
    iam.put_user_permissions_boundary("u", &arn)?;
    assert_eq!(code(iam.delete_policy(&arn)), "DeleteConflict");
    iam.delete_user("u")?;
    iam.create_policy_version(&arn, &document(), true)?;
    assert_eq!(code(iam.delete_policy(&arn)), "DeleteConflict");
    iam.delete_policy_version(&arn, "v1")?;
    iam.delete_policy(&arn)?;
    assert_eq!(code(iam.get_policy(&arn)), "NoSuchEntity");
    assert_eq!(code(iam.delete_policy(&arn)), "NoSuchEntity");
    Ok(())
}

#[test]
fn a_policy_created_again_has_another_id_and_starts_at_v1() -> Outcome {
    let mut iam = account();
    let first = iam.create_policy(&policy("p"))?;
    iam.create_policy_version(&first.arn, &document(), true)?;
    iam.delete_policy_version(&first.arn, "v1")?;
    iam.delete_policy(&first.arn)?;
    let second = iam.create_policy(&policy("p"))?;
    assert_ne!(first.id, second.id);
    assert_eq!(second.default_version, "v1");
    Ok(())
}

#[test]
fn policy_tag_keys_are_case_sensitive() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&CreatePolicy { tags: tags(&[("Team", "a")]), ..policy("p") })?.arn;
    iam.tag_policy(&arn, &tags(&[("team", "b")]))?;
    assert_eq!(iam.get_policy(&arn)?.tags, tags(&[("Team", "a"), ("team", "b")]));
    iam.untag_policy(&arn, &["Team".to_owned(), "missing".to_owned()])?;
    assert_eq!(iam.get_policy(&arn)?.tags, tags(&[("team", "b")]));
    Ok(())
}

#[test]
fn aws_managed_policies_exist_and_cannot_be_changed() -> Outcome {
    let mut iam = account();
    let arn = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";
    assert_eq!(iam.get_policy(arn)?.name, "CloudWatchLogsFullAccess");
    assert_eq!(code(iam.create_policy_version(arn, &document(), true)), "AccessDenied");
    assert_eq!(code(iam.delete_policy(arn)), "AccessDenied");
    assert_eq!(code(iam.get_policy("arn:aws:iam::aws:policy/NoSuchPolicy")), "NoSuchEntity");
    iam.create_role(&role("r"))?;
    iam.attach_role_policy("r", arn)?;
    assert_eq!(iam.get_policy(arn)?.attachment_count, 1);
    Ok(())
}

#[test]
fn listing_filters_by_scope_path_and_use() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&CreatePolicy { path: Some("/x/".into()), ..policy("a") })?.arn;
    iam.create_policy(&CreatePolicy { tags: tags(&[("k", "v")]), description: Some("d".into()), ..policy("b") })?;
    let all = PageRequest::of(1000);
    let local = iam.list_policies(PolicyScope::Local, false, None, "/", &all)?.items;
    assert_eq!(local.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(local[1].tags.is_empty() && local[1].description.is_none());
    assert_eq!(iam.list_policies(PolicyScope::Local, false, None, "/x/", &all)?.items.len(), 1);
    assert!(iam.list_policies(PolicyScope::Local, true, None, "/", &all)?.items.is_empty());
    iam.create_role(&role("r"))?;
    iam.put_role_permissions_boundary("r", &arn)?;
    let boundary = Some(UsageFilter::PermissionsBoundary);
    assert_eq!(iam.list_policies(PolicyScope::All, false, boundary, "/", &all)?.items.len(), 1);
    Ok(())
}

#[test]
fn entities_are_listed_by_use() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&role("attached"))?;
    iam.create_role(&role("bounded"))?;
    iam.create_user("u", None)?;
    iam.attach_role_policy("attached", &arn)?;
    iam.attach_role_policy("attached", &arn)?;
    iam.put_role_permissions_boundary("bounded", &arn)?;
    iam.attach_user_policy("u", &arn)?;
    let policy = iam.get_policy(&arn)?;
    assert_eq!((policy.attachment_count, policy.boundary_count), (2, 1));
    let all = iam.list_entities_for_policy(&arn, None, &PageRequest::default())?;
    assert_eq!((all.roles.len(), all.users.len()), (2, 1));
    let of = Some(UsageFilter::PermissionsPolicy);
    let attached = iam.list_entities_for_policy(&arn, of, &PageRequest::default())?;
    assert_eq!(attached.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["attached"]);
    let of = Some(UsageFilter::PermissionsBoundary);
    let bounded = iam.list_entities_for_policy(&arn, of, &PageRequest::default())?;
    assert_eq!(bounded.roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["bounded"]);
    assert!(bounded.users.is_empty());
    Ok(())
}

#[test]
fn the_account_has_a_quota_of_policies() -> Outcome {
    let mut iam = account();
    iam.quotas.policies = 1;
    iam.create_policy(&policy("a"))?;
    assert_eq!(code(iam.create_policy(&policy("b"))), "LimitExceeded");
    Ok(())
}
