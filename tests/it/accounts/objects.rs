//! `AwsAccount`s of the fixture. They are cluster-scoped, so each test has names of its own for them.

use anyhow::{Context, Result};
use aurora_log_export_operator::api::AwsAccount;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::wait::wait_gone;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Map, Value, json};

use crate::fixture::{Fixture, LIMIT, until};

impl Fixture<'_> {
    pub(super) fn accounts(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &ApiResource::erase::<AwsAccount>(&()))
    }

    /// A name for a cluster-scoped object that no other test uses.
    pub(crate) fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace())
    }

    /// Applies an `AwsAccount` with the usual role that is open to the first namespace; `more` is merged over its spec.
    /// Returns its name.
    pub(crate) async fn account(&self, name: &str, id: &str, more: Value) -> Result<String> {
        let mut spec = json!({
            "accountId": id,
            "assumeRole": { "roleArn": role_arn(id) },
            "allowedNamespaces": { "names": [self.namespace()] },
        });
        merge(&mut spec, more);
        let name = self.unique(name);
        let object = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount",
                             "metadata": { "name": name }, "spec": spec });
        self.accounts().patch(&name, &PatchParams::apply("aurora-test").force(), &Patch::Apply(&object)).await?;
        Ok(name)
    }

    pub(super) async fn account_status(&self, name: &str) -> Result<Value> {
        Ok(self.accounts().get(name).await?.data["status"].clone())
    }

    /// Waits until the account is in sync; returns its status.
    pub(super) async fn account_ready(&self, name: &str) -> Result<Value> {
        until(&self.accounts(), name, "Ready", "True", "InSync").await.with_context(|| self.log())
    }

    /// Waits until the account is not ready for this reason; returns its status.
    pub(super) async fn account_not_ready(&self, name: &str, reason: &str) -> Result<Value> {
        until(&self.accounts(), name, "Ready", "False", reason).await.with_context(|| self.log())
    }

    pub(super) async fn delete_account(&self, name: &str) -> Result<()> {
        self.accounts().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Removes the finalizers of an account by force.
    pub(super) async fn release_account(&self, name: &str) -> Result<()> {
        let patch = json!({ "metadata": { "finalizers": null } });
        self.accounts().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    pub(super) async fn account_gone(&self, name: &str) -> Result<()> {
        wait_gone(&self.accounts(), name, LIMIT).await.with_context(|| self.log())
    }

    /// Deletes the account and waits until it is gone.
    pub(super) async fn account_deleted(&self, name: &str) -> Result<()> {
        self.delete_account(name).await?;
        self.account_gone(name).await
    }

    /// Calls to IAM (not STS) in an account, since a mark.
    pub(crate) fn calls_in(&self, account: &str, mark: u64) -> Vec<CallRecord> {
        let mut calls = self.calls(mark);
        calls.retain(|call| {
            call.account == account && !["GetCallerIdentity", "AssumeRole"].contains(&call.action.as_str())
        });
        calls
    }

    /// Numbers of policies and roles in an account.
    pub(crate) fn holds(&self, account: &str) -> (usize, usize) {
        let snapshot = self.snapshot(account);
        let count = |kind: &str| snapshot[kind].as_object().map_or(0, Map::len);
        (count("policies"), count("roles"))
    }
}

/// The spec of an object in this account.
pub(super) fn of_account(name: &str) -> Value {
    json!({ "accountRef": { "name": name } })
}

pub(super) fn role_arn(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/aurora-log-export-operator-member")
}

/// Merges `more` over `base`; null removes a key.
pub(super) fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, more) => *base = more,
    }
}
