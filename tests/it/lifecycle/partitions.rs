//! Other partitions than `aws`: every ARN that is written is the caller's partition's, and life goes on as everywhere.

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{ACCOUNT, OTHER_DOCUMENT, OTHER_TRUST, Stage};

#[tokio::test]
async fn in_china_and_govcloud_every_arn_is_the_partitions_own_from_creation_to_deletion() -> Result<()> {
    for partition in ["aws-cn", "aws-us-gov"] {
        let mut stage = Stage::in_partition(partition, &["--drift-check-interval=1s"]).await?;
        let before = stage.iam().snapshot();
        stage.start_operator().await?;
        let managed = |name: &str| format!("arn:{partition}:iam::aws:policy/{name}");
        let source = format!("arn:{partition}:rds:*:{ACCOUNT}:*");
        let spec = json!({
            "permissionsBoundary": managed("ReadOnlyAccess"), "trust": { "sourceArns": [source] },
            "scope": { "groupCreation": "LogGroups" },
        });
        let status = stage.applied("a", spec.clone()).await?;
        let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
        assert_eq!(status["partition"], partition);
        assert_eq!(status["policy"]["arn"], arn.as_str());
        assert_eq!(status["role"]["arn"], format!("arn:{partition}:iam::{ACCOUNT}:role/aurora-log-export/{name}"));
        assert_eq!(stage.role("a")?.arn, status["role"]["arn"].as_str().unwrap_or_default());
        assert_eq!(stage.role("a")?.boundary, Some(managed("ReadOnlyAccess")));
        assert_eq!(stage.attached("a"), [arn.clone()]);
        let (document, trust) = (stage.document("a")?, stage.role("a")?.trust.as_str().to_owned());
        assert_eq!(document.matches("\"arn:").count(), document.matches(&format!("\"arn:{partition}:logs:")).count());
        ensure!(document.contains("\"arn:") && trust.contains(&source), "{document} {trust}");

        stage.by_hand(|iam| {
            iam.create_policy_version(&arn, OTHER_DOCUMENT, true)?;
            iam.update_assume_role_policy(&name, OTHER_TRUST)?;
            iam.put_role_permissions_boundary(&name, &managed("CloudWatchLogsReadOnlyAccess"))?;
            iam.detach_role_policy(&name, &arn)
        })?;
        stage
            .eventually("everything to be repaired", || {
                ensure!(stage.document("a")? == document, "{}", stage.document("a")?);
                ensure!(stage.role("a")?.trust.as_str() == trust, "{:?}", stage.role("a")?.trust);
                ensure!(stage.role("a")?.boundary == Some(managed("ReadOnlyAccess")));
                ensure!(stage.attached("a") == [arn.clone()], "{:?}", stage.attached("a"));
                Ok(())
            })
            .await?;
        stage.ready("a").await?;

        let mut full = spec;
        full["access"] = json!("FullAccess");
        full.as_object_mut().and_then(|spec| spec.remove("scope"));
        stage.applied("a", full).await?;
        assert_eq!(stage.attached("a"), [managed("CloudWatchLogsFullAccess")]);
        ensure!(stage.policy("a").is_err());
        stage.applied("a", json!({})).await?;
        stage.deleted("a").await?;
        assert_eq!(stage.iam().snapshot(), before);
        stage.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_arn_of_another_partition_in_a_spec_is_refused_before_anything_is_written() -> Result<()> {
    let mut stage = Stage::in_partition("aws-cn", &["--drift-check-interval=1s"]).await?;
    stage.start_operator().await?;
    let mark = stage.mark();
    let source = format!("arn:aws:rds:*:{ACCOUNT}:*");
    stage.apply("source", json!({ "trust": { "sourceArns": [source] } })).await?;
    stage.apply("boundary", json!({ "permissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess" })).await?;
    for (name, field) in [("source", "spec.trust.sourceArns"), ("boundary", "spec.permissionsBoundary")] {
        let status = stage.until(name, "Ready", "False", "InvalidSpec").await?;
        ensure!(super::stage::message(&status, "Ready").contains(field), "{status}");
    }
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.finish().await
}
