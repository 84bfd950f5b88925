//! Adoption of existing resources: never, by consent, or where the operator allows it.

use anyhow::{Result, ensure};
use aurora_test_support::operator::{Operator, OperatorOptions};
use serde_json::json;

use super::{contested, start};
use crate::fixture::{ACCOUNT, BINARY, Fixture, OTHER_DOCUMENT, OTHER_TRUST, RDS_TRUST, READ_ONLY, tags};

#[tokio::test]
async fn without_consent_an_existing_policy_or_role_is_a_conflict_and_stays_untouched() -> Result<()> {
    let fixture = start().await?;
    fixture.foreign_role("role", RDS_TRUST, &tags(&[("team", "others")]))?;
    fixture.foreign_policy("policy", &tags(&[("team", "others")]))?;
    let other = fixture.ownership("somebody-else").await?;
    fixture.foreign_role("owned", RDS_TRUST, &other)?;
    let before = fixture.iam().snapshot();
    for (name, policy) in [("role", "Never"), ("policy", "Tagged"), ("owned", "Tagged")] {
        fixture.apply(name, json!({ "adoptionPolicy": policy })).await?;
        let said = fixture.refusal(name, "Conflict").await?;
        ensure!(said.contains("adoptable-by"), "it names the tag for consent: {said}");
    }
    for name in ["role", "policy", "owned"] {
        fixture.deleted(name).await?;
    }
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}

#[tokio::test]
async fn with_consent_both_are_taken_over_and_foreign_tags_stay() -> Result<()> {
    let fixture = start().await?;
    let mut consent = fixture.consent("a");
    consent.insert("team".to_owned(), "others".to_owned());
    let role = fixture.foreign_role("a", OTHER_TRUST, &consent)?;
    let policy = fixture.foreign_policy("a", &consent)?;
    fixture.applied("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    let note = fixture.event("a", "Adopted").await?;
    ensure!(note.contains(&fixture.name("a")), "{note}");
    assert_eq!((fixture.role("a")?.id, fixture.policy("a")?.id), (role.id, policy.id));
    assert_eq!(fixture.role("a")?.tags["team"], "others");
    assert_eq!(fixture.policy("a")?.tags["team"], "others");
    for (key, value) in fixture.ownership("a").await? {
        assert_eq!(fixture.role("a")?.tags[&key], value);
        assert_eq!(fixture.policy("a")?.tags[&key], value);
    }
    ensure!(fixture.trust("a")?.contains("rds.amazonaws.com"));
    ensure!(fixture.document("a")?.contains("EnableCreationAndManagementOfRDSCloudwatchLogEvents"));
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn always_needs_the_operators_permission_and_makes_no_call_without_it() -> Result<()> {
    let fixture = start().await?;
    fixture.foreign_role("a", RDS_TRUST, &tags(&[]))?;
    let mark = fixture.mark();
    fixture.apply("a", json!({ "adoptionPolicy": "Always" })).await?;
    let said = fixture.refusal("a", "NotPermitted").await?;
    ensure!(said.contains("--allow-adopt-existing"), "{said}");
    ensure!(fixture.iam_calls(mark).is_empty());
    fixture.finish().await
}

#[tokio::test]
async fn always_takes_over_a_role_for_rds_and_none_that_others_use() -> Result<()> {
    let fixture = contested(&["--allow-adopt-existing=true"]).start().await?;
    let none = tags(&[]);
    let plain = fixture.foreign_role("plain", RDS_TRUST, &none)?;
    fixture.foreign_role("trusts-others", OTHER_TRUST, &none)?;
    fixture.foreign_role("attached", RDS_TRUST, &none)?;
    fixture.foreign_role("inline", RDS_TRUST, &none)?;
    let (attached, inline) = (fixture.name("attached"), fixture.name("inline"));
    fixture.by_hand(|iam| iam.attach_role_policy(&attached, READ_ONLY))?;
    fixture.by_hand(|iam| iam.put_role_policy(&inline, "mine", OTHER_DOCUMENT))?;
    let before = fixture.iam().snapshot();
    let always = json!({ "adoptionPolicy": "Always" });
    for (name, why) in [("trusts-others", "its trust policy"), ("attached", READ_ONLY), ("inline", "mine")] {
        fixture.apply(name, always.clone()).await?;
        let said = fixture.refusal(name, "Conflict").await?;
        ensure!(said.contains(why), "{name}: {said}");
        fixture.deleted(name).await?;
    }
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.applied("plain", always).await?;
    assert_eq!(fixture.role("plain")?.id, plain.id);
    fixture.event("plain", "Adopted").await?;
    fixture.finish().await
}

#[tokio::test]
async fn service_roles_are_never_taken_over() -> Result<()> {
    let fixture = contested(&["--allow-adopt-existing=true"]).start().await?;
    let role = "AWSServiceRoleForRDS";
    fixture.aws.world().account(ACCOUNT).lock().plant_service_linked_role(role, "rds.amazonaws.com");
    let before = fixture.iam().snapshot();
    let spec = json!({ "adoptionPolicy": "Always", "roleName": role });
    fixture.apply("a", spec).await?;
    fixture.not_ready("a", "Conflict").await?;
    let path =
        json!({ "adoptionPolicy": "Always", "roleName": role, "rolePath": "/aws-service-role/rds.amazonaws.com/" });
    // Either the API server or the operator refuses it.
    if fixture.apply("b", path).await.is_ok() {
        fixture.not_ready("b", "InvalidSpec").await?;
    }
    assert_eq!(fixture.iam().snapshot()["roles"], before["roles"]);
    fixture.finish().await
}

#[tokio::test]
async fn an_object_is_handed_over_to_another_by_consent_without_a_gap() -> Result<()> {
    let fixture = start().await?;
    let name = format!("{}-shared", fixture.namespace());
    let spec = json!({ "roleName": name, "policyName": name, "adoptionPolicy": "Tagged" });
    let status = fixture.applied("old", spec.clone()).await?;
    fixture.apply("new", spec).await?;
    fixture.not_ready("new", "Conflict").await?;
    let (role, arn) = (fixture.iam().get_role(&name)?.id, status["policy"]["arn"].as_str().unwrap_or_default());
    let consent = fixture.consent("new");
    fixture.by_hand(|iam| iam.tag_policy(arn, &consent))?;
    fixture.by_hand(|iam| iam.tag_role(&name, &consent))?;
    fixture.nudge("new").await?;
    fixture.ready("new").await?;
    let said = fixture.refusal("old", "Conflict").await?;
    ensure!(said.contains(&format!("{}/new", fixture.namespace())), "{said}");
    fixture.deleted("old").await?;
    assert_eq!(fixture.iam().get_role(&name)?.id, role, "the same role, never deleted");
    fixture.ready("new").await?;
    fixture.deleted("new").await?;
    ensure!(fixture.iam().get_role(&name).is_err());
    fixture.finish().await
}

#[tokio::test]
async fn another_clusters_role_is_handed_over_by_consent() -> Result<()> {
    let fixture = start().await?;
    let mut theirs = fixture.consent("a");
    theirs.extend(tags(&[
        ("auroralogexport.dev/managed-by", "old-cluster"),
        ("auroralogexport.dev/cluster-uid", "old-uid"),
        ("auroralogexport.dev/owner", "shop/orders"),
    ]));
    let role = fixture.foreign_role("a", RDS_TRUST, &theirs)?;
    fixture.foreign_policy("a", &theirs)?;
    fixture.applied("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    let now = fixture.role("a")?;
    assert_eq!(now.id, role.id);
    assert_eq!(now.tags["auroralogexport.dev/managed-by"], fixture.cluster());
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

/// Hands policy and role over from `old`, in the first namespace, to `new`, in another namespace of that cluster.
async fn handed_over(fixture: &Fixture<'_>, namespace: &str, cluster: &str) -> Result<()> {
    let name = format!("{}-shared", fixture.namespace());
    let spec = json!({ "roleName": name, "policyName": name, "adoptionPolicy": "Tagged" });
    let status = fixture.applied("old", spec.clone()).await?;
    let new = format!("{namespace}/new");
    fixture.apply(&new, spec.clone()).await?;
    let said = fixture.refusal(&new, "Conflict").await?;
    ensure!(said.contains(&format!("{}/old", fixture.namespace())), "it names the owner: {said}");
    let (role, arn) = (fixture.iam().get_role(&name)?.id, status["policy"]["arn"].as_str().unwrap_or_default());
    let policy = fixture.iam().get_policy(arn)?.id;

    // Consent for another name does not count.
    let others = tags(&[("auroralogexport.dev/adoptable-by", &format!("{cluster}/{namespace}/newer"))]);
    fixture.by_hand(|iam| iam.tag_role(&name, &others).and_then(|()| iam.tag_policy(arn, &others)))?;
    let mark = fixture.mark();
    // An edit is reconciled at once.
    let mut again = spec;
    again["description"] = json!("once more");
    fixture.apply(&new, again).await?;
    fixture.not_ready(&new, "Conflict").await?;
    assert_eq!(fixture.writes(mark), []);

    let consent = tags(&[("auroralogexport.dev/adoptable-by", &format!("{cluster}/{new}"))]);
    fixture.by_hand(|iam| iam.tag_role(&name, &consent).and_then(|()| iam.tag_policy(arn, &consent)))?;
    fixture.ready(&new).await?;
    let said = fixture.refusal("old", "Conflict").await?;
    ensure!(said.contains(&new), "{said}");
    for tags in [fixture.iam().get_role(&name)?.tags, fixture.iam().get_policy(arn)?.tags] {
        assert_eq!(tags["auroralogexport.dev/managed-by"], cluster);
        assert_eq!(tags["auroralogexport.dev/owner"], new);
    }
    let mark = fixture.mark();
    fixture.deleted("old").await?;
    assert_eq!(fixture.writes(mark), []);
    assert_eq!((fixture.iam().get_role(&name)?.id, fixture.iam().get_policy(arn)?.id), (role, policy), "never deleted");

    fixture.ready(&new).await?;
    fixture.delete(&new).await?;
    let gone = || Ok(fixture.iam().get_role(&name).is_err() && fixture.iam().get_policy(arn).is_err());
    fixture.eventually_true("both to be deleted", gone).await
}

#[tokio::test]
async fn an_object_is_handed_over_between_namespaces_of_one_cluster() -> Result<()> {
    let fixture = contested(&[]).namespaces(2).start().await?;
    handed_over(&fixture, &fixture.namespaces[1], fixture.cluster()).await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_is_handed_over_between_two_clusters_at_work() -> Result<()> {
    let fixture = start().await?;
    let namespace = fixture.env.namespace().await?;
    let cluster = format!("cluster-{namespace}");
    let (watch, name) = (format!("--watch-namespace={namespace}"), format!("--cluster-name={cluster}"));
    let options = OperatorOptions::new(BINARY)
        .arguments([&watch, &name, "--drift-check-interval=1s", "--drift-scan=per-resource"])
        .aws_endpoint(&fixture.aws.url());
    let other = Operator::start(fixture.env, options).await?;
    handed_over(&fixture, &namespace, &cluster).await?;
    other.stop().await?;
    fixture.finish().await
}
