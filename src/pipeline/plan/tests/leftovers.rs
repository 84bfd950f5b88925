//! What deletion finds in IAM: details are read only for resources that are ours.

use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use serde_json::json;

use super::wanted;
use crate::model::names::{PolicyArn, RoleName};
use crate::model::ownership::Tags;
use crate::pipeline::desired::Desired;
use crate::pipeline::leftovers::{Leftovers, PolicyLeftover, Presence, RoleLeftover, observe_leftovers};
use crate::pipeline::port::{Iam, LastUse, NewPolicy, NewRole, Policy, PolicyUsers, PolicyVersion, Result, Role};

/// An account with at most one role and one policy, which records the calls it gets.
#[derive(Default)]
struct Account {
    role: Option<Role>,
    policy: Option<Policy>,
    calls: Mutex<Vec<&'static str>>,
}

impl Account {
    fn record(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

/// Calls that reading leftovers never makes.
macro_rules! never {
    ($($name:ident($($type:ty),*) -> $result:ty;)+) => {
        $(async fn $name(&self, $(_: $type),*) -> Result<$result> {
            unreachable!("no writes and no documents")
        })+
    };
}

impl Iam for Account {
    async fn role(&self, _: &RoleName) -> Result<Option<Role>> {
        Ok(self.role.clone())
    }

    async fn attached_policies(&self, _: &RoleName) -> Result<Vec<String>> {
        self.record("attached");
        Ok(vec!["attached".into()])
    }

    async fn inline_policies(&self, _: &RoleName) -> Result<Vec<String>> {
        self.record("inline");
        Ok(vec!["inline".into()])
    }

    async fn instance_profiles(&self, _: &RoleName) -> Result<Vec<String>> {
        self.record("profiles");
        Ok(vec!["profile".into()])
    }

    async fn policy(&self, _: &PolicyArn) -> Result<Option<Policy>> {
        Ok(self.policy.clone())
    }

    async fn policy_versions(&self, _: &PolicyArn) -> Result<Vec<PolicyVersion>> {
        self.record("versions");
        Ok(vec![PolicyVersion { id: "v1".into(), is_default: true }])
    }

    async fn policy_users(&self, _: &PolicyArn) -> Result<PolicyUsers> {
        self.record("users");
        Ok(PolicyUsers { users: vec!["ann".into()], ..PolicyUsers::default() })
    }

    never! {
        policy_document(&PolicyArn, &str) -> Option<String>;
        create_policy(&NewPolicy) -> Policy;
        create_policy_version(&PolicyArn, &str) -> String;
        set_default_policy_version(&PolicyArn, &str) -> ();
        delete_policy_version(&PolicyArn, &str) -> ();
        tag_policy(&PolicyArn, &Tags) -> ();
        untag_policy(&PolicyArn, &[String]) -> ();
        delete_policy(&PolicyArn) -> ();
        create_role(&NewRole) -> Role;
        update_trust(&RoleName, &str) -> ();
        update_role_description(&RoleName, &str) -> ();
        put_boundary(&RoleName, &str) -> ();
        delete_boundary(&RoleName) -> ();
        tag_role(&RoleName, &Tags) -> ();
        untag_role(&RoleName, &[String]) -> ();
        attach(&RoleName, &str) -> ();
        detach(&RoleName, &str) -> ();
        delete_inline_policy(&RoleName, &str) -> ();
        delete_role(&RoleName) -> ();
    }
}

/// A role with this ARN and these tags.
fn role(arn: &str, tags: &Tags) -> Role {
    Role {
        arn: arn.to_owned(),
        id: "AROA1".into(),
        description: String::new(),
        trust: String::new(),
        boundary: None,
        tags: tags.clone(),
        last_use: LastUse::NotTold,
    }
}

fn policy(desired: &Desired, tags: &Tags) -> Policy {
    Policy {
        arn: desired.identity.policy_arn.to_string(),
        id: "ANPA1".into(),
        description: String::new(),
        default_version: "v1".into(),
        tags: tags.clone(),
    }
}

/// The leftovers, and the calls that read them.
fn read(desired: &Desired, account: &Account) -> (Leftovers, Vec<&'static str>) {
    let future = pin!(observe_leftovers(account, &desired.identity));
    let Poll::Ready(found) = future.poll(&mut Context::from_waker(Waker::noop())) else {
        unreachable!("the account answers at once")
    };
    (found.unwrap(), account.calls.lock().unwrap().clone())
}

#[test]
fn the_details_of_our_resources_are_read() {
    let desired = wanted(json!({}));
    let mut before_restore = desired.tags.clone();
    before_restore.insert("auroralogexport.dev/cluster-uid".into(), "uid-0".into());
    for tags in [&desired.tags, &before_restore] {
        let account = Account {
            role: Some(role(desired.identity.role_arn.as_str(), tags)),
            policy: Some(policy(&desired, tags)),
            ..Account::default()
        };
        let (found, calls) = read(&desired, &account);
        assert_eq!(
            found.role,
            Presence::Ours(RoleLeftover {
                attached: vec!["attached".into()],
                inline: vec!["inline".into()],
                instance_profiles: vec!["profile".into()],
            })
        );
        assert_eq!(
            found.policy,
            Presence::Ours(PolicyLeftover {
                versions: vec![PolicyVersion { id: "v1".into(), is_default: true }],
                users: PolicyUsers { users: vec!["ann".into()], ..PolicyUsers::default() },
            })
        );
        assert_eq!(calls, ["attached", "inline", "profiles", "versions", "users"]);
    }
}

#[test]
fn resources_with_tags_of_others_or_none_are_not_ours() {
    let desired = wanted(json!({}));
    let mut anothers = desired.tags.clone();
    anothers.insert("auroralogexport.dev/owner".into(), "shop/bills".into());
    for tags in [&Tags::new(), &anothers] {
        let account = Account {
            role: Some(role(desired.identity.role_arn.as_str(), tags)),
            policy: Some(policy(&desired, tags)),
            ..Account::default()
        };
        let (found, calls) = read(&desired, &account);
        assert_eq!(found, Leftovers { role: Presence::NotOurs, policy: Presence::NotOurs });
        assert!(calls.is_empty(), "{calls:?}");
    }
}

#[test]
fn a_role_of_the_same_name_under_another_path_is_not_ours() {
    let desired = wanted(json!({}));
    let elsewhere = role("arn:aws:iam::123456789012:role/elsewhere/shop.orders", &desired.tags);
    let account = Account { role: Some(elsewhere), ..Account::default() };
    let (found, calls) = read(&desired, &account);
    assert_eq!(found, Leftovers { role: Presence::NotOurs, policy: Presence::Absent });
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn missing_resources_are_absent() {
    assert_eq!(read(&wanted(json!({})), &Account::default()).0, Leftovers::default());
}
