//! Where an object's policy and role are follows from its account's guardrails: what changes them under an existing object
//! must neither lose nor double anything. And an object that its account does not admit claims no name in it.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_gone;
use kube::api::DeleteParams;
use serde_json::json;

use super::bench::{Bench, LIMIT};

const ID: &str = "111111111111";
const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

#[tokio::test]
async fn a_changed_path_or_prefix_of_an_account_stops_its_objects_until_it_is_changed_back() -> Result<()> {
    for guardrails in [json!({ "iamPath": "/elsewhere/" }), json!({ "namePrefix": "team-" })] {
        let bench = Bench::start(1, &[]).await?;
        let account = bench.account("prod", ID, json!({ "guardrails": { "requireTrustProtection": true } })).await?;
        let ns = bench.ns().to_owned();
        let spec = json!({ "accountRef": { "name": account } });
        for name in ["stays", "goes"] {
            bench.policy(&ns, name, spec.clone()).await?;
            bench.wait_policy(&ns, name, "InSync").await?;
        }
        let arn = bench.policies(&ns).get("stays").await?.status.unwrap_or_default().role.unwrap_or_default().arn;

        bench.account("prod", ID, json!({ "guardrails": guardrails })).await?;
        for name in ["stays", "goes"] {
            let message = bench.wait_policy(&ns, name, "IdentityChanged").await?;
            ensure!(message.contains(&format!("{ns}.{name}")) && message.contains("namePrefix"), "{message}");
        }
        let role = format!("{ns}.stays");
        bench.server.world().account(ID).lock().update_assume_role_policy(&role, OTHER_TRUST)?;
        let (before, mark) = (bench.snapshot(ID), bench.server.gate().last_seq());
        let mut again = spec.clone();
        again["description"] = json!("looked at once more");
        bench.policy(&ns, "stays", again).await?;
        bench.wait_policy(&ns, "stays", "IdentityChanged").await?;
        bench.policies(&ns).delete("goes", &DeleteParams::default()).await?;
        bench.wait_policy(&ns, "goes", "IdentityChanged").await?;
        // A new object lives under the new rule, which shows that the operator goes on.
        bench.policy(&ns, "new", spec.clone()).await?;
        bench.wait_policy(&ns, "new", "InSync").await?;
        let about = |name: &str| format!("{ns}.{name}");
        let written = bench.writes_since(mark);
        let of_old =
            written.iter().filter(|call| ["stays", "goes"].iter().any(|old| call.resource.ends_with(&about(old))));
        assert_eq!(of_old.count(), 0, "{written:?}");
        for kind in ["policies", "roles"] {
            for name in ["stays", "goes"] {
                assert_eq!(bench.snapshot(ID)[kind][about(name)], before[kind][about(name)]);
            }
        }
        let goes = bench.policies(&ns).get("goes").await?;
        ensure!(goes.metadata.finalizers.is_some_and(|it| !it.is_empty()), "it is not released");
        bench.delete_policy(&ns, "new").await?;

        bench.account("prod", ID, json!({ "guardrails": { "requireTrustProtection": true } })).await?;
        bench.wait_policy(&ns, "stays", "InSync").await?;
        let status = bench.policies(&ns).get("stays").await?.status.unwrap_or_default();
        assert_eq!(status.role.unwrap_or_default().arn, arn);
        let trust = bench.snapshot(ID)["roles"][about("stays")]["trust"].as_str().unwrap_or_default().to_owned();
        ensure!(trust.contains("rds.amazonaws.com"), "what was changed meanwhile is repaired: {trust}");
        wait_gone(&bench.policies(&ns), "goes", LIMIT).await?;
        bench.delete_policy(&ns, "stays").await?;
        assert_eq!(bench.holds(ID), (0, 0));
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_its_account_does_not_admit_claims_no_name_in_it() -> Result<()> {
    let bench = Bench::start(2, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    let (inside, outside) = (bench.namespaces[0].clone(), bench.namespaces[1].clone());
    let name = format!("{inside}-x");
    let spec = json!({ "accountRef": { "name": account }, "roleName": name, "policyName": name });
    bench.policy(&outside, "early", spec.clone()).await?;
    bench.wait_policy(&outside, "early", "NotPermitted").await?;
    bench.policy(&inside, "late", spec.clone()).await?;
    bench.wait_policy(&inside, "late", "InSync").await?;
    // Admitted, it claims; but the tags say whose it is.
    let before = bench.snapshot(ID);
    bench.account("prod", ID, json!({ "allowedNamespaces": { "names": [inside, outside] } })).await?;
    let message = bench.wait_policy(&outside, "early", "Conflict").await?;
    ensure!(message.contains(&format!("{inside}/late")), "{message}");
    bench.wait_policy(&inside, "late", "InSync").await?;
    assert_eq!(bench.snapshot(ID), before);
    bench.delete_policy(&inside, "late").await?;
    bench.wait_policy(&outside, "early", "InSync").await?;
    bench.delete_policy(&outside, "early").await?;
    assert_eq!(bench.holds(ID), (0, 0));
    Ok(())
}
