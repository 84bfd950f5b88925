//! Taking over what exists: never, by consent, or where the operator allows it.

use anyhow::{Result, ensure};
use aurora_test_support::operator::{Operator, OperatorOptions};
use serde_json::json;

use super::stage::{OTHER_DOCUMENT, OTHER_TRUST, RDS_TRUST, READ_ONLY, Stage, message, tags};

#[tokio::test]
async fn without_consent_an_existing_policy_or_role_is_a_conflict_and_stays_untouched() -> Result<()> {
    let stage = Stage::start().await?;
    stage.foreign_role("role", RDS_TRUST, &tags(&[("team", "others")]))?;
    stage.foreign_policy("policy", &tags(&[("team", "others")]))?;
    let other = stage.ownership("somebody-else").await?;
    stage.foreign_role("owned", RDS_TRUST, &other)?;
    let before = stage.iam().snapshot();
    for (name, policy) in [("role", "Never"), ("policy", "Tagged"), ("owned", "Tagged")] {
        stage.apply(name, json!({ "adoptionPolicy": policy })).await?;
        let status = stage.until(name, "Ready", "False", "Conflict").await?;
        let said = message(&status, "Ready");
        ensure!(said.contains("adoptable-by"), "it says how to hand over: {said}");
    }
    for name in ["role", "policy", "owned"] {
        stage.deleted(name).await?;
    }
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}

#[tokio::test]
async fn with_consent_both_are_taken_over_and_foreign_tags_stay() -> Result<()> {
    let stage = Stage::start().await?;
    let mut consent = stage.consent("a");
    consent.insert("team".to_owned(), "others".to_owned());
    let role = stage.foreign_role("a", OTHER_TRUST, &consent)?;
    let policy = stage.foreign_policy("a", &consent)?;
    stage.applied("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    let note = stage.event("a", "Adopted").await?;
    ensure!(note.contains(&stage.name("a")), "{note}");
    assert_eq!((stage.role("a")?.id, stage.policy("a")?.id), (role.id, policy.id));
    assert_eq!(stage.role("a")?.tags["team"], "others");
    assert_eq!(stage.policy("a")?.tags["team"], "others");
    for (key, value) in stage.ownership("a").await? {
        assert_eq!(stage.role("a")?.tags[&key], value);
        assert_eq!(stage.policy("a")?.tags[&key], value);
    }
    ensure!(stage.role("a")?.trust.as_str().contains("rds.amazonaws.com"));
    ensure!(stage.document("a")?.contains("EnableCreationAndManagementOfRDSCloudwatchLogEvents"));
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn always_needs_the_operators_permission_and_makes_no_call_without_it() -> Result<()> {
    let stage = Stage::start().await?;
    stage.foreign_role("a", RDS_TRUST, &tags(&[]))?;
    let mark = stage.mark();
    stage.apply("a", json!({ "adoptionPolicy": "Always" })).await?;
    let status = stage.until("a", "Ready", "False", "NotPermitted").await?;
    ensure!(message(&status, "Ready").contains("--allow-adopt-existing"), "{status}");
    ensure!(stage.iam_calls(mark).is_empty());
    stage.finish().await
}

#[tokio::test]
async fn always_takes_over_a_role_for_rds_and_none_that_others_use() -> Result<()> {
    let stage = Stage::with(&["--drift-check-interval=1s", "--allow-adopt-existing=true"]).await?;
    let none = tags(&[]);
    let plain = stage.foreign_role("plain", RDS_TRUST, &none)?;
    stage.foreign_role("trusts-others", OTHER_TRUST, &none)?;
    stage.foreign_role("attached", RDS_TRUST, &none)?;
    stage.foreign_role("inline", RDS_TRUST, &none)?;
    let (attached, inline) = (stage.name("attached"), stage.name("inline"));
    stage.by_hand(|iam| iam.attach_role_policy(&attached, READ_ONLY))?;
    stage.by_hand(|iam| iam.put_role_policy(&inline, "mine", OTHER_DOCUMENT))?;
    let before = stage.iam().snapshot();
    let always = json!({ "adoptionPolicy": "Always" });
    for (name, why) in [("trusts-others", "its trust policy"), ("attached", READ_ONLY), ("inline", "mine")] {
        stage.apply(name, always.clone()).await?;
        let status = stage.until(name, "Ready", "False", "Conflict").await?;
        ensure!(message(&status, "Ready").contains(why), "{name}: {status}");
        stage.deleted(name).await?;
    }
    assert_eq!(stage.iam().snapshot(), before);
    stage.applied("plain", always).await?;
    assert_eq!(stage.role("plain")?.id, plain.id);
    stage.event("plain", "Adopted").await?;
    stage.finish().await
}

#[tokio::test]
async fn service_roles_are_never_taken_over() -> Result<()> {
    let stage = Stage::with(&["--drift-check-interval=1s", "--allow-adopt-existing=true"]).await?;
    let role = "AWSServiceRoleForRDS";
    stage.server.world().account(super::stage::ACCOUNT).lock().plant_service_linked_role(role, "rds.amazonaws.com");
    let before = stage.iam().snapshot();
    let spec = json!({ "adoptionPolicy": "Always", "roleName": role });
    stage.apply("a", spec).await?;
    stage.until("a", "Ready", "False", "Conflict").await?;
    let path =
        json!({ "adoptionPolicy": "Always", "roleName": role, "rolePath": "/aws-service-role/rds.amazonaws.com/" });
    // The API server or the operator: somebody refuses it.
    if stage.apply("b", path).await.is_ok() {
        stage.until("b", "Ready", "False", "InvalidSpec").await?;
    }
    assert_eq!(stage.iam().snapshot()["roles"], before["roles"]);
    stage.finish().await
}

#[tokio::test]
async fn an_object_is_handed_over_to_another_by_consent_without_a_gap() -> Result<()> {
    let stage = Stage::start().await?;
    let name = format!("{}-shared", stage.namespace);
    let spec = json!({ "roleName": name, "policyName": name, "adoptionPolicy": "Tagged" });
    let status = stage.applied("old", spec.clone()).await?;
    stage.apply("new", spec).await?;
    stage.until("new", "Ready", "False", "Conflict").await?;
    let (role, arn) = (stage.iam().get_role(&name)?.id, status["policy"]["arn"].as_str().unwrap_or_default());
    let consent = stage.consent("new");
    stage.by_hand(|iam| iam.tag_policy(arn, &consent))?;
    stage.by_hand(|iam| iam.tag_role(&name, &consent))?;
    stage.nudge("new").await?;
    stage.ready("new").await?;
    let status = stage.until("old", "Ready", "False", "Conflict").await?;
    ensure!(message(&status, "Ready").contains(&format!("{}/new", stage.namespace)), "{status}");
    stage.deleted("old").await?;
    assert_eq!(stage.iam().get_role(&name)?.id, role, "the same role, never deleted");
    stage.ready("new").await?;
    stage.deleted("new").await?;
    ensure!(stage.iam().get_role(&name).is_err());
    stage.finish().await
}

#[tokio::test]
async fn another_clusters_role_is_handed_over_by_consent() -> Result<()> {
    let stage = Stage::start().await?;
    let mut theirs = stage.consent("a");
    theirs.extend(tags(&[
        ("auroralogexport.dev/managed-by", "old-cluster"),
        ("auroralogexport.dev/cluster-uid", "old-uid"),
        ("auroralogexport.dev/owner", "shop/orders"),
    ]));
    let role = stage.foreign_role("a", RDS_TRUST, &theirs)?;
    stage.foreign_policy("a", &theirs)?;
    stage.applied("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    let now = stage.role("a")?;
    assert_eq!(now.id, role.id);
    assert_eq!(now.tags["auroralogexport.dev/managed-by"], stage.cluster());
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

/// `old`, of the stage's own namespace, hands its policy and role to `new`, of another namespace in that cluster.
async fn handed_over(stage: &Stage, namespace: &str, cluster: &str) -> Result<()> {
    let name = format!("{}-shared", stage.namespace);
    let spec = json!({ "roleName": name, "policyName": name, "adoptionPolicy": "Tagged" });
    let status = stage.applied("old", spec.clone()).await?;
    stage.apply_in(namespace, "new", spec.clone()).await?;
    let refused = stage.until_in(namespace, "new", "Ready", "False", "Conflict").await?;
    let said = message(&refused, "Ready");
    ensure!(said.contains(&format!("{}/old", stage.namespace)), "it names the owner: {said}");
    let (role, arn) = (stage.iam().get_role(&name)?.id, status["policy"]["arn"].as_str().unwrap_or_default());
    let policy = stage.iam().get_policy(arn)?.id;

    // Consent for one of the same name elsewhere is none.
    let others = tags(&[("auroralogexport.dev/adoptable-by", &format!("{cluster}/{namespace}/newer"))]);
    stage.by_hand(|iam| iam.tag_role(&name, &others).and_then(|()| iam.tag_policy(arn, &others)))?;
    let mark = stage.mark();
    // The other takes another look at once.
    let mut again = spec;
    again["description"] = json!("once more");
    stage.apply_in(namespace, "new", again).await?;
    stage.until_in(namespace, "new", "Ready", "False", "Conflict").await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());

    let consent = tags(&[("auroralogexport.dev/adoptable-by", &format!("{cluster}/{namespace}/new"))]);
    stage.by_hand(|iam| iam.tag_role(&name, &consent).and_then(|()| iam.tag_policy(arn, &consent)))?;
    stage.until_in(namespace, "new", "Ready", "True", "InSync").await?;
    let refused = stage.until("old", "Ready", "False", "Conflict").await?;
    ensure!(message(&refused, "Ready").contains(&format!("{namespace}/new")), "{refused}");
    for tags in [stage.iam().get_role(&name)?.tags, stage.iam().get_policy(arn)?.tags] {
        assert_eq!(tags["auroralogexport.dev/managed-by"], cluster);
        assert_eq!(tags["auroralogexport.dev/owner"], format!("{namespace}/new"));
    }
    let mark = stage.mark();
    stage.deleted("old").await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    assert_eq!((stage.iam().get_role(&name)?.id, stage.iam().get_policy(arn)?.id), (role, policy), "never deleted");

    stage.until_in(namespace, "new", "Ready", "True", "InSync").await?;
    stage.api_in(namespace).delete("new", &kube::api::DeleteParams::default()).await?;
    stage
        .eventually("both to go", || {
            ensure!(stage.iam().get_role(&name).is_err() && stage.iam().get_policy(arn).is_err());
            Ok(())
        })
        .await
}

#[tokio::test]
async fn an_object_is_handed_over_between_namespaces_of_one_cluster() -> Result<()> {
    let namespace = crate::environment().await?.namespace().await?;
    let watch = format!("--watch-namespace={namespace}");
    let stage = Stage::with(&["--drift-check-interval=1s", &watch]).await?;
    handed_over(&stage, &namespace, &stage.cluster()).await?;
    stage.finish().await
}

#[tokio::test]
async fn an_object_is_handed_over_between_two_clusters_at_work() -> Result<()> {
    let stage = Stage::start().await?;
    let namespace = stage.env.namespace().await?;
    let cluster = format!("cluster-{namespace}");
    let (watch, name) = (format!("--watch-namespace={namespace}"), format!("--cluster-name={cluster}"));
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments([watch.as_str(), name.as_str(), "--drift-check-interval=1s", "--drift-scan=per-resource"])
        .aws_endpoint(&stage.server.url());
    let other = Operator::start(stage.env, options).await?;
    handed_over(&stage, &namespace, &cluster).await?;
    other.stop().await?;
    stage.finish().await
}
