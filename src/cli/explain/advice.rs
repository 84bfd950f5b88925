//! What every reason means to a person, and what helps.

use crate::api::Reason;

/// What a reason means, what to do, and the command that helps (`{namespace}` and `{name}` are filled in).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Advice {
    pub(in crate::cli) meaning: &'static str,
    pub(in crate::cli) next_step: &'static str,
    /// Empty where no command helps.
    pub(in crate::cli) command: &'static str,
}

const fn said(meaning: &'static str, next_step: &'static str, command: &'static str) -> Advice {
    Advice { meaning, next_step, command }
}

const LOOK: &str = "kubectl alep plan {namespace}/{name}";
const EDIT: &str = "kubectl edit alep {name} -n {namespace}";
const DOCTOR: &str = "kubectl alep doctor -n {namespace}";

/// The advice for a reason. Without a wildcard: a new reason cannot be forgotten.
#[allow(clippy::too_many_lines)] // a table
pub(in crate::cli) const fn advice(reason: Reason) -> Advice {
    match reason {
        Reason::InSync | Reason::NoDrift | Reason::NoServiceLinkedRole => said(
            "AWS is as the spec says.",
            "Nothing. Use the role: add it to the Aurora cluster, and name it in aws_default_logs_role.",
            "kubectl get alep {name} -n {namespace} -o jsonpath={.status.role.arn}",
        ),
        Reason::Progressing => said(
            "The operator is at work on this object.",
            "Wait; it takes seconds.",
            "kubectl wait --for=condition=Ready alep/{name} -n {namespace}",
        ),
        Reason::Retrying => said(
            "A call failed that may pass by itself; it is being repeated.",
            "Wait a minute. If it stays, look whether AWS can be reached.",
            DOCTOR,
        ),
        Reason::Suspended => said(
            "spec.suspend is true: AWS is neither read nor changed.",
            "Unset spec.suspend to go on.",
            "kubectl patch alep {name} -n {namespace} --type=merge -p '{\"spec\":{\"suspend\":null}}'",
        ),
        Reason::DriftDetected => said(
            "AWS differs from the spec, and managementPolicy: Observe leaves it so.",
            "Look at the plan; to let the operator carry it out, set managementPolicy: Enforce.",
            LOOK,
        ),
        Reason::InvalidSpec => said(
            "The spec cannot be carried out as it stands; nothing was written to AWS.",
            "Correct the field that the message names.",
            EDIT,
        ),
        Reason::Conflict => said(
            "The policy or role of that name belongs to somebody else; nothing was changed.",
            "Choose other names in a new object, or have the owner tag the resource as the message says.",
            LOOK,
        ),
        Reason::IdentityChanged => said(
            "The operator would now use another ARN than the one that this object made.",
            "Restore --iam-path (or the account's iamPath or namePrefix), or make the object anew.",
            LOOK,
        ),
        Reason::AccessDenied => said(
            "AWS refuses a call for lack of permission.",
            "Allow the action that the message names (deploy/aws/operator-policy.json has them all); it is tried again by itself.",
            DOCTOR,
        ),
        Reason::CredentialsInvalid => said(
            "AWS does not accept the operator's credentials, or there are none.",
            "Check the operator's service account annotation, Pod identity association or secret.",
            DOCTOR,
        ),
        Reason::Throttled => said(
            "AWS asks to slow down; calls are repeated by themselves.",
            "Wait. If it stays, lower --iam-reads-per-second, or find who else calls IAM in this account.",
            DOCTOR,
        ),
        Reason::LimitExceeded => said(
            "A quota of the AWS account is used up.",
            "Raise the quota in AWS Service Quotas, or remove what is not needed.",
            "aws iam get-account-summary",
        ),
        Reason::AccountNotReady => said(
            "The AWS account cannot be used now.",
            "Look at the AwsAccount that spec.accountRef names, or at the operator's credentials.",
            "kubectl get awsaccounts",
        ),
        Reason::NotPermitted => said(
            "The account's guardrails or the operator's flags forbid what the spec asks for.",
            "Change the field that the message names, or ask the platform team.",
            EDIT,
        ),
        Reason::AwsUnavailable => said(
            "AWS could not be reached, or failed; calls are repeated by themselves.",
            "Wait. If it stays, check the operator's network (proxy, endpoints, NetworkPolicy).",
            DOCTOR,
        ),
        Reason::DeletionBlocked => said(
            "Something that is not the operator's holds the policy or the role; both stay.",
            "Remove what the message names, or let the object go without touching AWS (the annotation below).",
            "kubectl annotate alep {name} -n {namespace} auroralogexport.dev/abandon=true",
        ),
        Reason::Deleting => said(
            "Policy and role are being removed from AWS.",
            "Wait; it takes seconds, or a minute for what was made just now.",
            "kubectl describe alep {name} -n {namespace}",
        ),
        Reason::NotManaged => said("This part is not managed in this mode.", "Nothing.", ""),
        Reason::UnexpectedAttachments => said(
            "AWS is as the spec says, but others attached policies to the role.",
            "Detach them, or set attachmentPolicy: Exclusive to have them removed.",
            LOOK,
        ),
        Reason::ImmutableInAws => said(
            "AWS is as the spec says, but for the policy's description, which IAM fixes at creation.",
            "Leave it, or make a new object.",
            LOOK,
        ),
        Reason::ServiceLinkedRoleOverrides => said(
            "Policy and role are right, but the account has AWSServiceRoleForRDS, which overrides them for log export.",
            "Nothing, if logs arrive: RDS then uses the service-linked role. This role has an effect only without it.",
            "aws iam get-role --role-name AWSServiceRoleForRDS",
        ),
        Reason::Unknown => said(
            "The state is not known.",
            "Look at the operator's log and at the events.",
            "kubectl describe alep {name} -n {namespace}",
        ),
        Reason::AccountMismatch => said(
            "The credentials belong to another account than spec.accountId says.",
            "Correct assumeRole of the AwsAccount.",
            "kubectl get awsaccounts",
        ),
        Reason::InUse => said(
            "The account is being deleted and policies still use it.",
            "Delete the objects that refer to it first.",
            "kubectl get alep -A",
        ),
    }
}
