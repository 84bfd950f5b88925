//! The operator's shipped access rights, so that they are proven by use: it runs with its own token, never as admin.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, PostParams};
use kube::{Client, ResourceExt};

use crate::{apply, kubeconfig};

/// What of `deploy/kustomize/base` a process outside the cluster needs.
const KINDS: [&str; 6] = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

const TOKEN_LIFE: i64 = 24 * 3600;

/// How the operator reaches the cluster.
#[derive(Clone, Debug)]
pub struct OperatorAccess {
    /// A kubeconfig with a token of its ServiceAccount.
    pub kubeconfig: PathBuf,
    /// The namespace of its ServiceAccount, for `POD_NAMESPACE`.
    pub namespace: String,
    /// Its ServiceAccount.
    pub service_account: String,
}

/// Those of the rendered objects that give access rights.
pub(crate) fn access_objects(rendered: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = apply::parse(rendered)?;
    objects.retain(|object| object.types.as_ref().is_some_and(|types| KINDS.contains(&types.kind.as_str())));
    // A role binding needs nothing to exist, but a namespaced object needs its namespace.
    objects
        .sort_by_key(|object| KINDS.iter().position(|kind| object.types.as_ref().is_some_and(|it| it.kind == *kind)));
    Ok(objects)
}

/// The one ServiceAccount among `objects`, as (namespace, name).
pub(crate) fn service_account(objects: &[DynamicObject]) -> Result<(String, String)> {
    let mut accounts =
        objects.iter().filter(|object| object.types.as_ref().is_some_and(|it| it.kind == "ServiceAccount"));
    let account = accounts.next().context("deploy/kustomize/base has no ServiceAccount")?;
    ensure!(accounts.next().is_none(), "deploy/kustomize/base has more than one ServiceAccount");
    let namespace = account.namespace().context("the ServiceAccount of deploy/kustomize/base has no namespace")?;
    Ok((namespace, account.name_any()))
}

/// Asks for a token of `account` and writes a kubeconfig with it.
pub(crate) async fn token_kubeconfig(
    client: &Client,
    admin: &kube::config::Kubeconfig,
    (namespace, name): (&str, &str),
    path: PathBuf,
) -> Result<PathBuf> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFE), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let granted = api
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .with_context(|| format!("no token for ServiceAccount {namespace}/{name}"))?;
    let token = granted.status.context("a TokenRequest without an answer")?.token;
    kubeconfig::write(&kubeconfig::with_token(admin, &token)?, &path)?;
    Ok(path)
}
