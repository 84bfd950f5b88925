//! Other partitions than `aws`: every ARN is in the caller's partition.

use anyhow::{Result, ensure};
use serde_json::json;

use super::contested;
use crate::fixture::{ACCOUNT, OTHER_DOCUMENT, OTHER_TRUST};

#[tokio::test]
async fn in_china_and_govcloud_every_arn_is_the_partitions_own_from_creation_to_deletion() -> Result<()> {
    for partition in ["aws-cn", "aws-us-gov"] {
        let mut fixture = contested(&[]).partition(partition).prepare().await?;
        let before = fixture.iam().snapshot();
        fixture.start_operator().await?;
        let managed = |name: &str| format!("arn:{partition}:iam::aws:policy/{name}");
        let source = format!("arn:{partition}:rds:*:{ACCOUNT}:*");
        let spec = json!({
            "permissionsBoundary": managed("ReadOnlyAccess"), "trust": { "sourceArns": [source] },
            "scope": { "groupCreation": "LogGroups" },
        });
        let status = fixture.applied("a", spec.clone()).await?;
        let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
        assert_eq!(status["partition"], partition);
        assert_eq!(status["policy"]["arn"], arn.as_str());
        assert_eq!(status["role"]["arn"], format!("arn:{partition}:iam::{ACCOUNT}:role/aurora-log-export/{name}"));
        assert_eq!(fixture.role("a")?.arn, status["role"]["arn"].as_str().unwrap_or_default());
        assert_eq!(fixture.role("a")?.boundary, Some(managed("ReadOnlyAccess")));
        assert_eq!(fixture.attached("a"), [arn.clone()]);
        let (document, trust) = (fixture.document("a")?, fixture.role("a")?.trust.as_str().to_owned());
        assert_eq!(document.matches("\"arn:").count(), document.matches(&format!("\"arn:{partition}:logs:")).count());
        ensure!(document.contains("\"arn:") && trust.contains(&source), "{document} {trust}");

        fixture.by_hand(|iam| {
            iam.create_policy_version(&arn, OTHER_DOCUMENT, true)?;
            iam.update_assume_role_policy(&name, OTHER_TRUST)?;
            iam.put_role_permissions_boundary(&name, &managed("CloudWatchLogsReadOnlyAccess"))?;
            iam.detach_role_policy(&name, &arn)
        })?;
        fixture
            .eventually("everything to be repaired", || {
                ensure!(fixture.document("a")? == document, "{}", fixture.document("a")?);
                ensure!(fixture.role("a")?.trust.as_str() == trust, "{:?}", fixture.role("a")?.trust);
                ensure!(fixture.role("a")?.boundary == Some(managed("ReadOnlyAccess")));
                ensure!(fixture.attached("a") == [arn.clone()], "{:?}", fixture.attached("a"));
                Ok(())
            })
            .await?;
        fixture.ready("a").await?;

        let mut full = spec;
        full["access"] = json!("FullAccess");
        full.as_object_mut().and_then(|spec| spec.remove("scope"));
        fixture.applied("a", full).await?;
        assert_eq!(fixture.attached("a"), [managed("CloudWatchLogsFullAccess")]);
        ensure!(fixture.policy("a").is_err());
        fixture.applied("a", json!({})).await?;
        fixture.deleted("a").await?;
        assert_eq!(fixture.iam().snapshot(), before);
        fixture.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_arn_of_another_partition_in_a_spec_is_refused_before_anything_is_written() -> Result<()> {
    let mut fixture = contested(&[]).partition("aws-cn").prepare().await?;
    fixture.start_operator().await?;
    let mark = fixture.mark();
    let source = format!("arn:aws:rds:*:{ACCOUNT}:*");
    fixture.apply("source", json!({ "trust": { "sourceArns": [source] } })).await?;
    fixture.apply("boundary", json!({ "permissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess" })).await?;
    for (name, field) in [("source", "spec.trust.sourceArns"), ("boundary", "spec.permissionsBoundary")] {
        let said = fixture.refusal(name, "InvalidSpec").await?;
        ensure!(said.contains(field), "{said}");
    }
    assert_eq!(fixture.writes(mark), []);
    fixture.finish().await
}
