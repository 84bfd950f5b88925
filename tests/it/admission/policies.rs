//! Policies that the API server refuses at creation, each with a message that names the field.

use anyhow::Result;
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use aurora_log_export_operator::model::stored::PolicyObject;
use aurora_log_export_operator::pipeline::desired::desired;

use super::policy_cases::cases;
use super::{create, not_refused_properly, policies_path, policy};
use crate::environment;

#[tokio::test]
async fn an_invalid_policy_is_refused_with_the_fields_name() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let path = policies_path(&namespace);
    let wrong =
        not_refused_properly(&env.client().await?, &path, &cases, |case| policy(&namespace, "invalid", &case.spec))
            .await?;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn what_stands_outside_the_spec_is_checked_too() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let (client, path) = (env.client().await?, policies_path(&namespace));
    let long = policy(&namespace, &"n".repeat(129), "{}");
    let without = policy(&namespace, "a", "{}").replace("spec:", "");
    let without = without.replace("{}", "");
    let misspelt = policy(&namespace, "a", "{}") + "specs: {}\n";
    for (manifest, words) in [
        (long, ["metadata.name", "at most 128 characters"]),
        (without, ["spec", "Required value"]),
        (misspelt, ["unknown field", "specs"]),
    ] {
        let message =
            create(&client, &path, &manifest, false).await.err().map(|error| error.to_string()).unwrap_or_default();
        for words in words {
            assert!(message.contains(words), "{manifest}\n{message}");
        }
    }
    Ok(())
}

/// An object may have been stored before a rule existed: what the API server refuses now, the operator refuses too, and
/// names the same field.
#[test]
fn the_operator_by_itself_refuses_what_the_api_server_refuses() {
    let settings = Settings::lenient(
        Cluster { name: ClusterName::parse("test").expect("valid"), uid: "uid".into(), previous_uids: Vec::new() },
        IamPath::parse("/").expect("valid"),
    );
    let account = AccountFacts {
        id: AccountId::parse("123456789012").expect("valid"),
        partition: Partition::parse("aws").expect("valid"),
        binding: None,
    };
    // Keys repeated in the text are seen by the API server alone; names of Kubernetes objects are looked up; and no
    // source ARN is a good number of them.
    let elsewhere = ["roleName: b", "accountRef: {name", "configMapRef: {name", "sourceArns: []"];
    let mut wrong = Vec::new();
    let mut judged = 0;
    for case in cases() {
        if elsewhere.iter().any(|words| case.spec.contains(words)) {
            continue;
        }
        judged += 1;
        let object: PolicyObject =
            serde_saphyr::from_str(&policy("shop", "orders", &case.spec)).expect("any object can be read");
        // What a newer version knows is ignored with a warning, unless it may restrict access.
        let refusal = match &object.spec {
            _ if !object.ignored.is_empty() => object.ignored.join(", "),
            Err(unreadable) => unreadable.to_string(),
            Ok(spec) => match desired(&Owner::new("shop", "orders"), spec, &settings, &account) {
                Err(refused) => refused.to_string(),
                Ok(_) => String::new(),
            },
        };
        let field = case.refusal.iter().find(|words| words.starts_with("spec"));
        // The two write items and keys differently.
        let field = field.map_or("spec", |field| field.trim_end_matches(".team"));
        let field = field.split('[').next().unwrap_or(field);
        // Serde says which field is missing, and in what.
        if !refusal.contains(field.trim_end_matches(".name")) {
            wrong.push(format!("{}\n    says: {refusal:?}", case.spec));
        }
    }
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
}
