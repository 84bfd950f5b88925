//! Changes by hand are found all at once, and undone.

use std::collections::BTreeSet;

use aurora_log_export_operator::api::Field;
use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::pipeline::plan::{Part, Repair};
use aurora_test_support::iam_model::{ApiError, Iam};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::cases;
use super::strategies::edits;
use super::world::{BOUNDARIES, OTHER_DOCUMENT, OTHER_TRUST, Pass, World, all_versions, wanted};

/// What somebody does by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    NewVersion,
    OldVersion,
    PolicyTagChanged,
    PolicyTagRemoved,
    Trust,
    Description,
    Boundary,
    RoleTagChanged,
    RoleTagRemoved,
    Detached,
    OtherAttached,
    Inline,
    ForeignTags,
    PolicyGone,
    RoleGone,
}

use Edit::{
    Boundary, Description, Detached, ForeignTags, Inline, NewVersion, OldVersion, OtherAttached, PolicyGone,
    PolicyTagChanged, PolicyTagRemoved, RoleGone, RoleTagChanged, RoleTagRemoved, Trust,
};

pub(super) const EDITS: &[Edit] = &[
    NewVersion,
    OldVersion,
    PolicyTagChanged,
    PolicyTagRemoved,
    Trust,
    Description,
    Boundary,
    RoleTagChanged,
    RoleTagRemoved,
    Detached,
    OtherAttached,
    Inline,
    ForeignTags,
    PolicyGone,
    RoleGone,
];

pub(super) const OTHER_POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

pub(super) type Expected = BTreeSet<(Part, Field, Option<String>)>;

/// Does it, and says what must be found; what cannot be done in this state changes nothing.
#[allow(clippy::too_many_lines)] // one arm a kind of edit
pub(super) fn by_hand(world: &World, edit: Edit, expected: &mut Expected) -> Result<(), ApiError> {
    let desired = &world.desired;
    let identity = &desired.identity;
    let (role, arn) = (identity.role_name.as_str(), identity.policy_arn.as_str());
    let own_key = desired.tags.keys().find(|key| !key.starts_with("auroralogexport.dev/")).cloned();
    let mut guard = world.iam.0.lock();
    let iam: &mut Iam = &mut guard;
    let policy_exists = iam.get_policy(arn).is_ok();
    let found = match edit {
        NewVersion if policy_exists => {
            let versions = all_versions(iam, arn);
            if versions.len() == 5 {
                let oldest = versions.iter().rev().find(|version| !version.is_default);
                iam.delete_policy_version(arn, &oldest.map(|version| version.id.clone()).unwrap_or_default())?;
            }
            iam.create_policy_version(arn, OTHER_DOCUMENT, true)?;
            return Ok(());
        }
        OldVersion if policy_exists => {
            let versions = all_versions(iam, arn);
            let Some(old) = versions.iter().rev().find(|version| !version.is_default) else {
                return Ok(());
            };
            iam.set_default_policy_version(arn, &old.id)?;
            return Ok(());
        }
        PolicyTagChanged | PolicyTagRemoved if policy_exists => {
            let Some(key) = own_key else { return Ok(()) };
            if edit == PolicyTagRemoved {
                iam.untag_policy(arn, std::slice::from_ref(&key))?;
            } else {
                iam.tag_policy(arn, &[(key.clone(), "by hand".to_owned())].into())?;
            }
            (Part::Policy, Field::Tags, Some(key))
        }
        Trust => {
            iam.update_assume_role_policy(role, OTHER_TRUST)?;
            (Part::Role, Field::Trust, None)
        }
        Description => {
            iam.update_role_description(role, "somebody wrote quite another description here")?;
            (Part::Role, Field::Description, None)
        }
        Boundary => {
            if desired.boundary.is_some() {
                iam.delete_role_permissions_boundary(role)?;
            } else {
                iam.put_role_permissions_boundary(
                    role,
                    &format!("arn:aws:iam::123456789012:policy/{}", BOUNDARIES[0]),
                )?;
            }
            (Part::Role, Field::PermissionsBoundary, None)
        }
        RoleTagChanged | RoleTagRemoved => {
            let Some(key) = own_key else { return Ok(()) };
            if edit == RoleTagRemoved {
                iam.untag_role(role, std::slice::from_ref(&key))?;
            } else {
                iam.tag_role(role, &[(key.clone(), "by hand".to_owned())].into())?;
            }
            (Part::Role, Field::Tags, Some(key))
        }
        Detached => {
            iam.detach_role_policy(role, desired.attachment().as_str())?;
            (Part::Role, Field::Attachments, None)
        }
        OtherAttached => {
            iam.attach_role_policy(role, OTHER_POLICY)?;
            (Part::Role, Field::Attachments, Some(OTHER_POLICY.to_owned()))
        }
        Inline => {
            iam.put_role_policy(role, "byhand", OTHER_DOCUMENT)?;
            (Part::Role, Field::InlinePolicies, Some("byhand".to_owned()))
        }
        ForeignTags => {
            let tags = [("zz-others".to_owned(), "theirs".to_owned())].into();
            iam.tag_role(role, &tags)?;
            if policy_exists {
                iam.tag_policy(arn, &tags)?;
            }
            return Ok(());
        }
        PolicyGone if policy_exists => {
            iam.detach_role_policy(role, arn).unwrap_or_default();
            for version in all_versions(iam, arn) {
                if !version.is_default {
                    iam.delete_policy_version(arn, &version.id)?;
                }
            }
            iam.delete_policy(arn)?;
            expected.retain(|(part, _, _)| *part == Part::Role);
            expected.insert((Part::Role, Field::Attachments, None));
            (Part::Policy, Field::Existence, None)
        }
        RoleGone => {
            for arn in iam.attached_to(role) {
                iam.detach_role_policy(role, &arn)?;
            }
            iam.delete_role_policy(role, "byhand").unwrap_or_default();
            iam.delete_role(role)?;
            expected.retain(|(part, _, _)| *part == Part::Policy);
            expected.insert((Part::Role, Field::Attachments, None));
            (Part::Role, Field::Existence, None)
        }
        NewVersion | OldVersion | PolicyTagChanged | PolicyTagRemoved | PolicyGone => return Ok(()),
    };
    expected.insert(found);
    Ok(())
}

/// What must be found of the policy's versions: a version that says what is wanted only has to become the default again.
fn content(world: &World) -> Option<(Part, Field, Option<String>)> {
    let wanted = world.desired.policy.as_ref()?.document.meaning();
    let snapshot = world.snapshot();
    let policy = &snapshot["policies"][world.desired.identity.policy_name.as_str()];
    let number = |id: &str| id[1..].parse::<u64>().unwrap_or_default();
    let default = policy["defaultVersion"].as_str()?;
    let matching = policy["versions"]
        .as_object()?
        .iter()
        .filter(|(_, text)| Meaning::of(text.as_str().unwrap_or_default()) == wanted)
        .map(|(id, _)| number(id))
        .max();
    match matching {
        Some(matching) if matching == number(default) => None,
        Some(matching) if matching > number(default) => Some((Part::Policy, Field::DefaultVersion, None)),
        _ => Some((Part::Policy, Field::Document, None)),
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn all_changes_by_hand_are_found_at_once_and_undone(
        specs in edits(1..=3),
        edits in subsequence(EDITS, 1..=6),
        restarts in any::<bool>(),
    ) {
        let Some(mut world) = World::converged(specs.iter().filter_map(wanted), &[]) else { return Ok(()) };
        let foreign_before = world.snapshot()["policies"]["boundary-a"].clone();
        let standing = world.observe().ok().and_then(|observed| world.plan(&observed).ok()).unwrap_or_default().findings;
        let mut expected = Expected::new();
        for edit in &edits {
            by_hand(&world, *edit, &mut expected).map_err(|error| TestCaseError::fail(format!("{edit:?}: {error}")))?;
        }
        expected.extend(content(&world));
        if restarts {
            world.restart();
        }
        let observed = world.observe().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let plan = world.plan(&observed).map_err(|conflict| TestCaseError::fail(conflict.message()))?;
        let exclusive = world.desired.identity.attachments.exclusive;
        let new = plan.findings.iter().filter(|finding| !standing.contains(finding));
        let found: Expected = new
            .map(|finding| {
                let theirs = finding.expected == "(none)" && finding.field != Field::PermissionsBoundary;
                let attachment = matches!(finding.field, Field::Attachments | Field::InlinePolicies);
                let item = if theirs && attachment { Some(finding.actual.clone()) } else { finding.item.clone() };
                if theirs && attachment {
                    let repair = if exclusive { Repair::Done } else { Repair::LeftToOthers };
                    assert_eq!(finding.repair, repair, "{finding:?}");
                } else {
                    assert_eq!(finding.repair, Repair::Done, "{finding:?}");
                }
                (finding.part, finding.field, item)
            })
            .collect();
        prop_assert_eq!(found, expected, "{:?}", edits);
        let pass = world.pass();
        prop_assert!(matches!(pass, Pass::Changed(_) | Pass::InSync(_)), "{pass:?}");
        world.converge();
        prop_assert!(world.versions() <= 5);
        let snapshot = world.snapshot();
        prop_assert_eq!(&snapshot["policies"]["boundary-a"], &foreign_before);
        let role = &snapshot["roles"][world.desired.identity.role_name.as_str()];
        if edits.contains(&ForeignTags) && !edits.contains(&RoleGone) {
            prop_assert_eq!(&role["tags"]["zz-others"], "theirs", "tags of others stay");
        }
        if !edits.contains(&RoleGone) {
            let attached = role["attached"].as_array().is_some_and(|arns| arns.iter().any(|arn| arn == OTHER_POLICY));
            prop_assert_eq!(attached, edits.contains(&OtherAttached) && !exclusive);
            prop_assert_eq!(role["inline"]["byhand"].is_string(), edits.contains(&Inline) && !exclusive);
        }
    }
}
