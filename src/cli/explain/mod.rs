//! `explain`: what the state of an object means, and the next step.

mod advice;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Context;
use jiff::Timestamp;
use kube::api::Api;

use super::age::format_age;
use super::connect::{KubeArgs, block_on, unreachable};
use super::key::key;
use super::output;
use super::paint::Paint;
use crate::api::policy::{Access, ManagementPolicy};
use crate::api::{ConditionType, Reason};
use crate::model::stored::PolicyObject;
use crate::operator::reconcile::{LONGEST_SLOWLY, LONGEST_SOON};
use crate::pipeline::status::condition;
use advice::Advice;
pub(super) use advice::advice;

/// Explain the state of an object: what it means, the next step, and its resources in AWS.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aurora-log-export-operator explain shop/orders\n  \
    kubectl alep explain orders -n shop\n\n\
    explain needs no AWS credentials.")]
pub(super) struct ExplainArgs {
    /// The object: NAMESPACE/NAME, or NAME in the namespace of -n.
    #[arg(value_name = "NAMESPACE/NAME")]
    object: String,
    #[command(flatten)]
    kube: KubeArgs,
}

pub(super) fn main(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let object = block_on(async {
        let kube = args.kube.connect().await?;
        let key = key(&args.object, &kube.namespace);
        let api: Api<PolicyObject> = Api::namespaced(kube.client.clone(), &key.namespace);
        api.get_opt(&key.name)
            .await
            .map_err(|error| unreachable(&kube, &error))?
            .with_context(|| format!("AuroraLogExportPolicy {key} does not exist; to list all: kubectl get alep -A"))
    })?;
    output::print(explain(&object, Timestamp::now(), Paint::stdout()))?;
    Ok(ExitCode::SUCCESS)
}

/// Renders the explanation.
pub(super) fn explain(object: &PolicyObject, now: Timestamp, paint: Paint) -> String {
    let mut out = String::new();
    let state = State::of(object);
    let Advice { meaning, next_step, command } = state.advice(object);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}  {}", paint.bold(&object.key().to_string()), state.headline(paint));
    let _ = writeln!(out, "  {meaning}");
    if let Some(message) = state.message(object) {
        let _ = writeln!(out, "\n{}\n  {message}", paint.bold("Message"));
    }
    let _ = writeln!(out, "\n{}\n  {next_step}", paint.bold("Next step"));
    if !command.is_empty() {
        let key = object.key();
        let command = command.replace("{namespace}", &key.namespace).replace("{name}", &key.name);
        let _ = writeln!(out, "  $ {command}");
    }
    if let Some(again) = state.again() {
        let _ = writeln!(out, "\n{}\n  {again}", paint.bold("Next retry"));
        let key = object.key();
        let _ = writeln!(
            out,
            "  now: $ kubectl annotate alep {} -n {} --overwrite auroralogexport.dev/reconcile-at=\"$(date)\"",
            key.name, key.namespace
        );
    }
    conditions(&mut out, object, now, paint);
    resources(&mut out, object, paint);
    settings(&mut out, object, paint);
    drift(&mut out, object, paint);
    out
}

/// The state of an object, for the first line.
enum State {
    /// No operator has reconciled this object.
    Unseen,
    /// The spec has changed since the last reconcile.
    Stale,
    /// The object is being deleted.
    Deleting(Option<Reason>),
    /// `Ready` is true.
    Ready,
    /// `Ready` is false for this reason.
    NotReady(Option<Reason>),
}

impl State {
    fn of(object: &PolicyObject) -> Self {
        let ready = condition(&object.status, ConditionType::Ready);
        let reason = ready.and_then(|ready| Reason::from_name(&ready.reason));
        if object.is_deleting() {
            return Self::Deleting(reason.filter(|reason| *reason != Reason::InSync));
        }
        match ready {
            None => Self::Unseen,
            Some(ready) if ready.observed_generation != Some(object.generation()) => Self::Stale,
            Some(ready) if ready.status == "True" => Self::Ready,
            Some(_) => Self::NotReady(reason),
        }
    }

    fn headline(&self, paint: Paint) -> String {
        match self {
            Self::Unseen => paint.yellow("not reconciled yet"),
            Self::Stale => paint.yellow("changed since the last reconcile"),
            Self::Deleting(None) => paint.yellow("being deleted"),
            Self::Deleting(Some(reason)) => paint.red(&format!("being deleted: {reason}")),
            Self::Ready => paint.green("Ready"),
            Self::NotReady(Some(reason)) => paint.red(&format!("not ready: {reason}")),
            Self::NotReady(None) => paint.red("not ready"),
        }
    }

    fn advice(&self, object: &PolicyObject) -> Advice {
        match self {
            Self::Unseen | Self::Stale => Advice {
                meaning: "No operator has reconciled this generation of the spec.",
                next_step: "Check that an operator is the leader and watches this namespace (--watch-namespace).",
                command: "kubectl alep doctor -n {namespace}",
            },
            Self::Deleting(None) => Advice {
                meaning: "The operator deletes the policy and the role in AWS, and then removes its finalizer.",
                next_step: "Wait a minute. If the object still exists, read its events.",
                command: "kubectl describe alep {name} -n {namespace}",
            },
            Self::Ready => {
                let told = |type_, status: &str| {
                    let condition = condition(&object.status, type_).filter(|condition| condition.status == status)?;
                    Reason::from_name(&condition.reason)
                };
                let unused = told(ConditionType::Effective, "Unknown").filter(|reason| *reason == Reason::NotAssumed);
                advice(told(ConditionType::Drifted, "True").or(unused).unwrap_or(Reason::InSync))
            }
            Self::Deleting(Some(reason)) | Self::NotReady(Some(reason)) => advice(*reason),
            Self::NotReady(None) => advice(Reason::Unknown),
        }
    }

    /// Returns when the operator retries; `None` if it does not. The status does not have the exact time, which would
    /// cost one write for each retry.
    fn again(&self) -> Option<String> {
        let reason = match self {
            Self::Deleting(Some(reason)) | Self::NotReady(Some(reason)) => *reason,
            _ => return None,
        };
        let soon =
            |longest: std::time::Duration| format!("automatic, at most {} s after the last one", longest.as_secs());
        match reason {
            Reason::Throttled | Reason::AwsUnavailable | Reason::Progressing => Some(soon(LONGEST_SOON)),
            Reason::Suspended | Reason::InSync => None,
            Reason::DriftDetected => Some("at the next resync (--drift-check-interval)".to_owned()),
            _ => Some(format!(
                "automatic, after pauses that grow to {} minutes; sooner if the object changes",
                LONGEST_SLOWLY.as_secs() / 60
            )),
        }
    }

    fn message<'a>(&self, object: &'a PolicyObject) -> Option<&'a str> {
        let type_ = match self {
            Self::Unseen | Self::Stale | Self::Deleting(None) => return None,
            Self::Ready => ConditionType::Drifted,
            Self::Deleting(Some(_)) | Self::NotReady(_) => ConditionType::Ready,
        };
        condition(&object.status, type_)
            .filter(|condition| type_ == ConditionType::Ready || condition.status == "True")
            .map(|condition| &*condition.message)
    }
}

fn conditions(out: &mut String, object: &PolicyObject, now: Timestamp, paint: Paint) {
    let _ = writeln!(out, "\n{}", paint.bold("Conditions"));
    if object.status.conditions.is_empty() {
        let _ = writeln!(out, "  none");
    }
    for condition in &object.status.conditions {
        let good = match ConditionType::from_name(&condition.type_) {
            Some(ConditionType::Reconciling | ConditionType::Stalled | ConditionType::Drifted) => "False",
            _ => "True",
        };
        let line = format!("{:<14} {:<8} {}", condition.type_, condition.status, condition.reason);
        let line = if condition.status == good {
            paint.green(&line)
        } else if condition.status == "Unknown" {
            paint.yellow(&line)
        } else {
            paint.red(&line)
        };
        let since = format_age(condition.last_transition_time.0, now);
        let _ = writeln!(out, "  {line} {}", paint.dim(&format!("for {since}")));
    }
}

fn resources(out: &mut String, object: &PolicyObject, paint: Paint) {
    let status = &object.status;
    let _ = writeln!(out, "\n{}", paint.bold("In AWS"));
    let Some(role) = &status.role else {
        let _ = writeln!(out, "  the operator has not reported a role yet");
        return;
    };
    let account = status.account_id.as_deref().unwrap_or("unknown");
    let through =
        object.account_ref().map_or_else(|| "the operator's own".to_owned(), |name| format!("AwsAccount {name}"));
    let _ = writeln!(out, "  account  {account} ({through})");
    if let Some(policy) = &status.policy {
        let version = policy.version_id.as_deref().unwrap_or("?");
        let _ = writeln!(out, "  policy   {} (version {version})", policy.arn);
    }
    let _ = writeln!(out, "  role     {}", role.arn);
    let _ = writeln!(
        out,
        "  owner    {} (tags auroralogexport.dev/*; resources without them are never changed)",
        object.key()
    );
}

fn settings(out: &mut String, object: &PolicyObject, paint: Paint) {
    let Ok(spec) = &object.spec else { return };
    let mut notes = Vec::new();
    if spec.management_policy == Some(ManagementPolicy::Observe) {
        notes.push("managementPolicy: Observe (AWS is read and never changed)".to_owned());
    }
    if spec.access == Some(Access::FullAccess) {
        notes.push("access: FullAccess (the AWS managed policy CloudWatchLogsFullAccess is attached)".to_owned());
    }
    if let Some(policy) = spec.deletion_policy {
        notes.push(format!("deletionPolicy: {policy:?}"));
    }
    if let Some(policy) = spec.adoption_policy {
        notes.push(format!("adoptionPolicy: {policy:?}"));
    }
    if object.is_abandoned() {
        notes.push("annotation auroralogexport.dev/abandon: true (deletion changes nothing in AWS)".to_owned());
    }
    if notes.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.bold("Settings"));
    for note in notes {
        let _ = writeln!(out, "  {note}");
    }
}

fn drift(out: &mut String, object: &PolicyObject, paint: Paint) {
    if object.status.drift.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.bold("Differences in AWS that are not repaired"));
    for entry in &object.status.drift {
        let _ = writeln!(out, "  {} {}: {} instead of {}", entry.resource, entry.field, entry.actual, entry.expected);
    }
}

#[cfg(test)]
mod tests;
