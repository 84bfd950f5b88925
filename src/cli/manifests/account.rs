//! The rules between the fields of an `AwsAccount`, which its schema has in CEL.

use crate::api::AwsAccountSpec;
use crate::model::names::IamPath;
use crate::pipeline::desired::tag_problems;

use super::judge::is_label_key;

/// What is wrong, as `field: problem; next step`.
pub(super) fn problems(spec: &AwsAccountSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let ours = format!("::{}:", spec.account_id);
    if spec.assume_role.as_ref().is_some_and(|role| !role.role_arn.contains(&ours)) {
        problems.push("spec.assumeRole.roleArn: the role to assume must be in the account of accountId".into());
    }
    let guardrails = spec.guardrails.clone().unwrap_or_default();
    if guardrails.permissions_boundary.is_some_and(|arn| !arn.contains("::aws:") && !arn.contains(&ours)) {
        problems.push(
            "spec.guardrails.permissionsBoundary: must be a policy in the account of accountId, or an AWS-managed policy"
                .into(),
        );
    }
    if guardrails.iam_path.is_some_and(|path| IamPath::parse(&path).is_ok_and(|path| path.is_reserved_for_aws())) {
        problems.push("spec.guardrails.iamPath: belongs to AWS's own roles: choose another".into());
    }
    for (field, items) in
        [("allowedRegions", guardrails.allowed_regions), ("allowedLogGroups", guardrails.allowed_log_groups)]
    {
        if items.is_some_and(|items| items.len() > 1 && items.iter().any(|item| item == "*")) {
            problems.push(format!("spec.guardrails.{field}: * already covers everything: it must stand alone"));
        }
    }
    for (field, tags) in [("requiredTags", guardrails.required_tags), ("defaultTags", guardrails.default_tags)] {
        let found = tag_problems(&format!("spec.guardrails.{field}"), &tags.unwrap_or_default());
        problems.extend(found.iter().map(ToString::to_string));
    }
    let selector = spec.allowed_namespaces.as_ref().and_then(|allowed| allowed.selector.as_ref());
    let labels = selector.and_then(|selector| selector.match_labels.as_ref()).into_iter().flatten();
    for (key, _) in labels.filter(|(key, _)| !is_label_key(key)) {
        problems.push(format!(
            "spec.allowedNamespaces.selector.matchLabels: {key:?} must be a label key such as team or example.com/team"
        ));
    }
    let expressions = selector.and_then(|selector| selector.match_expressions.as_ref()).into_iter().flatten();
    for (index, expression) in expressions.enumerate() {
        let has_values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
        if ["In", "NotIn"].contains(&expression.operator.as_str()) != has_values {
            problems.push(format!(
                "spec.allowedNamespaces.selector.matchExpressions[{index}].values: In and NotIn require values, Exists and \
                 DoesNotExist do not allow them"
            ));
        }
    }
    problems
}
