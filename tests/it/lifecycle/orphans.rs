//! Resources with our tags and no object: counted, and never deleted by themselves.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::stage::{ACCOUNT, LIMIT, RDS_TRUST, Stage};

#[tokio::test]
async fn orphans_are_counted_and_stay() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s", "--drift-scan=bulk"]).await?;
    let mut elsewhere = stage.ownership("gone").await?;
    elsewhere.insert("auroralogexport.dev/owner".to_owned(), "not-watched/a".to_owned());
    let mut other = stage.ownership("gone").await?;
    other.insert("auroralogexport.dev/managed-by".to_owned(), "elsewhere".to_owned());
    stage.foreign_role("gone", RDS_TRUST, &stage.ownership("gone").await?)?;
    stage.foreign_role("not-watched", RDS_TRUST, &elsewhere)?;
    stage.foreign_role("other-cluster", RDS_TRUST, &other)?;
    let before = stage.iam().snapshot();
    stage.start_operator().await?;
    stage.applied("a", json!({})).await?;
    let orphans = async |wanted: f64| {
        wait_for(&format!("{wanted} orphans"), LIMIT, async || {
            let found = stage.metric("auroralogexport_orphans", &[("account", ACCOUNT)]).await?;
            let scanned = stage.metrics_have("auroralogexport_orphans{").await?;
            ensure!(scanned && (found - wanted).abs() < 0.5, "{found}, scanned: {scanned}");
            Ok(())
        })
        .await
    };
    orphans(1.0).await?;
    // A retained role becomes one, and is its owner's again when the object comes back.
    stage.applied("a", json!({ "deletionPolicy": "Retain" })).await?;
    stage.deleted("a").await?;
    orphans(2.0).await?;
    stage.applied("a", json!({})).await?;
    orphans(1.0).await?;
    stage.deleted("a").await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}
