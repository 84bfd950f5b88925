//! `render`: prints the documents of a manifest, without access to the cluster or AWS.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{manifests, output};
use crate::model::names::{AccountId, ClusterName, IamPath, Partition};
use crate::model::settings::{AccountFacts, Cluster, Settings};
use crate::model::stored::PolicyObject;
use crate::pipeline::desired::{Desired, desired};

/// Print the policy and trust documents of a manifest, without access to the cluster or AWS.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  aurora-log-export-operator render -f examples/minimal.yaml\n  \
                        aurora-log-export-operator render -f policy.yaml --account-id 111122223333 --only policy \\\n    \
                        | aws iam create-policy --policy-name x --policy-document file:///dev/stdin\n\n\
                        The manifest is judged as kubectl apply and this version's CRDs judge it. Only the cluster knows\n\
                        whether the object exists and its immutable fields, its AwsAccount, admission policies and quotas.")]
pub(super) struct RenderArgs {
    /// Manifest file, or - for standard input; may contain several documents.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,
    /// ID of the AWS account in ARNs, 12 digits.
    #[arg(long, env = "ALEP_ACCOUNT_ID", default_value = "123456789012")]
    account_id: AccountId,
    /// AWS partition: aws, aws-cn, aws-us-gov, …
    #[arg(long, env = "ALEP_PARTITION", default_value = "aws")]
    partition: Partition,
    /// Name of the cluster in ownership tags.
    #[arg(long, env = "ALEP_CLUSTER_NAME", default_value = "example")]
    cluster_name: ClusterName,
    /// IAM path of the policy and the role, if the spec sets none.
    #[arg(long, env = "ALEP_IAM_PATH", default_value = "/aurora-log-export/")]
    iam_path: IamPath,
    /// Print only this document, as aws iam create-policy and aws iam create-role accept it.
    #[arg(long, value_enum)]
    only: Option<Only>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Only {
    /// The permissions policy.
    Policy,
    /// The trust policy.
    Trust,
}

pub(super) fn main(args: &RenderArgs) -> anyhow::Result<ExitCode> {
    let objects = manifests::read(std::slice::from_ref(&args.file), "default")?.objects;
    if objects.is_empty() {
        bail!("{} contains no AuroraLogExportPolicy; give another file", args.file.display());
    }
    for object in &objects {
        let desired = offline(args, object).with_context(|| format!("AuroraLogExportPolicy {}", object.key()))?;
        match args.only {
            Some(Only::Policy) => {
                let policy = desired.policy.as_ref().with_context(|| {
                    format!(
                        "AuroraLogExportPolicy {} has access: FullAccess and so no policy document; use --only trust",
                        object.key()
                    )
                })?;
                output::print_line(&policy.document.to_json_pretty())?;
            }
            Some(Only::Trust) => output::print_line(&desired.trust.to_json_pretty())?,
            None => output::print_line(&serde_json::to_string_pretty(&everything(&desired))?)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn offline(args: &RenderArgs, object: &PolicyObject) -> anyhow::Result<Desired> {
    let spec = object.spec.as_ref().map_err(Clone::clone)?;
    let settings = Settings::lenient(
        Cluster { name: args.cluster_name.clone(), uid: "offline".into(), previous_uids: Vec::new() },
        args.iam_path.clone(),
    );
    let account = AccountFacts { id: args.account_id.clone(), partition: args.partition.clone(), binding: None };
    Ok(desired(&object.key(), spec, &settings, &account)?)
}

fn everything(desired: &Desired) -> Value {
    let policy = desired.policy.as_ref().map(|policy| {
        json!({ "name": desired.identity.policy_name.as_str(), "arn": desired.identity.policy_arn.as_str(),
                "characters": policy.document.counted_size(), "document": policy.document })
    });
    json!({
        "policy": policy.unwrap_or_else(|| json!({ "arn": desired.identity.full_access_arn.as_str() })),
        "role": { "name": desired.identity.role_name.as_str(), "arn": desired.identity.role_arn.as_str(), "trust": desired.trust },
    })
}
