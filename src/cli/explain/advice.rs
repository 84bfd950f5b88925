//! The meaning and the next step of each reason.

use crate::api::Reason;

/// The meaning of a reason, the next step, and a command for it (`{namespace}` and `{name}` are replaced).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Advice {
    pub(in crate::cli) meaning: &'static str,
    pub(in crate::cli) next_step: &'static str,
    /// Empty if there is no useful command.
    pub(in crate::cli) command: &'static str,
}

const fn advise(meaning: &'static str, next_step: &'static str, command: &'static str) -> Advice {
    Advice { meaning, next_step, command }
}

const PLAN: &str = "kubectl alep plan {namespace}/{name}";
const EDIT: &str = "kubectl edit alep {name} -n {namespace}";
const DOCTOR: &str = "kubectl alep doctor -n {namespace}";

/// Returns the advice for a reason. There is no wildcard, so that the compiler demands advice for a new reason.
#[allow(clippy::too_many_lines)] // a table
pub(in crate::cli) const fn advice(reason: Reason) -> Advice {
    match reason {
        Reason::InSync | Reason::NoDrift | Reason::RoleAssumed => advise(
            "AWS matches the spec.",
            "Nothing to do. To use the role, add it to the Aurora cluster and set the parameter aws_default_logs_role.",
            "kubectl get alep {name} -n {namespace} -o jsonpath={.status.role.arn}",
        ),
        Reason::Progressing => advise(
            "The operator is reconciling this object.",
            "Wait a few seconds.",
            "kubectl wait --for=condition=Ready alep/{name} -n {namespace}",
        ),
        Reason::Retrying => advise(
            "A call failed with an error that can pass. The operator retries it.",
            "Wait a minute. If the error persists, check that AWS is reachable.",
            DOCTOR,
        ),
        Reason::Suspended => advise(
            "spec.suspend is true. The operator neither reads nor changes AWS.",
            "To continue, unset spec.suspend.",
            "kubectl patch alep {name} -n {namespace} --type=merge -p '{\"spec\":{\"suspend\":null}}'",
        ),
        Reason::DriftDetected => advise(
            "AWS differs from the spec, and managementPolicy: Observe forbids the repair.",
            "Read the plan. To let the operator carry it out, set managementPolicy: Enforce.",
            PLAN,
        ),
        Reason::InvalidSpec => advise(
            "The spec cannot be applied. Nothing was written to AWS.",
            "Correct the field that the message names.",
            EDIT,
        ),
        Reason::Conflict => advise(
            "The policy or the role with this name has another owner. Nothing was changed.",
            "Choose other names in a new object, or ask the owner to hand the resource over as the message says.",
            PLAN,
        ),
        Reason::IdentityChanged => advise(
            "The operator now derives another ARN for this object than the one in its status.",
            "Restore --iam-path (or iamPath or namePrefix of the AwsAccount). For a new ARN, create a new object.",
            PLAN,
        ),
        Reason::AccessDenied => advise(
            "AWS denies a call because a permission is missing.",
            "Allow the action that the message names: deploy/aws/README.md names the file. The operator retries.",
            DOCTOR,
        ),
        Reason::CredentialsInvalid => advise(
            "AWS rejects the operator's credentials, or there are none.",
            "Check the annotation of the operator's ServiceAccount, its Pod Identity association, or its Secret.",
            DOCTOR,
        ),
        Reason::Throttled => advise(
            "AWS throttles the calls. The operator retries them.",
            "Wait. If the error persists, lower --iam-reads-per-second, or find the other callers of IAM.",
            DOCTOR,
        ),
        Reason::LimitExceeded => advise(
            "A quota of the AWS account, or for outputs one of the namespace, is exhausted.",
            "Raise the quota that the message names (AWS Service Quotas, ResourceQuota), or delete unused resources.",
            "aws iam get-account-summary",
        ),
        Reason::AccountNotReady => advise(
            "The AWS account cannot be used now.",
            "Check the AwsAccount that spec.accountRef names, or the operator's credentials.",
            "kubectl get awsaccounts",
        ),
        Reason::NotPermitted => advise(
            "A guardrail of the AwsAccount or a flag of the operator forbids what the spec requests.",
            "Change the field that the message names, or ask the platform team.",
            EDIT,
        ),
        Reason::AwsUnavailable => advise(
            "AWS is unreachable or returns errors. The operator retries the calls.",
            "Wait. If the error persists, check the operator's network (proxy, endpoints, NetworkPolicy).",
            DOCTOR,
        ),
        Reason::DeletionBlocked => advise(
            "Something that the operator does not own uses the policy or the role. Neither is deleted.",
            "Remove what the message names, or set the annotation auroralogexport.dev/abandon to leave both.",
            "kubectl annotate alep {name} -n {namespace} auroralogexport.dev/abandon=true",
        ),
        Reason::Deleting => advise(
            "The operator deletes the policy and the role in AWS.",
            "Wait a few seconds, or a minute for resources that were just created.",
            "kubectl describe alep {name} -n {namespace}",
        ),
        Reason::NotManaged => advise("This part is not managed in this mode.", "Nothing to do.", ""),
        Reason::UnexpectedAttachments => advise(
            "AWS matches the spec, but the role has policies that the operator did not attach.",
            "Detach them, or set attachmentPolicy: Exclusive to let the operator remove them.",
            PLAN,
        ),
        Reason::ImmutableInAws => advise(
            "AWS matches the spec except for the policy's description, which IAM cannot change after creation.",
            "Ignore the difference, or create a new object.",
            PLAN,
        ),
        Reason::NotAssumed => advise(
            "AWS matches the spec. IAM reports no use of the role within the last 7 days.",
            "To use the role, associate it with the Aurora cluster and set aws_default_logs_role and \
             server_audit_logs_upload. Log exports do not use it: they use AWSServiceRoleForRDS.",
            "kubectl get alep {name} -n {namespace} -o jsonpath={.status.role.arn}",
        ),
        Reason::Unknown => advise(
            "The state is unknown.",
            "Read the operator's log and the events of the object.",
            "kubectl describe alep {name} -n {namespace}",
        ),
        Reason::AccountMismatch => advise(
            "The credentials do not belong to the account in spec.accountId.",
            "Correct spec.assumeRole of the AwsAccount.",
            "kubectl get awsaccounts",
        ),
        Reason::InUse => advise(
            "The AwsAccount is being deleted, but objects still refer to it.",
            "Delete these objects first.",
            "kubectl get alep -A",
        ),
    }
}
