//! The names and paths of an object's policy and role depend on the guardrails of its account: when those change for an
//! existing object, nothing is lost or created twice. An object that its account does not admit claims no name in it.

use anyhow::{Result, ensure};
use serde_json::json;

use super::objects::of_account;
use crate::fixture::{Fixture, OTHER_TRUST};

const ID: &str = "111111111111";

#[tokio::test]
async fn a_changed_path_or_prefix_of_an_account_stops_its_objects_until_it_is_changed_back() -> Result<()> {
    for guardrails in [json!({ "iamPath": "/elsewhere/" }), json!({ "namePrefix": "team-" })] {
        let fixture = Fixture::with(&[]).start().await?;
        let account = fixture.account("prod", ID, json!({ "guardrails": { "requireTrustProtection": true } })).await?;
        let ns = fixture.namespace();
        let spec = of_account(&account);
        for name in ["stays", "goes"] {
            fixture.applied(name, spec.clone()).await?;
        }
        let arn = fixture.status("stays").await?["role"]["arn"].clone();

        fixture.account("prod", ID, json!({ "guardrails": guardrails })).await?;
        for name in ["stays", "goes"] {
            let message = fixture.refusal(name, "IdentityChanged").await?;
            ensure!(message.contains(&format!("{ns}.{name}")) && message.contains("namePrefix"), "{message}");
        }
        let role = format!("{ns}.stays");
        fixture.aws.world().account(ID).lock().update_assume_role_policy(&role, OTHER_TRUST)?;
        let (before, mark) = (fixture.snapshot(ID), fixture.mark());
        let mut again = spec.clone();
        again["description"] = json!("edited");
        fixture.apply("stays", again).await?;
        fixture.not_ready("stays", "IdentityChanged").await?;
        fixture.delete("goes").await?;
        fixture.not_ready("goes", "IdentityChanged").await?;
        // A new object follows the new guardrails, which shows that the operator continues.
        fixture.applied("new", spec.clone()).await?;
        let about = |name: &str| format!("{ns}.{name}");
        let written = fixture.writes(mark);
        let of_old =
            written.iter().filter(|call| ["stays", "goes"].iter().any(|old| call.resource.ends_with(&about(old))));
        assert_eq!(of_old.count(), 0, "{written:?}");
        for kind in ["policies", "roles"] {
            for name in ["stays", "goes"] {
                assert_eq!(fixture.snapshot(ID)[kind][about(name)], before[kind][about(name)]);
            }
        }
        let finalizers = fixture.object("goes").await?.metadata.finalizers;
        ensure!(finalizers.is_some_and(|it| !it.is_empty()), "its finalizer was removed");
        fixture.deleted("new").await?;

        fixture.account("prod", ID, json!({ "guardrails": { "requireTrustProtection": true } })).await?;
        fixture.ready("stays").await?;
        assert_eq!(fixture.status("stays").await?["role"]["arn"], arn);
        let trust = fixture.snapshot(ID)["roles"][about("stays")]["trust"].as_str().unwrap_or_default().to_owned();
        ensure!(trust.contains("rds.amazonaws.com"), "what was changed meanwhile is repaired: {trust}");
        fixture.gone("goes").await?;
        fixture.deleted("stays").await?;
        assert_eq!(fixture.holds(ID), (0, 0));
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_its_account_does_not_admit_claims_no_name_in_it() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let (inside, outside) = (&fixture.namespaces[0], &fixture.namespaces[1]);
    let early = format!("{outside}/early");
    let name = format!("{inside}-x");
    let spec = json!({ "accountRef": { "name": account }, "roleName": name, "policyName": name });
    fixture.apply(&early, spec.clone()).await?;
    fixture.not_ready(&early, "NotPermitted").await?;
    fixture.applied("late", spec).await?;
    // Once permitted, it claims the names as well; the tags name the owner.
    let before = fixture.snapshot(ID);
    fixture.account("prod", ID, json!({ "allowedNamespaces": { "names": [inside, outside] } })).await?;
    let message = fixture.refusal(&early, "Conflict").await?;
    ensure!(message.contains(&format!("{inside}/late")), "{message}");
    fixture.ready("late").await?;
    assert_eq!(fixture.snapshot(ID), before);
    fixture.deleted("late").await?;
    fixture.ready(&early).await?;
    fixture.deleted(&early).await?;
    assert_eq!(fixture.holds(ID), (0, 0));
    Ok(())
}
