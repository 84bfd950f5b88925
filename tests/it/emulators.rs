//! AWS as the tests have it. In every account that a test or its operator sees, others have policies and roles too; a
//! test in whose course one of them is touched fails at its end, whatever else it is about.

use anyhow::{Context, Result, ensure};
use aurora_test_support::aws_query::{QueryClient, Service};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::{Defaults, Server, ServerOptions};
use tokio::sync::OnceCell;

/// A model of IAM and STS of the test's own. Dropping it fails the test if a bystander was touched.
pub(crate) fn aws() -> Result<Server> {
    aws_with(Defaults::default())
}

/// The same, with more said of its accounts.
pub(crate) fn aws_with(defaults: Defaults) -> Result<Server> {
    let defaults = Defaults { bystanders: true, ..defaults };
    Server::start(ServerOptions { defaults, ..ServerOptions::default() })
}

const NAME: &str = "Bystander-of-nobody";
const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
const LATER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

/// What others have in the account of the shared moto.
pub(crate) struct MotoBystanders {
    aws: QueryClient,
    before: Vec<(String, String)>,
    /// Role and policy.
    names: Vec<(String, String)>,
}

static SHARED: OnceCell<Vec<(String, String)>> = OnceCell::const_new();

impl MotoBystanders {
    /// Those that are there throughout the suite (planted by the first test that asks), and a pair with the names that
    /// an object of this test will have: moto, other than AWS, has room for the policy's under another path and for the
    /// role's in other case.
    pub(crate) async fn before(env: &Environment, name_of_ours: &str) -> Result<Self> {
        let aws = env.aws();
        let pair = |name: &str, path: &str| format!("arn:aws:iam::123456789012:policy{path}{name}");
        let shared = async || {
            plant(&aws, NAME, NAME, "/").await?;
            picture(&aws, NAME, &pair(NAME, "/")).await
        };
        let before = SHARED.get_or_try_init(shared).await?.clone();
        let role = name_of_ours.to_uppercase();
        plant(&aws, &role, name_of_ours, "/others/").await?;
        let names = vec![(NAME.to_owned(), pair(NAME, "/")), (role, pair(name_of_ours, "/others/"))];
        let mut bystanders = Self { aws, before, names };
        bystanders.before.extend(picture(&bystanders.aws, &bystanders.names[1].0, &bystanders.names[1].1).await?);
        Ok(bystanders)
    }

    /// Byte for byte.
    pub(crate) async fn untouched(&self) -> Result<()> {
        let mut now = Vec::new();
        for (role, policy) in &self.names {
            now.extend(picture(&self.aws, role, policy).await?);
        }
        ensure!(now.len() == self.before.len());
        for ((what, before), (_, now)) in self.before.iter().zip(&now) {
            ensure!(before == now, "{what} was {before}\nand is {now}");
        }
        Ok(())
    }
}

async fn plant(aws: &QueryClient, role: &str, policy: &str, path: &str) -> Result<()> {
    let calls: &[(&str, &[(&str, &str)])] = &[
        (
            "CreatePolicy",
            &[
                ("PolicyName", policy),
                ("Path", path),
                ("PolicyDocument", DOCUMENT),
                ("Description", "not the operator's"),
                ("Tags.member.1.Key", "team"),
                ("Tags.member.1.Value", "others"),
            ],
        ),
        (
            "CreateRole",
            &[
                ("RoleName", role),
                ("Path", path),
                ("AssumeRolePolicyDocument", OTHER_TRUST),
                ("Description", "not the operator's either"),
                ("Tags.member.1.Key", "team"),
                ("Tags.member.1.Value", "others"),
            ],
        ),
        ("AttachRolePolicy", &[("RoleName", role), ("PolicyArn", READ_ONLY)]),
        ("PutRolePolicy", &[("RoleName", role), ("PolicyName", "inline"), ("PolicyDocument", DOCUMENT)]),
    ];
    for (action, parameters) in calls {
        aws.call(Service::Iam, action, parameters).await.with_context(|| format!("{action} of {role}"))?;
    }
    let arn = format!("arn:aws:iam::123456789012:policy{path}{policy}");
    aws.call(Service::Iam, "AttachRolePolicy", &[("RoleName", role), ("PolicyArn", &arn)]).await?;
    let version = [("PolicyArn", arn.as_str()), ("PolicyDocument", LATER_DOCUMENT), ("SetAsDefault", "false")];
    aws.call(Service::Iam, "CreatePolicyVersion", &version).await?;
    Ok(())
}

/// All that IAM tells of both.
async fn picture(aws: &QueryClient, role: &str, policy: &str) -> Result<Vec<(String, String)>> {
    let (of_role, of_policy) = (("RoleName", role), ("PolicyArn", policy));
    let calls: &[(&str, &[(&str, &str)])] = &[
        ("GetRole", &[of_role]),
        ("ListRoleTags", &[of_role]),
        ("ListAttachedRolePolicies", &[of_role]),
        ("ListRolePolicies", &[of_role]),
        ("GetRolePolicy", &[of_role, ("PolicyName", "inline")]),
        ("GetPolicy", &[of_policy]),
        ("ListPolicyTags", &[of_policy]),
        ("ListPolicyVersions", &[of_policy]),
        ("GetPolicyVersion", &[of_policy, ("VersionId", "v1")]),
        ("GetPolicyVersion", &[of_policy, ("VersionId", "v2")]),
        ("ListEntitiesForPolicy", &[of_policy]),
    ];
    let mut picture = Vec::new();
    for (action, parameters) in calls {
        let answer = aws.call(Service::Iam, action, parameters).await.with_context(|| format!("{action} of {role}"))?;
        // Every answer has an id of its own.
        let told = answer.split("<ResponseMetadata>").next().unwrap_or_default().to_owned();
        picture.push((format!("{action} of {role}, {policy}"), told));
    }
    Ok(picture)
}
