//! Some AWS-managed policies, which exist in every account.

use super::account::PolicyEntry;
use super::document::Document;
use super::rng::Rng;
use super::types::{Policy, PolicyVersion, Tags};
use std::collections::BTreeMap;

/// Path, name, description, actions (all on `*`).
const POLICIES: [(&str, &str, &str, &[&str]); 7] = [
    (
        "/",
        "CloudWatchLogsFullAccess",
        "Provides full access to CloudWatch Logs",
        &["logs:*", "cloudwatch:GenerateQuery"],
    ),
    (
        "/",
        "CloudWatchLogsReadOnlyAccess",
        "Provides read only access to CloudWatch Logs",
        &["logs:Describe*", "logs:Get*", "logs:List*"],
    ),
    ("/", "AdministratorAccess", "Provides full access to AWS services and resources.", &["*"]),
    (
        "/",
        "ReadOnlyAccess",
        "Provides read-only access to AWS services and resources.",
        &["logs:Get*", "rds:Describe*"],
    ),
    ("/", "AmazonS3ReadOnlyAccess", "Provides read only access to all buckets.", &["s3:Get*", "s3:List*"]),
    (
        "/service-role/",
        "AmazonRDSEnhancedMonitoringRole",
        "Provides access to Cloudwatch for RDS Enhanced Monitoring",
        &["logs:CreateLogGroup", "logs:PutRetentionPolicy"],
    ),
    (
        "/aws-service-role/",
        "AmazonRDSServiceRolePolicy",
        "Allows Amazon RDS to manage AWS resources on your behalf.",
        &["rds:CrossRegionCommunication", "logs:CreateLogGroup"],
    ),
];

/// 2015-02-06, when AWS published the first of them.
const PUBLISHED_MS: u64 = 1_423_248_000_000;

pub(super) fn policies(partition: &str) -> BTreeMap<String, PolicyEntry> {
    let mut ids = Rng::new(2015);
    let entries = POLICIES.iter().map(|(path, name, description, actions)| {
        let statement = serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        let text = serde_json::json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let arn = format!("arn:{partition}:iam::aws:policy{path}{name}");
        let version = PolicyVersion {
            id: "v1".to_owned(),
            document: Document::new(&text),
            is_default: true,
            created_ms: PUBLISHED_MS,
        };
        let policy = Policy {
            name: (*name).to_owned(),
            id: ids.id("ANPA", 17),
            arn: arn.clone(),
            path: (*path).to_owned(),
            description: Some((*description).to_owned()),
            default_version: "v1".to_owned(),
            attachment_count: 0,
            boundary_count: 0,
            created_ms: PUBLISHED_MS,
            updated_ms: PUBLISHED_MS,
            tags: Tags::new(),
        };
        (arn, PolicyEntry { policy, versions: vec![version], next_version: 2, visible_at_ms: 0 })
    });
    entries.collect()
}
