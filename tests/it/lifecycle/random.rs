//! A hundred random lives: edits of the spec, edits in AWS by hand, deletions, restarts of the operator. Each ends with
//! IAM as the spec says, and, once deleted, with nothing left.
//!
//! `LIFECYCLE_SEED` repeats a run, `LIFECYCLE_SEQUENCES` says how many lives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::policy::AuroraLogExportPolicySpec;
use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use aurora_log_export_operator::pipeline::desired::desired;
use aurora_test_support::iam_model::{ApiError, Iam, PageRequest, Rng};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::start;
use crate::fixture::{ACCOUNT, FULL_ACCESS, Fixture, OTHER_DOCUMENT, OTHER_TRUST, PATH, READ_ONLY, condition, tags};

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
    let fixture = start().await?;
    let uid = fixture.cluster_uid().await?;
    let before = fixture.iam().snapshot();
    // A restart needs exclusive access.
    let fixture = Arc::new(RwLock::new(fixture));
    let all = (0..lives).map(|life| {
        let (fixture, uid) = (fixture.clone(), uid.clone());
        async move {
            let told = format!("life {life} of LIFECYCLE_SEED={seed}");
            Life::new(fixture, uid, seed, life).run().await.with_context(|| told)
        }
    });
    let restarts = restart_now_and_then(fixture.clone(), Rng::new(seed));
    tokio::select! {
        ended = try_join_all(all) => { ended?; }
        failed = restarts => failed?,
    }
    let fixture = Arc::into_inner(fixture).context("still in use")?.into_inner();
    assert_eq!(fixture.iam().snapshot(), before, "LIFECYCLE_SEED={seed}: something is left over");
    fixture.finish().await
}

/// Kills or stops the operator, and starts it again, once every so many calls; never returns.
async fn restart_now_and_then(fixture: Arc<RwLock<Fixture<'static>>>, mut rng: Rng) -> Result<()> {
    loop {
        let until = {
            let fixture = fixture.read().await;
            fixture.mark() + 300 + rng.below(1500)
        };
        loop {
            if fixture.read().await.mark() >= until {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut fixture = fixture.write().await;
        if rng.chance(0.5) {
            fixture.kill_operator()?;
        } else {
            fixture.stop_operator().await?;
        }
        fixture.start_operator().await?;
    }
}

struct Life {
    fixture: Arc<RwLock<Fixture<'static>>>,
    uid: String,
    rng: Rng,
    name: String,
    spec: Value,
}

impl Life {
    fn new(fixture: Arc<RwLock<Fixture<'static>>>, uid: String, seed: u64, life: u64) -> Self {
        Self {
            fixture,
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
                    // Deleted at any moment, and created again under the same name.
                    self.delete().await?;
                    self.apply().await?;
                }
                _ => self.as_the_spec_says().await?,
            }
        }
        self.as_the_spec_says().await?;
        self.delete().await?;
        let fixture = self.fixture.read().await;
        fixture.nothing_left(&self.name)
    }

    async fn apply(&self) -> Result<()> {
        self.fixture.read().await.apply(&self.name, self.spec.clone()).await.map(drop)
    }

    async fn delete(&self) -> Result<()> {
        {
            let fixture = self.fixture.read().await;
            // Attachments of others would block it.
            let role = fixture.name(&self.name);
            let _ = fixture.by_hand(|iam| iam.detach_role_policy(&role, READ_ONLY));
            let _ = fixture.by_hand(|iam| iam.delete_role_policy(&role, "mine"));
            fixture.delete(&self.name).await?;
        }
        wait_for(&format!("{} to go", self.name), LIMIT, async || {
            let fixture = self.fixture.read().await;
            let left = fixture.api().get_opt(&self.name).await?;
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

    /// One change by hand, which fails if the role does not exist at this moment.
    async fn edit_by_hand(&mut self) {
        let fixture = self.fixture.read().await;
        let (role, arn) = (fixture.name(&self.name), fixture.policy_arn(&self.name));
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
        let _ = fixture.by_hand(edit);
    }

    /// Waits until IAM is as the spec says; the resources in IAM are compared, not only the status.
    async fn as_the_spec_says(&self) -> Result<()> {
        let spec: AuroraLogExportPolicySpec = serde_json::from_value(self.spec.clone())?;
        wait_for(&format!("{} as {}", self.name, self.spec), LIMIT, async || {
            let fixture = self.fixture.read().await;
            self.compare(&fixture, &spec)?;
            let object = fixture.api().get(&self.name).await?;
            let status = &object.data["status"];
            let ready = condition(status, "Ready").is_some_and(|ready| ready["status"] == "True");
            let current = status["observedGeneration"] == json!(object.metadata.generation);
            ensure!(ready && current, "not ready: {status}");
            Ok(())
        })
        .await
    }

    fn compare(&self, fixture: &Fixture<'_>, spec: &AuroraLogExportPolicySpec) -> Result<()> {
        let wanted = desired(
            &Owner::new(fixture.namespace(), self.name.clone()),
            spec,
            &settings(fixture, &self.uid)?,
            &AccountFacts { id: AccountId::parse(ACCOUNT)?, partition: Partition::parse("aws")?, binding: None },
        )?;
        let role = fixture.role(&self.name)?;
        ensure!(Meaning::of(role.trust.as_str()) == wanted.trust.meaning(), "trust {:?}", role.trust);
        ensure!(role.boundary == wanted.boundary, "boundary {:?}", role.boundary);
        ensure!(role.description.unwrap_or_default() == wanted.description, "description");
        has_tags(&role.tags, &wanted.tags)?;
        let attached = fixture.attached(&self.name);
        ensure!(attached.iter().any(|arn| arn == wanted.attachment().as_str()), "{attached:?}");
        ensure!(!attached.iter().any(|arn| arn == wanted.superseded_attachment().as_str()), "{attached:?}");
        if wanted.identity.attachments.exclusive {
            let inline = fixture.iam().list_role_policies(&fixture.name(&self.name), &PageRequest::default())?.items;
            ensure!(attached.len() == 1 && inline.is_empty(), "others' policies: {attached:?}, {inline:?}");
        }
        match &wanted.policy {
            None => ensure!(fixture.policy(&self.name).is_err(), "a policy that FullAccess does not manage"),
            Some(policy) => {
                has_tags(&fixture.policy(&self.name)?.tags, &wanted.tags)?;
                let document = fixture.document(&self.name)?;
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

fn settings(fixture: &Fixture<'_>, uid: &str) -> Result<Settings> {
    Ok(Settings {
        allow_adopt_existing: false,
        ..Settings::lenient(
            Cluster { name: ClusterName::parse(fixture.cluster())?, uid: uid.to_owned(), previous_uids: Vec::new() },
            IamPath::parse(PATH)?,
        )
    })
}
