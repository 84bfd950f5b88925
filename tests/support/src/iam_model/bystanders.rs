//! Bystanders: policies and roles of others in an account, as similar to those of the operator as possible.
//!
//! [`Iam::snapshot`] and [`Iam::counts`] leave them out. [`Iam::bystanders_untouched`] compares them byte for byte.

use super::account::{Iam, Quotas};
use super::error::ApiError;
use super::types::{CreatePolicy, CreateRole, Tags};
use serde_json::{Value, json};

const RDS_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const OTHER_TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}"#;
const LATER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;

/// A policy and a role with the same name that belong to others.
#[derive(Clone, Debug)]
pub struct Bystander {
    /// Name of both; it must not exist yet.
    pub name: String,
    /// Path of both.
    pub path: String,
    /// Tags of both.
    pub tags: Tags,
    /// True if the role trusts RDS, and only RDS.
    pub trusts_rds: bool,
}

impl Iam {
    /// Creates the standard bystanders: one without ownership tags, one of another cluster, and one with all ownership
    /// tags except one. The last two are in the operator's path.
    pub fn plant_bystanders(&mut self) -> Result<(), ApiError> {
        let ownership = [
            ("auroralogexport.dev/managed-by", "elsewhere"),
            ("auroralogexport.dev/cluster-uid", "00000000-0000-0000-0000-000000000000"),
            ("auroralogexport.dev/owner", "shop/bystander"),
        ];
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let sets = [
            ("Bystander-of-nobody", "/", tags(&[("team", "others"), ("empty", "")]), false),
            ("bystander.elsewhere", "/aurora-log-export/", tags(&ownership), true),
            ("bystander.almost", "/aurora-log-export/", tags(&ownership[1..]), true),
        ];
        for (name, path, tags, trusts_rds) in sets {
            let (name, path) = (name.to_owned(), path.to_owned());
            self.plant_bystander(&Bystander { name, path, tags, trusts_rds })?;
        }
        Ok(())
    }

    /// Creates a bystander: a policy with two versions, of which the older one is the default, and a role with this
    /// policy, an AWS-managed policy, an inline policy, a boundary and an instance profile.
    pub fn plant_bystander(&mut self, bystander: &Bystander) -> Result<(), ApiError> {
        // It existed before the test: quotas and delays that the test sets do not apply to it.
        let quotas = std::mem::replace(&mut self.quotas, Quotas::without_entity_limits());
        let settings = std::mem::take(&mut self.settings);
        let created = self.create_bystander(bystander);
        (self.quotas, self.settings) = (quotas, settings);
        created?;
        let name = bystander.name.clone();
        let pair = pair(&self.everything(), &name);
        self.bystanders.insert(name, pair);
        Ok(())
    }

    fn create_bystander(&mut self, Bystander { name, path, tags, trusts_rds }: &Bystander) -> Result<(), ApiError> {
        let managed = |name: &str| format!("arn:{}:iam::aws:policy/{name}", self.partition());
        let (boundary, other) = (managed("ReadOnlyAccess"), managed("CloudWatchLogsReadOnlyAccess"));
        let policy = self.create_policy(&CreatePolicy {
            name: name.clone(),
            path: Some(path.clone()),
            document: DOCUMENT.to_owned(),
            description: Some("not the operator's".to_owned()),
            tags: tags.clone(),
        })?;
        self.create_policy_version(&policy.arn, LATER_DOCUMENT, false)?;
        self.create_role(&CreateRole {
            name: name.clone(),
            path: Some(path.clone()),
            trust: if *trusts_rds { RDS_TRUST } else { OTHER_TRUST }.to_owned(),
            description: Some("not the operator's either".to_owned()),
            max_session_seconds: Some(7200),
            boundary: Some(boundary),
            tags: tags.clone(),
        })?;
        self.attach_role_policy(name, &policy.arn)?;
        self.attach_role_policy(name, &other)?;
        self.put_role_policy(name, "inline", DOCUMENT)?;
        self.create_instance_profile(name, Some(path))?;
        self.add_role_to_instance_profile(name, name)
    }

    /// Checks that every bystander is unchanged. The error names the one that is not, with both states.
    pub fn bystanders_untouched(&self) -> Result<(), String> {
        let everything = self.everything();
        for (name, before) in &self.bystanders {
            let now = pair(&everything, name);
            if now != *before {
                let account = self.account_id();
                return Err(format!("bystander {name} of account {account} changed from {before}\nto {now}"));
            }
        }
        Ok(())
    }

    pub(super) fn is_bystander(&self, name: &str) -> bool {
        self.bystanders.contains_key(name)
    }
}

/// The policy, role and instance profile of this name.
fn pair(everything: &Value, name: &str) -> Value {
    let of = |kind: &str| everything[kind][name].clone();
    json!({ "policy": of("policies"), "role": of("roles"), "instanceProfile": of("instanceProfiles") })
}
