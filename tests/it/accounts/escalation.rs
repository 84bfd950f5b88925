//! Three accounts and two teams, one of them hostile: every attempt of a team with an editor's rights in its own namespace is
//! refused, and nothing is written to AWS.
//!
//! `prod` is open to the good team only; `shared` is open to both and has no guardrails for names, so that ownership alone
//! protects; `sandbox` is open to the hostile team, with every guardrail. The operator's own account is open to no team.

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Tags};
use aurora_test_support::wait::wait_for;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::objects::{merge, of_account};
use crate::fixture::{ACCOUNT, Fixture, LIMIT, PATH, RDS_TRUST};

const PROD: &str = "111111111111";
const SHARED: &str = "222222222222";
const SANDBOX: &str = "333333333333";

const LOGS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}"#;

struct Scene {
    fixture: Fixture<'static>,
    good: String,
    hostile: String,
    /// A client with the hostile team's token.
    attacker: Client,
    prod: String,
    shared: String,
    sandbox: String,
}

async fn scene() -> Result<Scene> {
    let fixture = Fixture::with(&["--require-account-ref=true"]).namespaces(2).start().await?;
    let (good, hostile) = (fixture.namespaces[0].clone(), fixture.namespaces[1].clone());
    let prod = fixture.account("prod", PROD, json!({})).await?;
    let both = json!({ "allowedNamespaces": { "names": [good, hostile] } });
    let shared = fixture.account("shared", SHARED, both).await?;
    let guarded = json!({
        "allowedNamespaces": { "names": [hostile] },
        "guardrails": {
            "iamPath": "/exports/", "requireNamespaceInName": true, "maxDeletionPolicy": "Retain",
            "permissionsBoundary": format!("arn:aws:iam::{SANDBOX}:policy/boundary"),
            "allowedRegions": ["eu-west-1"], "allowedLogGroups": ["/aws/rds/cluster/*"], "requireTrustProtection": true,
            "requiredTags": { "cost": "42" },
        },
    });
    let sandbox = fixture.account("sandbox", SANDBOX, guarded).await?;

    // What is in AWS before: an administrator's role, a role offered to the good team, a boundary.
    let world = fixture.aws.world();
    for (name, tags) in [("Admin", Tags::new()), ("Offered", fixture.consent("offered"))] {
        let (name, path, trust) = (name.into(), Some(PATH.into()), RDS_TRUST.into());
        let request = CreateRole { name, path, trust, tags, ..CreateRole::default() };
        world.account(SHARED).lock().create_role(&request)?;
    }
    let boundary = CreatePolicy { name: "boundary".into(), document: LOGS.into(), ..CreatePolicy::default() };
    world.account(SANDBOX).lock().create_policy(&boundary)?;
    for (name, account) in [("orders", &prod), ("billing", &shared)] {
        let spec = json!({ "accountRef": { "name": account }, "roleName": format!("{name}-role"), "policyName": format!("{name}-policy") });
        fixture.applied(name, spec).await?;
    }

    let rights = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: team, namespace: {hostile}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: team, namespace: {hostile}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: aurora-log-export-operator-editor}}\n\
         subjects: [{{kind: ServiceAccount, name: team, namespace: {hostile}}}]\n"
    );
    fixture.env.apply_yaml(&rights).await?;
    let kubeconfig = fixture.env.kubeconfig_for(&hostile, "team").await?;
    let attacker = fixture.env.client_for(&kubeconfig).await?;
    Ok(Scene { fixture, good, hostile, attacker, prod, shared, sandbox })
}

impl Scene {
    fn all(&self) -> Vec<Value> {
        [PROD, SHARED, SANDBOX, ACCOUNT].iter().map(|id| self.fixture.snapshot(id)).collect()
    }

    /// Applies an object with the hostile team's token.
    async fn attempt(&self, object: Value, subresource: Option<&str>) -> Result<DynamicObject, kube::Error> {
        let (group_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.attacker.clone(), namespace, &resource),
            None => Api::all_with(self.attacker.clone(), &resource),
        };
        let (name, params) = (text(&object["metadata"]["name"]), PatchParams::apply("attack").force());
        let patch = Patch::Apply(&object);
        match subresource {
            Some(_) => api.patch_status(&name, &params, &patch).await,
            None => api.patch(&name, &params, &patch).await,
        }
    }

    fn policy(&self, namespace: &str, name: &str, spec: Value) -> Value {
        json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                "metadata": { "name": name, "namespace": namespace }, "spec": spec })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_api_server_refuses_what_is_not_the_teams_business() -> Result<()> {
    let scene = scene().await?;
    let (good, hostile) = (scene.good.as_str(), scene.hostile.as_str());
    let own = json!({ "accountRef": { "name": scene.shared } });
    scene.attempt(scene.policy(hostile, "own", own), None).await.context("its own policy is its business")?;
    scene.fixture.ready(&format!("{hostile}/own")).await?;
    let (before, mark) = (scene.all(), scene.fixture.mark());

    let account = |name: &str| {
        json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount", "metadata": { "name": name },
                "spec": { "accountId": PROD, "allowedNamespaces": { "names": [hostile] } } })
    };
    let via = |account: &str, more: Value| {
        let mut spec = of_account(account);
        merge(&mut spec, more);
        spec
    };
    let mut forged = scene.policy(hostile, "own", Value::Null);
    forged["status"] =
        json!({ "observedGeneration": 9, "accountId": PROD, "role": { "name": "orders-role", "arn": "x" } });
    let team_binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "more", "namespace": hostile },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "aurora-log-export-operator-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "team", "namespace": hostile }] });
    let attempts: Vec<(&str, Value, Option<&str>, u16)> = vec![
        ("an account of its own", account(&format!("mine-{hostile}")), None, 403),
        ("itself among those that prod admits", account(&scene.prod), None, 403),
        (
            "a label that an account selects",
            json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": hostile, "labels": { "team": "good" } } }),
            None,
            403,
        ),
        ("a policy in the other team's namespace", scene.policy(good, "mine", via(&scene.prod, json!({}))), None, 403),
        (
            "an edit of the other team's policy",
            scene.policy(good, "orders", via(&scene.prod, json!({ "suspend": true }))),
            None,
            403,
        ),
        ("a status that claims the other team's role", forged, Some("status"), 403),
        ("more rights than an editor's", team_binding, None, 403),
        (
            "another account for an object that has one",
            scene.policy(hostile, "own", via(&scene.prod, json!({}))),
            None,
            422,
        ),
        ("no account for an object that has one", scene.policy(hostile, "own", json!({})), None, 422),
        (
            "another role for an object that has one",
            scene.policy(hostile, "own", via(&scene.shared, json!({ "roleName": "Admin" }))),
            None,
            422,
        ),
        (
            "ownership by tag",
            scene.policy(
                hostile,
                "tags",
                via(&scene.shared, json!({ "tags": { "auroralogexport.dev/owner": "a/b" } })),
            ),
            None,
            422,
        ),
        (
            "ownership by tag in other case",
            scene.policy(
                hostile,
                "tags",
                via(&scene.shared, json!({ "tags": { "AuroraLogExport.dev/Owner": "a/b" } })),
            ),
            None,
            422,
        ),
        (
            "a principal by way of a source ARN",
            scene.policy(
                hostile,
                "arn",
                via(&scene.shared, json!({ "trust": { "sourceArns": ["arn:aws:iam::1:role/x"] } })),
            ),
            None,
            422,
        ),
        (
            "a path of AWS's own roles",
            scene.policy(
                hostile,
                "service-path",
                via(&scene.shared, json!({ "rolePath": "/aws-service-role/rds.amazonaws.com/" })),
            ),
            None,
            422,
        ),
        (
            "a statement by way of a log stream",
            scene.policy(hostile, "stream", via(&scene.shared, json!({ "scope": { "logStreams": ["x\",\"*"] } }))),
            None,
            422,
        ),
    ];
    for (what, object, subresource, expected) in attempts {
        match scene.attempt(object, subresource).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, expected, "{what}: {}", status.message),
            other => anyhow::bail!("{what}: {other:?}"),
        }
    }
    for (what, resource) in [("external ids", "awsaccounts.auroralogexport.dev"), ("the operator's token", "secrets")] {
        let kubeconfig = scene.fixture.env.kubeconfig_for(hostile, "team").await?;
        let seen = scene.fixture.env.kubectl_with(&kubeconfig, &["get", resource, "-A"], None).await;
        let error = seen.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains("forbidden"), "{what}: {error}");
    }
    // Whether a new name is free is known to IAM only: a create that it refuses is not counted.
    let writes: Vec<_> = scene.fixture.writes(mark).into_iter().filter(|call| call.executed).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(scene.all(), before);
    Ok(())
}

#[tokio::test]
async fn the_operator_refuses_what_the_api_server_lets_in() -> Result<()> {
    let scene = scene().await?;
    let hostile = scene.hostile.as_str();
    let good_owner = format!("{}/billing", scene.good);
    let (before, mark) = (scene.all(), scene.fixture.mark());
    let (shared, sandbox) = (&scene.shared, &scene.sandbox);
    let fits = json!({ "regions": ["eu-west-1"], "logGroups": ["/aws/rds/cluster/*"] });
    let attempts: Vec<(&str, Option<&String>, Value, &str, &str)> = vec![
        ("prod", Some(&scene.prod), json!({}), "NotPermitted", "allowedNamespaces"),
        (
            "prod-observed",
            Some(&scene.prod),
            json!({ "managementPolicy": "Observe" }),
            "NotPermitted",
            "allowedNamespaces",
        ),
        ("hub", None, json!({}), "NotPermitted", "--require-account-ref"),
        ("admin", Some(shared), json!({ "roleName": "Admin" }), "Conflict", "Admin"),
        ("admin-case", Some(shared), json!({ "roleName": "aDMIN" }), "Conflict", "aDMIN"),
        ("admin-path", Some(shared), json!({ "roleName": "Admin", "rolePath": "/other/" }), "Conflict", "Admin"),
        (
            "admin-seen",
            Some(shared),
            json!({ "roleName": "Admin", "managementPolicy": "Observe" }),
            "Conflict",
            "Admin",
        ),
        (
            "admin-adopted",
            Some(shared),
            json!({ "roleName": "Admin", "adoptionPolicy": "Always" }),
            "NotPermitted",
            "allowAdoption",
        ),
        ("admin-tagged", Some(shared), json!({ "roleName": "Admin", "adoptionPolicy": "Tagged" }), "Conflict", "Admin"),
        ("offered", Some(shared), json!({ "roleName": "Offered", "adoptionPolicy": "Tagged" }), "Conflict", "Offered"),
        ("role", Some(shared), json!({ "roleName": "billing-role" }), "Conflict", &good_owner),
        ("role-case", Some(shared), json!({ "roleName": "Billing-Role" }), "Conflict", "Billing-Role"),
        (
            "role-tagged",
            Some(shared),
            json!({ "roleName": "billing-role", "adoptionPolicy": "Tagged" }),
            "Conflict",
            &good_owner,
        ),
        ("policy", Some(shared), json!({ "policyName": "billing-policy" }), "Conflict", &good_owner),
        ("full", Some(shared), json!({ "access": "FullAccess" }), "NotPermitted", "allowFullAccess"),
        ("path", Some(sandbox), json!({ "rolePath": "/" , "scope": fits }), "NotPermitted", "iamPath"),
        (
            "unbound",
            Some(sandbox),
            json!({ "permissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess", "scope": fits }),
            "NotPermitted",
            "permissionsBoundary",
        ),
        (
            "squat",
            Some(sandbox),
            json!({ "roleName": "somebody-else", "scope": fits }),
            "NotPermitted",
            "requireNamespaceInName",
        ),
        (
            "wide",
            Some(sandbox),
            json!({ "scope": { "regions": ["eu-west-1"], "logGroups": ["*"] } }),
            "NotPermitted",
            "allowedLogGroups",
        ),
        (
            "everywhere",
            Some(sandbox),
            json!({ "scope": { "logGroups": ["/aws/rds/cluster/*"] } }),
            "NotPermitted",
            "allowedRegions",
        ),
        (
            "confused",
            Some(sandbox),
            json!({ "trust": { "protection": "None" }, "scope": fits }),
            "NotPermitted",
            "requireTrustProtection",
        ),
        (
            "foreign-source",
            Some(sandbox),
            json!({ "trust": { "sourceArns": [format!("arn:aws:rds:*:{PROD}:*")] }, "scope": fits }),
            "InvalidSpec",
            "sourceArns",
        ),
        ("unpaid", Some(sandbox), json!({ "tags": { "cost": "0" }, "scope": fits }), "NotPermitted", "requiredTags"),
        (
            "trace",
            Some(sandbox),
            json!({ "deletionPolicy": "Delete", "scope": fits }),
            "NotPermitted",
            "maxDeletionPolicy",
        ),
    ];
    for (name, account, spec, ..) in &attempts {
        let mut spec = spec.clone();
        if let Some(account) = account {
            spec["accountRef"] = json!({ "name": account });
        }
        scene
            .attempt(scene.policy(hostile, name, spec), None)
            .await
            .with_context(|| format!("{name} is for the operator to refuse"))?;
    }
    for (name, _, _, reason, fragment) in &attempts {
        let message = scene.fixture.refusal(&format!("{hostile}/{name}"), reason).await?;
        assert!(message.contains(fragment), "{name}: {message}");
    }

    // With the finalizer set by hand, the operator handles these deletions as those of objects with AWS resources.
    let api = scene.fixture.api_in(hostile);
    for name in ["role-tagged", "policy", "offered", "prod"] {
        let mut object = scene.policy(hostile, name, Value::Null);
        object.as_object_mut().context("an object")?.remove("spec");
        object["metadata"]["finalizers"] = json!(["auroralogexport.dev/cleanup"]);
        let attacker = PatchParams::apply("attack-finalizer");
        api.patch(name, &attacker, &Patch::Apply(&object)).await?;
        api.delete(name, &Default::default()).await?;
    }
    wait_for("the deletions to end", LIMIT, async || {
        let left: Vec<_> = api
            .list(&Default::default())
            .await?
            .items
            .into_iter()
            .filter_map(|it| it.metadata.deletion_timestamp.and(it.metadata.name))
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
    .with_context(|| scene.fixture.log())?;

    // Whether a new name is free is known to IAM only: a create that it refuses is not counted.
    let writes: Vec<_> = scene.fixture.writes(mark).into_iter().filter(|call| call.executed).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(scene.all(), before);
    // The good team is not affected.
    for name in ["orders", "billing"] {
        scene.fixture.ready(name).await?;
    }
    Ok(())
}
