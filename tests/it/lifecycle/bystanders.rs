//! A policy and roles of others, with names, tags and attachments as tempting as can be. No test may change a byte.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::{ApiError, CreatePolicy, CreateRole, Iam};
use serde_json::Value;

use super::stage::{FULL_ACCESS, OTHER_DOCUMENT, PATH, RDS_TRUST, tags};

pub(super) struct Bystanders {
    names: Vec<String>,
    before: Value,
}

impl Bystanders {
    /// Policies and roles named after the namespace's objects, in the operator's own path; one pair owned by a cluster
    /// of another name, one by nobody, one with the tags of ownership but for one.
    pub(super) fn plant(iam: &mut Iam, namespace: &str) -> Result<Self> {
        let elsewhere = [
            ("auroralogexport.dev/managed-by", "elsewhere"),
            ("auroralogexport.dev/cluster-uid", "0000"),
            ("auroralogexport.dev/owner", "shop/bystander"),
        ];
        let sets = [
            ("elsewhere", tags(&elsewhere)),
            ("nobody", tags(&[("team", "others")])),
            ("almost", tags(&elsewhere[1..])),
        ];
        let mut names = Vec::new();
        for (suffix, tags) in sets {
            let short: String = namespace.chars().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
            let name = format!("{short}.{suffix}");
            let policy = iam.create_policy(&CreatePolicy {
                name: name.clone(),
                path: Some(PATH.to_owned()),
                document: OTHER_DOCUMENT.to_owned(),
                description: Some("not the operator's".to_owned()),
                tags: tags.clone(),
            })?;
            iam.create_role(&CreateRole {
                name: name.clone(),
                path: Some(PATH.to_owned()),
                trust: RDS_TRUST.to_owned(),
                tags,
                ..CreateRole::default()
            })?;
            iam.attach_role_policy(&name, &policy.arn)?;
            iam.attach_role_policy(&name, FULL_ACCESS)?;
            iam.put_role_policy(&name, "inline", OTHER_DOCUMENT)?;
            iam.create_policy_version(&policy.arn, RDS_DOCUMENT, false)?;
            names.push(name);
        }
        let before = pick(iam, &names);
        Ok(Self { names, before })
    }

    pub(super) fn check(&self, iam: &Iam) -> Result<()> {
        let now = pick(iam, &self.names);
        ensure!(now == self.before, "bystanders were touched: {} -> {now}", self.before);
        Ok(())
    }
}

const RDS_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;

fn pick(iam: &Iam, names: &[String]) -> Value {
    let whole = iam.snapshot();
    let of = |kind: &str| -> Value { names.iter().map(|name| whole[kind][name].clone()).collect() };
    serde_json::json!({ "policies": of("policies"), "roles": of("roles") })
}

/// The check itself can fail.
#[test]
fn a_touched_bystander_is_noticed() -> Result<(), ApiError> {
    let mut iam = Iam::new("111122223333");
    let bystanders = Bystanders::plant(&mut iam, "shop").map_err(|error| ApiError::invalid_input(error.to_string()))?;
    assert!(bystanders.check(&iam).is_ok());
    iam.untag_role("shop.nobody", &["team".to_owned()])?;
    assert!(bystanders.check(&iam).is_err());
    Ok(())
}
