//! A condition in the form of `metav1.Condition`. A type of its own saves memory: ten thousand objects have eight
//! conditions each, and names of the closed vocabularies are not copied for each of them.

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
    pub type_: Name,
    /// `True`, `False` or `Unknown`.
    pub status: Name,
    /// Reason of the status.
    pub reason: Name,
    /// Human-readable message.
    pub message: Box<str>,
    /// When the status last changed.
    pub last_transition_time: Time,
    /// The generation of the spec that the condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A time in whole seconds, as `metav1.Time` stores it, so that a written value equals the value that is read back.
pub fn whole_seconds(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
}

/// A type, status or reason of a condition. Unknown values of other versions and other writers are kept as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name(Cow<'static, str>);

impl Name {
    fn known(text: &str) -> Option<&'static str> {
        let status = ["True", "False", "Unknown"].into_iter().find(|known| *known == text);
        let type_ = || ConditionType::from_name(text).map(ConditionType::as_str);
        let reason = || Reason::from_name(text).map(Reason::as_str);
        status.or_else(type_).or_else(reason)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self(Self::known(&text).map_or_else(|| Cow::Owned(text.into_owned()), Cow::Borrowed)))
    }
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<ConditionType> for Name {
    fn from(type_: ConditionType) -> Self {
        type_.as_str().into()
    }
}

impl From<Reason> for Name {
    fn from(reason: Reason) -> Self {
        reason.as_str().into()
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_has_the_json_of_metav1_condition() {
        let value = json!({
            "type": "Ready", "status": "True", "reason": "InSync", "message": "all is well",
            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 3,
        });
        let condition: Condition = serde_json::from_value(value.clone()).unwrap();
        assert!(matches!(condition.reason.0, Cow::Borrowed("InSync")), "a known name is not copied");
        assert_eq!(serde_json::to_value(&condition).unwrap(), value);
        let same: k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition =
            serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&same).unwrap(), value);
    }

    #[test]
    fn an_unknown_name_is_kept() {
        let name: Name = serde_json::from_value(json!("ReasonOfALaterVersion")).unwrap();
        assert_eq!(name, "ReasonOfALaterVersion");
        assert_eq!(serde_json::to_value(&name).unwrap(), json!("ReasonOfALaterVersion"));
    }
}
