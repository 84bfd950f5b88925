//! The pure steps that every look at an object takes: what must be, what a document means, what differs.
//!
//! `cargo bench` measures them; `cargo xtask bench` measures whole processes.

// A bench that cannot be set up must stop.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use aurora_log_export_operator::api::policy::AuroraLogExportPolicySpec;
use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use aurora_log_export_operator::pipeline::desired::{Desired, desired};
use aurora_log_export_operator::pipeline::observe::{Content, Observed, ObservedPolicy};
use aurora_log_export_operator::pipeline::plan::{EarlierClaims, plan};
use aurora_log_export_operator::pipeline::port::ObservedRole;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

fn settings() -> Settings {
    Settings {
        allow_adopt_existing: false,
        ..Settings::lenient(
            Cluster {
                name: ClusterName::parse("bench").expect("a cluster's name"),
                uid: "uid-1".into(),
                previous_uids: Vec::new(),
            },
            IamPath::parse("/aurora-log-export/").expect("a path"),
        )
    }
}

fn want(spec: &AuroraLogExportPolicySpec) -> Desired {
    let account = AccountFacts {
        id: AccountId::parse("123456789012").expect("an account"),
        partition: Partition::parse("aws").expect("a partition"),
        binding: None,
    };
    desired(&Owner::new("shop", "orders"), spec, &settings(), &account).expect("a sound spec")
}

fn spec(value: Value) -> AuroraLogExportPolicySpec {
    serde_json::from_value(value).expect("a spec")
}

/// As wide as a policy may be: 48 resources.
fn wide() -> AuroraLogExportPolicySpec {
    let regions = ["eu-central-1", "eu-west-1", "us-east-1", "us-west-2"];
    let groups: Vec<String> = (0..6).map(|number| format!("/aws/rds/cluster/c{number}/*")).collect();
    spec(
        json!({ "scope": { "regions": regions, "logGroups": groups, "groupCreation": "LogGroups" }, "tags": { "team": "shop" } }),
    )
}

/// What IAM has once everything is right.
fn in_sync(desired: &Desired) -> Observed {
    let role = ObservedRole {
        arn: desired.identity.role_arn.as_str().to_owned(),
        id: "AROAEXAMPLE".into(),
        description: Some(desired.description.clone()),
        trust: desired.trust.to_json(),
        boundary: desired.boundary.clone(),
        tags: desired.tags.clone(),
        attached: vec![desired.attachment().as_str().to_owned()],
        inline: Vec::new(),
    };
    let policy = ObservedPolicy {
        arn: desired.identity.policy_arn.as_str().to_owned(),
        id: "ANPAEXAMPLE".into(),
        description: Some(desired.description.clone()),
        tags: Some(desired.tags.clone()),
        default_version: "v1".into(),
        content: Content::Matches,
        versions: Vec::new(),
        matching_version: None,
    };
    Observed { role: Some(role), policy: Some(policy) }
}

fn pipeline(criterion: &mut Criterion) {
    for (name, spec) in [("spec {}", spec(json!({}))), ("wide spec", wide())] {
        let wanted = want(&spec);
        criterion.bench_function(&format!("desired, {name}"), |bencher| bencher.iter(|| want(black_box(&spec))));
        let seen = in_sync(&wanted);
        let compare = |observed: &Observed| plan(black_box(&wanted), observed, &EarlierClaims::default(), &[]);
        assert!(compare(&seen).expect("no conflict").is_empty(), "what is in sync needs no plan");
        criterion
            .bench_function(&format!("plan in sync, {name}"), |bencher| bencher.iter(|| compare(black_box(&seen))));
        let nothing = Observed::default();
        criterion.bench_function(&format!("plan from nothing, {name}"), |bencher| {
            bencher.iter(|| compare(black_box(&nothing)));
        });
        let document = wanted.policy.as_ref().expect("a policy").document.to_json();
        criterion.bench_function(&format!("meaning of a document, {name}"), |bencher| {
            bencher.iter(|| Meaning::of(black_box(&document)).fingerprint());
        });
    }
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
