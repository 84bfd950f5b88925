//! `import`: writes manifests that adopt existing roles and policies unchanged.

mod derive;
mod found;
mod inverse;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::cluster::KubeSystem;
use super::connect::{KubeArgs, OperatorArgs, block_on, kube_system};
use super::output;
use super::progress::Progress;
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::aws::iam::AwsIam;
use crate::aws::inventory::ListedRole;
use crate::model::documents::Meaning;
use crate::model::names::{PolicyArn, RoleName};
use crate::model::settings::AccountFacts;
use crate::pipeline::port::{Iam, IamError};
use derive::{Choices, Import, derive};
use found::{FoundPolicy, FoundRole};

/// Write manifests that adopt existing roles and policies unchanged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aurora-log-export-operator import --namespace shop --out-dir imported\n  \
    aurora-log-export-operator import --observe --cluster-name prod > observed.yaml\n\n\
    Next steps: read the manifests, give consent with the tag commands (imported/consent.sh), and apply\n\
    the manifests. Without the tags, the objects report Conflict and change nothing. With the tags,\n\
    plan -f imported shows only ownership tags.\n\n\
    AWS permissions: iam:ListRoles, iam:GetRole, iam:ListAttachedRolePolicies, iam:ListRolePolicies,\n\
    iam:ListInstanceProfilesForRole, iam:ListPolicies, iam:GetPolicy, iam:GetPolicyVersion,\n\
    iam:ListEntitiesForPolicy.")]
pub(super) struct ImportArgs {
    /// Write managementPolicy: Observe, so that the objects only report differences.
    #[arg(long)]
    observe: bool,
    /// Write one file per object, and consent.sh, into this directory instead of printing.
    #[arg(long, env = "ALEP_OUT_DIR", value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// AwsAccount in spec.accountRef of the manifests.
    #[arg(long, env = "ALEP_ACCOUNT_REF", value_name = "NAME")]
    account_ref: Option<String>,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// What was found in an account.
struct Found {
    roles: Vec<FoundRole>,
    policies: BTreeMap<String, FoundPolicy>,
    /// What could not be read.
    notes: Vec<String>,
}

pub(super) fn main(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let progress = Progress::stderr("import");
    let (import, cluster) = block_on(progress.during(run(args, &progress)))?;
    match &args.out_dir {
        Some(dir) => write::to_directory(&import, &cluster, dir)?,
        None => output::print(write::to_stream(&import, &cluster)?)?,
    }
    eprintln!("{}", write::summary(&import, args.out_dir.as_deref()));
    Ok(ExitCode::SUCCESS)
}

async fn run(args: &ImportArgs, progress: &Progress) -> anyhow::Result<(Import, String)> {
    progress.stage("reading the cluster and the account", None);
    let kube = args.kube.connect().await;
    let kube_system = match kube_system(&kube).await {
        // The consent tags need only the name of the cluster.
        KubeSystem::Unreachable(why) => KubeSystem::Forbidden(why),
        known => known,
    };
    let namespace = match (&args.kube.namespace, &kube) {
        (Some(namespace), _) => namespace.clone(),
        (None, Ok(kube)) => kube.namespace.clone(),
        (None, Err(_)) => "default".to_owned(),
    };
    let state = args.operator.state(&kube_system).await;
    let mut state = state.context("the consent tags need the name of the cluster; set --cluster-name")?;
    if let (Some(_), Ok(kube)) = (&args.account_ref, &kube) {
        state.load(kube).await?;
    }
    let resolved = state
        .namespaces
        .resolve(&state.accounts, args.account_ref.as_deref(), &namespace, false)
        .map_err(|error| anyhow!("{}", error.message))?;
    let identity = resolved.account.identity().await.map_err(|error| anyhow!("{}", error.user_message()))?;
    let found =
        list(&resolved.account, &identity, progress).await.map_err(|error| anyhow!("{}", error.user_message()))?;
    let facts =
        AccountFacts { id: identity.account.clone(), partition: identity.partition.clone(), binding: resolved.binding };
    let choices = Choices { namespace, observe: args.observe, account_ref: args.account_ref.clone() };
    let mut import = derive(&found.roles, &found.policies, &choices, &state.settings, &facts);
    import.notes.extend(found.notes);
    Ok((import, state.settings.cluster.name.to_string()))
}

/// Reads each role that trusts RDS, and each customer managed policy that is attached to such a role or not attached.
async fn list(account: &Account, identity: &CallerIdentity, progress: &Progress) -> Result<Found, IamError> {
    let iam = account.iam(identity);
    let inventory = account.inventory(identity);
    progress.stage("listing roles", None);
    let listed = inventory.roles().await?;
    let candidates: Vec<ListedRole> = listed
        .into_iter()
        .filter(|role| inverse::concerns_rds(&Meaning::of(&role.trust)) && !role.path.starts_with("/aws-service-role/"))
        .collect();
    let mut found = Found { roles: Vec::new(), policies: BTreeMap::new(), notes: Vec::new() };
    progress.stage("roles read", candidates.len());
    for listed in &candidates {
        if let Some(role) = read_role(&iam, listed).await? {
            for arn in role.attached.iter().filter(|arn| !arn.contains(":iam::aws:")) {
                if !found.policies.contains_key(arn)
                    && let Some(policy) = read_policy(&iam, arn).await?
                {
                    found.policies.insert(arn.clone(), policy);
                }
            }
            found.roles.push(role);
        }
        progress.advance();
    }
    progress.stage("listing policies", None);
    match inventory.policies().await {
        Ok(policies) => {
            let unused: Vec<_> = policies.into_iter().filter(|policy| policy.attachments == 0).collect();
            progress.stage("unattached policies read", unused.len());
            for listed in unused {
                if let Some(policy) = read_policy(&iam, &listed.arn).await? {
                    found.policies.insert(listed.arn, policy);
                }
                progress.advance();
            }
        }
        Err(error) => {
            found.notes.push(format!("unattached policies were not read: {}", error.user_message()));
        }
    }
    Ok(found)
}

async fn read_role(iam: &AwsIam, listed: &ListedRole) -> Result<Option<FoundRole>, IamError> {
    let Ok(name) = RoleName::parse(listed.name.clone()) else {
        return Ok(None);
    };
    let Some(role) = iam.role(&name).await? else {
        return Ok(None);
    };
    Ok(Some(FoundRole {
        attached: iam.attached_policies(&name).await?,
        inline: iam.inline_policies(&name).await?,
        instance_profiles: iam.instance_profiles(&name).await?,
        name: listed.name.clone(),
        path: listed.path.clone(),
        role,
    }))
}

async fn read_policy(iam: &AwsIam, arn: &str) -> Result<Option<FoundPolicy>, IamError> {
    let arn = PolicyArn::from_aws(arn);
    let Some(policy) = iam.policy(&arn).await? else {
        return Ok(None);
    };
    let document = iam.policy_document(&arn, &policy.default_version).await?;
    Ok(Some(FoundPolicy { document: document.unwrap_or_default(), users: iam.policy_users(&arn).await?, policy }))
}
