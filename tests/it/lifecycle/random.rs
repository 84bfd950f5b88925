//! A hundred random lives: edits of the spec, edits in AWS by hand, deletions, restarts of the operator. Each ends with
//! IAM as the spec says, and, once deleted, with nothing left.
//!
//! `LIFECYCLE_SEED` repeats a run, `LIFECYCLE_SEQUENCES` says how many lives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::policy::{AttachmentPolicy, AuroraLogExportPolicySpec};
use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use aurora_log_export_operator::pipeline::desired::desired;
use aurora_test_support::iam_model::{ApiError, Iam, PageRequest, Rng};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::stage::{ACCOUNT, FULL_ACCESS, OTHER_DOCUMENT, OTHER_TRUST, READ_ONLY, Stage, tags};

const STEPS: u64 = 6;
const LIMIT: Duration = Duration::from_secs(150);

fn number(variable: &str, otherwise: u64) -> u64 {
    let given = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(otherwise)
}

#[tokio::test]
async fn a_hundred_random_lives_end_as_the_spec_says_and_leave_nothing() -> Result<()> {
    let seed = number("LIFECYCLE_SEED", 4);
    let lives = number("LIFECYCLE_SEQUENCES", 100);
    let stage = Stage::start().await?;
    let uid = stage.cluster_uid().await?;
    let before = stage.iam().snapshot();
    // Restarts need the stage for themselves, everything else shares it.
    let stage = Arc::new(RwLock::new(stage));
    let all = (0..lives).map(|life| {
        let (stage, uid) = (stage.clone(), uid.clone());
        async move {
            let told = format!("life {life} of LIFECYCLE_SEED={seed}");
            Life::new(stage, uid, seed, life).run().await.with_context(|| told)
        }
    });
    let restarts = restart_now_and_then(stage.clone(), Rng::new(seed));
    tokio::select! {
        ended = try_join_all(all) => { ended?; }
        failed = restarts => failed?,
    }
    let stage = Arc::into_inner(stage).context("still in use")?.into_inner();
    assert_eq!(stage.iam().snapshot(), before, "LIFECYCLE_SEED={seed}: something is left over");
    stage.finish().await
}

/// Kills the operator, or ends it politely, once every so many calls; never ends by itself.
async fn restart_now_and_then(stage: Arc<RwLock<Stage>>, mut rng: Rng) -> Result<()> {
    loop {
        let until = {
            let stage = stage.read().await;
            stage.mark() + 300 + rng.below(1500)
        };
        loop {
            if stage.read().await.mark() >= until {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut stage = stage.write().await;
        if rng.chance(0.5) {
            if let Some(operator) = stage.operator.take() {
                operator.kill()?;
            }
        } else {
            stage.stop_operator().await?;
        }
        stage.start_operator().await?;
    }
}

struct Life {
    stage: Arc<RwLock<Stage>>,
    uid: String,
    rng: Rng,
    name: String,
    spec: Value,
}

impl Life {
    fn new(stage: Arc<RwLock<Stage>>, uid: String, seed: u64, life: u64) -> Self {
        Self {
            stage,
            uid,
            rng: Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(life)),
            name: format!("life-{life}"),
            spec: json!({}),
        }
    }

    async fn run(mut self) -> Result<()> {
        self.apply().await?;
        for _ in 0..STEPS {
            match self.rng.below(10) {
                0..=3 => {
                    self.spec = self.random_spec();
                    self.apply().await?;
                }
                4..=7 => self.edit_by_hand().await,
                8 => {
                    // Deleted at whatever moment this is, and made anew under the same name.
                    self.delete().await?;
                    self.apply().await?;
                }
                _ => self.as_the_spec_says().await?,
            }
        }
        self.as_the_spec_says().await?;
        self.delete().await?;
        let stage = self.stage.read().await;
        stage.nothing_left(&self.name)
    }

    async fn apply(&self) -> Result<()> {
        self.stage.read().await.apply(&self.name, self.spec.clone()).await.map(drop)
    }

    async fn delete(&self) -> Result<()> {
        {
            let stage = self.stage.read().await;
            // What others attached would rightly hold it.
            let role = stage.name(&self.name);
            let _ = stage.by_hand(|iam| iam.detach_role_policy(&role, READ_ONLY));
            let _ = stage.by_hand(|iam| iam.delete_role_policy(&role, "mine"));
            stage.delete(&self.name).await?;
        }
        wait_for(&format!("{} to go", self.name), LIMIT, async || {
            let stage = self.stage.read().await;
            let left = stage.api().get_opt(&self.name).await?;
            ensure!(left.is_none(), "{}", left.map(|it| it.data).unwrap_or_default());
            Ok(())
        })
        .await
    }

    fn random_spec(&mut self) -> Value {
        let mut spec = json!({});
        if self.rng.chance(0.2) {
            spec["access"] = json!("FullAccess");
        } else if self.rng.chance(0.7) {
            let regions = ["us-east-1", "eu-west-1", "ap-south-1", "us-west-2"];
            let count = 1 + self.rng.below(3);
            let first = self.rng.below(4);
            let chosen: Vec<_> = (0..count).map(|at| regions[usize::try_from((first + at) % 4).unwrap_or(0)]).collect();
            spec["scope"] = json!({ "regions": chosen });
        }
        if self.rng.chance(0.5) {
            let team = ["shop", "bills", ""][usize::try_from(self.rng.below(3)).unwrap_or(0)];
            spec["tags"] = json!({ "team": team, format!("key{}", self.rng.below(3)): "value" });
        }
        if self.rng.chance(0.3) {
            spec["permissionsBoundary"] =
                json!([READ_ONLY, FULL_ACCESS][usize::try_from(self.rng.below(2)).unwrap_or(0)]);
        }
        if self.rng.chance(0.3) {
            spec["description"] = json!(format!("description {}", self.rng.below(3)));
        }
        if self.rng.chance(0.3) {
            spec["attachmentPolicy"] = json!("Exclusive");
        }
        if self.rng.chance(0.3) {
            spec["trust"] = json!({ "protection": "None" });
        }
        spec
    }

    /// One change by hand; refusals (the role may not exist at this moment) are part of life.
    async fn edit_by_hand(&mut self) {
        let stage = self.stage.read().await;
        let (role, arn) = (stage.name(&self.name), stage.policy_arn(&self.name));
        let choice = self.rng.below(11);
        let edit = |iam: &mut Iam| -> std::result::Result<(), ApiError> {
            match choice {
                0 => iam.create_policy_version(&arn, OTHER_DOCUMENT, true).map(drop),
                1 => iam.set_default_policy_version(&arn, "v1"),
                2 => iam.update_assume_role_policy(&role, OTHER_TRUST),
                3 => iam.update_role_description(&role, "theirs").map(drop),
                4 => iam.put_role_permissions_boundary(&role, READ_ONLY),
                5 => iam.delete_role_permissions_boundary(&role),
                6 => iam.tag_role(&role, &tags(&[("team", "theirs"), ("foreign", "kept")])),
                7 => iam.untag_policy(&arn, &["team".to_owned(), "key1".to_owned()]),
                8 => {
                    iam.attach_role_policy(&role, READ_ONLY)?;
                    iam.put_role_policy(&role, "mine", OTHER_DOCUMENT)
                }
                9 => {
                    for attached in iam.attached_to(&role) {
                        iam.detach_role_policy(&role, &attached)?;
                    }
                    let _ = iam.delete_role_policy(&role, "mine");
                    iam.delete_role(&role)
                }
                _ => iam.detach_role_policy(&role, &arn),
            }
        };
        let _ = stage.by_hand(edit);
    }

    /// Waits until IAM is what the spec says, judged by what stands in IAM and not by what the operator says of it.
    async fn as_the_spec_says(&self) -> Result<()> {
        let spec: AuroraLogExportPolicySpec = serde_json::from_value(self.spec.clone())?;
        wait_for(&format!("{} as {}", self.name, self.spec), LIMIT, async || {
            let stage = self.stage.read().await;
            self.compare(&stage, &spec)?;
            let object = stage.api().get(&self.name).await?;
            let status = &object.data["status"];
            let ready = super::stage::condition(status, "Ready").is_some_and(|ready| ready["status"] == "True");
            let current = status["observedGeneration"] == json!(object.metadata.generation);
            ensure!(ready && current, "not ready: {status}");
            Ok(())
        })
        .await
    }

    fn compare(&self, stage: &Stage, spec: &AuroraLogExportPolicySpec) -> Result<()> {
        let wanted = desired(
            &Owner::new(stage.namespace.clone(), self.name.clone()),
            spec,
            &settings(stage, &self.uid)?,
            &AccountFacts { id: AccountId::parse(ACCOUNT)?, partition: Partition::parse("aws")?, binding: None },
        )?;
        let role = stage.role(&self.name)?;
        ensure!(Meaning::of(role.trust.as_str()) == wanted.trust.meaning(), "trust {:?}", role.trust);
        ensure!(role.boundary == wanted.boundary, "boundary {:?}", role.boundary);
        ensure!(role.description.unwrap_or_default() == wanted.description, "description");
        has_tags(&role.tags, &wanted.tags)?;
        let attached = stage.attached(&self.name);
        ensure!(attached.iter().any(|arn| arn == wanted.attachment().as_str()), "{attached:?}");
        ensure!(!attached.iter().any(|arn| arn == wanted.superseded_attachment().as_str()), "{attached:?}");
        if wanted.attachments == AttachmentPolicy::Exclusive {
            let inline = stage.iam().list_role_policies(&stage.name(&self.name), &PageRequest::default())?.items;
            ensure!(attached.len() == 1 && inline.is_empty(), "others' policies: {attached:?}, {inline:?}");
        }
        match &wanted.policy {
            None => ensure!(stage.policy(&self.name).is_err(), "a policy that FullAccess does not manage"),
            Some(policy) => {
                has_tags(&stage.policy(&self.name)?.tags, &wanted.tags)?;
                let document = stage.document(&self.name)?;
                ensure!(Meaning::of(&document) == policy.document.meaning(), "{document}");
            }
        }
        Ok(())
    }
}

/// All wanted tags, and of those that specs here ever set no other.
fn has_tags(
    actual: &aurora_test_support::iam_model::Tags,
    wanted: &aurora_test_support::iam_model::Tags,
) -> Result<()> {
    for (key, value) in wanted {
        ensure!(actual.get(key) == Some(value), "tag {key} of {actual:?}");
    }
    let surplus = ["key0", "key1", "key2"].iter().find(|key| actual.contains_key(**key) && !wanted.contains_key(**key));
    ensure!(surplus.is_none(), "tag {surplus:?} of {actual:?}");
    Ok(())
}

fn settings(stage: &Stage, uid: &str) -> Result<Settings> {
    Ok(Settings {
        allow_adopt_existing: false,
        ..Settings::lenient(
            Cluster { name: ClusterName::parse(stage.cluster())?, uid: uid.to_owned(), previous_uids: Vec::new() },
            IamPath::parse(super::stage::PATH)?,
        )
    })
}
