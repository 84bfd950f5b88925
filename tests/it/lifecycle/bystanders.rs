//! Policies and roles of others, with names, tags and attachments as tempting as can be. No test may change a byte.

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::model::names::{Owner, default_name};
use aurora_test_support::iam_model::{Bystander, Iam};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::stage::{LIMIT, PATH, Stage, condition, tags};

/// An object whose names, in its very path, are taken by somebody else as long as a test lasts.
pub(super) const CONTESTED: &str = "contested";

/// Besides those that every account has: three pairs named like the namespace's own, and one with exactly the names
/// that the object [`CONTESTED`] wants.
pub(super) fn plant(iam: &mut Iam, namespace: &str) -> Result<()> {
    let elsewhere = [
        ("auroralogexport.dev/managed-by", "elsewhere"),
        ("auroralogexport.dev/cluster-uid", "0000"),
        ("auroralogexport.dev/owner", "shop/bystander"),
    ];
    let others = [("team", "others")];
    let sets = [("elsewhere", &elsewhere[..]), ("nobody", &others), ("almost", &elsewhere[1..]), (CONTESTED, &others)];
    for (object, held) in sets {
        iam.plant_bystander(&Bystander {
            name: default_name("", &Owner::new(namespace, object)),
            path: PATH.to_owned(),
            tags: tags(held),
            trusts_rds: true,
        })?;
    }
    Ok(())
}

impl Stage {
    /// Makes the object that claims what is somebody else's, and waits until it has heard so.
    pub(super) async fn contest(&self) -> Result<()> {
        self.apply(CONTESTED, json!({})).await?;
        let api = self.api();
        wait_for("the contested object to be refused", LIMIT, async || {
            let status = api.get(CONTESTED).await?.data["status"].clone();
            let ready = condition(&status, "Ready").context("no Ready yet")?;
            // Where the operator itself is in the wrong account, it gets no further.
            let heard = ready["reason"] == "Conflict" || ready["reason"] == "AccountNotReady";
            ensure!(ready["status"] == "False" && heard, "{status}");
            Ok(())
        })
        .await
    }

    /// It never had anything in AWS, and nobody's is as it was.
    pub(super) async fn still_contested(&self) -> Result<()> {
        if let Some(object) = self.api().get_opt(CONTESTED).await? {
            let status = &object.data["status"];
            ensure!(condition(status, "Ready").is_some_and(|ready| ready["status"] == "False"), "{status}");
            ensure!(object.metadata.finalizers.unwrap_or_default().is_empty(), "it must not have claimed anything");
        }
        self.server.world().bystanders_untouched().map_err(anyhow::Error::msg)
    }
}

/// The check can fail: whatever is done to one of them, by any call, is noticed.
#[test]
fn a_touched_bystander_is_noticed() -> Result<()> {
    let name = "shop.contested";
    let arn = "arn:aws:iam::111122223333:policy/aurora-log-export/shop.contested";
    type Touch = fn(&mut Iam, &str, &str) -> std::result::Result<(), aurora_test_support::iam_model::ApiError>;
    let touches: [Touch; 9] = [
        |iam, name, _| iam.untag_role(name, &["team".to_owned()]),
        |iam, _, arn| iam.tag_policy(arn, &tags(&[("team", "ours")])),
        |iam, name, arn| iam.detach_role_policy(name, arn),
        |iam, name, _| iam.delete_role_policy(name, "inline"),
        |iam, name, _| iam.update_assume_role_policy(name, super::stage::OTHER_TRUST),
        |iam, _, arn| iam.set_default_policy_version(arn, "v2"),
        |iam, _, arn| iam.delete_policy_version(arn, "v2"),
        |iam, name, _| iam.delete_role_permissions_boundary(name),
        |iam, name, _| iam.remove_role_from_instance_profile(name, name),
    ];
    for (number, touch) in touches.iter().enumerate() {
        let mut iam = Iam::new("111122223333");
        plant(&mut iam, "shop")?;
        ensure!(iam.bystanders_untouched().is_ok() && iam.counts() == (0, 0));
        touch(&mut iam, name, arn)?;
        let said = iam.bystanders_untouched();
        ensure!(said.as_ref().is_err_and(|said| said.contains(name)), "{number}: {said:?}");
    }
    Ok(())
}

/// Every test's server does it by itself when it ends.
#[test]
#[should_panic(expected = "bystander Bystander-of-nobody of account 111122223333")]
fn a_server_does_not_end_well_with_a_touched_bystander() {
    let server = crate::emulators::aws().unwrap();
    let account = server.world().account("111122223333");
    account.lock().untag_role("Bystander-of-nobody", &["team".to_owned()]).unwrap();
}
