use super::*;
use crate::api::policy::TrustProtection;
use crate::model::documents::permissions::{PermissionScope, document};
use crate::model::names::{AccountId, ClusterName, IamPath, Partition};
use crate::model::settings::Cluster;
use crate::pipeline::port::{LastUse, Policy, Role};

fn partition() -> Partition {
    Partition::parse("aws").unwrap()
}

fn account() -> AccountFacts {
    AccountFacts { id: AccountId::parse("123456789012").unwrap(), partition: partition(), binding: None }
}

fn settings() -> Settings {
    Settings {
        allow_adopt_existing: false,
        ..Settings::lenient(
            Cluster { name: ClusterName::parse("prod").unwrap(), uid: "uid".into(), previous_uids: Vec::new() },
            IamPath::parse("/aurora-log-export/").unwrap(),
        )
    }
}

const PLAIN_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const POLICY: &str = "arn:aws:iam::123456789012:policy/team/exports";

fn role(attached: &[&str]) -> FoundRole {
    FoundRole {
        name: "AuroraExports".into(),
        path: "/".into(),
        role: Role {
            arn: "arn:aws:iam::123456789012:role/AuroraExports".into(),
            id: "AROA1".into(),
            description: String::new(),
            trust: PLAIN_TRUST.into(),
            boundary: None,
            tags: Tags::new(),
            last_use: LastUse::NotTold,
        },
        attached: attached.iter().map(|arn| (*arn).to_owned()).collect(),
        inline: Vec::new(),
        instance_profiles: Vec::new(),
    }
}

fn policy(text: &str) -> FoundPolicy {
    FoundPolicy {
        policy: Policy {
            arn: POLICY.into(),
            id: "ANPA1".into(),
            description: String::new(),
            default_version: "v1".into(),
            tags: Tags::new(),
        },
        document: text.into(),
        users: PolicyUsers { roles: vec!["AuroraExports".into()], ..PolicyUsers::default() },
    }
}

fn guide() -> String {
    document(&PermissionScope::default(), &partition()).to_json()
}

fn verdict(role: FoundRole, policy: FoundPolicy) -> Result<Manifest, String> {
    let choices = Choices { namespace: "shop".into(), observe: false, account_ref: None };
    let policies = BTreeMap::from([(POLICY.to_owned(), policy)]);
    let mut import = derive(&[role], &policies, &choices, &settings(), &account());
    match import.verdicts.remove("role AuroraExports").unwrap() {
        Verdict::Imported(manifest) => Ok(*manifest),
        Verdict::Left(why) => Err(why),
    }
}

#[test]
fn the_guides_policy_needs_no_scope() {
    let manifest = verdict(role(&[POLICY]), policy(&guide())).unwrap();
    assert_eq!(manifest.owner, Owner::new("shop", "auroraexports"));
    assert_eq!(manifest.spec.scope, None);
    assert_eq!(manifest.spec.policy_path.as_deref(), Some("/team/"));
    assert_eq!(manifest.spec.description.as_deref(), Some(""));
    assert_eq!(manifest.spec.trust.unwrap().protection, Some(TrustProtection::None));
    assert_eq!(manifest.consent, "prod/shop/auroraexports");
}

#[test]
fn every_scope_is_read_back_from_its_document() {
    let texts = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    for (regions, groups, streams, limited) in [
        (&["*"][..], &["/aws/rds/*"][..], &["*"][..], true),
        (&["eu-central-1", "eu-west-1"], &["/aws/rds/cluster/a/*", "/aws/rds/cluster/b/*"], &["*"], false),
        (&["us-east-1"], &["/aws/rds/cluster/a/audit"], &["x", "y*"], true),
    ] {
        let scope = PermissionScope {
            regions: texts(regions),
            account_ids: texts(&["123456789012"]),
            log_groups: texts(groups),
            log_streams: texts(streams),
            creation_limited_to_groups: limited,
        };
        let meaning = document(&scope, &partition()).meaning();
        let found = scope_of(&meaning, &partition()).unwrap();
        assert_eq!(found.log_groups.unwrap_or(texts(&["/aws/rds/*"])), scope.log_groups);
        assert_eq!(found.log_streams.unwrap_or(texts(&["*"])), scope.log_streams);
        assert_eq!(found.group_creation.is_some(), limited);
    }
}

#[test]
fn what_the_api_cannot_express_is_not_imported_and_the_reason_is_given() {
    let shared = |mut policy: FoundPolicy| {
        policy.users.roles.push("Other".into());
        policy
    };
    let with = |change: fn(&mut FoundRole)| {
        let mut role = role(&[POLICY]);
        change(&mut role);
        role
    };
    let more = guide().replace("\"logs:CreateLogGroup\"", "[\"logs:CreateLogGroup\",\"s3:GetObject\"]");
    let uneven = guide().replacen("log-group:/aws/rds/*\"", "log-group:/other/*\"", 1);
    for (role, policy, reason) in [
        (role(&[POLICY]), policy(&more), "other actions (s3:getobject)"),
        (role(&[POLICY]), policy(&uneven), "spec.scope cannot express"),
        (role(&[POLICY]), shared(policy(&guide())), "shares the policy"),
        (role(&[]), policy(&guide()), "serves another purpose"),
        (role(&[POLICY, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"]), policy(&guide()), "has both"),
        (
            with(|role| {
                role.role.trust =
                    role.role.trust.replace("\"rds.amazonaws.com\"", "[\"rds.amazonaws.com\",\"ec2.amazonaws.com\"]");
            }),
            policy(&guide()),
            "trusts principals other than RDS (Service:ec2.amazonaws.com)",
        ),
        (with(|role| role.role.trust = role.role.trust.replace("2012", "2030")), policy(&guide()), "cannot express"),
        (
            with(|role| {
                role.role.tags = [(TAG_MANAGED_BY, "x"), (TAG_OWNER, "a/b")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into();
            }),
            policy(&guide()),
            "already belongs to a/b",
        ),
        (
            with(|role| role.role.tags = (0..47).map(|i| (format!("k{i}"), String::new())).collect()),
            policy(&guide()),
            "has 47 tags",
        ),
    ] {
        let why = verdict(role, policy).unwrap_err();
        assert!(why.contains(reason), "{reason}: {why}");
    }
}

#[test]
fn tags_on_both_are_kept_and_tags_on_one_are_left_alone() {
    let tags = |pairs: &[(&str, &str)]| -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let mut role = role(&[POLICY]);
    role.role.tags = tags(&[("team", "a"), ("only", "role"), ("aws:x", "y"), ("stage", "prod")]);
    let mut policy = policy(&guide());
    policy.policy.tags = tags(&[("team", "a"), ("stage", "test")]);
    let manifest = verdict(role, policy).unwrap();
    assert_eq!(manifest.spec.tags, Some(tags(&[("team", "a")])));
}

#[test]
fn object_names_are_dns_names_and_unique() {
    let mut taken = BTreeSet::new();
    for (role, name) in [
        ("Aurora_Exports", "aurora-exports"),
        ("aurora+exports", "aurora-exports-2"),
        ("a.-b", "a-b"),
        ("_", "imported"),
    ] {
        assert_eq!(object_name(role, &mut taken), name);
    }
}
