//! Patterns as IAM matches them, which guardrails use too: which of two contains the other. A doubt counts as no.

/// The usual spelling of a pattern: `a**` is `a*`, and `a*?` is `a?*`. A text with a policy variable is kept.
pub(super) fn normal(pattern: &str) -> String {
    if has_variable(pattern) {
        return pattern.to_owned();
    }
    let mut normal = String::with_capacity(pattern.len());
    let mut star = false;
    for character in pattern.chars() {
        match character {
            '*' => star = true,
            '?' => normal.push('?'),
            other => {
                if std::mem::take(&mut star) {
                    normal.push('*');
                }
                normal.push(other);
            }
        }
    }
    if star {
        normal.push('*');
    }
    normal
}

/// True if the text contains a policy variable, as `${aws:username}` or `${*}`.
pub(super) fn has_variable(text: &str) -> bool {
    text.contains("${")
}

/// True if the text has a wildcard.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// True if every text that the second pattern matches is matched by the first.
pub fn contains(pattern: &str, other: &str) -> bool {
    pattern == other
        || has_wildcard(pattern)
            && !has_variable(pattern)
            && !has_variable(other)
            && contains_bytes(pattern.as_bytes(), other.as_bytes())
}

/// A wildcard of the other pattern is a character that only a wildcard matches; `?` is compared with ASCII only.
fn contains_bytes(pattern: &[u8], other: &[u8]) -> bool {
    let (mut at, mut in_other) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(&found) = other.get(in_other) {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, in_other));
                at += 1;
            }
            Some(&one) if one == found || one == b'?' && found != b'*' && found.is_ascii() => {
                at += 1;
                in_other += 1;
            }
            _ => {
                let Some((star, matched)) = last_star else { return false };
                last_star = Some((star, matched + 1));
                at = star + 1;
                in_other = matched + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}

/// The same for ARNs, each of the six parts by itself: a wildcard in one of them may, or may not, match beyond its colon.
pub(super) fn contains_arn(pattern: &str, other: &str) -> bool {
    if pattern == other || pattern == "*" {
        return true;
    }
    let (mut parts, mut others) = (pattern.splitn(6, ':'), other.splitn(6, ':'));
    has_wildcard(pattern)
        && (0..6).all(|_| match (parts.next(), others.next()) {
            (Some(part), Some(other)) => contains(part, other),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// True if the pattern matches the text, written in another way than the code under test.
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
            Some(('?', rest)) => !text.is_empty() && matches(rest, &text[1..]),
            Some((one, rest)) => text.first() == Some(one) && matches(rest, &text[1..]),
        }
    }

    fn is_match(pattern: &str, text: &str) -> bool {
        matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_pattern_contains_what_it_matches(pattern in "[ab*?]{0,6}", text in "[ab]{0,5}") {
            prop_assert_eq!(contains(&pattern, &text), is_match(&pattern, &text));
        }

        #[test]
        fn a_pattern_matches_everything_that_a_contained_one_matches(
            pattern in "[abé*?]{0,5}", other in "[abé*?]{0,5}", text in "[abcé]{0,6}",
        ) {
            if contains(&pattern, &other) && is_match(&other, &text) {
                prop_assert!(is_match(&pattern, &text), "{pattern} {other} {text}");
            }
        }

        #[test]
        fn the_usual_spelling_matches_the_same(pattern in "[a*?]{0,6}", text in "[ab]{0,6}") {
            prop_assert_eq!(is_match(&pattern, &text), is_match(&normal(&pattern), &text));
        }
    }

    #[test]
    fn a_log_group_is_within_what_a_guardrail_allows() {
        for (allowed, group, expected) in [
            ("/aws/rds/*", "/aws/rds/cluster/a", true),
            ("/aws/rds/*", "/aws/rds/*", true),
            ("*", "/aws/rds/*", true),
            ("/aws/rds/cluster/a*", "/aws/rds/cluster/a*/audit", true),
            ("/a/b", "/a/b", true),
            ("/*/a/*", "/x/a/y", true),
            ("/aws/rds/cluster/*", "/aws/rds/*", false),
            ("/aws/rds/*", "/aws/*", false),
            ("/aws/*", "*", false),
            ("/a", "/a/b", false),
            ("/a/b", "/a", false),
        ] {
            assert_eq!(contains(allowed, group), expected, "{group} in {allowed}");
        }
    }

    #[test]
    fn arns_are_compared_part_by_part() {
        let all = "arn:aws:rds:*:123456789012:*";
        for (one, other, expected) in [
            (all, "arn:aws:rds:eu-west-1:123456789012:cluster:a", true),
            (all, "arn:aws:rds:*:123456789012:cluster:*", true),
            ("*", all, true),
            ("arn:aws:rds:*", all, false),
            ("arn:aws:rds:*:1*", all, false),
            ("arn:aws:rds:eu*:123456789012:*", "arn:aws:rds:eu*:123456789012:x", true),
            (all, "arn:aws:rds:eu-west-1:*:x", false),
            (all, "arn:aws:rds:eu-west-1:123456789012:${aws:username}", false),
        ] {
            assert_eq!(contains_arn(one, other), expected, "{one} {other}");
        }
    }
}
