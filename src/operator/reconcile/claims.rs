//! Which earlier objects claim the same names.

use crate::api::policy::{Access, AuroraLogExportPolicySpec, ManagementPolicy};
use crate::aws::credentials::CallerIdentity;
use crate::model::settings::AccountFacts;
use crate::model::stored::PolicyObject;
use crate::operator::context::View;
use crate::pipeline::desired::{Identity, desired};
use crate::pipeline::plan::{Claimant, EarlierClaims};

/// Claims on the policy's or the role's name, case and path ignored, that come before the object's own.
///
/// Default names of other namespaces are reserved for them. Otherwise, the earliest object of the same account has the first
/// claim: by creation time, then namespace, then name. Only admitted, enforcing, unsuspended objects claim, and only until
/// they are released.
pub(super) fn earlier_claims(
    view: View<'_>,
    object: &PolicyObject,
    identity: &Identity,
    caller: &CallerIdentity,
) -> EarlierClaims {
    let prefix = view.accounts.name_prefix(object.account_ref());
    let claimant = |name: &str, claims: fn(&Claim<'_>, &str) -> bool| {
        let namespace = reserved_for(name, &prefix);
        let may_claim = |object: &PolicyObject| namespace.as_ref().is_none_or(|it| *it == object.namespace());
        // An object that created its role before such names were reserved keeps it.
        if object.status.role.is_none() && !may_claim(object) {
            return namespace.map(Claimant::Namespace);
        }
        let earlier = view.index.earlier(object, name, |other| {
            may_claim(other) && claim(view, other, caller).is_some_and(|claim| claims(&claim, name))
        });
        earlier.map(Claimant::Object)
    };
    EarlierClaims {
        policy: claimant(identity.policy_name.as_str(), |(spec, claimed), name| {
            spec.access.unwrap_or_default() == Access::Minimal
                && claimed.policy_name.as_str().eq_ignore_ascii_case(name)
        }),
        role: claimant(identity.role_name.as_str(), |(_, claimed), name| {
            claimed.role_name.as_str().eq_ignore_ascii_case(name)
        }),
    }
}

type Claim<'a> = (&'a AuroraLogExportPolicySpec, Identity);

/// The namespace whose objects have default names of this form, if any: `<prefix><namespace>.<name>`.
fn reserved_for(name: &str, prefix: &str) -> Option<String> {
    let (name, prefix) = (name.to_lowercase(), prefix.to_lowercase());
    let (namespace, _) = name.strip_prefix(&prefix)?.split_once('.')?;
    // RFC 1123 label, which the name of a namespace is.
    let is_label = namespace.len() <= 63
        && !namespace.starts_with('-')
        && !namespace.ends_with('-')
        && namespace.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (is_label && !namespace.is_empty()).then(|| namespace.to_owned())
}

/// What another object claims in the account of `caller`, if it claims anything there.
fn claim<'a>(view: View<'_>, other: &'a PolicyObject, caller: &CallerIdentity) -> Option<Claim<'a>> {
    let spec = other.spec.as_ref().ok()?;
    if other.is_released() || spec.suspend == Some(true) || spec.management_policy == Some(ManagementPolicy::Observe) {
        return None;
    }
    let resolved = view.namespaces.resolve(view.accounts, other.account_ref(), other.namespace(), false).ok()?;
    if resolved.account.known_id()? != caller.account {
        return None;
    }
    let facts =
        AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), binding: resolved.binding };
    let desired = desired(&other.key(), spec, view.settings, &facts).ok()?;
    Some((spec, desired.identity))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use std::sync::Arc;

    use crate::aws::rate_limit::Rates;
    use crate::aws::registry::{Accounts, GateConfig};
    use crate::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
    use crate::model::settings::{Cluster, Settings};
    use crate::operator::admission::Namespaces;
    use crate::operator::index::Index;
    use crate::telemetry::metrics::Metrics;

    const OWN: &str = "111111111111";
    const OTHER: &str = "222222222222";

    struct Stage {
        settings: Settings,
        accounts: Accounts,
        namespaces: Namespaces,
        index: Index,
    }

    impl Stage {
        /// `AwsAccount`s: `shared` (the operator's own account) for namespace `shop` only, `elsewhere` for both.
        fn new() -> Self {
            Self::whose_account_is(Some(OWN))
        }

        fn whose_account_is(known: Option<&str>) -> Self {
            let cluster =
                Cluster { name: ClusterName::parse("prod").unwrap(), uid: "uid".into(), previous_uids: vec![] };
            let path = IamPath::parse("/aurora-log-export/").unwrap();
            let settings = Settings { allow_adopt_existing: false, ..Settings::lenient(cluster.clone(), path) };
            let rates = Rates { reads_per_second: 1.0, writes_per_second: 1.0 };
            let gates = GateConfig::new(rates, Arc::new(|_| false), Metrics::new());
            let known = known.map(|id| AccountId::parse(id).unwrap());
            let config = aws_config::SdkConfig::builder().build();
            let accounts = Accounts::new(config, known, cluster.name, gates);
            let account = |id: &str, namespaces: &[&str]| {
                serde_json::from_value(json!({ "accountId": id, "allowedNamespaces": { "names": namespaces } }))
                    .unwrap()
            };
            accounts.upsert("shared", Ok(&account(OWN, &["shop"])));
            accounts.upsert("elsewhere", Ok(&account(OTHER, &["shop", "bills"])));
            Self { settings, accounts, namespaces: Namespaces::default(), index: Index::default() }
        }

        /// Made so many seconds after the first.
        fn object(&self, namespace: &str, name: &str, second: u32, spec: &Value) -> PolicyObject {
            let object: PolicyObject = serde_json::from_value(json!({
                "metadata": {
                    "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"), "generation": 1,
                    "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
                },
                "spec": spec,
            }))
            .unwrap();
            self.index.upsert(object.clone(), "");
            object
        }

        /// The earlier claims on the policy's and the role's name.
        fn claims(&self, object: &PolicyObject) -> (Option<String>, Option<String>) {
            let view = View {
                settings: &self.settings,
                accounts: &self.accounts,
                namespaces: &self.namespaces,
                index: &self.index,
            };
            let caller = CallerIdentity {
                account: AccountId::parse(OWN).unwrap(),
                partition: Partition::parse("aws").unwrap(),
                arn: String::new(),
            };
            let facts = AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), binding: None };
            let spec = object.spec.as_ref().unwrap();
            let identity = desired(&object.key(), spec, &self.settings, &facts).unwrap().identity;
            let EarlierClaims { policy, role } = earlier_claims(view, object, &identity, &caller);
            let text = |claimant| match claimant {
                Claimant::Object(owner) => owner.to_string(),
                Claimant::Namespace(namespace) => namespace,
            };
            (policy.map(text), role.map(text))
        }
    }

    fn names() -> Value {
        json!({ "policyName": "exports", "roleName": "exports" })
    }

    /// Over [`names`].
    fn and(more: Value) -> Value {
        let mut spec = names();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    /// What an object made a second earlier in namespace `bills` claims of the names of `shop/late`.
    fn claimed_by_an_earlier(spec: &Value) -> (bool, bool) {
        let stage = Stage::new();
        stage.object("bills", "early", 1, spec);
        let late = stage.object("shop", "late", 2, &names());
        let (policy, role) = stage.claims(&late);
        for owner in policy.iter().chain(&role) {
            assert_eq!(owner, "bills/early");
        }
        (policy.is_some(), role.is_some())
    }

    #[test]
    fn an_admitted_enforcing_unsuspended_object_claims_whatever_case_and_path() {
        let cases = [
            (names(), (true, true)),
            (and(json!({ "suspend": false, "managementPolicy": "Enforce" })), (true, true)),
            (json!({ "policyName": "EXPORTS", "roleName": "Exports" }), (true, true)),
            (and(json!({ "policyPath": "/a/", "rolePath": "/b/" })), (true, true)),
            // Policy and role apart.
            (json!({ "roleName": "exports" }), (false, true)),
            (json!({ "policyName": "exports" }), (true, false)),
            (json!({ "policyName": "another", "roleName": "exports" }), (false, true)),
            // A role may be called like somebody's policy.
            (json!({ "policyName": "exports", "roleName": "another" }), (true, false)),
            // No policy of its own.
            (and(json!({ "access": "FullAccess" })), (false, true)),
            (json!({ "policyName": "exports", "access": "FullAccess" }), (false, false)),
            (json!({}), (false, false)),
        ];
        for (spec, claims) in cases {
            assert_eq!(claimed_by_an_earlier(&spec), claims, "{spec}");
        }
    }

    #[test]
    fn a_suspended_observing_or_refused_object_claims_nothing() {
        let cases = [
            and(json!({ "suspend": true })),
            and(json!({ "managementPolicy": "Observe" })),
            // The operator does not allow it.
            and(json!({ "adoptionPolicy": "Always" })),
            // It is not a Region.
            and(json!({ "scope": { "regions": ["somewhere over the rainbow"] } })),
            // It cannot be read.
            and(json!({ "access": "Everything" })),
        ];
        for spec in cases {
            assert_eq!(claimed_by_an_earlier(&spec), (false, false), "{spec}");
        }
    }

    #[test]
    fn an_object_claims_only_in_the_account_that_admits_it() {
        let account = |name: &str| and(json!({ "accountRef": { "name": name } }));
        // `shared` is this very account, and for namespace `shop` only.
        assert_eq!(claimed_by_an_earlier(&account("shared")), (false, false), "not admitted");
        assert_eq!(claimed_by_an_earlier(&account("elsewhere")), (false, false), "another account");
        assert_eq!(claimed_by_an_earlier(&account("missing")), (false, false), "no account at all");
        let stage = Stage::new();
        stage.object("shop", "early", 1, &account("shared"));
        let late = stage.object("shop", "late", 2, &names());
        let early = Some("shop/early".to_owned());
        assert_eq!(stage.claims(&late), (early.clone(), early), "by another way into the same account");
    }

    #[test]
    fn a_guardrail_that_an_object_breaks_takes_its_claim() {
        let stage = Stage::new();
        let strict = json!({ "accountId": OWN, "allowedNamespaces": { "names": ["shop"] },
                             "guardrails": { "requiredTags": { "cost": "42" } } });
        stage.accounts.upsert("strict", Ok(&serde_json::from_value(strict).unwrap()));
        let spec = |cost: &str| and(json!({ "accountRef": { "name": "strict" }, "tags": { "cost": cost } }));
        stage.object("shop", "breaks", 1, &spec("0"));
        stage.object("shop", "fits", 2, &spec("42"));
        let late = stage.object("shop", "late", 3, &names());
        let fits = Some("shop/fits".to_owned());
        assert_eq!(stage.claims(&late), (fits.clone(), fits));
    }

    #[test]
    fn where_an_account_is_not_known_yet_nothing_is_claimed_in_it() {
        let stage = Stage::whose_account_is(None);
        stage.object("bills", "early", 1, &names());
        let late = stage.object("shop", "late", 2, &names());
        assert_eq!(stage.claims(&late), (None, None));
    }

    #[test]
    fn the_earliest_is_by_creation_time_then_namespace_then_name() {
        let stage = Stage::new();
        let ranked = [("z", "z", 1), ("a", "b", 2), ("b", "a", 2), ("b", "b", 2), ("a", "a", 3)];
        let objects = ranked.map(|(namespace, name, second)| stage.object(namespace, name, second, &names()));
        assert_eq!(stage.claims(&objects[0]), (None, None), "the first has nobody before it, itself included");
        for later in &objects[1..] {
            let first = Some("z/z".to_owned());
            assert_eq!(stage.claims(later), (first.clone(), first), "{}", later.key());
        }
        stage.index.remove(&Owner::new("z", "z"));
        assert_eq!(stage.claims(&objects[1]), (None, None), "of the same second, namespace a");
        for later in &objects[2..] {
            assert_eq!(stage.claims(later).0.as_deref(), Some("a/b"), "{}", later.key());
        }
        stage.index.remove(&Owner::new("a", "b"));
        assert_eq!(stage.claims(&objects[3]).1.as_deref(), Some("b/a"), "then by name");
    }

    #[test]
    fn a_default_name_of_another_namespace_is_reserved_for_it() {
        let stage = Stage::new();
        let squatter = stage.object("shop", "early", 1, &json!({ "roleName": "Bills.orders", "policyName": "a_b.c" }));
        assert_eq!(stage.claims(&squatter), (None, Some("bills".to_owned())));
        let own = stage.object("shop", "own", 2, &json!({ "roleName": "shop.x", "policyName": "without-dot" }));
        assert_eq!(stage.claims(&own), (None, None));
        let orders = stage.object("bills", "orders", 3, &json!({}));
        assert_eq!(stage.claims(&orders), (None, None), "the earlier object of another namespace does not come first");
        let mut kept = squatter.clone();
        kept.status.role = Some(serde_json::from_value(json!({ "arn": "a", "name": "Bills.orders" })).unwrap());
        assert_eq!(stage.claims(&kept).1, None, "what it created before such names were reserved");
    }

    #[test]
    fn policy_and_role_may_be_claimed_by_two() {
        let stage = Stage::new();
        stage.object("bills", "second", 2, &names());
        stage.object("bills", "first", 1, &json!({ "policyName": "exports" }));
        let late = stage.object("shop", "late", 3, &names());
        assert_eq!(stage.claims(&late), (Some("bills/first".to_owned()), Some("bills/second".to_owned())));
    }
}
