//! Ownership: derived names, tags, and objects that claim the same names.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::CreateRole;
use serde_json::json;

use super::{contested, start};
use crate::fixture::{ACCOUNT, OTHER_TRUST, RDS_TRUST, message, tags};

#[tokio::test]
async fn of_two_objects_with_one_name_the_earlier_wins_and_the_other_takes_over_when_it_goes() -> Result<()> {
    let fixture = start().await?;
    let name = format!("{}-shared", fixture.namespace());
    let spec = json!({ "roleName": name, "policyName": name });
    fixture.applied("first", spec.clone()).await?;
    let mark = fixture.mark();
    fixture.apply("second", spec).await?;
    let said = fixture.refusal("second", "Conflict").await?;
    ensure!(said.contains(&format!("{}/first", fixture.namespace())), "it names the owner: {said}");
    assert_eq!(fixture.writes(mark), []);
    fixture.ready("first").await?;

    fixture.deleted("first").await?;
    fixture.ready("second").await?;
    let owner = fixture.iam().get_role(&name)?.tags["auroralogexport.dev/owner"].clone();
    assert_eq!(owner, format!("{}/second", fixture.namespace()));
    fixture.deleted("second").await?;
    ensure!(fixture.iam().get_role(&name).is_err());
    fixture.finish().await
}

#[tokio::test]
async fn a_deleted_object_that_others_hold_gives_its_names_free() -> Result<()> {
    let fixture = start().await?;
    let name = format!("{}-shared", fixture.namespace());
    let spec = json!({ "roleName": name, "policyName": name });
    fixture.applied("first", spec.clone()).await?;
    fixture.apply("second", spec).await?;
    fixture.refusal("second", "Conflict").await?;
    let hold = r#"[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/hold"}]"#;
    fixture.kubectl(&["patch", "alep/first", "--type=json", "-p", hold]).await?;
    fixture.delete("first").await?;
    fixture.ready("second").await?;
    let owner = fixture.iam().get_role(&name)?.tags["auroralogexport.dev/owner"].clone();
    assert_eq!(owner, format!("{}/second", fixture.namespace()));
    // It says so itself.
    let status = fixture.not_ready("first", "Progressing").await?;
    ensure!(message(&status).contains("example.com/hold"), "{status}");
    ensure!(status["role"].is_null() && status["policy"].is_null(), "{status}");
    let release = r#"{"metadata":{"finalizers":null}}"#;
    fixture.kubectl(&["patch", "alep/first", "--type=merge", "-p", release]).await?;
    fixture.gone("first").await?;
    fixture.ready("second").await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_observing_a_suspended_and_a_refused_object_claim_nothing_and_the_tags_decide_from_then_on() -> Result<()> {
    let mut fixture = contested(&[]).prepare().await?;
    let kinds = [
        ("o", json!({ "managementPolicy": "Observe" }), "Conflict"),
        ("s", json!({ "suspend": true }), "Suspended"),
        ("r", json!({ "adoptionPolicy": "Always" }), "NotPermitted"),
    ];
    let names = |kind: &str| {
        let name = format!("{}-{kind}", fixture.namespace());
        json!({ "roleName": name, "policyName": name })
    };
    let mut specs = Vec::new();
    for (kind, more, reason) in kinds {
        let (plain, mut spec) = (names(kind), names(kind));
        spec.as_object_mut().into_iter().for_each(|spec| spec.extend(more.as_object().cloned().unwrap_or_default()));
        fixture.apply(&format!("a-{kind}"), spec).await?;
        specs.push((kind, plain, reason));
    }
    for (kind, plain, _) in &specs {
        fixture.apply(&format!("b-{kind}"), plain.clone()).await?;
    }
    fixture.start_operator().await?;
    for (kind, plain, reason) in &specs {
        let (first, second) = (format!("a-{kind}"), format!("b-{kind}"));
        fixture.ready(&second).await?;
        fixture.not_ready(&first, reason).await?;
        // The earlier object now claims the names as well, but the resources have an owner.
        let role = fixture.iam().get_role(plain["roleName"].as_str().unwrap_or_default())?;
        fixture.apply(&first, plain.clone()).await?;
        let said = fixture.refusal(&first, "Conflict").await?;
        ensure!(said.contains(&format!("{}/{second}", fixture.namespace())), "{said}");
        fixture.ready(&second).await?;
        assert_eq!(fixture.iam().get_role(&role.name)?.tags, role.tags);
        fixture.deleted(&second).await?;
        fixture.ready(&first).await?;
        fixture.deleted(&first).await?;
    }
    fixture.finish().await
}

#[tokio::test]
async fn names_that_differ_only_in_case_are_one_name() -> Result<()> {
    let mut fixture = contested(&[]).prepare().await?;
    let spec = |name: &str| json!({ "roleName": name, "policyName": name });
    // Both exist before the operator starts: creation times may be equal, then the name decides.
    fixture.apply("a", spec("Exports")).await?;
    fixture.apply("b", spec("exports")).await?;
    fixture.start_operator().await?;
    fixture.ready("a").await?;
    let said = fixture.refusal("b", "Conflict").await?;
    ensure!(said.contains(&format!("{}/a", fixture.namespace())), "{said}");
    fixture.deleted("a").await?;
    fixture.ready("b").await?;
    assert_eq!(fixture.iam().get_role("exports")?.name, "exports");
    fixture.finish().await
}

#[tokio::test]
async fn an_existing_role_in_other_case_or_under_another_path_is_a_conflict_and_stays_untouched() -> Result<()> {
    for (ignores_case, name, path) in [(false, "EXPORTS", "/"), (true, "EXPORTS", "/"), (false, "exports", "/other/")] {
        let mut fixture = contested(&[]).prepare().await?;
        fixture.aws.world().configure(ACCOUNT, |settings, _| settings.lookup_ignores_case = ignores_case);
        let request = CreateRole {
            name: name.to_owned(),
            path: Some(path.to_owned()),
            trust: OTHER_TRUST.to_owned(),
            ..CreateRole::default()
        };
        fixture.by_hand(|iam| iam.create_role(&request))?;
        let before = fixture.iam().snapshot()["roles"][name].clone();
        fixture.start_operator().await?;
        fixture.apply("a", json!({ "roleName": "exports" })).await?;
        let said = fixture.refusal("a", "Conflict").await?;
        ensure!(said.contains("role "), "{said}");
        fixture.deleted("a").await?;
        assert_eq!(fixture.iam().snapshot()["roles"][name], before);
        ensure!(fixture.policy("a").is_err(), "a policy made before the clash was seen goes with the object");
        fixture.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_clusters_under_one_name_are_told_apart_by_their_uid() -> Result<()> {
    let mut fixture = start().await?;
    let mut theirs = fixture.ownership("a").await?;
    theirs.insert("auroralogexport.dev/cluster-uid".to_owned(), "old-uid".to_owned());
    fixture.foreign_role("a", RDS_TRUST, &theirs)?;
    fixture.foreign_policy("a", &theirs)?;
    let mark = fixture.mark();
    fixture.apply("a", json!({})).await?;
    let said = fixture.refusal("a", "Conflict").await?;
    ensure!(said.contains("another cluster with the same name") && said.contains("old-uid"), "{said}");
    assert_eq!(fixture.writes(mark), []);

    // A restored cluster names the UID of the old one, and keeps its resources.
    let id = fixture.role("a")?.id;
    fixture.restart_with(&["--previous-cluster-uid=old-uid"]).await?;
    fixture.ready("a").await?;
    assert_eq!(fixture.role("a")?.id, id);
    assert_eq!(fixture.role("a")?.tags, fixture.ownership("a").await?);
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn a_changed_iam_path_stops_everything_and_releases_nothing() -> Result<()> {
    let mut fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.stop_operator().await?;
    let mark = fixture.mark();
    fixture.restart_with(&["--iam-path=/elsewhere/"]).await?;
    let said = fixture.refusal("a", "IdentityChanged").await?;
    ensure!(said.contains("--iam-path"), "{said}");
    fixture.delete("a").await?;
    fixture.not_ready("a", "IdentityChanged").await?;
    assert_eq!(fixture.writes(mark), []);
    ensure!(fixture.object("a").await?.metadata.finalizers.is_some_and(|it| !it.is_empty()));
    fixture.restart_with(&[]).await?;
    fixture.gone("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn with_a_tag_of_ownership_removed_it_is_left_alone_until_the_tag_is_back() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let key = "auroralogexport.dev/managed-by".to_owned();
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.untag_role(&name, std::slice::from_ref(&key)))?;
    fixture.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
    let mark = fixture.mark();
    fixture.not_ready("a", "Conflict").await?;
    assert_eq!(fixture.writes(mark), []);
    let back = tags(&[(key.as_str(), fixture.cluster())]);
    fixture.by_hand(|iam| iam.tag_role(&name, &back))?;
    fixture.ready("a").await?;
    ensure!(fixture.trust("a")?.contains("rds.amazonaws.com"));
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}
