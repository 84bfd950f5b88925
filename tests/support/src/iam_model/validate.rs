//! The service model's limits on names, paths, descriptions, tags and sizes.

use super::error::ApiError;
use super::types::Tags;
use std::fmt::Display;

fn broken(value: impl Display, field: &str, constraint: impl Display) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    ))
}

/// A length constraint, with the message of the service model.
fn length(value: &str, field: &str, least: usize, most: usize) -> Result<(), ApiError> {
    let length = value.chars().count();
    if length < least {
        return Err(broken(value, field, format_args!("Member must have length greater than or equal to {least}")));
    }
    if length > most {
        return Err(broken(value, field, format_args!("Member must have length less than or equal to {most}")));
    }
    Ok(())
}

/// `[\w+=,.@-]+` of at most `most` characters.
pub(super) fn name(value: &str, field: &str, most: usize) -> Result<(), ApiError> {
    length(value, field, 1, most)?;
    if value.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The specified value for {field} is invalid. It must contain only alphanumeric characters and/or the \
         following: +=,.@_-"
    )))
}

/// `/` or `/x/…/` of at most 512 characters; none means `/`.
pub(super) fn path(value: Option<&str>) -> Result<String, ApiError> {
    let value = value.unwrap_or("/");
    length(value, "path", 1, 512)?;
    let segment_ok = |segment: &str| {
        !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || ".,+@=_-".contains(c))
    };
    let inner = value.strip_prefix('/').and_then(|rest| match rest {
        "" => Some(""),
        rest => rest.strip_suffix('/'),
    });
    match inner {
        Some("") if value == "/" => Ok(value.to_owned()),
        Some(inner) if inner.split('/').all(segment_ok) => Ok(value.to_owned()),
        _ => Err(ApiError::validation(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric \
             characters and/or / characters.",
        )),
    }
}

/// A role's description: 1,000 characters of Latin-1 without most control characters.
pub(super) fn role_description(value: Option<&str>) -> Result<(), ApiError> {
    let Some(value) = value else { return Ok(()) };
    length(value, "description", 0, 1000)?;
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}');
    if value.chars().all(allowed) {
        return Ok(());
    }
    Err(broken(
        value,
        "description",
        r"Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
    ))
}

/// A policy's description: 1,000 characters.
pub(super) fn policy_description(value: Option<&str>) -> Result<(), ApiError> {
    value.map_or(Ok(()), |value| length(value, "description", 0, 1000))
}

/// `MaxSessionDuration`; none means an hour.
pub(super) fn max_session(value: Option<u32>) -> Result<u32, ApiError> {
    let value = value.unwrap_or(3600);
    if (3600..=43_200).contains(&value) {
        return Ok(value);
    }
    Err(broken(value, "maxSessionDuration", "Member must have value between 3600 and 43200"))
}

/// A document as sent: 1–131,072 characters of Latin-1.
pub(super) fn document(text: &str) -> Result<(), ApiError> {
    length(text, "policyDocument", 1, 131_072)?;
    if text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
        return Ok(());
    }
    Err(ApiError::validation(
        r"The specified value for policyDocument is invalid. It must satisfy the pattern [\u0009\u000A\u000D\u0020-\u00FF]+",
    ))
}

/// Checks a size quota, which counts characters without white space.
pub(super) fn document_size(text: &str, quota: usize, quota_name: &str) -> Result<(), ApiError> {
    if counted(text) > quota {
        return Err(ApiError::limit_exceeded(format!("Cannot exceed quota for {quota_name}: {quota}")));
    }
    Ok(())
}

/// The number of characters for a size quota.
pub(super) fn counted(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Checks the tags of one request. Role tag keys are case insensitive, so two that differ only by case are duplicates.
pub(super) fn tags(tags: &Tags, ignore_case: bool) -> Result<(), ApiError> {
    if tags.len() > 50 {
        return Err(broken("[tags]", "tags", "Member must have length less than or equal to 50"));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        let member = format!("tags.{}.member", index + 1);
        tag_key(key, &format!("{member}.key"))?;
        length(value, &format!("{member}.value"), 0, 256)?;
        if !value.chars().all(tag_char) {
            return Err(broken(value, &format!("{member}.value"), TAG_VALUE_PATTERN));
        }
        if ignore_case && tags.keys().any(|other| other != key && same_key(other, key)) {
            return Err(ApiError::invalid_input(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
    }
    Ok(())
}

/// Checks keys to remove: at most 50, each a valid key.
pub(super) fn tag_keys(keys: &[String]) -> Result<(), ApiError> {
    if keys.len() > 50 {
        return Err(broken("[tagKeys]", "tagKeys", "Member must have length less than or equal to 50"));
    }
    keys.iter().try_for_each(|key| tag_key(key, "tagKeys"))
}

const TAG_KEY_PATTERN: &str = r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+";
const TAG_VALUE_PATTERN: &str = r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*";

fn tag_key(key: &str, field: &str) -> Result<(), ApiError> {
    length(key, field, 1, 128)?;
    if !key.chars().all(tag_char) {
        return Err(broken(key, field, TAG_KEY_PATTERN));
    }
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(ApiError::invalid_input(format!("Tag key '{key}' is invalid: the prefix aws: is reserved.")));
    }
    Ok(())
}

/// `\p{L}\p{Z}\p{N}_.:/=+\-@`, as close as the standard library allows.
fn tag_char(c: char) -> bool {
    let separator = c.is_whitespace() && !c.is_control();
    c.is_alphabetic() || c.is_numeric() || separator || "_.:/=+-@".contains(c)
}

/// True if two role tag keys are equal, ignoring case.
pub(super) fn same_key(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// `present` updated with `new`. If case is ignored, a key in another case is replaced.
pub(super) fn merged_tags(present: &Tags, new: &Tags, ignore_case: bool, quota: usize) -> Result<Tags, ApiError> {
    tags(new, ignore_case)?;
    let mut merged = present.clone();
    if ignore_case {
        merged.retain(|key, _| !new.keys().any(|new| same_key(new, key)));
    }
    merged.extend(new.iter().map(|(key, value)| (key.clone(), value.clone())));
    if merged.len() > quota {
        return Err(ApiError::limit_exceeded(format!("The number of tags has reached the maximum limit of {quota}.")));
    }
    Ok(merged)
}
