//! Policies and roles of others, with names, tags and attachments like the operator's own: a test fails if one changes.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::{ApiError, Iam};

use crate::fixture::{ACCOUNT, OTHER_TRUST, plant_bystanders, tags};

/// Every call that changes one of them is noticed.
#[test]
fn a_touched_bystander_is_noticed() -> Result<()> {
    let name = "shop.contested";
    let arn = "arn:aws:iam::111122223333:policy/aurora-log-export/shop.contested";
    type Touch = fn(&mut Iam, &str, &str) -> Result<(), ApiError>;
    let touches: [Touch; 9] = [
        |iam, name, _| iam.untag_role(name, &["team".to_owned()]),
        |iam, _, arn| iam.tag_policy(arn, &tags(&[("team", "ours")])),
        |iam, name, arn| iam.detach_role_policy(name, arn),
        |iam, name, _| iam.delete_role_policy(name, "inline"),
        |iam, name, _| iam.update_assume_role_policy(name, OTHER_TRUST),
        |iam, _, arn| iam.set_default_policy_version(arn, "v2"),
        |iam, _, arn| iam.delete_policy_version(arn, "v2"),
        |iam, name, _| iam.delete_role_permissions_boundary(name),
        |iam, name, _| iam.remove_role_from_instance_profile(name, name),
    ];
    for (number, touch) in touches.iter().enumerate() {
        let mut iam = Iam::new("111122223333");
        plant_bystanders(&mut iam, "shop")?;
        ensure!(iam.bystanders_untouched().is_ok() && iam.counts() == (0, 0));
        touch(&mut iam, name, arn)?;
        let said = iam.bystanders_untouched();
        ensure!(said.as_ref().is_err_and(|said| said.contains(name)), "{number}: {said:?}");
    }
    Ok(())
}

/// The server of every test checks its bystanders when it is dropped.
#[test]
#[should_panic(expected = "bystander Bystander-of-nobody of account 111122223333")]
fn a_server_does_not_end_well_with_a_touched_bystander() {
    let server = crate::emulators::aws(ACCOUNT).unwrap();
    let account = server.world().account(ACCOUNT);
    account.lock().untag_role("Bystander-of-nobody", &["team".to_owned()]).unwrap();
}
