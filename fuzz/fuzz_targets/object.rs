//! Objects as the API server stores them, up to what is wanted in AWS: whatever is refused names its field.
#![no_main]

use std::sync::LazyLock;

use aurora_log_export_operator::pipeline::desired::{desired, identity};
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Partition};
use aurora_log_export_operator::model::stored::PolicyObject;
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use libfuzzer_sys::fuzz_target;

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    Settings::lenient(
        Cluster { name: ClusterName::parse("prod").expect("valid"), uid: "uid".into(), previous_uids: Vec::new() },
        IamPath::parse("/aurora-log-export/").expect("valid"),
    )
});

static ACCOUNT: LazyLock<AccountFacts> = LazyLock::new(|| AccountFacts {
    id: AccountId::parse("123456789012").expect("valid"),
    partition: Partition::parse("aws").expect("valid"),
    binding: None,
});

fuzz_target!(|data: &[u8]| {
    let Ok(object) = serde_json::from_slice::<PolicyObject>(data) else {
        return;
    };
    let _ = (object.is_deleting(), object.has_finalizer(), object.is_abandoned(), object.resource_version());
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(unreadable) => {
            assert!(unreadable.field.starts_with("spec"), "{unreadable}");
            assert!(!unreadable.message.is_empty());
            return;
        }
    };
    let _ = identity(&object.key(), spec, &SETTINGS, &ACCOUNT);
    match desired(&object.key(), spec, &SETTINGS, &ACCOUNT) {
        Ok(wanted) => {
            if let Some(policy) = &wanted.policy {
                assert_eq!(policy.document.meaning().fingerprint(), policy.fingerprint);
            }
        }
        Err(refused) => {
            assert!(!refused.0.is_empty());
            for problem in &refused.0 {
                assert!(!problem.field.is_empty() && !problem.message.is_empty(), "{refused}");
            }
        }
    }
});
