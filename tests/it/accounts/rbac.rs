//! The operator's rights in Kubernetes are those that it uses, and no others. The same is asked of the audit log of the
//! whole suite by `cargo xtask ci --only rights`.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::paths::workspace;
use aurora_test_support::rights::{granted_to_the_operator, requests};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::bench::Bench;

#[tokio::test]
async fn the_operator_uses_every_right_it_has_and_asks_for_no_other() -> Result<()> {
    let bench = Bench::start(1, &["--leader-elect=true", "--enable-outputs=true"]).await?;
    for file in ["clusterrole.yaml", "clusterrolebinding.yaml", "admission.yaml"] {
        let path = workspace().join("deploy/kustomize/components/outputs").join(file);
        bench.env.apply_yaml(&std::fs::read_to_string(path)?).await?;
    }
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", "111111111111", json!({})).await?;
    let spec =
        |output: &str| json!({ "accountRef": { "name": account }, "outputs": { "configMapRef": { "name": output } } });
    bench.policy(&ns, "orders", spec("one")).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.policy(&ns, "orders", spec("two")).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.delete_policy(&ns, "orders").await?;
    bench.delete_account(&account).await?;

    let rights = granted_to_the_operator()?;
    wait_for("every right in the audit log", Duration::from_mins(1), async || {
        let requests = requests(&bench.env.audit_events()?);
        ensure!(requests.refused.is_empty(), "refused: {:#?}", requests.refused);
        let idle: Vec<_> = rights.difference(&requests.used).collect();
        ensure!(idle.is_empty(), "granted and not used: {idle:#?}");
        Ok(())
    })
    .await
}
