//! What the status says about fields of a newer version, which this version ignores.

use super::drift::{MAX_MESSAGE, cut};
use crate::api::{Condition, ConditionType};

/// What this version ignores in a spec, for a person; `None`: nothing.
pub fn ignored_note(ignored: &[String]) -> Option<String> {
    let fields = ignored.join(", ");
    let text = "this version of the operator does not know, and ignores";
    (!ignored.is_empty()).then(|| format!("{text}: {fields}; update the operator, or remove them from the spec"))
}

/// Adds to the message of `Ready` what this version ignores in the spec.
pub fn note_ignored(conditions: &mut [Condition], ignored: &[String]) {
    let ready = conditions.iter_mut().find(|condition| condition.type_ == ConditionType::Ready.as_str());
    if let (Some(ready), Some(note)) = (ready, ignored_note(ignored)) {
        ready.message = cut(&format!("{}; {note}", ready.message), MAX_MESSAGE).into();
    }
}

/// True if the note is in the one message and not in the other.
pub fn is_new_note(ignored: &[String], before: Option<&Condition>, after: &Condition) -> bool {
    let has = |condition: &Condition, note: &str| condition.message.ends_with(note);
    ignored_note(ignored).is_some_and(|note| has(after, &note) && !before.is_some_and(|before| has(before, &note)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AuroraLogExportPolicyStatus as Status;
    use crate::pipeline::status::{Outcome, next};

    #[test]
    fn the_note_follows_the_message_and_is_new_once() {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let plain = next(&Status::default(), &Outcome::Suspended, 1, at);
        let ignored = vec!["spec.rotation".to_owned(), "spec.outputs.secretRef".to_owned()];
        let mut noted = plain.clone();
        note_ignored(&mut noted.conditions, &ignored);
        let (before, after) = (&plain.conditions[0], &noted.conditions[0]);
        assert!(after.message.starts_with(&*before.message), "{}", after.message);
        assert!(after.message.contains("ignores: spec.rotation, spec.outputs.secretRef; update"), "{}", after.message);
        assert_eq!(plain.conditions[1..], noted.conditions[1..]);
        assert!(is_new_note(&ignored, Some(before), after) && is_new_note(&ignored, None, after));
        assert!(!is_new_note(&ignored, Some(after), after) && !is_new_note(&[], Some(before), after));
        let mut same = plain.clone();
        note_ignored(&mut same.conditions, &[]);
        assert_eq!(same, plain);
        // The next status is computed from the noted one.
        assert_eq!(next(&noted, &Outcome::Suspended, 1, at), plain);
    }
}
