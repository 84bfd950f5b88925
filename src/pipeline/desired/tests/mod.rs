//! The desired state of specs, and which specs are refused. Specs are JSON, as users write them.

mod fields;
mod guardrails;
mod limits;
mod random;
mod values;

use serde_json::Value;

use super::{Desired, Refused, desired};
use crate::api::AuroraLogExportPolicySpec;
use crate::api::account::Guardrails;
use crate::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use crate::model::settings::{AccountBinding, AccountFacts, Cluster, Settings};

const ACCOUNT: &str = "123456789012";

fn settings() -> Settings {
    Settings::lenient(
        Cluster { name: ClusterName::parse("prod").unwrap(), uid: "uid-1".into(), previous_uids: Vec::new() },
        IamPath::parse("/aurora-log-export/").unwrap(),
    )
}

fn account() -> AccountFacts {
    AccountFacts { id: AccountId::parse(ACCOUNT).unwrap(), partition: Partition::parse("aws").unwrap(), binding: None }
}

/// The account of an `AwsAccount` with these guardrails.
fn guarded(guardrails: Value) -> AccountFacts {
    AccountFacts {
        binding: Some(AccountBinding {
            name: "shop".into(),
            guardrails: serde_json::from_value::<Guardrails>(guardrails).unwrap(),
        }),
        ..account()
    }
}

fn owner() -> Owner {
    Owner::new("shop", "orders")
}

fn spec(value: Value) -> AuroraLogExportPolicySpec {
    serde_json::from_value(value).unwrap()
}

fn wanted(value: Value) -> Result<Desired, Refused> {
    desired(&owner(), &spec(value), &settings(), &account())
}

fn wanted_in(account: &AccountFacts, value: Value) -> Result<Desired, Refused> {
    desired(&owner(), &spec(value), &settings(), account)
}
