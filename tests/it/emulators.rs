//! The emulators of AWS. In every account of a test, others have policies and roles too; a test fails at its end if one of
//! them has changed.

use anyhow::{Context, Result, ensure};
use aurora_test_support::aws_query::{QueryClient, Service};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::moto::{ACCESS_KEY, ACCOUNT};
use aurora_test_support::operator::OperatorOptions;
use tokio::sync::OnceCell;

use crate::fixture::{Fixture, OTHER_DOCUMENT, OTHER_TRUST, READ_ONLY};

/// An IAM model of the test's own, with the usual key for this account. Dropping it fails the test if a bystander was
/// changed.
pub(crate) fn aws(account: &str) -> Result<Server> {
    aws_in("aws", account)
}

/// The same with accounts in this partition.
pub(crate) fn aws_in(partition: &'static str, account: &str) -> Result<Server> {
    let server = Server::start(ServerOptions { partition, bystanders: true, ..ServerOptions::default() })?;
    server.world().add_key(ACCESS_KEY, account);
    Ok(server)
}

impl Fixture<'_> {
    /// Starts the operator with moto as its AWS.
    pub(crate) async fn start_operator_on_moto(&mut self) -> Result<()> {
        let options = OperatorOptions { aws_endpoint: None, ..self.own_options() };
        self.start_operator_with(options).await
    }
}

const NAME: &str = "Bystander-of-nobody";
const LATER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;

/// Policies and roles of others in the account of the shared moto.
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
        let pair = |name: &str, path: &str| format!("arn:aws:iam::{ACCOUNT}:policy{path}{name}");
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
                ("PolicyDocument", OTHER_DOCUMENT),
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
        ("PutRolePolicy", &[("RoleName", role), ("PolicyName", "inline"), ("PolicyDocument", OTHER_DOCUMENT)]),
    ];
    for (action, parameters) in calls {
        aws.call(Service::Iam, action, parameters).await.with_context(|| format!("{action} of {role}"))?;
    }
    let arn = format!("arn:aws:iam::{ACCOUNT}:policy{path}{policy}");
    aws.call(Service::Iam, "AttachRolePolicy", &[("RoleName", role), ("PolicyArn", &arn)]).await?;
    let version = [("PolicyArn", arn.as_str()), ("PolicyDocument", LATER_DOCUMENT), ("SetAsDefault", "false")];
    aws.call(Service::Iam, "CreatePolicyVersion", &version).await?;
    Ok(())
}

/// Everything that IAM returns about both.
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
