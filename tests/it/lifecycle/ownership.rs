//! Whose is it? Derived names, ownership tags, and what happens when two want the same.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::CreateRole;
use serde_json::json;

use super::stage::{ACCOUNT, OTHER_TRUST, RDS_TRUST, Stage, message, tags};

#[tokio::test]
async fn of_two_objects_with_one_name_the_earlier_wins_and_the_other_takes_over_when_it_goes() -> Result<()> {
    let stage = Stage::start().await?;
    let name = format!("{}-shared", stage.namespace);
    let spec = json!({ "roleName": name, "policyName": name });
    stage.applied("first", spec.clone()).await?;
    let mark = stage.mark();
    stage.apply("second", spec).await?;
    let status = stage.until("second", "Ready", "False", "Conflict").await?;
    let said = message(&status, "Ready");
    ensure!(said.contains(&format!("{}/first", stage.namespace)), "it names the owner: {said}");
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.ready("first").await?;

    stage.deleted("first").await?;
    stage.ready("second").await?;
    let owner = stage.iam().get_role(&name)?.tags["auroralogexport.dev/owner"].clone();
    assert_eq!(owner, format!("{}/second", stage.namespace));
    stage.deleted("second").await?;
    ensure!(stage.iam().get_role(&name).is_err());
    stage.finish().await
}

#[tokio::test]
async fn an_observing_a_suspended_and_a_refused_object_claim_nothing_and_the_tags_decide_from_then_on() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
    let kinds = [
        ("o", json!({ "managementPolicy": "Observe" }), "Conflict"),
        ("s", json!({ "suspend": true }), "Suspended"),
        ("r", json!({ "adoptionPolicy": "Always" }), "NotPermitted"),
    ];
    let names = |kind: &str| {
        let name = format!("{}-{kind}", stage.namespace);
        json!({ "roleName": name, "policyName": name })
    };
    let mut specs = Vec::new();
    for (kind, more, reason) in kinds {
        let (plain, mut spec) = (names(kind), names(kind));
        spec.as_object_mut().into_iter().for_each(|spec| spec.extend(more.as_object().cloned().unwrap_or_default()));
        stage.apply(&format!("a-{kind}"), spec).await?;
        specs.push((kind, plain, reason));
    }
    for (kind, plain, _) in &specs {
        stage.apply(&format!("b-{kind}"), plain.clone()).await?;
    }
    stage.start_operator().await?;
    for (kind, plain, reason) in &specs {
        let (first, second) = (format!("a-{kind}"), format!("b-{kind}"));
        stage.ready(&second).await?;
        stage.until(&first, "Ready", "False", reason).await?;
        // The earlier object now wants it too, but it has an owner.
        let role = stage.iam().get_role(plain["roleName"].as_str().unwrap_or_default())?;
        stage.apply(&first, plain.clone()).await?;
        let status = stage.until(&first, "Ready", "False", "Conflict").await?;
        ensure!(message(&status, "Ready").contains(&format!("{}/{second}", stage.namespace)), "{status}");
        stage.ready(&second).await?;
        assert_eq!(stage.iam().get_role(&role.name)?.tags, role.tags);
        stage.deleted(&second).await?;
        stage.ready(&first).await?;
        stage.deleted(&first).await?;
    }
    stage.finish().await
}

#[tokio::test]
async fn names_that_differ_only_in_case_are_one_name() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
    let spec = |name: &str| json!({ "roleName": name, "policyName": name });
    // Both exist before the operator looks: creation times may be equal, then the name decides.
    stage.apply("a", spec("Exports")).await?;
    stage.apply("b", spec("exports")).await?;
    stage.start_operator().await?;
    stage.ready("a").await?;
    let status = stage.until("b", "Ready", "False", "Conflict").await?;
    ensure!(message(&status, "Ready").contains(&format!("{}/a", stage.namespace)), "{status}");
    stage.deleted("a").await?;
    stage.ready("b").await?;
    assert_eq!(stage.iam().get_role("exports")?.name, "exports");
    stage.finish().await
}

#[tokio::test]
async fn an_existing_role_in_other_case_or_under_another_path_is_a_conflict_and_stays_untouched() -> Result<()> {
    for (ignores_case, name, path) in [(false, "EXPORTS", "/"), (true, "EXPORTS", "/"), (false, "exports", "/other/")] {
        let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
        stage.server.world().configure(ACCOUNT, |settings, _| settings.lookup_ignores_case = ignores_case);
        let request = CreateRole {
            name: name.to_owned(),
            path: Some(path.to_owned()),
            trust: OTHER_TRUST.to_owned(),
            ..CreateRole::default()
        };
        stage.by_hand(|iam| iam.create_role(&request))?;
        let before = stage.iam().snapshot()["roles"][name].clone();
        stage.start_operator().await?;
        stage.apply("a", json!({ "roleName": "exports" })).await?;
        let status = stage.until("a", "Ready", "False", "Conflict").await?;
        ensure!(message(&status, "Ready").contains("role "), "{status}");
        stage.deleted("a").await?;
        assert_eq!(stage.iam().snapshot()["roles"][name], before);
        ensure!(stage.policy("a").is_err(), "a policy made before the clash was seen goes with the object");
        stage.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_clusters_under_one_name_are_told_apart_by_their_uid() -> Result<()> {
    let mut stage = Stage::start().await?;
    let mut theirs = stage.ownership("a").await?;
    theirs.insert("auroralogexport.dev/cluster-uid".to_owned(), "old-uid".to_owned());
    stage.foreign_role("a", RDS_TRUST, &theirs)?;
    stage.foreign_policy("a", &theirs)?;
    let mark = stage.mark();
    stage.apply("a", json!({})).await?;
    let status = stage.until("a", "Ready", "False", "Conflict").await?;
    let said = message(&status, "Ready");
    ensure!(said.contains("another cluster with the same name") && said.contains("old-uid"), "{said}");
    assert_eq!(stage.writes(mark), Vec::<String>::new());

    // A restored cluster says so, and takes up where the old one stopped.
    let id = stage.role("a")?.id;
    stage.restart_with(&["--drift-check-interval=1s", "--previous-cluster-uid=old-uid"]).await?;
    stage.ready("a").await?;
    assert_eq!(stage.role("a")?.id, id);
    assert_eq!(stage.role("a")?.tags, stage.ownership("a").await?);
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn a_changed_iam_path_stops_everything_and_releases_nothing() -> Result<()> {
    let mut stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    stage.stop_operator().await?;
    let mark = stage.mark();
    stage.restart_with(&["--drift-check-interval=1s", "--iam-path=/elsewhere/"]).await?;
    let status = stage.until("a", "Ready", "False", "IdentityChanged").await?;
    ensure!(message(&status, "Ready").contains("--iam-path"), "{status}");
    stage.delete("a").await?;
    stage.until("a", "Ready", "False", "IdentityChanged").await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    ensure!(stage.api().get("a").await?.metadata.finalizers.is_some_and(|it| !it.is_empty()));
    stage.restart_with(&["--drift-check-interval=1s"]).await?;
    stage.gone("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn with_a_tag_of_ownership_removed_it_is_left_alone_until_the_tag_is_back() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let key = "auroralogexport.dev/managed-by".to_owned();
    let name = stage.name("a");
    stage.by_hand(|iam| iam.untag_role(&name, std::slice::from_ref(&key)))?;
    stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
    let mark = stage.mark();
    stage.until("a", "Ready", "False", "Conflict").await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    let back = tags(&[(key.as_str(), &stage.cluster())]);
    stage.by_hand(|iam| iam.tag_role(&name, &back))?;
    stage.ready("a").await?;
    ensure!(stage.role("a")?.trust.as_str().contains("rds.amazonaws.com"));
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}
