//! Random specs that are valid, and random foreigners to live beside.

use std::collections::BTreeMap;

use aurora_log_export_operator::api::AuroraLogExportPolicySpec;
use aurora_log_export_operator::api::policy::{Access, AttachmentPolicy, GroupCreation, Scope, Trust, TrustProtection};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::world::{ACCOUNT, BOUNDARIES};

/// What cannot be changed in an object.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    policy_name: Option<String>,
    role_name: Option<String>,
    policy_path: Option<String>,
    role_path: Option<String>,
}

fn fixed() -> impl Strategy<Value = Fixed> {
    let path = || option::of(select(vec!["/", "/a/", "/team-x/b.c/"]).prop_map(str::to_owned));
    (option::of("[A-Za-z0-9_+=,.@-]{1,40}"), option::of("[A-Za-z0-9_+=,.@-]{1,40}"), path(), path()).prop_map(
        |(policy_name, role_name, policy_path, role_path)| Fixed { policy_name, role_name, policy_path, role_path },
    )
}

fn items(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Option<Vec<String>>> {
    option::of(subsequence(from, 1..=most).prop_map(|items| items.into_iter().map(str::to_owned).collect()))
}

fn scope() -> impl Strategy<Value = Scope> {
    (
        items(&["eu-central-1", "us-east-1", "ap-southeast-2", "us-gov-west-1"], 2),
        items(&[ACCOUNT, "210987654321", "000000000000"], 2),
        items(&["/aws/rds/cluster/a/*", "/aws/rds/cluster/b/audit", "/aws/rds/c*", "x"], 2),
        items(&["*-1", "stream one", "back\\slash", "a/b"], 2),
        option::of(select(vec![GroupCreation::Any, GroupCreation::LogGroups])),
    )
        .prop_map(|(regions, account_ids, log_groups, log_streams, group_creation)| Scope {
            regions,
            account_ids,
            log_groups,
            log_streams,
            group_creation,
        })
}

fn trust() -> impl Strategy<Value = Trust> {
    let arns: &[&str] = &[
        "arn:aws:rds:*:123456789012:*",
        "arn:aws:rds:eu-central-1:123456789012:cluster:a",
        "arn:aws:rds:eu-central-1:123456789012:cluster:b*",
    ];
    (option::of(select(vec![TrustProtection::SourceAccount, TrustProtection::None])), items(arns, 2))
        .prop_map(|(protection, source_arns)| Trust { protection, source_arns })
}

/// Keys that differ only in case never stand in one spec, but may follow each other in edits.
fn tags() -> impl Strategy<Value = Option<BTreeMap<String, String>>> {
    let spelling = (select(vec!["team", "cost center", "café", "x:y/z"]), any::<bool>());
    option::of(btree_map(spelling, "[a-z0-9 _.:/=+@-]{0,12}", 0..4).prop_map(|tags| {
        let mut by_folded_key = BTreeMap::new();
        for ((key, upper), value) in tags {
            by_folded_key.insert(key, (if upper { key.to_uppercase() } else { key.to_owned() }, value));
        }
        by_folded_key.into_values().collect()
    }))
}

fn body(fixed: Fixed) -> impl Strategy<Value = AuroraLogExportPolicySpec> {
    let access = prop_oneof![
        3 => option::of(scope()).prop_map(|scope| (None, scope)),
        1 => Just((Some(Access::FullAccess), None)),
    ];
    (
        access,
        option::of("[ -~¡-ÿ]{0,30}"),
        option::of(trust()),
        option::of(select(BOUNDARIES).prop_map(|name| format!("arn:aws:iam::{ACCOUNT}:policy/{name}"))),
        tags(),
        option::of(select(vec![AttachmentPolicy::Additive, AttachmentPolicy::Exclusive])),
    )
        .prop_map(move |((access, scope), description, trust, permissions_boundary, tags, attachment_policy)| {
            let Fixed { policy_name, role_name, policy_path, role_path } = fixed.clone();
            AuroraLogExportPolicySpec {
                policy_name,
                role_name,
                policy_path,
                role_path,
                access,
                scope,
                description,
                trust,
                permissions_boundary,
                tags,
                attachment_policy,
                ..AuroraLogExportPolicySpec::default()
            }
        })
}

/// A valid spec.
pub(super) fn spec() -> impl Strategy<Value = AuroraLogExportPolicySpec> {
    fixed().prop_flat_map(body)
}

/// The same object after each of several edits.
pub(super) fn edits(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<AuroraLogExportPolicySpec>> {
    fixed().prop_flat_map(move |fixed| vec(body(fixed), count.clone()))
}

/// A policy or role of somebody else.
#[derive(Clone, Debug)]
pub(super) struct Foreigner {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) tags: BTreeMap<String, String>,
}

/// Tags that are none, somebody else's, or nearly ours.
pub(super) fn foreign_tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    let pair = prop_oneof![
        Just(("team", "other")),
        Just(("auroralogexport.dev/managed-by", "laws")),
        Just(("auroralogexport.dev/managed-by", "elsewhere")),
        Just(("auroralogexport.dev/cluster-uid", "uid-9")),
        Just(("auroralogexport.dev/owner", "shop/orders")),
        Just(("auroralogexport.dev/owner", "shop/bills")),
    ];
    vec(pair, 0..4).prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

pub(super) fn foreigner() -> impl Strategy<Value = Foreigner> {
    ("foreign-[a-z]{1,8}", select(vec!["/", "/aurora/", "/a/"]), foreign_tags())
        .prop_map(|(name, path, tags)| Foreigner { name, path: path.to_owned(), tags })
}
