//! The roles for users in `deploy/`, on the real API server: what each of them allows, and that other roles do not.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::objects::of_account;
use crate::fixture::{Fixture, LIMIT};

/// Creates a ServiceAccount with this role, and a kubeconfig with its token.
async fn person(fixture: &Fixture<'_>, namespace: &str, name: &str, binding: &str, role: &str) -> Result<PathBuf> {
    let unique = format!("{name}-{namespace}");
    let scope = if binding == "RoleBinding" { format!(", namespace: {namespace}") } else { String::new() };
    let yaml = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {binding}\nmetadata: {{name: {unique}{scope}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n"
    );
    fixture.env.apply_yaml(&yaml).await?;
    fixture.env.kubeconfig_for(namespace, name).await
}

/// Requests of each kind, as kubectl arguments and text for `-f -`.
fn requests(own: &str, other: &str, account: &str) -> Vec<(&'static str, Vec<String>, Option<String>)> {
    let policy = |namespace: &str| {
        json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                "metadata": { "name": "new", "namespace": namespace }, "spec": { "suspend": true } })
    };
    let new_account = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount",
                              "metadata": { "name": format!("new-{own}") }, "spec": { "accountId": "333333333333" } });
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let create = || words("create --dry-run=server -f -");
    let text = |object: Value| Some(object.to_string());
    vec![
        ("read own", words(&format!("get alep orders -n {own}")), None),
        ("watch own", words(&format!("get alep -n {own} -w --request-timeout=1s")), None),
        ("create own", create(), text(policy(own))),
        (
            "edit own",
            words(&format!(
                r#"patch alep orders -n {own} --dry-run=server --type=merge -p {{"spec":{{"suspend":true}}}}"#
            )),
            None,
        ),
        ("delete own", words(&format!("delete alep orders -n {own} --dry-run=server")), None),
        (
            "forge status",
            words(&format!(
                r#"patch alep orders -n {own} --subresource=status --dry-run=server --type=merge -p {{"status":{{"accountId":"333333333333"}}}}"#
            )),
            None,
        ),
        ("read others", words(&format!("get alep -n {other}")), None),
        ("create for others", create(), text(policy(other))),
        ("read accounts", words(&format!("get awsaccount {account}")), None),
        ("create accounts", create(), text(new_account)),
        (
            "open accounts",
            words(&format!(
                r#"patch awsaccount {account} --dry-run=server --type=merge -p {{"spec":{{"allowedNamespaces":{{"selector":{{}}}}}}}}"#
            )),
            None,
        ),
        ("delete accounts", words(&format!("delete awsaccount {account} --dry-run=server")), None),
        ("read secrets", words(&format!("get secrets -n {own}")), None),
        (
            "grant rights",
            words(&format!("create rolebinding x --clusterrole=cluster-admin --user=x -n {own} --dry-run=server")),
            None,
        ),
    ]
}

/// The requests that are allowed.
async fn let_in(fixture: &Fixture<'_>, kubeconfig: &std::path::Path, account: &str) -> Result<Vec<&'static str>> {
    let mut allowed = Vec::new();
    for (what, arguments, text) in requests(&fixture.namespaces[0], &fixture.namespaces[1], account) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match fixture.env.kubectl_with(kubeconfig, &arguments, text.as_deref()).await {
            Ok(_) => allowed.push(what),
            Err(error) => {
                let said = format!("{error:#}").to_lowercase();
                // A watch ends by its time limit, not by a refusal.
                if what == "watch own" && !said.contains("forbidden") {
                    allowed.push(what);
                } else {
                    ensure!(said.contains("forbidden"), "{what}: {said}");
                }
            }
        }
    }
    Ok(allowed)
}

#[tokio::test]
async fn admins_editors_and_viewers_may_do_what_the_docs_say_and_no_more() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let ns = fixture.namespace();
    let account = fixture.account("prod", "111111111111", json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    let reads = ["read own", "watch own"];
    let edits = [&reads[..], &["create own", "edit own", "delete own"]].concat();
    let rules =
        ["read others", "create for others", "read accounts", "create accounts", "open accounts", "delete accounts"];
    let cases = [
        ("viewer", "RoleBinding", reads.to_vec()),
        ("editor", "RoleBinding", edits.clone()),
        ("admin", "ClusterRoleBinding", [&edits[..], &rules].concat()),
    ];
    for (who, binding, expected) in cases {
        let role = format!("aurora-log-export-operator-{who}");
        let kubeconfig = person(&fixture, ns, who, binding, &role).await?;
        // The API server learns of a binding by a watch.
        wait_for(&format!("the rights of {who}"), LIMIT, async || {
            fixture.env.kubectl_with(&kubeconfig, &["get", "auroralogexportpolicies", "-n", ns], None).await
        })
        .await?;
        assert_eq!(let_in(&fixture, &kubeconfig, &account).await?, expected, "{who}");
    }
    Ok(())
}

#[tokio::test]
async fn the_built_in_roles_of_a_namespace_give_no_right_to_our_kinds() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let ns = fixture.namespace();
    fixture.apply("orders", json!({ "suspend": true })).await?;
    for role in ["view", "edit", "admin"] {
        let kubeconfig = person(&fixture, ns, role, "RoleBinding", role).await?;
        // Wait until the aggregated rules are there, as in any cluster.
        wait_for(&format!("the rights of {role}"), LIMIT, async || {
            fixture.env.kubectl_with(&kubeconfig, &["get", "configmaps", "-n", ns], None).await.map(|_| ())
        })
        .await?;
        let ours = let_in(&fixture, &kubeconfig, "any").await?;
        let expected: &[&str] = match role {
            "view" => &[],
            _ => &["read secrets"],
        };
        assert_eq!(ours, expected, "{role}");
    }
    Ok(())
}
