//! Names, ids, paths, ARNs, tags and durations, as users, flags and AWS give them.
#![no_main]

use std::time::Duration;

use aurora_log_export_operator::api::AuroraLogExportPolicySpec;
use aurora_log_export_operator::model::documents::meaning::Fingerprint;
use aurora_log_export_operator::model::names::{
    AccountId, ClusterName, IamPath, Owner, Partition, PolicyArn, PolicyName, RoleName, default_name,
};
use aurora_log_export_operator::model::ownership::is_same_key;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    macro_rules! check {
        ($($name:ident up to $limit:literal),+) => {
            $(if let Ok(parsed) = $name::parse(text.clone()) {
                assert_eq!(parsed.as_str(), text);
                assert_eq!(parsed.to_string().parse::<$name>().as_ref(), Ok(&parsed));
                assert!(!text.is_empty() && text.chars().count() <= $limit);
            })+
        };
    }
    check!(
        PolicyName up to 128, RoleName up to 64, AccountId up to 12, Partition up to 32, ClusterName up to 63,
        IamPath up to 512
    );
    let _ = PolicyArn::from_aws(text.clone()).to_string();
    if let Some(owner) = Owner::from_tag(&text) {
        assert_eq!(owner.to_string(), text);
        for prefix in ["", "team-"] {
            let name = default_name(prefix, &owner);
            assert!(name.chars().count() <= 64, "{name}");
            assert_eq!(name, default_name(prefix, &owner));
        }
    }
    if let Some(print) = Fingerprint::from_hex(&text) {
        assert_eq!(print.to_string(), text.to_lowercase());
    }
    assert!(is_same_key(&text, &text));
    let spec = serde_json::from_value::<AuroraLogExportPolicySpec>(json!({ "driftCheckInterval": text }));
    if let Some(interval) = spec.ok().and_then(|spec| spec.drift_check_interval) {
        let _ = Duration::from(interval);
    }
});
