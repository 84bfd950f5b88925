//! A stage of its own for each test: a namespace, an account in a model of IAM, an operator that watches both, and
//! bystanders that nobody may touch.

mod aws;
mod objects;

use std::time::Duration;

use anyhow::{Context, Result};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model;
use aurora_test_support::iam_model::http::{Defaults, Server};
use aurora_test_support::operator::{Operator, OperatorOptions};
use kube::api::Api;
use serde_json::Value;

use super::bystanders;
use crate::emulators::aws_with;
use crate::environment;

pub(in crate::lifecycle) const ACCOUNT: &str = "111122223333";
pub(in crate::lifecycle) const PATH: &str = "/aurora-log-export/";
/// Generous: the machine is shared, and a pass ends early.
pub(in crate::lifecycle) const LIMIT: Duration = Duration::from_secs(90);
pub(in crate::lifecycle) const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
pub(in crate::lifecycle) const FULL_ACCESS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";
pub(in crate::lifecycle) const RDS_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(in crate::lifecycle) const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(in crate::lifecycle) const OTHER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

pub(in crate::lifecycle) struct Stage {
    pub(in crate::lifecycle) env: &'static Environment,
    pub(in crate::lifecycle) namespace: String,
    pub(in crate::lifecycle) server: Server,
    pub(in crate::lifecycle) operator: Option<Operator>,
    pub(in crate::lifecycle) client: kube::Client,
    /// Of the account.
    pub(in crate::lifecycle) partition: &'static str,
    arguments: Vec<String>,
    contests: bool,
}

impl Stage {
    /// An operator that looks for drift every second.
    pub(in crate::lifecycle) async fn start() -> Result<Self> {
        Self::with(&["--drift-check-interval=1s"]).await
    }

    /// An operator that looks by itself only once an hour: `reconcile-at` says when, and calls can be counted.
    pub(in crate::lifecycle) async fn still() -> Result<Self> {
        Self::with(&["--drift-check-interval=1h"]).await
    }

    /// An operator with these flags.
    pub(in crate::lifecycle) async fn with(arguments: &[&str]) -> Result<Self> {
        let mut stage = Self::without_operator(arguments).await?;
        stage.start_operator().await?;
        Ok(stage)
    }

    /// What is to be there before the operator looks can be put in place.
    pub(in crate::lifecycle) async fn without_operator(arguments: &[&str]) -> Result<Self> {
        Self::in_partition("aws", arguments).await
    }

    /// The same in an account of this partition.
    pub(in crate::lifecycle) async fn in_partition(partition: &'static str, arguments: &[&str]) -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let server = aws_with(Defaults {
            partition: partition.to_owned(),
            account_of_unknown_keys: Some(ACCOUNT.to_owned()),
            ..Defaults::default()
        })?;
        bystanders::plant(&mut server.world().account(ACCOUNT).lock(), &namespace)?;
        let client = env.client().await?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Ok(Self { env, namespace, server, operator: None, client, partition, arguments, contests: false })
    }

    pub(in crate::lifecycle) async fn start_operator(&mut self) -> Result<()> {
        let own: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let given = |name: &str| own.iter().any(|argument| argument.starts_with(&format!("{name}=")));
        let mut arguments = vec![
            "--iam-reads-per-second=1000".to_owned(),
            "--iam-writes-per-second=1000".to_owned(),
            "--log-filter=info,aurora_log_export_operator=debug".to_owned(),
            format!("--watch-namespace={}", self.namespace),
        ];
        // Every look reads by itself, so that looks can be counted; the account scan has tests of its own.
        if !given("--drift-scan") {
            arguments.push("--drift-scan=per-resource".to_owned());
        }
        if !given("--cluster-name") {
            arguments.push(format!("--cluster-name={}", self.cluster()));
        }
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments(arguments.iter().map(String::as_str))
            .arguments(own)
            .aws_endpoint(&self.server.url());
        self.operator = Some(Operator::start(self.env, options).await?);
        if !self.contests {
            self.contests = true;
            self.contest().await?;
        }
        Ok(())
    }

    /// Ends the operator and starts another with these flags.
    pub(in crate::lifecycle) async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.stop_operator().await?;
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.start_operator().await
    }

    pub(in crate::lifecycle) async fn stop_operator(&mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.stop().await?;
        }
        Ok(())
    }

    /// The end of every test: the bystanders are as they were, byte for byte, and the operator ends when told to.
    pub(in crate::lifecycle) async fn finish(mut self) -> Result<()> {
        self.stop_operator().await?;
        self.still_contested().await
    }

    /// `--cluster-name`.
    pub(in crate::lifecycle) fn cluster(&self) -> String {
        self.namespace.clone()
    }

    /// UID of namespace `kube-system`.
    pub(in crate::lifecycle) async fn cluster_uid(&self) -> Result<String> {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        api.get("kube-system").await?.metadata.uid.context("no UID")
    }

    /// The three ownership tags of an object of this cluster.
    pub(in crate::lifecycle) async fn ownership(&self, owner: &str) -> Result<iam_model::Tags> {
        Ok(tags(&[
            ("auroralogexport.dev/managed-by", &self.cluster()),
            ("auroralogexport.dev/cluster-uid", &self.cluster_uid().await?),
            ("auroralogexport.dev/owner", &format!("{}/{owner}", self.namespace)),
        ]))
    }

    /// The consent that the object of this name may take a resource over.
    pub(in crate::lifecycle) fn consent(&self, name: &str) -> iam_model::Tags {
        let value = format!("{}/{}/{name}", self.cluster(), self.namespace);
        tags(&[("auroralogexport.dev/adoptable-by", &value)])
    }
}

/// A condition in a status.
pub(in crate::lifecycle) fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|it| it["type"] == type_)
}

/// The message of a condition.
pub(in crate::lifecycle) fn message(status: &Value, type_: &str) -> String {
    let found = condition(status, type_).and_then(|condition| condition["message"].as_str());
    found.unwrap_or_default().to_owned()
}

pub(in crate::lifecycle) fn tags(pairs: &[(&str, &str)]) -> iam_model::Tags {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The fields named in `status.drift`, as `Policy.document`.
pub(in crate::lifecycle) fn drift_fields(status: &Value) -> Vec<String> {
    let entries = status["drift"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{}.{}", text(&entry["resource"]), text(&entry["field"]))).collect()
}
