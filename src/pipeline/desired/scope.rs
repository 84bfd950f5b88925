//! The scope and the source ARNs of a spec, checked item by item.

use super::problem::Problem;
use crate::api::policy::{GroupCreation, Scope};
use crate::model::documents::permissions::PermissionScope;
use crate::model::settings::AccountFacts;

/// How one list of the scope is checked.
struct ListRule {
    field: &'static str,
    max_items: usize,
    max_length: usize,
    accept: fn(&str) -> bool,
    expected: &'static str,
    /// `*` covers every other item.
    star_stands_alone: bool,
}

const REGIONS: ListRule = ListRule {
    field: "spec.scope.regions",
    max_items: 40,
    max_length: 32,
    accept: |item| item == "*" || is_region(item),
    expected: "an AWS Region such as eu-central-1, or *",
    star_stands_alone: true,
};

const ACCOUNT_IDS: ListRule = ListRule {
    field: "spec.scope.accountIds",
    max_items: 50,
    max_length: 12,
    accept: |item| item == "*" || (item.len() == 12 && item.bytes().all(|b| b.is_ascii_digit())),
    expected: "a 12-digit account id, or *",
    star_stands_alone: true,
};

const LOG_GROUPS: ListRule = ListRule {
    field: "spec.scope.logGroups",
    max_items: 50,
    max_length: 512,
    accept: |item| item.chars().all(|c| c.is_ascii_alphanumeric() || "_./#*-".contains(c)),
    expected: "a log group name of letters, digits and _./#*-",
    star_stands_alone: true,
};

const LOG_STREAMS: ListRule = ListRule {
    field: "spec.scope.logStreams",
    max_items: 20,
    max_length: 512,
    accept: |item| !item.chars().any(|c| ":\"${}".contains(c) || c.is_control()),
    expected: "a log stream name without : \" $ { } and control characters",
    star_stands_alone: true,
};

const SOURCE_ARNS: ListRule = ListRule {
    field: "spec.trust.sourceArns",
    max_items: 20,
    max_length: 512,
    accept: |_| true,
    expected: "an RDS ARN",
    star_stands_alone: false,
};

fn is_region(item: &str) -> bool {
    let mut parts = item.split('-');
    let area = parts.next().unwrap_or_default();
    let number = parts.next_back().unwrap_or_default();
    let middle: Vec<_> = parts.collect();
    area.len() >= 2
        && !middle.is_empty()
        && std::iter::once(area)
            .chain(middle)
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

impl ListRule {
    fn check(&self, items: &[String], problems: &mut Vec<Problem>) {
        let Self { field, max_items, max_length, accept, expected, star_stands_alone } = self;
        if items.is_empty() || items.len() > *max_items {
            problems.push(Problem::invalid(*field, format!("has {} items; 1 to {max_items} are allowed", items.len())));
        }
        for (index, item) in items.iter().enumerate() {
            let length = item.chars().count();
            if length == 0 || length > *max_length || !accept(item) {
                problems.push(Problem::invalid(
                    format!("{field}[{index}]"),
                    format!("{:?} is not {expected}", item.chars().take(64).collect::<String>()),
                ));
            }
            if items[..index].contains(item) {
                problems.push(Problem::invalid(format!("{field}[{index}]"), format!("{item:?} is listed twice")));
            }
        }
        if *star_stands_alone && items.len() > 1 && items.iter().any(|item| item == "*") {
            problems.push(Problem::invalid(*field, "* already covers everything: it must stand alone"));
        }
    }
}

/// The effective scope: an unset list has the guide's value.
pub(super) fn scope(spec: Option<&Scope>, problems: &mut Vec<Problem>) -> PermissionScope {
    let mut scope = PermissionScope::default();
    let Some(Scope { regions, account_ids, log_groups, log_streams, group_creation }) = spec else {
        return scope;
    };
    for (given, rule, target) in [
        (regions, REGIONS, &mut scope.regions),
        (account_ids, ACCOUNT_IDS, &mut scope.account_ids),
        (log_groups, LOG_GROUPS, &mut scope.log_groups),
        (log_streams, LOG_STREAMS, &mut scope.log_streams),
    ] {
        if let Some(items) = given {
            rule.check(items, problems);
            target.clone_from(items);
        }
    }
    scope.creation_limited_to_groups = group_creation.unwrap_or_default() == GroupCreation::LogGroups;
    scope
}

/// Checks that each item is an RDS ARN of the target account and partition.
///
/// Source: the RDS user guide's page on the confused deputy; wildcards such as `arn:aws:rds:*:123456789012:*` are
/// allowed there.
pub(super) fn check_source_arns(arns: &[String], account: &AccountFacts, problems: &mut Vec<Problem>) {
    SOURCE_ARNS.check(arns, problems);
    for (index, arn) in arns.iter().enumerate() {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let [scheme, partition, service, region, owner, resource] = parts[..] else {
            problems.push(Problem::invalid(
                format!("spec.trust.sourceArns[{index}]"),
                format!(
                    "{arn:?} is not an ARN of the form arn:{}:rds:<region>:{}:<resource>",
                    account.partition, account.id
                ),
            ));
            continue;
        };
        let safe = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?:._/-".contains(&b));
        let valid = scheme == "arn"
            && partition == account.partition.as_str()
            && service == "rds"
            && owner == account.id.as_str()
            && !region.is_empty()
            && !resource.is_empty()
            && safe(region)
            && safe(resource);
        if !valid {
            problems.push(Problem::invalid(
                format!("spec.trust.sourceArns[{index}]"),
                format!(
                    "{arn:?} must be an RDS ARN of this account: arn:{}:rds:<region>:{}:<resource>",
                    account.partition, account.id
                ),
            ));
        }
    }
}
