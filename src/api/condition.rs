//! A condition with metav1's shape. Its own type, because ten thousand objects carry eight each: words that come from
//! the closed vocabularies are not copied for every one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serialize};

use super::reason::{ConditionType, Reason};

/// `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type.
    #[serde(rename = "type")]
    pub type_: Word,
    /// `True`, `False` or `Unknown`.
    pub status: Word,
    /// Why.
    pub reason: Word,
    /// For people.
    pub message: Box<str>,
    /// When the status last flipped.
    pub last_transition_time: Time,
    /// The generation of the spec that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A moment as conditions keep it: `metav1.Time` has whole seconds, so that what is written equals what is read back.
pub fn whole_seconds(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
}

/// A word of a condition. One that another version or another writer chose is kept as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Word(Cow<'static, str>);

impl Word {
    fn known(text: &str) -> Option<&'static str> {
        let status = ["True", "False", "Unknown"].into_iter().find(|known| *known == text);
        let type_ = || ConditionType::from_name(text).map(ConditionType::as_str);
        let reason = || Reason::from_name(text).map(Reason::as_str);
        status.or_else(type_).or_else(reason)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self(Self::known(&text).map_or_else(|| Cow::Owned(text.into_owned()), Cow::Borrowed)))
    }
}

impl From<&'static str> for Word {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<ConditionType> for Word {
    fn from(type_: ConditionType) -> Self {
        type_.as_str().into()
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        reason.as_str().into()
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_reads_and_writes_as_metav1s() {
        let value = json!({
            "type": "Ready", "status": "True", "reason": "InSync", "message": "all is well",
            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 3,
        });
        let condition: Condition = serde_json::from_value(value.clone()).unwrap();
        assert!(matches!(condition.reason.0, Cow::Borrowed("InSync")), "a word that is known is not copied");
        assert_eq!(serde_json::to_value(&condition).unwrap(), value);
        let same: k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition =
            serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&same).unwrap(), value);
    }

    #[test]
    fn a_word_of_another_version_is_kept() {
        let word: Word = serde_json::from_value(json!("ReasonOfTomorrow")).unwrap();
        assert_eq!(word, "ReasonOfTomorrow");
        assert_eq!(serde_json::to_value(&word).unwrap(), json!("ReasonOfTomorrow"));
    }
}
