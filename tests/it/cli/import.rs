//! `import`: thirty roles made by hand become objects, and not one byte in IAM changes but ownership tags.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Iam, Tags};
use aurora_test_support::operator::{Operator, OperatorOptions};
use serde_json::{Value, json};

use super::{ACCOUNT, BINARY, Cli, directory, iam};
use crate::environment;

const ROLES: usize = 30;
const BOUNDARY: &str = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";

/// The guide's document; `turn` reorders statements and actions, `merged` is the later edition with two statements.
fn document(region: &str, turn: bool, merged: bool) -> String {
    let group = format!("arn:aws:logs:{region}:*:log-group:/aws/rds/*");
    let events = json!({ "Effect": "Allow", "Action": ["logs:PutLogEvents", "logs:GetLogEvents"],
                         "Resource": [format!("{group}:log-stream:*")] });
    let mut statements = if merged {
        vec![
            json!({ "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogGroups", "Effect": "Allow",
                    "Action": ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:CreateLogStream", "logs:DescribeLogStreams"],
                    "Resource": [group] }),
            events,
        ]
    } else {
        vec![
            events,
            json!({ "Effect": "Allow", "Resource": group,
                    "Action": ["logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutRetentionPolicy"] }),
            json!({ "Sid": "Groups", "Effect": "Allow", "Action": ["logs:CreateLogGroup"], "Resource": "*" }),
        ]
    };
    if turn {
        statements.reverse();
    }
    serde_json::to_string_pretty(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap_or_default()
}

fn trust(principal: &Value, condition: Option<Value>) -> String {
    let mut statement =
        json!({ "Sid": "", "Effect": "Allow", "Principal": { "Service": principal }, "Action": ["sts:AssumeRole"] });
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Role number `n`, a variant of its own, that the API can express.
fn plant(iam: &mut Iam, n: usize) -> Result<()> {
    let name = format!("AuroraExport_{n}");
    let tags = |extra: &str| -> Tags {
        let mut tags = Tags::new();
        if n.is_multiple_of(2) {
            tags.insert("team".into(), format!("t{n}"));
        }
        if n.is_multiple_of(5) {
            tags.insert(extra.to_owned(), "x".into());
        }
        tags
    };
    let condition = match n % 4 {
        0 => None,
        1 => Some(json!({ "StringEquals": { "aws:SourceAccount": [ACCOUNT] } })),
        2 => Some(json!({ "StringEquals": { "AWS:SourceAccount": ACCOUNT },
                          "ArnLike": { "aws:SourceArn": format!("arn:aws:rds:eu-west-1:{ACCOUNT}:cluster:c{n}") } })),
        _ => Some(json!({ "ArnLike": { "aws:SourceArn": [format!("arn:aws:rds:*:{ACCOUNT}:*")] } })),
    };
    let path = ["/", "/service-role/", "/team/rds/"][n % 3];
    iam.create_role(&CreateRole {
        name: name.clone(),
        path: Some(path.into()),
        trust: trust(&json!("rds.amazonaws.com"), condition),
        description: (!n.is_multiple_of(3)).then(|| format!("made by hand {n}")),
        max_session_seconds: n.is_multiple_of(7).then_some(7200),
        boundary: n.is_multiple_of(6).then(|| BOUNDARY.to_owned()),
        tags: tags("role-only"),
    })?;
    if n.is_multiple_of(10) {
        iam.attach_role_policy(&name, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?;
        return Ok(());
    }
    let region = ["*", "eu-central-1"][n % 2];
    let made = iam.create_policy(&CreatePolicy {
        name: format!("exports-{n}"),
        path: Some(["/", "/p/"][n % 2].into()),
        document: document(region, n.is_multiple_of(2), n.is_multiple_of(3)),
        description: n.is_multiple_of(4).then(|| "other words".into()),
        tags: tags("policy-only"),
    })?;
    iam.attach_role_policy(&name, &made.arn)?;
    if n % 9 == 4 {
        iam.put_role_policy(&name, "by-hand", &document("*", false, false))?;
    }
    Ok(())
}

/// Roles that the API cannot express, each with a part of the reason.
fn plant_others(iam: &mut Iam) -> Result<Vec<(&'static str, &'static str)>> {
    let rds = trust(&json!("rds.amazonaws.com"), None);
    let two = trust(&json!(["rds.amazonaws.com", "ec2.amazonaws.com"]), None);
    let odd = trust(&json!("rds.amazonaws.com"), Some(json!({ "Bool": { "aws:SecureTransport": "true" } })));
    let mut role = |name: &str, trust: &str| -> Result<()> {
        iam.create_role(&CreateRole { name: name.into(), trust: trust.into(), ..CreateRole::default() })?;
        Ok(())
    };
    for (name, trust) in [
        ("both-principals", &two),
        ("odd-condition", &odd),
        ("monitoring", &rds),
        ("inline-only", &rds),
        ("shared-a", &rds),
        ("shared-b", &rds),
        ("more-actions", &rds),
    ] {
        role(name, trust)?;
    }
    iam.put_role_policy("inline-only", "guide", &document("*", false, false))?;
    let more = document("*", false, false)
        .replace("\"logs:CreateLogGroup\"", "\"logs:CreateLogGroup\", \"logs:DeleteLogGroup\"");
    for (name, text, roles) in [
        ("shared", document("*", false, false), &["shared-a", "shared-b"][..]),
        ("more", more, &["more-actions"]),
        ("unused", document("*", true, true), &[]),
    ] {
        let made = iam.create_policy(&CreatePolicy { name: name.into(), document: text, ..CreatePolicy::default() })?;
        for role in roles {
            iam.attach_role_policy(role, &made.arn)?;
        }
    }
    iam.plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    Ok(vec![
        ("role both-principals", "trusts principals other than RDS (Service:ec2.amazonaws.com)"),
        ("role odd-condition", "cannot express"),
        ("role monitoring", "serves another purpose"),
        ("role inline-only", "has inline policies (guide)"),
        ("role shared-a", "shares the policy"),
        ("role shared-b", "shares the policy"),
        ("role more-actions", "other actions (logs:deleteloggroup)"),
        ("policy arn:aws:iam::123456789012:policy/unused", "is not attached"),
    ])
}

/// Does what the script says, against the model.
fn give_consent(iam: &mut Iam, script: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(script)?;
    let mut count = 0;
    for line in text.lines().filter(|line| line.starts_with("aws iam ")) {
        let words: Vec<_> = line.split(' ').collect();
        let ["aws", "iam", command, _, target, "--tags", tag] = words[..] else {
            anyhow::bail!("not understood: {line}");
        };
        let (key, value) = tag.strip_prefix("Key=").and_then(|tag| tag.split_once(",Value=")).context("no tag")?;
        let tags = Tags::from([(key.to_owned(), value.to_owned())]);
        match command {
            "tag-role" => iam.tag_role(target, &tags)?,
            "tag-policy" => iam.tag_policy(target, &tags)?,
            other => anyhow::bail!("unexpected: {other}"),
        }
        count += 1;
    }
    Ok(count)
}

/// The account without the tags that say whose is what.
fn without_ownership(mut snapshot: Value) -> Value {
    for kind in ["roles", "policies"] {
        for entity in snapshot[kind].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
            if let Some(tags) = entity["tags"].as_object_mut() {
                tags.retain(|key, _| !key.starts_with("auroralogexport.dev/"));
            }
        }
    }
    snapshot
}

#[tokio::test]
async fn thirty_roles_made_by_hand_are_adopted_with_nothing_changed_but_ownership_tags() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    let account = server.world().account(ACCOUNT);
    let mut others = {
        let mut iam = account.lock();
        for n in 0..ROLES {
            plant(&mut iam, n)?;
        }
        plant_others(&mut iam)?
    };
    // What others have in every account here; roles that neither trust RDS nor have a policy like the guide's are not
    // worth a line.
    others.extend([
        ("role bystander.almost", "has inline policies (inline)"),
        ("role bystander.elsewhere", "already belongs to shop/bystander of cluster \"elsewhere\""),
    ]);
    let before = account.lock().snapshot();
    let cli = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", "imported");
    let dir = directory(env, &namespace)?;
    let target = dir.display().to_string();

    let imported = cli.run(&["import", "-n", &namespace, "--out-dir", &target]).await?;
    ensure!(imported.code == 0, "{imported:?}");
    // On a slow machine lines on its progress come first.
    let counts = format!("{ROLES} imported, {} not imported", others.len());
    assert!(imported.stderr.lines().any(|line| line.starts_with(&counts)), "{}", imported.stderr);
    for (what, why) in &others {
        let line = imported.stderr.lines().find(|line| line.trim_start().starts_with(&format!("{what}:")));
        assert!(line.is_some_and(|line| line.contains(why)), "{what}: {}", imported.stderr);
    }
    assert_eq!(account.lock().snapshot(), before, "import reads only");

    // Without consent nothing happens; with it, nothing but ownership tags.
    let refused = cli.json(&["plan", "-f", &target, "-o", "json"]).await?;
    assert_eq!(refused["summary"]["refused"], json!(ROLES), "{refused}");
    let given = give_consent(&mut account.lock(), &dir.join("consent.sh"))?;
    assert_eq!(given, 2 * ROLES - ROLES / 10, "three roles have no policy of their own");
    let plan = cli.json(&["plan", "-f", &target, "-o", "json"]).await?;
    assert_eq!(plan["summary"]["refused"], 0, "{plan}");
    let operations: BTreeSet<&str> = plan["objects"]
        .as_array()
        .context("no objects")?
        .iter()
        .flat_map(|object| object["actions"].as_array().into_iter().flatten())
        .filter_map(|action| action["operation"].as_str())
        .collect();
    assert_eq!(operations, BTreeSet::from(["TagPolicy", "TagRole"]));

    let mut manifests = String::new();
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            manifests += &format!("---\n{}", std::fs::read_to_string(path)?);
        }
    }
    let operator = Operator::start(
        env,
        OperatorOptions::new(BINARY)
            .arguments([
                format!("--watch-namespace={namespace}").as_str(),
                "--cluster-name=imported",
                "--iam-reads-per-second=10000",
                "--iam-writes-per-second=10000",
            ])
            .aws_endpoint(&server.url()),
    )
    .await?;
    env.apply_yaml(&manifests).await?;
    env.kubectl(&["wait", "--for=condition=Ready", "alep", "--all", "-n", &namespace, "--timeout=60s"])
        .await
        .with_context(|| operator.log_text().unwrap_or_default())?;
    operator.stop().await?;
    assert_eq!(without_ownership(account.lock().snapshot()), without_ownership(before));
    let owned = account.lock().snapshot();
    assert_eq!(
        owned["roles"]["AuroraExport_7"]["tags"]["auroralogexport.dev/owner"],
        json!(format!("{namespace}/auroraexport-7"))
    );
    let after = cli.run(&["plan", "--all", "-n", &namespace, "--exit-code"]).await?;
    assert_eq!(after.code, 0, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn an_import_to_observe_is_one_stream_that_can_be_applied() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    plant(&mut server.world().account(ACCOUNT).lock(), 1)?;
    let cli = Cli::new(env, &server.url());
    let stream = cli.ok(&["import", "--observe", "-n", &namespace, "--cluster-name", "x"]).await?;
    assert!(stream.contains("managementPolicy: Observe"), "{stream}");
    assert!(
        stream.contains(&format!(
            "#   aws iam tag-role --role-name AuroraExport_1 --tags Key=auroralogexport.dev/adoptable-by,Value=x/{namespace}/auroraexport-1"
        )),
        "{stream}"
    );
    let applied = env.apply_yaml(&stream).await?;
    assert_eq!(applied.len(), 1);
    Ok(())
}
