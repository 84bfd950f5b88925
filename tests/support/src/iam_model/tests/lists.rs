use super::super::{CreateRole, DetailFilter, Iam, PageRequest, PolicyScope};
use super::{Outcome, account, code, document, policy, role, tags};
use std::collections::BTreeSet;

fn filled(count: usize) -> Result<Iam, super::ApiError> {
    let mut iam = account();
    for number in 0..count {
        iam.create_role(&CreateRole {
            description: Some("d".into()),
            tags: tags(&[("k", "v")]),
            ..role(&format!("Role-{number:03}"))
        })?;
        let arn = iam.create_policy(&policy(&format!("Policy-{number:03}")))?.arn;
        iam.attach_role_policy(&format!("Role-{number:03}"), &arn)?;
    }
    Ok(iam)
}

/// Names of every page and the number of pages.
fn sweep(iam: &mut Iam, filters: &[DetailFilter], max: Option<u32>) -> Result<(Vec<String>, usize), super::ApiError> {
    let (mut names, mut pages, mut marker) = (Vec::new(), 0, None);
    loop {
        let request = PageRequest { marker, max_items: max };
        let page = iam.get_account_authorization_details(filters, &request)?;
        pages += 1;
        names.extend(page.roles.into_iter().map(|detail| detail.role.name));
        names.extend(page.policies.into_iter().map(|detail| detail.policy.name));
        marker = page.marker;
        if marker.is_none() {
            return Ok((names, pages));
        }
    }
}

#[test]
fn a_sweep_lists_everything_once_with_any_page_size() -> Outcome {
    let mut iam = filled(25)?;
    let filters = [DetailFilter::Role, DetailFilter::LocalManagedPolicy];
    let (all, pages) = sweep(&mut iam, &filters, Some(1000))?;
    assert_eq!((all.len(), pages), (50, 1));
    for max in [1, 7, 25, 49, 50] {
        let (names, pages) = sweep(&mut iam, &filters, Some(max))?;
        assert_eq!(names, all);
        assert_eq!(pages, 50usize.div_ceil(usize::try_from(max).unwrap_or(1)));
    }
    iam.settings.page_cap = Some(10);
    assert_eq!(sweep(&mut iam, &filters, Some(1000))?.1, 5);
    Ok(())
}

#[test]
fn short_and_empty_pages_skip_nothing() -> Outcome {
    let mut iam = filled(25)?;
    iam.settings.short_page_probability = 1.0;
    iam.settings.page_cap = Some(5);
    let (names, pages) = sweep(&mut iam, &[], None)?;
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 50);
    assert_eq!(names.len(), 50);
    assert!(pages > 10, "only {pages} pages, as with full ones");
    Ok(())
}

#[test]
fn details_omit_what_aws_omits() -> Outcome {
    let mut iam = filled(1)?;
    iam.tag_policy("arn:aws:iam::111122223333:policy/Policy-000", &tags(&[("k", "v")]))?;
    iam.create_policy_version("arn:aws:iam::111122223333:policy/Policy-000", &document(), false)?;
    iam.put_role_policy("Role-000", "inline", &document())?;
    iam.attach_role_policy("Role-000", "arn:aws:iam::aws:policy/ReadOnlyAccess")?;
    let all = iam.get_account_authorization_details(&[], &PageRequest::default())?;
    let role = &all.roles[0];
    assert_eq!(role.role.description, None);
    assert_eq!(role.role.tags, tags(&[("k", "v")]));
    assert_eq!((role.attached.len(), role.inline.len()), (2, 1));
    assert!(all.policies[0].policy.tags.is_empty());
    assert_eq!(all.policies[0].versions.len(), 2);
    assert_eq!(all.policies[1].policy.name, "ReadOnlyAccess");
    let local = iam.get_account_authorization_details(&[DetailFilter::LocalManagedPolicy], &PageRequest::default())?;
    assert_eq!((local.roles.len(), local.policies.len()), (0, 1));
    Ok(())
}

#[test]
fn lists_page_with_markers() -> Outcome {
    let mut iam = filled(7)?;
    let mut names = Vec::new();
    let mut request = PageRequest::of(3);
    loop {
        let page = iam.list_roles("/", &request)?;
        assert!(page.items.iter().all(|role| role.tags.is_empty()));
        names.extend(page.items.into_iter().map(|role| role.name));
        if page.marker.is_none() {
            break;
        }
        request.marker = page.marker;
    }
    assert_eq!(names.len(), 7);
    let mut count = 0;
    let mut request = PageRequest::of(5);
    loop {
        let page = iam.list_policies(PolicyScope::All, false, None, "/", &request)?;
        count += page.items.len();
        if page.marker.is_none() {
            break;
        }
        request.marker = page.marker;
    }
    assert_eq!(count, 7 + 7, "the account's own and the model's AWS-managed ones");
    Ok(())
}

#[test]
fn invalid_page_requests_are_rejected() {
    let mut iam = account();
    assert_eq!(code(iam.list_roles("/", &PageRequest::of(0))), "ValidationError");
    assert_eq!(code(iam.list_roles("/", &PageRequest::of(1001))), "ValidationError");
    for marker in ["x", "m1", "mzz", ""] {
        let request = PageRequest::after(Some(marker.to_owned()));
        assert_eq!(code(iam.list_roles("/", &request)), "ValidationError", "{marker:?}");
    }
}

#[test]
fn a_deletion_between_pages_does_not_skip_others() -> Outcome {
    let mut iam = filled(6)?;
    let first = iam.list_roles("/", &PageRequest::of(3))?;
    let last_seen = first.items[2].name.clone();
    iam.detach_role_policy(&last_seen, "arn:aws:iam::111122223333:policy/Policy-002")?;
    iam.delete_role(&last_seen)?;
    let second = iam.list_roles("/", &PageRequest::after(first.marker))?;
    assert_eq!(
        second.items.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(),
        ["Role-003", "Role-004", "Role-005"]
    );
    Ok(())
}

#[test]
fn snapshots_differ_by_content_and_not_by_time() -> Outcome {
    let mut iam = filled(2)?;
    let before = iam.snapshot();
    iam.advance_ms(1_000_000);
    assert_eq!(before.to_string(), iam.snapshot().to_string());
    let arn = "arn:aws:iam::111122223333:policy/Policy-000";
    iam.detach_role_policy("Role-000", arn)?;
    iam.attach_role_policy("Role-000", arn)?;
    assert_eq!(before, iam.snapshot());
    iam.detach_role_policy("Role-000", arn)?;
    iam.delete_policy(arn)?;
    iam.create_policy(&policy("Policy-000"))?;
    iam.attach_role_policy("Role-000", arn)?;
    assert_ne!(before, iam.snapshot(), "a policy that was created again has another id");
    Ok(())
}

#[test]
fn the_summary_counts() -> Outcome {
    let iam = filled(3)?;
    let summary = iam.get_account_summary();
    assert_eq!((summary["Roles"], summary["Policies"], summary["VersionsPerPolicyQuota"]), (3, 3, 5));
    Ok(())
}
