//! The checks of the cluster: API server, CRDs, permissions, leader.

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde_json::Value;

use super::clock;
use super::report::{Check, Report};
use crate::api::{FIELD_MANAGER, crds};
use crate::cli::age::format_age;
use crate::cli::connect::{Kube, unreachable};

const INSTALL_CRDS: &str = "aurora-log-export-operator crd | kubectl apply --server-side -f -";

/// Whose permissions are checked, and in which namespaces.
pub(super) struct Scope<'a> {
    /// Only this namespace; `None`: the whole cluster.
    pub(super) namespace: Option<&'a str>,
    /// Where the operator runs.
    pub(super) operator_namespace: &'a str,
    /// `[NAMESPACE/]NAME` of the operator's ServiceAccount; `None`: the caller.
    pub(super) service_account: Option<&'a str>,
}

/// Checks that the API server answers, and compares its clock. True if it answers.
pub(super) async fn api_server(kube: &Kube, report: &mut Report) -> bool {
    // The request is constant: this cannot fail.
    let Ok(request) = hyper::Request::get("/version").body(Body::empty()) else {
        return false;
    };
    match kube.client.send(request).await {
        Ok(answer) => {
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
            clock::compare(report, "the API server", date, Timestamp::now());
            report.pass(Check::ApiServer, format!("{} answers", kube.url));
            true
        }
        Err(error) => {
            report.find(
                Check::ApiServer,
                format!("{:#}", unreachable(kube, &error)),
                "check KUBECONFIG, --context and the network: kubectl cluster-info",
            );
            false
        }
    }
}

/// Checks that the CRDs in the cluster are those of this version.
pub(super) async fn custom_resources(kube: &Kube, report: &mut Report) {
    let api: Api<CustomResourceDefinition> = Api::all(kube.client.clone());
    let expected = crds();
    let found = join_all(expected.iter().map(|crd| {
        let api = &api;
        async move { api.get_opt(&crd.name_any()).await }
    }))
    .await;
    for (expected, found) in expected.iter().zip(found) {
        let name = expected.name_any();
        match found {
            Ok(None) => report.find(Check::Crds, format!("the CRD {name} is not installed"), INSTALL_CRDS),
            Ok(Some(found)) if !established(&found) => report.find(
                Check::Crds,
                format!("the CRD {name} is not established"),
                format!("see its conditions: kubectl describe crd {name}"),
            ),
            Ok(Some(found)) => match difference(expected, &found) {
                None => report.pass(Check::Crds, format!("the CRD {name} is from this version")),
                Some(what) => report.find(
                    Check::Crds,
                    format!("the CRD {name} is from another version: {what} differs"),
                    INSTALL_CRDS,
                ),
            },
            Err(kube::Error::Api(status)) if status.code == 403 => served(kube, expected, report).await,
            Err(error) => {
                let fix = format!("check your access: kubectl get crd {name}");
                report.find(Check::Crds, format!("the CRD {name} cannot be read: {error}"), fix);
            }
        }
    }
}

/// Without permission to read CRDs, discovery shows whether the kind is served.
async fn served(kube: &Kube, expected: &CustomResourceDefinition, report: &mut Report) {
    let version = expected.spec.versions.first().map_or("", |version| version.name.as_str());
    let group = format!("{}/{version}", expected.spec.group);
    let known = kube
        .client
        .list_api_group_resources(&group)
        .await
        .is_ok_and(|list| list.resources.iter().any(|it| it.name == expected.spec.names.plural));
    let name = expected.name_any();
    if known {
        report.skip(Check::Crds, format!("{name} is served; no permission to read the CRD itself"));
    } else {
        report.find(Check::Crds, format!("the CRD {name} is not installed"), INSTALL_CRDS);
    }
}

fn established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Returns the first part of the version that differs.
fn difference(expected: &CustomResourceDefinition, found: &CustomResourceDefinition) -> Option<&'static str> {
    let wanted = expected.spec.versions.first()?;
    let Some(version) = found.spec.versions.iter().find(|version| version.name == wanted.name) else {
        return Some("the API version");
    };
    let schema =
        |version: &CustomResourceDefinitionVersion| serde_json::to_value(&version.schema).unwrap_or(Value::Null);
    if schema(wanted) != schema(version) {
        return Some("the schema");
    }
    if wanted.subresources.is_some() != version.subresources.is_some() {
        return Some("the status subresource");
    }
    let columns = |version: &CustomResourceDefinitionVersion| {
        let columns = version.additional_printer_columns.iter().flatten();
        columns.map(|column| (column.name.clone(), column.json_path.clone())).collect::<Vec<_>>()
    };
    (columns(wanted) != columns(version)).then_some("the list of printer columns")
}

/// Verbs on a resource that the operator needs. `deploy/kustomize/base` grants them.
struct Need {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the watched namespaces.
    Watched,
    /// In the whole cluster.
    Cluster,
    /// In the namespace of the operator.
    Own,
}

const NEEDS: &[Need] = &[
    Need {
        group: "auroralogexport.dev",
        resource: "auroralogexportpolicies",
        subresource: "",
        verbs: &["list", "watch", "patch"],
        place: Place::Watched,
    },
    Need {
        group: "auroralogexport.dev",
        resource: "auroralogexportpolicies",
        subresource: "status",
        verbs: &["patch"],
        place: Place::Watched,
    },
    Need {
        group: "auroralogexport.dev",
        resource: "awsaccounts",
        subresource: "",
        verbs: &["list", "watch", "patch"],
        place: Place::Cluster,
    },
    Need {
        group: "auroralogexport.dev",
        resource: "awsaccounts",
        subresource: "status",
        verbs: &["patch"],
        place: Place::Cluster,
    },
    Need {
        group: "",
        resource: "namespaces",
        subresource: "",
        verbs: &["get", "list", "watch"],
        place: Place::Cluster,
    },
    Need { group: "events.k8s.io", resource: "events", subresource: "", verbs: &["create"], place: Place::Watched },
    Need {
        group: "coordination.k8s.io",
        resource: "leases",
        subresource: "",
        verbs: &["create", "get", "update"],
        place: Place::Own,
    },
];

/// Checks that the operator's ServiceAccount, or the caller, has the permissions that the operator needs.
pub(super) async fn rights(kube: &Kube, scope: &Scope<'_>, report: &mut Report) {
    let questions: Vec<ResourceAttributes> =
        NEEDS.iter().flat_map(|need| need.verbs.iter().map(move |verb| attributes(need, verb, scope))).collect();
    let who = scope.service_account.map_or_else(|| "you".to_owned(), |account| format!("ServiceAccount {account}"));
    let answers = join_all(questions.iter().map(|question| ask(kube, scope, question))).await;
    let mut allowed = 0;
    for (question, answer) in questions.iter().zip(answers) {
        let what = describe(question);
        match answer {
            Ok(true) => allowed += 1,
            // An operator for some namespaces works without the cluster-wide permissions.
            Ok(false) if scope.namespace.is_some() && question.namespace.is_none() => report.warn(
                Check::Rbac,
                format!("{who} cannot {what}"),
                "grant it in a ClusterRole if objects use accountRef; without get on namespaces, the operator needs \
                 --cluster-uid or --cluster-name",
            ),
            Ok(false) => report.find(
                Check::Rbac,
                format!("{who} cannot {what}"),
                "apply deploy/kustomize/base/clusterrole.yaml and role.yaml with their bindings",
            ),
            Err(error) => {
                report.skip(Check::Rbac, format!("the permission to {what} could not be checked: {error}"));
            }
        }
    }
    if allowed == questions.len() {
        report.pass(Check::Rbac, format!("{who} can make all {allowed} requests that the operator makes"));
    }
}

fn attributes(need: &Need, verb: &str, scope: &Scope<'_>) -> ResourceAttributes {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ResourceAttributes {
        group: text(need.group),
        resource: text(need.resource),
        subresource: text(need.subresource),
        verb: text(verb),
        namespace: match need.place {
            Place::Watched => scope.namespace.map(str::to_owned),
            Place::Own => text(scope.operator_namespace),
            Place::Cluster => None,
        },
        // RBAC cannot restrict `create` by name.
        name: (need.place == Place::Own && verb != "create").then(|| FIELD_MANAGER.to_owned()),
        ..ResourceAttributes::default()
    }
}

fn describe(question: &ResourceAttributes) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut resource = part(&question.resource);
    if let Some(subresource) = &question.subresource {
        resource = format!("{resource}/{subresource}");
    }
    let place = question
        .namespace
        .as_ref()
        .map_or_else(|| "in the whole cluster".to_owned(), |namespace| format!("in namespace {namespace}"));
    format!("{} {resource} {place}", part(&question.verb))
}

async fn ask(kube: &Kube, scope: &Scope<'_>, question: &ResourceAttributes) -> Result<bool, kube::Error> {
    let params = PostParams::default();
    match scope.service_account {
        None => {
            let api: Api<SelfSubjectAccessReview> = Api::all(kube.client.clone());
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(question.clone()),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = api.create(&params, &review).await?;
            Ok(answer.status.is_some_and(|status| status.allowed))
        }
        Some(account) => {
            let (namespace, name) = account.split_once('/').unwrap_or((scope.operator_namespace, account));
            let api: Api<SubjectAccessReview> = Api::all(kube.client.clone());
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                    groups: Some(vec![
                        "system:serviceaccounts".into(),
                        format!("system:serviceaccounts:{namespace}"),
                        "system:authenticated".into(),
                    ]),
                    resource_attributes: Some(question.clone()),
                    ..SubjectAccessReviewSpec::default()
                },
                ..SubjectAccessReview::default()
            };
            let answer = api.create(&params, &review).await?;
            Ok(answer.status.is_some_and(|status| status.allowed))
        }
    }
}

/// Checks that an operator holds the Lease.
pub(super) async fn leader(kube: &Kube, namespace: &str, report: &mut Report) {
    let api: Api<Lease> = Api::namespaced(kube.client.clone(), namespace);
    let fix = format!(
        "check the operator: kubectl get pods,lease -n {namespace}; if it runs in another namespace, set \
         --operator-namespace; if it runs with --leader-elect=false, use --ignore leader"
    );
    let lease = match api.get_opt(FIELD_MANAGER).await {
        Ok(Some(lease)) => lease,
        Ok(None) => {
            let message =
                format!("the Lease {namespace}/{FIELD_MANAGER} does not exist: no operator has been the leader here");
            report.find(Check::Leader, message, fix);
            return;
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            report.skip(Check::Leader, format!("no permission to read the Lease {namespace}/{FIELD_MANAGER}"));
            return;
        }
        Err(error) => {
            report.find(Check::Leader, format!("the Lease {namespace}/{FIELD_MANAGER} cannot be read: {error}"), fix);
            return;
        }
    };
    let spec = lease.spec.unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let (Some(holder), Some(renewed)) = (holder, spec.renew_time) else {
        let message = format!("the Lease {namespace}/{FIELD_MANAGER} has no holder: no operator is running");
        report.find(Check::Leader, message, fix);
        return;
    };
    let now = Timestamp::now();
    let age = now.duration_since(renewed.0).as_secs();
    if age > i64::from(spec.lease_duration_seconds.unwrap_or(15)) {
        report.find(
            Check::Leader,
            format!("{holder} has not renewed the Lease for {}: no operator is running", format_age(renewed.0, now)),
            fix,
        );
    } else {
        report.pass(Check::Leader, format!("{holder} is the leader"));
    }
}
