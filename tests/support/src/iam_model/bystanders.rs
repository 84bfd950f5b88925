//! What others have in an account: as tempting as can be, left out of [`Iam::snapshot`] and [`Iam::counts`], and
//! compared, byte for byte, when [`Iam::bystanders_untouched`] is asked.

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

/// A policy and a role of one name that belong to somebody else.
#[derive(Clone, Debug)]
pub struct Bystander {
    /// Of both; a name that is free.
    pub name: String,
    /// Of both.
    pub path: String,
    /// Of both.
    pub tags: Tags,
    /// Does RDS, and nobody else, assume the role?
    pub trusts_rds: bool,
}

impl Iam {
    /// Those that every account has: one of nobody's, one of another cluster, and one with the tags of ownership but for
    /// one; the last two in the operator's own path.
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

    /// One more: two versions of the policy with the older one the default, attached to the role beside an AWS-managed
    /// policy and an inline one, a boundary, and an instance profile.
    pub fn plant_bystander(&mut self, bystander: &Bystander) -> Result<(), ApiError> {
        // It has been there for long: neither quotas nor lag of the test's making concern it.
        let quotas = std::mem::replace(&mut self.quotas, Quotas::without_entity_limits());
        let settings = std::mem::take(&mut self.settings);
        let made = self.make_bystander(bystander);
        (self.quotas, self.settings) = (quotas, settings);
        made?;
        let name = bystander.name.clone();
        let pair = pair(&self.everything(), &name);
        self.bystanders.insert(name, pair);
        Ok(())
    }

    fn make_bystander(&mut self, Bystander { name, path, tags, trusts_rds }: &Bystander) -> Result<(), ApiError> {
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

    /// Is every bystander as it was planted? The error says which is not, and how.
    pub fn bystanders_untouched(&self) -> Result<(), String> {
        let everything = self.everything();
        for (name, before) in &self.bystanders {
            let now = pair(&everything, name);
            if now != *before {
                return Err(format!("bystander {name} of account {} was {before}\nand is {now}", self.account_id()));
            }
        }
        Ok(())
    }

    pub(super) fn is_bystander(&self, name: &str) -> bool {
        self.bystanders.contains_key(name)
    }
}

/// What stands under one name.
fn pair(everything: &Value, name: &str) -> Value {
    let of = |kind: &str| everything[kind][name].clone();
    json!({ "policy": of("policies"), "role": of("roles"), "instanceProfile": of("instanceProfiles") })
}
