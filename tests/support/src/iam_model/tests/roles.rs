use super::super::{CreateRole, PageRequest, UpdateRole};
use super::{Outcome, account, code, document, policy, role, tags, trust};

#[test]
fn roles_are_found_by_name_with_any_path() -> Outcome {
    let mut iam = account();
    let created = iam.create_role(&CreateRole { path: Some("/x/".into()), ..role("Role") })?;
    assert_eq!(created.arn, "arn:aws:iam::111122223333:role/x/Role");
    assert_eq!(iam.get_role("Role")?.arn, created.arn);
    assert_eq!(code(iam.create_role(&role("ROLE"))), "EntityAlreadyExists");
    assert_eq!(code(iam.get_role("ROLE")), "NoSuchEntity");
    iam.settings.lookup_ignores_case = true;
    assert_eq!(iam.get_role("ROLE")?.arn, created.arn);
    Ok(())
}

#[test]
fn role_names_sessions_and_descriptions_have_limits() {
    let mut iam = account();
    assert_eq!(code(iam.create_role(&role(&"n".repeat(65)))), "ValidationError");
    for seconds in [3599, 43_201] {
        let request = CreateRole { max_session_seconds: Some(seconds), ..role("r") };
        assert_eq!(code(iam.create_role(&request)), "ValidationError");
    }
    let cyrillic = CreateRole { description: Some("\u{416}".into()), ..role("r") };
    assert_eq!(code(iam.create_role(&cyrillic)), "ValidationError");
    let latin = CreateRole { description: Some("\u{e9}".into()), ..role("r") };
    assert_eq!(code(iam.create_role(&latin)), "OK");
}

#[test]
fn a_role_that_is_in_use_is_not_deleted() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&role("r"))?;
    iam.attach_role_policy("r", &arn)?;
    assert_eq!(code(iam.delete_role("r")), "DeleteConflict");
    iam.detach_role_policy("r", &arn)?;
    iam.put_role_policy("r", "inline", &document())?;
    assert_eq!(code(iam.delete_role("r")), "DeleteConflict");
    iam.delete_role_policy("r", "inline")?;
    iam.create_instance_profile("ip", None)?;
    iam.add_role_to_instance_profile("ip", "r")?;
    assert_eq!(iam.list_instance_profiles_for_role("r", &PageRequest::default())?.items.len(), 1);
    assert_eq!(code(iam.delete_role("r")), "DeleteConflict");
    iam.remove_role_from_instance_profile("ip", "r")?;
    iam.delete_role("r")?;
    assert_eq!(code(iam.get_role("r")), "NoSuchEntity");
    Ok(())
}

#[test]
fn attaching_twice_succeeds_and_detaching_twice_fails() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&role("r"))?;
    iam.attach_role_policy("r", &arn)?;
    iam.attach_role_policy("r", &arn)?;
    assert_eq!(iam.get_policy(&arn)?.attachment_count, 1);
    let listed = iam.list_attached_role_policies("r", "/", &PageRequest::default())?.items;
    assert_eq!(listed.iter().map(|held| held.name.as_str()).collect::<Vec<_>>(), ["p"]);
    iam.detach_role_policy("r", &arn)?;
    assert_eq!(code(iam.detach_role_policy("r", &arn)), "NoSuchEntity");
    assert_eq!(code(iam.attach_role_policy("r", "arn:aws:iam::111122223333:policy/none")), "NoSuchEntity");
    Ok(())
}

#[test]
fn ten_attached_policies_unless_the_quota_was_raised() -> Outcome {
    let mut iam = account();
    iam.create_role(&role("r"))?;
    let mut arns = Vec::new();
    for number in 0..11 {
        arns.push(iam.create_policy(&policy(&format!("p{number}")))?.arn);
    }
    for arn in &arns[..10] {
        iam.attach_role_policy("r", arn)?;
    }
    assert_eq!(code(iam.attach_role_policy("r", &arns[10])), "LimitExceeded");
    assert_eq!(code(iam.attach_role_policy("r", &arns[0])), "OK");
    iam.quotas.attached_per_role = 20;
    assert_eq!(code(iam.attach_role_policy("r", &arns[10])), "OK");
    Ok(())
}

#[test]
fn update_role_keeps_the_description_and_resets_the_session() -> Outcome {
    let mut iam = account();
    iam.create_role(&CreateRole { description: Some("before".into()), max_session_seconds: Some(7200), ..role("r") })?;
    iam.update_role(&UpdateRole { name: "r".into(), max_session_seconds: Some(10_800), ..UpdateRole::default() })?;
    assert_eq!(iam.get_role("r")?.description.as_deref(), Some("before"));
    iam.update_role(&UpdateRole { name: "r".into(), description: Some("after".into()), ..UpdateRole::default() })?;
    let read = iam.get_role("r")?;
    assert_eq!((read.description.as_deref(), read.max_session_seconds), (Some("after"), 3600));
    iam.update_role(&UpdateRole { name: "r".into(), max_session_seconds: Some(7200), ..UpdateRole::default() })?;
    iam.update_role_description("r", "")?;
    let read = iam.get_role("r")?;
    assert_eq!((read.description, read.max_session_seconds), (None, 7200));
    Ok(())
}

#[test]
fn role_tag_keys_ignore_case_and_the_new_key_replaces() -> Outcome {
    let mut iam = account();
    iam.create_role(&CreateRole { tags: tags(&[("Team", "a")]), ..role("r") })?;
    iam.tag_role("r", &tags(&[("team", "b")]))?;
    assert_eq!(iam.get_role("r")?.tags, tags(&[("team", "b")]));
    assert_eq!(code(iam.tag_role("r", &tags(&[("a", "1"), ("A", "2")]))), "InvalidInput");
    iam.untag_role("r", &["TEAM".to_owned()])?;
    assert!(iam.get_role("r")?.tags.is_empty());
    Ok(())
}

#[test]
fn tags_have_limits_and_a_reserved_prefix() -> Outcome {
    let mut iam = account();
    iam.create_role(&role("r"))?;
    assert_eq!(code(iam.tag_role("r", &tags(&[("AWS:x", "v")]))), "InvalidInput");
    assert_eq!(code(iam.tag_role("r", &tags(&[("", "v")]))), "ValidationError");
    assert_eq!(code(iam.tag_role("r", &tags(&[(&"k".repeat(129), "v")]))), "ValidationError");
    assert_eq!(code(iam.tag_role("r", &tags(&[("k", &"v".repeat(257))]))), "ValidationError");
    assert_eq!(code(iam.tag_role("r", &tags(&[("k*", "v")]))), "ValidationError");
    assert_eq!(code(iam.tag_role("r", &tags(&[("k", "a\tb")]))), "ValidationError");
    iam.tag_role("r", &tags(&[("\u{416} \u{e9}_.:/=+-@1", "")]))?;
    let fifty: super::Tags = (0..50).map(|number| (format!("k{number}"), String::new())).collect();
    assert_eq!(code(iam.tag_role("r", &fifty)), "LimitExceeded");
    let many: super::Tags = (0..51).map(|number| (format!("k{number}"), String::new())).collect();
    assert_eq!(code(iam.tag_role("r", &many)), "ValidationError");
    assert_eq!(iam.get_role("r")?.tags.len(), 1);
    Ok(())
}

#[test]
fn boundaries_are_set_changed_and_removed() -> Outcome {
    let mut iam = account();
    let (one, two) = (iam.create_policy(&policy("one"))?.arn, iam.create_policy(&policy("two"))?.arn);
    let missing = "arn:aws:iam::111122223333:policy/missing";
    let unbounded = CreateRole { boundary: Some(missing.into()), ..role("r") };
    assert_eq!(code(iam.create_role(&unbounded)), "NoSuchEntity");
    iam.create_role(&CreateRole { boundary: Some(one.clone()), ..role("r") })?;
    assert_eq!(code(iam.put_role_permissions_boundary("r", missing)), "NoSuchEntity");
    iam.put_role_permissions_boundary("r", &two)?;
    assert_eq!((iam.get_policy(&one)?.boundary_count, iam.get_policy(&two)?.boundary_count), (0, 1));
    iam.delete_role_permissions_boundary("r")?;
    assert_eq!(iam.get_role("r")?.boundary, None);
    assert_eq!(code(iam.delete_role_permissions_boundary("r")), "NoSuchEntity");
    Ok(())
}

#[test]
fn a_deleted_role_releases_its_boundary() -> Outcome {
    let mut iam = account();
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&CreateRole { boundary: Some(arn.clone()), ..role("r") })?;
    iam.delete_role("r")?;
    assert_eq!(code(iam.delete_policy(&arn)), "OK");
    Ok(())
}

#[test]
fn only_aws_changes_service_linked_roles() -> Outcome {
    let mut iam = account();
    let planted = iam.plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    assert_eq!(planted.path, "/aws-service-role/rds.amazonaws.com/");
    assert_eq!(iam.get_role("AWSServiceRoleForRDS")?.arn, planted.arn);
    assert_eq!(code(iam.update_assume_role_policy("AWSServiceRoleForRDS", &trust())), "UnmodifiableEntity");
    assert_eq!(code(iam.tag_role("AWSServiceRoleForRDS", &tags(&[("k", "v")]))), "UnmodifiableEntity");
    assert_eq!(code(iam.delete_role("AWSServiceRoleForRDS")), "UnmodifiableEntity");
    let reserved = CreateRole { path: Some("/aws-service-role/rds.amazonaws.com/".into()), ..role("r") };
    assert_eq!(code(iam.create_role(&reserved)), "InvalidInput");
    Ok(())
}

#[test]
fn inline_policies_share_a_size_quota() -> Outcome {
    let mut iam = account();
    iam.create_role(&role("r"))?;
    iam.quotas.inline_size = document().len() + 10;
    iam.put_role_policy("r", "a", &document())?;
    iam.put_role_policy("r", "a", &document())?;
    assert_eq!(code(iam.put_role_policy("r", "b", &document())), "LimitExceeded");
    assert_eq!(iam.list_role_policies("r", &PageRequest::default())?.items, ["a"]);
    assert_eq!(iam.get_role_policy("r", "a")?.document.as_str(), document());
    assert_eq!(code(iam.get_role_policy("r", "b")), "NoSuchEntity");
    Ok(())
}

#[test]
fn a_new_role_is_not_visible_at_once_but_exists() -> Outcome {
    let mut iam = account();
    iam.settings.visibility_delay_ms = 5000;
    let arn = iam.create_policy(&policy("p"))?.arn;
    iam.create_role(&role("r"))?;
    assert_eq!(code(iam.get_role("r")), "NoSuchEntity");
    assert_eq!(code(iam.get_policy(&arn)), "NoSuchEntity");
    assert_eq!(code(iam.attach_role_policy("r", &arn)), "NoSuchEntity");
    assert_eq!(code(iam.create_role(&role("r"))), "EntityAlreadyExists");
    assert_eq!(code(iam.create_policy(&policy("p"))), "EntityAlreadyExists");
    assert!(iam.list_roles("/", &PageRequest::default())?.items.is_empty());
    assert_eq!(iam.counts(), (1, 1));
    iam.advance_ms(5000);
    assert_eq!(code(iam.attach_role_policy("r", &arn)), "OK");
    Ok(())
}
