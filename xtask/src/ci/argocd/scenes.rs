//! From `git push` to Healthy and back: what a user of Argo CD sees.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::iam_model::CreateRole;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::wait::wait_for;

use super::stage::{LIMIT, Stage, Variant, complete, iam_name};

const SETTINGS: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  purpose: there before the policies\n";
const FOREIGN_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// The Application that the first three scenes share.
const ORDERS: &str = "orders";

/// A new manifest: one sync, and Healthy not before IAM has policy, role and attachment.
pub(super) async fn healthy_only_when_iam_is_right(stage: &mut Stage) -> Result<()> {
    let commit = stage.git.push("Add orders", &[("orders/settings.yaml", Some(SETTINGS))])?;
    stage.create_app(ORDERS, Variant::default()).await?;
    let before = stage.until_state(ORDERS, &commit, "Synced Healthy").await?;
    let name = iam_name(ORDERS, "audit");

    stage.refuse(vec![Rule::new(Effect::ServiceFailure, &["write"])]);
    let pushed = Instant::now();
    let commit =
        stage.git.push("Export orders' logs", &[("orders/audit.yaml", Some(&manifest(ORDERS, "audit", "{}")))])?;
    stage.until_state(ORDERS, &commit, "Synced Progressing").await?;
    stage.until_compared_again(ORDERS, 3).await?;
    ensure!(stage.iam().get_role(&name).is_err(), "IAM refused all writes, and yet has role {name}");
    stage.say("1. a new manifest while IAM refuses all writes: Synced, Progressing");

    stage.refuse(vec![Rule::new(Effect::ServiceFailure, &["AttachRolePolicy"])]);
    wait_for("two attempts to attach", LIMIT, async || {
        ensure!(stage.aws.gate().struck()[0] >= 2, "{:?}", stage.aws.gate().struck());
        Ok(())
    })
    .await?;
    stage.until_compared_again(ORDERS, 3).await?;
    let iam = stage.iam().snapshot();
    ensure!(iam["roles"][&name].is_object() && iam["policies"][&name].is_object(), "policy and role are not there");
    ensure!(!complete(&iam, &name), "IAM refused the attachment, and yet has it");
    stage.until_state(ORDERS, &commit, "Synced Progressing").await?;
    stage.say("1. policy and role are there, the attachment is refused: still Progressing");

    stage.aws.gate().clear_faults();
    let healthy = stage.until_state(ORDERS, &commit, "Synced Healthy").await?;
    let observations = stage.history.of(ORDERS, pushed);
    // What the next scenes do not want to see, the watch can show.
    ensure!(observations.iter().any(|seen| seen.sync == "OutOfSync"), "never OutOfSync between push and sync");
    for seen in observations.iter().filter(|seen| seen.revision == commit && seen.health == "Healthy") {
        ensure!(complete(&seen.iam, &name), "Healthy while IAM had {}", seen.iam["roles"][&name]);
    }
    ensure!(healthy.syncs == before.syncs + 1, "{} syncs, {} before", healthy.syncs, before.syncs);
    stage.no_diff(ORDERS).await?;
    let before =
        observations.iter().filter(|seen| seen.revision == commit).take_while(|seen| seen.health != "Healthy").count();
    stage.say(&format!("1. IAM complete: Healthy after one sync, and in none of {before} observations before that"));

    let pushed = Instant::now();
    let second = manifest(ORDERS, "invoices", "{}");
    let commit = stage.git.push("Export invoices' logs", &[("orders/invoices.yaml", Some(&second))])?;
    let last = stage.until_state(ORDERS, &commit, "Synced Healthy").await?;
    ensure!(complete(&last.iam, &iam_name(ORDERS, "invoices")), "Healthy without IAM's being complete");
    ensure!(last.syncs == healthy.syncs + 1, "{} syncs, {} before", last.syncs, healthy.syncs);
    let took = pushed.elapsed().as_secs_f64();
    stage.say(&format!("1. git push to Healthy with IAM at work: {took:.1} s, one sync, nothing done by hand"));
    Ok(())
}

/// Errors that need a person: Degraded, with the operator's words.
pub(super) async fn degraded_on_a_terminal_error(stage: &mut Stage) -> Result<()> {
    const APP: &str = "mistakes";
    let (taken, denied) = (iam_name(APP, "taken"), iam_name(APP, "denied"));
    let foreign = CreateRole {
        name: taken.clone(),
        path: Some("/aurora-log-export/".to_owned()),
        trust: FOREIGN_TRUST.to_owned(),
        ..CreateRole::default()
    };
    stage.by_hand(|iam| iam.create_role(&foreign))?;
    stage.refuse(vec![Rule::new(Effect::AccessDenied, &["CreateRole"]).about(&denied)]);
    let files = [
        ("mistakes/taken.yaml", manifest(APP, "taken", "{}")),
        ("mistakes/denied.yaml", manifest(APP, "denied", "{}")),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
    let commit = stage.git.push("Two mistakes", &files)?;
    stage.create_app(APP, Variant::default()).await?;
    stage.until_state(APP, &commit, "Synced Degraded").await?;
    for (object, words) in [("taken", vec![taken.as_str()]), ("denied", vec![denied.as_str(), "iam:CreateRole"])] {
        let message = wait_for(&format!("{object} to be Degraded"), LIMIT, async || {
            let (status, message) = stage.object_health(APP, object).await?;
            ensure!(status == "Degraded", "{status}: {message}");
            Ok(message)
        })
        .await?;
        let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
        ensure!(missing.is_empty(), "{object}: {missing:?} not named in: {message}");
        stage.say(&format!("2. Degraded, {object}: {message}"));
    }
    stage.by_hand(|iam| iam.delete_role(&taken))?;
    stage.aws.gate().clear_faults();
    for object in ["taken", "denied"] {
        stage.action(APP, object, "reconcile").await?;
    }
    stage.until_state(APP, &commit, "Synced Healthy").await?;
    stage.no_diff(APP).await?;
    stage.say("2. causes removed, action reconcile run on both: Synced, Healthy, no difference");
    Ok(())
}

/// `spec.suspend` in git, and the actions on a live object.
pub(super) async fn suspended_when_suspended(stage: &mut Stage) -> Result<()> {
    let push = |stage: &Stage, spec: &str| {
        stage.git.push(&format!("spec: {spec}"), &[("orders/audit.yaml", Some(&manifest(ORDERS, "audit", spec)))])
    };
    let commit = push(stage, "{suspend: true}")?;
    stage.until_state(ORDERS, &commit, "Synced Suspended").await?;
    stage.say("3. suspend: true pushed: Synced, Suspended");
    // The last field goes.
    let commit = push(stage, "{}")?;
    stage.until_state(ORDERS, &commit, "Synced Healthy").await?;
    stage.say("3. suspend taken out again: Synced, Healthy");
    Ok(())
}

/// A manifest removed from git, then the whole Application.
pub(super) async fn pruned_without_rest(stage: &mut Stage) -> Result<()> {
    let (kept, removed) = (iam_name(ORDERS, "audit"), iam_name(ORDERS, "invoices"));
    let commit = stage.git.push("No more invoices", &[("orders/invoices.yaml", None)])?;
    stage.until_state(ORDERS, &commit, "Synced Healthy").await?;
    let left = stage.env.kubectl(&["-n", ORDERS, "get", "alep", "-o", "name"]).await?;
    ensure!(left.contains("audit") && !left.contains("invoices"), "objects after pruning: {left}");
    let iam = stage.iam().snapshot();
    let gone = iam["roles"][&removed].is_null() && iam["policies"][&removed].is_null();
    ensure!(gone && complete(&iam, &kept), "IAM after pruning: {iam}");
    stage.say("5. manifest removed from git: object pruned, its policy and role gone, the other untouched");

    let apps = stage.apps().await?;
    for app in &apps {
        stage.delete_app(app).await?;
    }
    wait_for("the Applications to go", LIMIT, async || {
        let left = stage.apps().await?;
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })
    .await?;
    let left = stage.env.kubectl(&["get", "alep,awsaccounts", "-A", "-o", "name"]).await?;
    ensure!(left.trim().is_empty(), "objects left after their Application: {left}");
    for account in stage.aws.world().account_ids() {
        let iam = stage.aws.world().existing(&account).context("an account")?.lock().snapshot();
        for kind in ["policies", "roles"] {
            let empty = iam[kind].as_object().is_some_and(serde_json::Map::is_empty);
            ensure!(empty, "{kind} left in account {account}: {}", iam[kind]);
        }
    }
    stage.say(&format!("5. {} Applications deleted: their objects went first, IAM is empty", apps.len()));
    Ok(())
}
