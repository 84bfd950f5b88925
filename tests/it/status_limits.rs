//! The status that the operator writes fits the schema, whatever the spec was before.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::fixture::Fixture;

/// While a spec's tags are replaced, the keys of both are on record: more than AWS allows on one resource.
#[tokio::test]
async fn thirty_tags_are_replaced_by_thirty_others() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    for prefix in ["first", "second"] {
        let tags: BTreeMap<String, &str> = (0..30).map(|number| (format!("{prefix}{number}"), "x")).collect();
        let keys = fixture.applied("orders", json!({ "tags": tags })).await?["tagKeys"].to_string();
        ensure!(keys.contains(&format!("{prefix}29")), "{keys}");
        ensure!(prefix == "first" || !keys.contains("first"), "{keys}");
    }
    fixture.finish().await
}
