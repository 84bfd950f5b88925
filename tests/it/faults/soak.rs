//! Everything at once: objects come, change and go while AWS throttles, fails and loses answers, and while the operator
//! is killed every two seconds. Once that is over, IAM holds exactly what the specs say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::{Bystander, Rng};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};

use crate::fixture::{FULL_ACCESS, Fixture, LIMIT, PATH, says, tags};

const LIFE: Duration = Duration::from_secs(2);
/// Between two changes, so that some of them come to something before the next.
const PAUSE: Duration = Duration::from_millis(40);
/// A resource that may have been created just before a process died is read again after a minute.
const CONVERGENCE: Duration = Duration::from_mins(2);
const REGIONS: [&str; 4] = ["eu-central-1", "us-east-1", "ap-south-1", "sa-east-1"];

/// The expected end of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Regions(BTreeSet<&'static str>),
    FullAccess,
    Gone,
}

impl Wanted {
    fn random(rng: &mut Rng) -> Self {
        if rng.chance(0.2) {
            return Self::FullAccess;
        }
        let mut regions: BTreeSet<_> = REGIONS.into_iter().filter(|_| rng.chance(0.5)).collect();
        regions.insert(REGIONS[0]);
        Self::Regions(regions)
    }

    fn spec(&self) -> Value {
        match self {
            Self::Regions(regions) => json!({ "scope": { "regions": regions } }),
            Self::FullAccess | Self::Gone => json!({ "access": "FullAccess" }),
        }
    }
}

/// Outcomes of calls that were struck by a fault.
const FAULTS: [&str; 3] = ["Throttling", "ServiceFailure", "ConnectionLost"];

#[tokio::test]
async fn a_storm_of_faults_and_kills_leaves_iam_as_the_specs_say() -> Result<()> {
    storm(40, Duration::from_secs(9), 7).await
}

#[tokio::test]
#[ignore = "takes minutes: cargo test --test it -- --ignored soak"]
async fn a_long_storm_of_faults_and_kills_leaves_iam_as_the_specs_say() -> Result<()> {
    storm(200, Duration::from_mins(3), 11).await
}

async fn storm(objects: usize, duration: Duration, seed: u64) -> Result<()> {
    let mut fixture = Fixture::with(&["--drift-check-interval=5s"]).prepare().await?;
    plant_bystanders(&fixture)?;
    fixture.aws.gate().set_faults(FaultPlan::of(
        seed,
        vec![
            Rule::new(Effect::Throttle, &["*"]).with_probability(0.3),
            Rule::new(Effect::ServiceFailure, &["*"]).with_probability(0.05),
            Rule::new(Effect::LoseAnswer, &["*"]).with_probability(0.05),
        ],
    ));
    let pod_name = Some(format!("storm-{}", fixture.namespace()));
    let options = OperatorOptions { pod_name, ..fixture.own_options() };
    let end = Instant::now() + duration;
    let (lives, wanted) = tokio::try_join!(mortal(&fixture, &options, end), users(&fixture, objects, end, seed))?;
    let outcomes = fixture.aws.gate().outcomes();
    println!("{lives} lives; calls by outcome: {outcomes:?}");
    ensure!(FAULTS.iter().all(|outcome| outcomes.contains_key(*outcome)), "not every fault has struck: {outcomes:?}");

    fixture.clear_faults();
    let calm = Instant::now();
    fixture.start_operator_with(options).await?;
    for (name, wanted) in &wanted {
        settled(&fixture, name, wanted).await.with_context(|| fixture.log())?;
    }
    println!("calm {:?} after the storm", calm.elapsed());
    exactly(&fixture, &wanted)?;
    fixture.finish().await
}

/// Runs the operator until `end`, each process for two seconds; returns their number.
async fn mortal(fixture: &Fixture<'_>, options: &OperatorOptions, end: Instant) -> Result<u32> {
    let mut lives = 0;
    while goes_on(fixture, end) {
        let (operator, calls) = (Operator::start(fixture.env, options.clone()).await?, fixture.mark());
        tokio::time::sleep(LIFE).await;
        // On a busy machine a life may end before it has begun.
        wait_for("a call of this life", LIMIT, async || {
            ensure!(fixture.mark() > calls, "none");
            Ok(())
        })
        .await?;
        operator.kill()?;
        lives += 1;
    }
    Ok(lives)
}

/// Until `end`, and until every kind of fault has struck.
fn goes_on(fixture: &Fixture<'_>, end: Instant) -> bool {
    let struck = fixture.aws.gate().outcomes();
    let stormy = FAULTS.iter().all(|outcome| struck.contains_key(*outcome));
    Instant::now() < end || (!stormy && Instant::now() < end + LIMIT)
}

/// Creates objects and changes them until `end`; returns the expected end of each.
async fn users(fixture: &Fixture<'_>, objects: usize, end: Instant, seed: u64) -> Result<BTreeMap<String, Wanted>> {
    let mut wanted = BTreeMap::new();
    let mut rng = Rng::new(seed);
    for number in 0..objects {
        let first = Wanted::random(&mut rng);
        fixture.apply(&format!("o{number}"), first.spec()).await?;
        wanted.insert(format!("o{number}"), first);
    }
    while goes_on(fixture, end) {
        change_one(fixture, &mut wanted, &mut rng).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(wanted)
}

/// One change by a user: another spec, a deletion, or a new object under an old name.
async fn change_one(fixture: &Fixture<'_>, wanted: &mut BTreeMap<String, Wanted>, rng: &mut Rng) -> Result<()> {
    let count = u64::try_from(wanted.len())?;
    let name = format!("o{}", rng.below(count));
    let now = wanted.get_mut(&name).context("no such object")?;
    if *now == Wanted::Gone {
        if fixture.api().get_opt(&name).await?.is_some() {
            return Ok(());
        }
    } else if rng.chance(0.25) {
        *now = Wanted::Gone;
        return delete(fixture, &name).await;
    }
    *now = Wanted::random(rng);
    fixture.apply(&name, now.spec()).await.map(|_| ())
}

/// Deletes the version that it has read. Without this precondition, the API server removes an object at once if the
/// operator adds the finalizer while it is being deleted. A killed operator does not know of such an object any more, and
/// what it had created is reported as an orphan.
async fn delete(fixture: &Fixture<'_>, name: &str) -> Result<()> {
    let api = fixture.api();
    wait_for("the deletion", LIMIT, async || {
        let read = api.get(name).await?;
        let (uid, resource_version) = (read.uid(), read.resource_version());
        let preconditions = Some(Preconditions { uid, resource_version });
        api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await?;
        Ok(())
    })
    .await
}

async fn settled(fixture: &Fixture<'_>, name: &str, wanted: &Wanted) -> Result<()> {
    let api = fixture.api();
    wait_for(&format!("{name} to settle"), CONVERGENCE, async || {
        let object = api.get_opt(name).await?;
        match (object, wanted) {
            (None, Wanted::Gone) => Ok(()),
            (Some(object), Wanted::Regions(_) | Wanted::FullAccess) if says(&object, "Ready", "True", "InSync") => {
                Ok(())
            }
            (object, _) => anyhow::bail!("{:?}", object.map(|object| object.data["status"].clone())),
        }
    })
    .await
}

/// Neither more nor less, nor anything else, than the specs say.
fn exactly(fixture: &Fixture<'_>, wanted: &BTreeMap<String, Wanted>) -> Result<()> {
    let iam = fixture.iam();
    let snapshot = iam.snapshot();
    let names = |kind: &str| -> BTreeSet<String> {
        let all = snapshot[kind].as_object().into_iter().flatten();
        all.filter(|(_, entry)| entry["path"] == PATH).map(|(name, _)| name.clone()).collect()
    };
    let expected = |keep: fn(&Wanted) -> bool| -> BTreeSet<String> {
        let kept = wanted.iter().filter(|(_, wanted)| keep(wanted));
        kept.map(|(name, _)| fixture.name(name)).collect()
    };
    assert_eq!(names("roles"), expected(|wanted| *wanted != Wanted::Gone));
    assert_eq!(names("policies"), expected(|wanted| matches!(wanted, Wanted::Regions(_))));
    for (name, wanted) in wanted {
        let attached = match wanted {
            Wanted::Gone => continue,
            Wanted::FullAccess => FULL_ACCESS.to_owned(),
            Wanted::Regions(regions) => {
                assert_eq!(regions_of(&fixture.document(name)?)?, *regions, "{name}");
                fixture.policy_arn(name)
            }
        };
        assert_eq!(iam.attached_to(&fixture.name(name)), [attached], "{name}");
    }
    Ok(())
}

/// The Regions of the statement about log groups.
fn regions_of(document: &str) -> Result<BTreeSet<&'static str>> {
    let document: Value = serde_json::from_str(document)?;
    let resource = &document["Statement"][1]["Resource"];
    let one = resource.as_str().into_iter();
    let many = resource.as_array().into_iter().flatten().filter_map(Value::as_str);
    let arns: Vec<&str> = one.chain(many).collect();
    arns.into_iter()
        .map(|arn| {
            let region = arn.split(':').nth(3).unwrap_or_default();
            let known = REGIONS.into_iter().find(|known| *known == region);
            known.with_context(|| format!("an unexpected Region in {arn}"))
        })
        .collect()
}

/// Policies and roles of others in the operator's own path, one with two of the three ownership tags.
fn plant_bystanders(fixture: &Fixture<'_>) -> Result<()> {
    let cluster = fixture.cluster();
    let almost = [("auroralogexport.dev/managed-by", cluster), ("auroralogexport.dev/owner", "shop/o1")];
    for (object, held) in [("o0x", &[("team", "others")][..]), ("almost", &almost)] {
        let (name, path) = (fixture.name(object), PATH.to_owned());
        let bystander = Bystander { name, path, tags: tags(held), trusts_rds: true };
        fixture.by_hand(|iam| iam.plant_bystander(&bystander))?;
    }
    Ok(())
}
