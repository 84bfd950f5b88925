//! Parsers of names with ten thousand arbitrary texts: none panics, and an accepted text is kept unchanged.

use std::str::FromStr;

use proptest::prelude::*;

use super::*;
use crate::model::documents::meaning::Fingerprint;

/// A text that is accepted is kept unchanged.
fn kept<T: FromStr<Err = NameError> + fmt::Display>(text: &str, longest: usize) -> Result<(), TestCaseError> {
    if let Ok(name) = text.parse::<T>() {
        prop_assert_eq!(name.to_string(), text);
        prop_assert!((1..=longest).contains(&text.chars().count()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parsers_do_not_panic_and_keep_what_they_accept(
        text in prop_oneof![any::<String>(), "[a-zA-Z0-9_+=,.@/:-]{0,140}", "/([a-z.]{0,9}/){0,70}", "[0-9]{11,13}", "[0-9A-Fa-f]{64}"],
    ) {
        kept::<PolicyName>(&text, 128)?;
        kept::<RoleName>(&text, 64)?;
        kept::<AccountId>(&text, 12)?;
        kept::<Partition>(&text, 32)?;
        kept::<ClusterName>(&text, 63)?;
        kept::<IamPath>(&text, 512)?;
        if let Some(owner) = Owner::from_tag(&text) {
            prop_assert_eq!(owner.to_string(), text.clone());
            prop_assert!(default_name("team-", &owner).chars().count() <= DEFAULT_NAME_LIMIT);
        }
        if let Some(print) = Fingerprint::from_hex(&text) {
            prop_assert_eq!(print.to_string(), text.to_lowercase());
        }
    }
}
