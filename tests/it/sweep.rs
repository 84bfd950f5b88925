//! The sweep: one read of the account checks all of its objects.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{ACCOUNT, Fixture, LIMIT, OTHER_TRUST};

/// Once in sixty sweeps an object is read by itself, which finds everything, too.
const BEFORE_THE_FULL_RESYNC: Duration = Duration::from_secs(20);
const OBJECTS: usize = 30;
const SWEEP: &str = "GetAccountAuthorizationDetails";

/// For an operator that sweeps an account every second, whose lists come in pages of at most 20 entities, some shorter.
async fn swept() -> Result<Fixture<'static>> {
    let fixture = Fixture::with(&["--drift-scan=bulk"]).prepare().await?;
    fixture.aws.world().configure(ACCOUNT, |settings, _| {
        settings.page_cap = Some(20);
        settings.short_page_probability = 0.2;
    });
    Ok(fixture)
}

impl Fixture<'_> {
    /// Waits for so many more sweeps that are over.
    pub(crate) async fn sweeps(&self, more: u64) -> Result<()> {
        let sweeps = || self.aws.gate().counts().get(SWEEP).copied().unwrap_or_default();
        // At most 60 entities in pages of 20, some of them short.
        let until = sweeps() + more * 8;
        self.eventually_true("sweeps", || Ok(sweeps() >= until)).await
    }

    /// Waits for sweeps that find everything in sync.
    async fn quiet(&self) -> Result<()> {
        wait_for("a sweep without suspects", LIMIT, async || {
            self.aws.gate().clear_log();
            self.sweeps(2).await?;
            let calls = self.calls_beside_sweeps();
            ensure!(calls.is_empty(), "{calls:?}");
            Ok(())
        })
        .await
    }

    /// Counts of the calls that are neither sweeps nor about the operator's own identity.
    fn calls_beside_sweeps(&self) -> Vec<String> {
        let counts = self.aws.gate().counts();
        let other = counts.iter().filter(|(action, _)| !["GetCallerIdentity", SWEEP].contains(&action.as_str()));
        other.map(|(action, count)| format!("{action}: {count}")).collect()
    }

    /// One edit of each kind that a sweep can see, each to another object.
    fn edit_by_hand(&self) -> Result<()> {
        let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        let role = |number: usize| self.name(&format!("o{number}"));
        let policy = |number: usize| self.policy_arn(&format!("o{number}"));
        self.by_hand(|iam| {
            iam.update_assume_role_policy(&role(7), OTHER_TRUST)?;
            iam.put_role_permissions_boundary(&role(8), &policy(1))?;
            iam.detach_role_policy(&role(9), &policy(9))?;
            iam.create_policy_version(&policy(10), document, true)?;
            iam.create_policy_version(&policy(11), document, true)?;
            iam.detach_role_policy(&role(11), &policy(11))
        })
    }
}

#[tokio::test]
async fn sweeps_cost_no_call_per_object_and_find_every_kind_of_manual_edit() -> Result<()> {
    let mut fixture = swept().await?;
    fixture.start_operator().await?;
    fixture.applied_many(OBJECTS).await?;
    // Objects settle for 5 s after their last write; later sweeps find everything in sync.
    fixture.sweeps(6).await?;
    fixture.quiet().await?;
    // Twice: objects that were in sync again are checked as closely as before.
    for round in 1..=2 {
        fixture.edit_by_hand()?;
        for (field, edits) in [("trust", 1), ("permissionsBoundary", 1), ("attachments", 2), ("document", 2)] {
            let expected = f64::from(edits * round);
            wait_for(&format!("{expected} repairs of {field}"), BEFORE_THE_FULL_RESYNC, async || {
                let repaired = fixture.repaired(field).await?;
                ensure!((repaired - expected).abs() < f64::EPSILON, "{repaired}");
                Ok(())
            })
            .await?;
        }
        fixture.quiet().await?;
    }
    fixture.finish().await
}

#[tokio::test]
async fn a_restart_in_sync_costs_no_read_per_object() -> Result<()> {
    let mut fixture = swept().await?;
    fixture.start_operator().await?;
    fixture.applied_many(OBJECTS).await?;
    fixture.stop_operator().await?;
    fixture.aws.gate().clear_log();
    fixture.start_operator().await?;
    fixture.sweeps(2).await?;
    let calls = fixture.calls_beside_sweeps();
    assert!(calls.is_empty(), "{calls:?}");
    let written = fixture.metric("auroralogexport_status_writes_total", &[]).await?;
    assert!(written < 0.5, "{written} status writes");
    fixture.finish().await
}

/// Without it, deleting the object would leave its policy and role in AWS.
#[tokio::test]
async fn a_finalizer_that_was_lost_while_the_operator_was_away_is_put_back() -> Result<()> {
    let mut fixture = swept().await?;
    fixture.start_operator().await?;
    fixture.applied("orders", json!({})).await?;
    fixture.stop_operator().await?;
    fixture.kubectl(&["patch", "alep/orders", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await?;
    fixture.start_operator().await?;
    wait_for("the finalizer to be back", BEFORE_THE_FULL_RESYNC, async || {
        let finalizers = fixture.object("orders").await?.metadata.finalizers;
        ensure!(finalizers.is_some(), "there is none");
        Ok(())
    })
    .await?;
    fixture.deleted("orders").await?;
    fixture.nothing_left("orders")?;
    fixture.finish().await
}

#[tokio::test]
async fn without_the_permission_objects_are_read_one_by_one() -> Result<()> {
    let mut fixture = swept().await?;
    fixture.set_faults([Rule::new(Effect::AccessDenied, &[SWEEP])]);
    fixture.start_operator().await?;
    fixture.applied_many(OBJECTS).await?;
    let (role, policy) = (fixture.name("o3"), fixture.policy_arn("o3"));
    fixture.by_hand(|iam| iam.detach_role_policy(&role, &policy))?;
    fixture.eventually_true("the policy to be attached again", || Ok(!fixture.attached("o3").is_empty())).await?;
    fixture.finish().await
}
