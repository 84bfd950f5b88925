//! The customer-managed policy: the guide's three statements for a typed scope.

use std::sync::OnceLock;

use super::{Document, OneOrMany, Statement};
use crate::model::names::Partition;

/// The largest managed policy that IAM allows, in characters without whitespace.
///
/// Source: IAM user guide, "IAM and AWS STS quotas".
pub const MANAGED_POLICY_LIMIT: usize = 6144;

/// The effective scope: every list is non-empty, every item is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionScope {
    /// Regions, or `*`.
    pub regions: Vec<String>,
    /// Account ids, or `*`.
    pub account_ids: Vec<String>,
    /// Log group names, wildcards allowed.
    pub log_groups: Vec<String>,
    /// Log stream names, wildcards allowed.
    pub log_streams: Vec<String>,
    /// True if `logs:CreateLogGroup` is limited to the log groups.
    pub creation_limited_to_groups: bool,
}

impl Default for PermissionScope {
    fn default() -> Self {
        Self {
            regions: vec!["*".into()],
            account_ids: vec!["*".into()],
            log_groups: vec!["/aws/rds/*".into()],
            log_streams: vec!["*".into()],
            creation_limited_to_groups: false,
        }
    }
}

impl PermissionScope {
    /// ARNs of the log groups: Regions × accounts × groups, in the order given.
    fn log_group_arns(&self, partition: &Partition) -> Vec<String> {
        let mut arns = Vec::with_capacity(self.regions.len() * self.account_ids.len() * self.log_groups.len());
        for region in &self.regions {
            for account in &self.account_ids {
                for group in &self.log_groups {
                    arns.push(format!("arn:{partition}:logs:{region}:{account}:log-group:{group}"));
                }
            }
        }
        arns
    }
}

/// Size of [`document`] in characters that count against IAM's quota, computed without building it: a scope within its
/// limits can expand to two million ARNs.
pub fn counted_size(scope: &PermissionScope, partition: &Partition) -> usize {
    // The text around the lists is constant: only the lists contain the partition.
    static FRAME: OnceLock<usize> = OnceLock::new();
    let frame = *FRAME.get_or_init(|| {
        let default = PermissionScope::default();
        document(&default, partition).counted_size().saturating_sub(lists_size(&default, partition))
    });
    frame.saturating_add(lists_size(scope, partition))
}

/// Characters of the three lists of resources.
fn lists_size(scope: &PermissionScope, partition: &Partition) -> usize {
    let characters = |items: &[String]| {
        let sum = items.iter().map(|item| counted(item)).sum::<usize>();
        (items.len(), sum)
    };
    let (regions, region_sum) = characters(&scope.regions);
    let (accounts, account_sum) = characters(&scope.account_ids);
    let (groups, group_sum) = characters(&scope.log_groups);
    let (streams, stream_sum) = characters(&scope.log_streams);
    let frame = counted(&format!("arn:{partition}:logs:::log-group:"));
    // Every Region occurs in accounts × groups ARNs, and so on.
    let arns = product(&[regions, accounts, groups]);
    let arn_sum = [
        product(&[arns, frame]),
        product(&[region_sum, accounts, groups]),
        product(&[account_sum, regions, groups]),
        product(&[group_sum, regions, accounts]),
    ]
    .into_iter()
    .fold(0, usize::saturating_add);
    let stream_arns = product(&[arns, streams]);
    let stream_arn_sum =
        [product(&[arn_sum, streams]), product(&[stream_arns, counted(":log-stream:")]), product(&[arns, stream_sum])]
            .into_iter()
            .fold(0, usize::saturating_add);
    let exact = scope.log_groups.iter().filter(|group| !group.ends_with('*')).count();
    let suffixes = product(&[regions, accounts, exact, counted(ANY_STREAM)]);
    let group_list = list_size(arns, arn_sum.saturating_add(suffixes));
    let creation = if scope.creation_limited_to_groups { group_list } else { list_size(1, counted("*")) };
    list_size(stream_arns, stream_arn_sum).saturating_add(group_list).saturating_add(creation)
}

/// Characters of a list in JSON, with quotes, commas and brackets; a single item has quotes only.
fn list_size(items: usize, characters: usize) -> usize {
    match items {
        1 => characters.saturating_add(2),
        _ => characters.saturating_add(items.saturating_mul(3)).saturating_add(1),
    }
}

fn product(factors: &[usize]) -> usize {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

/// Characters of a string inside JSON's quotes, whitespace aside.
fn counted(text: &str) -> usize {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.chars().filter(|c| !c.is_whitespace()).count().saturating_sub(2)
}

/// What AWS appends to the ARN of a log group in IAM policies.
const ANY_STREAM: &str = ":*";

/// The ARN on which AWS evaluates actions on a log group. AWS documents the form with `:*` for every action except tagging,
/// and evaluates `logs:CreateLogStream` on the ARN of the stream. A name that ends in `*` covers both.
///
/// Source: service authorization reference, "Actions, resources, and condition keys for Amazon CloudWatch Logs".
fn evaluated_arn(group: &str) -> String {
    if group.ends_with('*') { group.to_owned() } else { format!("{group}{ANY_STREAM}") }
}

/// The policy document for a scope. With the default scope it equals the guide's, value for value.
pub fn document(scope: &PermissionScope, partition: &Partition) -> Document {
    let groups = scope.log_group_arns(partition);
    let evaluated = || groups.iter().map(|group| evaluated_arn(group));
    let streams = groups
        .iter()
        .flat_map(|group| scope.log_streams.iter().map(move |stream| format!("{group}:log-stream:{stream}")));
    let creation = if scope.creation_limited_to_groups { OneOrMany::new(evaluated()) } else { OneOrMany::new(["*"]) };
    Document::new(vec![
        allow(
            "EnableCreationAndManagementOfRDSCloudwatchLogEvents",
            &["logs:GetLogEvents", "logs:PutLogEvents"],
            OneOrMany::new(streams),
        ),
        allow(
            "EnableCreationAndManagementOfRDSCloudwatchLogStreams",
            &["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"],
            OneOrMany::new(evaluated()),
        ),
        allow("EnableCreationAndManagementOfRDSCloudwatchLogGroups", &["logs:CreateLogGroup"], creation),
    ])
}

fn allow(sid: &'static str, actions: &[&str], resource: OneOrMany) -> Statement {
    Statement {
        sid: Some(sid),
        effect: "Allow",
        principal: None,
        action: OneOrMany::new(actions.iter().copied()),
        resource: Some(resource),
        condition: std::collections::BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON of the AWS guide, "Creating an IAM Policy to Access CloudWatch Logs Resources".
    pub(crate) const GUIDE: &str = r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogEvents",
            "Effect": "Allow",
            "Action": [
                "logs:GetLogEvents",
                "logs:PutLogEvents"
            ],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*"
        },
        {
            "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogStreams",
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutRetentionPolicy"
            ],
            "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*"
        },
        {
            "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogGroups",
            "Effect": "Allow",
            "Action": "logs:CreateLogGroup",
            "Resource": "*"
        }
    ]
}"#;

    fn aws() -> Partition {
        Partition::parse("aws").unwrap()
    }

    #[test]
    fn the_default_scope_gives_the_guides_json_value_for_value() {
        let ours: serde_json::Value =
            serde_json::from_str(&document(&PermissionScope::default(), &aws()).to_json()).unwrap();
        let guide: serde_json::Value = serde_json::from_str(GUIDE).unwrap();
        assert_eq!(ours, guide);
        assert_eq!(
            document(&PermissionScope::default(), &aws()).to_json(),
            GUIDE.split('\n').map(str::trim).collect::<String>().replace("\": ", "\":"),
            "the keys are in the guide's order"
        );
    }

    #[test]
    fn lists_are_combined_in_a_stable_order() {
        let scope = PermissionScope {
            regions: vec!["eu-west-1".into(), "eu-central-1".into()],
            account_ids: vec!["111122223333".into()],
            log_groups: vec!["/aws/rds/cluster/a/*".into(), "/aws/rds/cluster/b/*".into()],
            log_streams: vec!["x".into(), "y".into()],
            creation_limited_to_groups: true,
        };
        let json: serde_json::Value =
            serde_json::from_str(&document(&scope, &Partition::parse("aws-us-gov").unwrap()).to_json()).unwrap();
        let group = |region: &str, name: &str| {
            format!("arn:aws-us-gov:logs:{region}:111122223333:log-group:/aws/rds/cluster/{name}/*")
        };
        let groups = vec![
            group("eu-west-1", "a"),
            group("eu-west-1", "b"),
            group("eu-central-1", "a"),
            group("eu-central-1", "b"),
        ];
        assert_eq!(json["Statement"][1]["Resource"], serde_json::json!(groups));
        assert_eq!(json["Statement"][2]["Resource"], serde_json::json!(groups));
        assert_eq!(json["Statement"][0]["Resource"][0], format!("{}:log-stream:x", groups[0]));
        assert_eq!(json["Statement"][0]["Resource"][1], format!("{}:log-stream:y", groups[0]));
        assert_eq!(json["Statement"][0]["Resource"].as_array().map(Vec::len), Some(8));
    }

    #[test]
    fn a_log_group_by_its_exact_name_is_written_as_aws_evaluates_it() {
        let scope = PermissionScope {
            log_groups: vec!["/aws/rds/cluster/invoices/audit".into(), "/aws/rds/cluster/orders/*".into()],
            creation_limited_to_groups: true,
            ..PermissionScope::default()
        };
        let json: serde_json::Value = serde_json::from_str(&document(&scope, &aws()).to_json()).unwrap();
        let exact = "arn:aws:logs:*:*:log-group:/aws/rds/cluster/invoices/audit";
        let evaluated =
            serde_json::json!([format!("{exact}:*"), "arn:aws:logs:*:*:log-group:/aws/rds/cluster/orders/*"]);
        assert_eq!(json["Statement"][1]["Resource"], evaluated);
        assert_eq!(json["Statement"][2]["Resource"], evaluated);
        assert_eq!(json["Statement"][0]["Resource"][0], format!("{exact}:log-stream:*"));
    }

    /// True if IAM's wildcard pattern matches the text.
    fn matches(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((before, after)) => text
                .strip_prefix(before)
                .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))),
        }
    }

    fn allows(document: &Document, action: &str, resource: &str) -> bool {
        document.statement.iter().any(|statement| {
            statement.action.values().iter().any(|allowed| allowed == action)
                && statement.resource.iter().flat_map(OneOrMany::values).any(|pattern| matches(pattern, resource))
        })
    }

    proptest::proptest! {
        /// Each action is allowed on what AWS evaluates it on, for groups and streams in the scope, and for no others.
        #[test]
        fn the_six_actions_are_allowed_in_the_scope_and_not_outside(
            groups in proptest::collection::vec("/aws/rds/[a-c]{1,3}", 1..3),
            starred in proptest::bool::ANY,
            streams in proptest::collection::vec("[x-z]{1,3}", 1..3),
            group in "/aws/rds/[a-c]{1,4}",
            stream in "[x-z]{1,3}",
        ) {
            let log_groups: Vec<String> =
                groups.iter().map(|group| if starred { format!("{group}*") } else { group.clone() }).collect();
            let scope = PermissionScope {
                log_groups,
                log_streams: streams.clone(),
                creation_limited_to_groups: true,
                ..PermissionScope::default()
            };
            let document = document(&scope, &aws());
            let arn = format!("arn:aws:logs:eu-west-1:111122223333:log-group:{group}");
            let in_group = groups.iter().any(|name| if starred { group.starts_with(name) } else { group == *name });
            let on_stream = format!("{arn}:log-stream:{stream}");
            for action in ["logs:CreateLogGroup", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"] {
                proptest::prop_assert_eq!(allows(&document, action, &format!("{arn}:*")), in_group, "{}", action);
            }
            proptest::prop_assert_eq!(allows(&document, "logs:CreateLogStream", &on_stream), in_group);
            let in_stream = in_group && streams.contains(&stream);
            for action in ["logs:PutLogEvents", "logs:GetLogEvents"] {
                proptest::prop_assert_eq!(allows(&document, action, &on_stream), in_stream, "{}", action);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_size_is_computed_without_the_document(
            regions in proptest::collection::vec("[a-z-]{1,9}", 1..4),
            account_ids in proptest::collection::vec("[0-9]{1,12}", 1..4),
            log_groups in proptest::collection::vec("[a-z/*]{1,30}", 1..4),
            log_streams in proptest::collection::vec("[a-z \\\\é*]{1,30}", 1..4),
            creation_limited_to_groups in proptest::bool::ANY,
            partition in proptest::sample::select(vec!["aws", "aws-cn", "aws-us-gov"]),
        ) {
            let scope = PermissionScope { regions, account_ids, log_groups, log_streams, creation_limited_to_groups };
            let partition = Partition::parse(partition).unwrap();
            proptest::prop_assert_eq!(counted_size(&scope, &partition), document(&scope, &partition).counted_size());
        }
    }

    #[test]
    fn size_counts_everything_but_whitespace() {
        let document = document(&PermissionScope { log_streams: vec!["a b".into()], ..Default::default() }, &aws());
        assert_eq!(document.counted_size(), document.to_json().len() - 1);
    }
}
