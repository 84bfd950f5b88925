//! Resources with the operator's tags and without an object are counted, and never deleted.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::contested;
use crate::fixture::{ACCOUNT, LIMIT, RDS_TRUST};

#[tokio::test]
async fn orphans_are_counted_and_stay() -> Result<()> {
    let mut fixture = contested(&["--drift-scan=bulk"]).prepare().await?;
    let mut elsewhere = fixture.ownership("gone").await?;
    elsewhere.insert("auroralogexport.dev/owner".to_owned(), "not-watched/a".to_owned());
    let mut other = fixture.ownership("gone").await?;
    other.insert("auroralogexport.dev/managed-by".to_owned(), "elsewhere".to_owned());
    fixture.foreign_role("gone", RDS_TRUST, &fixture.ownership("gone").await?)?;
    fixture.foreign_role("not-watched", RDS_TRUST, &elsewhere)?;
    fixture.foreign_role("other-cluster", RDS_TRUST, &other)?;
    let before = fixture.iam().snapshot();
    fixture.start_operator().await?;
    fixture.applied("a", json!({})).await?;
    let orphans = async |wanted: f64| {
        wait_for(&format!("{wanted} orphans"), LIMIT, async || {
            let found = fixture.metric("auroralogexport_orphans", &[("account", ACCOUNT)]).await?;
            let swept = fixture.metrics_have("auroralogexport_orphans{").await?;
            ensure!(swept && (found - wanted).abs() < 0.5, "{found}, swept: {swept}");
            Ok(())
        })
        .await
    };
    orphans(1.0).await?;
    // A retained role becomes an orphan, until the object is created again.
    fixture.applied("a", json!({ "deletionPolicy": "Retain" })).await?;
    fixture.deleted("a").await?;
    orphans(2.0).await?;
    fixture.applied("a", json!({})).await?;
    orphans(1.0).await?;
    fixture.deleted("a").await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}
