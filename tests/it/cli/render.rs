//! `render`: the documents of a manifest, without cluster and AWS.

use anyhow::Result;
use aurora_test_support::paths::workspace;
use serde_json::{Value, json};

use super::{Cli, directory};
use crate::environment;

#[tokio::test]
async fn the_documents_of_a_manifest_are_printed_as_aws_takes_them() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    let minimal = workspace().join("examples/minimal.yaml").display().to_string();
    let printed = cli.ok(&["render", "-f", &minimal, "--only", "policy"]).await?;
    // As in the AWS guide.
    let guide = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogEvents", "Effect": "Allow",
          "Action": ["logs:GetLogEvents", "logs:PutLogEvents"],
          "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*" },
        { "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogStreams", "Effect": "Allow",
          "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"],
          "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*" },
        { "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogGroups", "Effect": "Allow",
          "Action": "logs:CreateLogGroup", "Resource": "*" },
    ] });
    assert_eq!(serde_json::from_str::<Value>(&printed)?, guide);

    let there = ["--account-id", "111122223333", "--partition", "aws-cn"];
    let policy = cli.ok(&[&["render", "-f", &minimal, "--only", "policy"], &there[..]].concat()).await?;
    assert!(policy.contains("arn:aws-cn:logs:*:*:log-group:/aws/rds/*"), "{policy}");
    let trust = cli.ok(&[&["render", "-f", &minimal, "--only", "trust"], &there[..]].concat()).await?;
    let trust: Value = serde_json::from_str(&trust)?;
    assert_eq!(trust["Statement"][0]["Principal"]["Service"], "rds.amazonaws.com");
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"], "111122223333");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_rendered_is_named() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    let dir = directory(env, &env.namespace().await?)?;
    let groups: Vec<String> = (0..50).map(|number| format!("/aws/rds/{number}-{}", "x".repeat(400))).collect();
    for (name, spec, parts) in [
        ("full", json!({ "access": "FullAccess" }), ["FullAccess", "no policy document"]),
        ("large", json!({ "scope": { "logGroups": groups } }), ["spec.scope", "6144"]),
        ("unknown", json!({ "acess": "Minimal" }), ["spec.acess", "unknown field"]),
    ] {
        let manifest = json!({
            "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
            "metadata": { "name": name, "namespace": "shop" }, "spec": spec,
        });
        let file = dir.join(format!("{name}.yaml"));
        std::fs::write(&file, manifest.to_string())?;
        let outcome = cli.run(&["render", "-f", &file.display().to_string(), "--only", "policy"]).await?;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
        for part in parts {
            assert!(outcome.stderr.replace(',', "").contains(part), "{part}: {outcome:?}");
        }
    }
    Ok(())
}
