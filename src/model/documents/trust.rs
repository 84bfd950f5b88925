//! The role's trust policy: only RDS may assume the role.

use std::collections::BTreeMap;

use super::meaning::PRINCIPAL;
use super::{Document, OneOrMany, Statement};
use crate::model::names::AccountId;

/// The trust policy.
///
/// `source_account` adds `StringEquals aws:SourceAccount`, and `source_arns` add `ArnLike aws:SourceArn`, as in AWS's
/// page on the confused deputy problem in RDS.
pub fn document(source_account: Option<&AccountId>, source_arns: &[String]) -> Document {
    let mut condition = BTreeMap::new();
    if let Some(account) = source_account {
        condition.insert("StringEquals", BTreeMap::from([("aws:SourceAccount", OneOrMany::new([account.as_str()]))]));
    }
    if !source_arns.is_empty() {
        condition.insert("ArnLike", BTreeMap::from([("aws:SourceArn", OneOrMany::new(source_arns.iter().cloned()))]));
    }
    Document::new(vec![Statement {
        sid: None,
        effect: "Allow",
        principal: Some(BTreeMap::from([("Service", PRINCIPAL)])),
        action: OneOrMany::new(["sts:AssumeRole"]),
        resource: None,
        condition,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rds_may_assume_the_role_for_the_target_account_only() {
        let account = AccountId::parse("123456789012").unwrap();
        let arns =
            ["arn:aws:rds:*:123456789012:cluster:a".to_owned(), "arn:aws:rds:*:123456789012:cluster:b".to_owned()];
        let value: serde_json::Value = serde_json::from_str(&document(Some(&account), &arns).to_json()).unwrap();
        assert_eq!(
            value,
            json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": { "Service": "rds.amazonaws.com" },
                    "Action": "sts:AssumeRole",
                    "Condition": {
                        "StringEquals": { "aws:SourceAccount": "123456789012" },
                        "ArnLike": { "aws:SourceArn": arns },
                    },
                }],
            })
        );
    }

    #[test]
    fn without_protection_there_is_no_condition() {
        let value: serde_json::Value = serde_json::from_str(&document(None, &[]).to_json()).unwrap();
        assert!(value["Statement"][0].get("Condition").is_none());
    }
}
