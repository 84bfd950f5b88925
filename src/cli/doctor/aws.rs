//! The checks of AWS: credentials, permissions, clock, quotas, the service-linked role and orphans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::clock::{self, DateOf};
use super::report::{Check, Report};
use crate::api::{TAG_CLUSTER_UID, TAG_MANAGED_BY, TAG_OWNER};
use crate::aws::account::{Account, SERVICE_LINKED_ROLE};
use crate::aws::credentials::CallerIdentity;
use crate::aws::iam::AwsIam;
use crate::aws::inventory::Inventory;
use crate::aws::sdk;
use crate::cli::progress::Progress;
use crate::model::names::{Owner, PolicyArn, PolicyName, RoleArn, RoleName};
use crate::model::ownership::Tags;
use crate::model::settings::{Cluster, Settings};
use crate::model::stored::PolicyObject;
use crate::pipeline::orphans::{is_orphan, may_have};
use crate::pipeline::port::{ErrorClass, Iam, IamError, Operation};

const POLICY_FILE: &str = "deploy/aws/operator-policy.json";
/// No resource has this name: reading it changes nothing and shows whether the read is allowed.
const PROBE: &str = "alep-doctor-probe";
/// A quota is a finding if this share of it is used.
const NEAR_QUOTA: f64 = 0.9;
/// The stage in the progress.
pub(super) const STAGE: &str = "checking the AWS account";
/// Maximum number of policies whose tags are read, with one call each.
const MAX_POLICIES: usize = 60;

/// The account to check, and what the checks need to know.
pub(super) struct Target<'a> {
    pub(super) account: &'a Account,
    pub(super) settings: &'a Settings,
    /// All objects of the cluster; `None` if they could not be listed.
    pub(super) owners: Option<Owners>,
    /// ARNs in the status of an object: their owner is known.
    pub(super) known_arns: BTreeSet<String>,
    /// The permissions boundary that the operator must set on roles.
    pub(super) boundary: Option<&'a str>,
    /// The principal whose permissions are simulated; `None`: the caller.
    pub(super) principal: Option<&'a str>,
    /// Shows the progress of long checks.
    pub(super) progress: &'a Progress,
}

/// Runs all checks of AWS.
pub(super) async fn examine(target: &Target<'_>, report: &mut Report) -> Option<CallerIdentity> {
    let identity = match target.account.identity().await {
        Ok(identity) => identity,
        Err(error) => {
            credentials(&error, report);
            return None;
        }
    };
    report.pass(Check::Credentials, format!("the caller is {} in account {}", identity.arn, identity.account));
    let iam = target.account.iam(&identity);
    let inventory = target.account.inventory(&identity);
    let [mut rights, mut summary, mut linked, mut left, mut time] = [(); 5].map(|()| Report::default());
    tokio::join!(
        permissions(target, &identity, &iam, &inventory, &mut rights),
        quotas(&inventory, &mut summary),
        service_linked_role(&iam, &mut linked),
        orphans(target, &identity, &iam, &inventory, &mut left),
        aws_clock(target.account, &identity, &mut time),
    );
    for part in [rights, summary, linked, left, time] {
        report.merge(part);
    }
    Some(identity)
}

fn credentials(error: &IamError, report: &mut Report) {
    let fix = match error.class {
        ErrorClass::AccountMismatch => {
            "give the operator credentials of that account, or correct --account-id".to_owned()
        }
        ErrorClass::Transient | ErrorClass::Throttled => {
            "check the network, AWS_ENDPOINT_URL and the Region: aws sts get-caller-identity".to_owned()
        }
        class => format!("{}: aws sts get-caller-identity", class.next_step()),
    };
    report.find(Check::Credentials, error.to_string(), fix);
}

async fn aws_clock(account: &Account, identity: &CallerIdentity, report: &mut Report) {
    let date = DateOf::default();
    let client = sdk::sts(&account.session().client_config(&identity.account));
    let call = client.get_caller_identity().customize().interceptor(date.clone());
    // Another check reports a failure. An error response has a date, too.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), call.send()).await;
    clock::compare(report, "AWS", date.get().as_deref(), Timestamp::now());
}

/// Checks each permission that the operator needs: with IAM's policy simulator if it is allowed, otherwise with reads.
async fn permissions(
    target: &Target<'_>,
    identity: &CallerIdentity,
    iam: &AwsIam,
    inventory: &Inventory,
    report: &mut Report,
) {
    let Some(probe) = Probe::new(target.settings, identity) else {
        return;
    };
    let principal = match target.principal {
        Some(principal) => Some(principal.to_owned()),
        None => principal_of(iam, &identity.arn).await,
    };
    if let Some(principal) = principal {
        match simulate(target, &probe, inventory, &principal, report).await {
            Ok(()) => return,
            Err(error) => report
                .skip(Check::Permissions, format!("the write permissions are not checked: {}", error.user_message())),
        }
    }
    Box::pin(read_probes(&probe, iam, report)).await;
}

/// The names that permissions are tested with.
struct Probe {
    role: RoleName,
    role_arn: String,
    policy: PolicyArn,
}

impl Probe {
    fn new(settings: &Settings, identity: &CallerIdentity) -> Option<Self> {
        let role = RoleName::parse(PROBE).ok()?;
        let policy = PolicyName::parse(PROBE).ok()?;
        let (partition, account, path) = (&identity.partition, &identity.account, &settings.iam_path);
        Some(Self {
            role_arn: RoleArn::derive(partition, account, path, &role).to_string(),
            policy: PolicyArn::derive(partition, account, path, &policy),
            role,
        })
    }
}

/// Returns the role or user of a caller: the policy simulator accepts no role sessions.
async fn principal_of(iam: &AwsIam, arn: &str) -> Option<String> {
    if arn.ends_with(":root") {
        return None;
    }
    let Some((_, session)) = arn.split_once(":assumed-role/") else {
        return Some(arn.to_owned());
    };
    let name = RoleName::parse(session.split('/').next()?).ok()?;
    // The session's ARN lacks the role's path.
    iam.role(&name).await.ok()?.map(|role| role.arn)
}

/// Without what only `attachmentPolicy: Exclusive` needs.
const ON_ROLES: &[Operation] = &[
    Operation::GetRole,
    Operation::ListAttachedRolePolicies,
    Operation::ListRolePolicies,
    Operation::ListInstanceProfilesForRole,
    Operation::CreateRole,
    Operation::UpdateAssumeRolePolicy,
    Operation::UpdateRoleDescription,
    Operation::TagRole,
    Operation::UntagRole,
    Operation::PutRolePermissionsBoundary,
    Operation::AttachRolePolicy,
    Operation::DetachRolePolicy,
    Operation::DeleteRole,
];

const ON_POLICIES: &[Operation] = &[
    Operation::GetPolicy,
    Operation::GetPolicyVersion,
    Operation::ListPolicyVersions,
    Operation::ListEntitiesForPolicy,
    Operation::CreatePolicy,
    Operation::CreatePolicyVersion,
    Operation::SetDefaultPolicyVersion,
    Operation::DeletePolicyVersion,
    Operation::TagPolicy,
    Operation::UntagPolicy,
    Operation::DeletePolicy,
];

async fn simulate(
    target: &Target<'_>,
    probe: &Probe,
    inventory: &Inventory,
    principal: &str,
    report: &mut Report,
) -> Result<(), IamError> {
    let context = context(target, probe);
    let mut allowed = 0;
    for (operations, resource) in [(ON_ROLES, probe.role_arn.as_str()), (ON_POLICIES, probe.policy.as_str())] {
        let names: Vec<String> = operations.iter().map(|operation| operation.permission()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for result in inventory.simulate(principal, &names, resource, &context).await? {
            if result.allowed {
                allowed += 1;
            } else if result.missing_context.is_empty() {
                denied(report, &result.action, resource);
            } else {
                report.skip(
                    Check::Permissions,
                    format!(
                        "{} on {resource} depends on {}: set --permissions-boundary if the policy requires one",
                        result.action,
                        result.missing_context.join(", ")
                    ),
                );
            }
        }
    }
    if allowed == ON_ROLES.len() + ON_POLICIES.len() {
        report.pass(Check::Permissions, format!("{principal} may make all {allowed} calls"));
    }
    Ok(())
}

/// Returns the condition keys of the operator's requests, which its IAM policy tests.
fn context(target: &Target<'_>, probe: &Probe) -> BTreeMap<String, String> {
    let Cluster { name, uid, .. } = &target.settings.cluster;
    let mut context = BTreeMap::from([("iam:PolicyARN".to_owned(), probe.policy.to_string())]);
    for (tag, value) in
        [(TAG_MANAGED_BY, name.to_string()), (TAG_CLUSTER_UID, uid.clone()), (TAG_OWNER, format!("doctor/{PROBE}"))]
    {
        context.insert(format!("aws:RequestTag/{tag}"), value.clone());
        context.insert(format!("aws:ResourceTag/{tag}"), value);
    }
    if let Some(boundary) = target.boundary {
        context.insert("iam:PermissionsBoundary".into(), boundary.to_owned());
    }
    context
}

fn denied(report: &mut Report, action: &str, resource: &str) {
    report.find(
        Check::Permissions,
        format!("{action} on {resource} is not allowed"),
        format!("allow it in the operator's IAM policy ({POLICY_FILE})"),
    );
}

async fn read_probes(probe: &Probe, iam: &AwsIam, report: &mut Report) {
    let (role, policy) = (&probe.role, &probe.policy);
    let answers = tokio::join!(
        async { iam.role(role).await.err() },
        async { iam.attached_policies(role).await.err() },
        async { iam.inline_policies(role).await.err() },
        async { iam.instance_profiles(role).await.err() },
        async { iam.policy(policy).await.err() },
        async { iam.policy_versions(policy).await.err() },
        async { iam.policy_document(policy, "v1").await.err() },
        async { iam.policy_users(policy).await.err() },
    );
    let answers: [Option<IamError>; 8] = answers.into();
    let mut refused = 0;
    for error in answers.into_iter().flatten() {
        match error.class {
            // The read is allowed, and the resource does not exist.
            ErrorClass::NotFound => {}
            ErrorClass::AccessDenied => {
                refused += 1;
                let resource =
                    if error.operation.as_str().contains("Role") { probe.role_arn.as_str() } else { policy.as_str() };
                denied(report, &error.operation.permission(), resource);
            }
            ErrorClass::Throttled => {
                refused += 1;
                report.find(
                    Check::Permissions,
                    "IAM throttles this account because of too many calls",
                    "lower --iam-reads-per-second, or find the other callers in CloudTrail",
                );
            }
            _ => {
                refused += 1;
                report.find(Check::Permissions, error.to_string(), error.class.next_step());
            }
        }
    }
    if refused == 0 {
        report.pass(Check::Permissions, "all 8 read calls are allowed");
    }
}

async fn quotas(inventory: &Inventory, report: &mut Report) {
    let summary = match inventory.summary().await {
        Ok(summary) => summary,
        Err(error) => {
            report.skip(Check::Quotas, error.user_message());
            return;
        }
    };
    for (what, quota) in [("Roles", "RolesQuota"), ("Policies", "PoliciesQuota")] {
        let (Some(used), Some(limit)) = (summary.get(what), summary.get(quota)) else {
            continue;
        };
        let name = what.to_lowercase();
        if f64::from(*used) >= f64::from(*limit) * NEAR_QUOTA {
            report.find(
                Check::Quotas,
                format!("{used} of {limit} {name} of the account are used"),
                format!("raise the quota for {name} in AWS Service Quotas (IAM), or delete unused {name}"),
            );
        } else {
            report.pass(Check::Quotas, format!("{used} of {limit} {name}"));
        }
    }
}

async fn service_linked_role(iam: &AwsIam, report: &mut Report) {
    let Ok(name) = RoleName::parse(SERVICE_LINKED_ROLE) else {
        return;
    };
    match iam.role(&name).await {
        Ok(Some(_)) => {
            report.pass(Check::ServiceLinkedRole, format!("the account has {SERVICE_LINKED_ROLE}: log exports use it"));
        }
        Ok(None) => report.pass(
            Check::ServiceLinkedRole,
            format!("the account has no {SERVICE_LINKED_ROLE}: log exports need it, and RDS creates it with a cluster"),
        ),
        Err(error) => report.skip(Check::ServiceLinkedRole, error.user_message()),
    }
}

/// Finds roles and policies that have this cluster's tags and belong to no object.
async fn orphans(
    target: &Target<'_>,
    identity: &CallerIdentity,
    iam: &AwsIam,
    inventory: &Inventory,
    report: &mut Report,
) {
    let Some(owners) = &target.owners else {
        report.skip(Check::Orphans, "the objects of all namespaces could not be listed");
        return;
    };
    match inventory.tagged_roles().await {
        Ok(roles) => {
            for (arn, tags) in roles {
                if let Some(owner) = orphaned(&arn, &tags, &target.settings.cluster, owners) {
                    found_orphan(report, "role", &arn, &owner);
                }
            }
        }
        Err(error) => report.skip(Check::Orphans, format!("roles: {}", error.user_message())),
    }
    match inventory.policies().await {
        Ok(policies) => {
            let path =
                format!("arn:{}:iam::{}:policy{}", identity.partition, identity.account, target.settings.iam_path);
            let mut suspects: Vec<_> = policies
                .into_iter()
                .map(|policy| policy.arn)
                .filter(|arn| arn.starts_with(&path) && !target.known_arns.contains(arn))
                .collect();
            if suspects.len() > MAX_POLICIES {
                report.skip(Check::Orphans, format!("only {MAX_POLICIES} of {} policies were checked", suspects.len()));
                suspects.truncate(MAX_POLICIES);
            }
            target.progress.stage("policies checked", suspects.len());
            for arn in suspects {
                target.progress.advance();
                let Ok(Some(policy)) = iam.policy(&PolicyArn::from_aws(&arn)).await else {
                    continue;
                };
                if let Some(owner) = orphaned(&arn, &policy.tags, &target.settings.cluster, owners) {
                    found_orphan(report, "policy", &arn, &owner);
                }
            }
            target.progress.stage(STAGE, None);
        }
        Err(error) => report.skip(Check::Orphans, format!("policies: {}", error.user_message())),
    }
    if report.findings.is_empty() {
        report.pass(Check::Orphans, "no role or policy is orphaned");
    }
}

type Owners = BTreeMap<Owner, Arc<PolicyObject>>;

/// Returns the owner in the tags if it belongs to this cluster, and does not exist or has another role or policy.
fn orphaned(arn: &str, tags: &Tags, cluster: &Cluster, owners: &Owners) -> Option<Owner> {
    let owner = Owner::from_tag(tags.get(TAG_OWNER)?)?;
    let exists = |owner: &Owner| owners.get(owner).is_some_and(|object| may_have(&object.status, arn));
    is_orphan(cluster, tags, exists).then_some(owner)
}

fn found_orphan(report: &mut Report, what: &str, arn: &str, owner: &Owner) {
    report.find(
        Check::Orphans,
        format!("{what} {arn} has the owner tag {owner}, but this object does not exist or has another {what}"),
        format!("create {owner} again, or delete the {what} (deletionPolicy: Retain leaves it on purpose)"),
    );
}
