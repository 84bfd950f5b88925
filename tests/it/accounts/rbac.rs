//! The operator has exactly the rights in Kubernetes that it uses. `cargo xtask ci --only rights` checks the same in the
//! audit log of the whole suite.

use anyhow::{Result, ensure};
use aurora_test_support::rights::{granted_to_the_operator, requests};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT};

#[tokio::test]
async fn the_operator_uses_every_right_it_has_and_asks_for_no_other() -> Result<()> {
    let mut fixture = Fixture::with(&["--leader-elect=true", "--enable-outputs=true"]).prepare().await?;
    fixture.install_outputs().await?;
    fixture.start_operator().await?;
    let account = fixture.account("prod", "111111111111", json!({})).await?;
    let spec =
        |output: &str| json!({ "accountRef": { "name": account }, "outputs": { "configMapRef": { "name": output } } });
    fixture.applied("orders", spec("one")).await?;
    fixture.applied("orders", spec("two")).await?;
    fixture.deleted("orders").await?;
    fixture.account_deleted(&account).await?;

    let rights = granted_to_the_operator()?;
    wait_for("every right in the audit log", LIMIT, async || {
        let requests = requests(&fixture.env.audit_events()?);
        ensure!(requests.refused.is_empty(), "refused: {:#?}", requests.refused);
        let idle: Vec<_> = rights.difference(&requests.used).collect();
        ensure!(idle.is_empty(), "granted and not used: {idle:#?}");
        Ok(())
    })
    .await
}
