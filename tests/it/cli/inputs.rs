//! What `plan` can be pointed at, and what programs read out of it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aurora_test_support::apply::manifest;
use aurora_test_support::ports::free_port;
use serde_json::{Value, json};

use super::{BINARY, Cli, directory, iam, write_manifest};
use crate::environment;

/// The objects of a plan in JSON.
fn planned(plan: &Value) -> Result<BTreeSet<String>> {
    let objects = plan["objects"].as_array().context("no objects")?;
    Ok(objects.iter().filter_map(|object| object["name"].as_str().map(str::to_owned)).collect())
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn plan_takes_files_directories_standard_input_and_objects_of_the_cluster() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    let dir = directory(env, &namespace)?.join("manifests");
    std::fs::create_dir(&dir)?;
    let file = |name: &str, text: &str| write_manifest(&dir, name, text);
    let one = file("one.yaml", &manifest(&namespace, "one", "{}"))?;
    let list = json!({ "kind": "List", "items": [{
        "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
        "metadata": { "name": "two", "namespace": namespace }, "spec": {} }] });
    let two = file("two.json", &list.to_string())?;
    let both = [manifest(&namespace, "three", "{}"), manifest(&namespace, "four", "{}")].concat();
    file("three.yml", &format!("{both}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: other}}\n"))?;
    file("notes.txt", "not for us")?;
    let cli = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", "inputs").env("PROGRAM", BINARY);
    let plan = async |arguments: &[&str]| -> Result<BTreeSet<String>> {
        planned(&cli.json(&[&["plan", "-o", "json"], arguments].concat()).await?)
    };
    assert_eq!(plan(&["-f", &one, "-f", &two]).await?, names(["one", "two"]));
    assert_eq!(plan(&["-f", &dir.display().to_string()]).await?, names(["one", "two", "three", "four"]));
    let piped = cli.clone().program("bash").env("FILE", &one);
    let piped = piped.json(&["-c", "$PROGRAM plan -f - -o json <$FILE"]).await?;
    assert_eq!(planned(&piped)?, names(["one"]));

    env.apply_yaml(&[manifest(&namespace, "a", "{}"), manifest(&namespace, "b", "{}")].concat()).await?;
    assert_eq!(plan(&[&format!("{namespace}/a")]).await?, names(["a"]));
    assert_eq!(plan(&["a", "alep/b", "-n", &namespace]).await?, names(["a", "b"]));
    assert_eq!(plan(&["--all", "-n", &namespace]).await?, names(["a", "b"]));
    // A manifest of what the cluster has is planned as its next edit, beside what the cluster has.
    let edit = file("a.yaml", &manifest(&namespace, "a", "{access: FullAccess}"))?;
    let edit = cli.json(&["plan", "-f", &edit, "-o", "json"]).await?;
    let operations: Vec<&Value> =
        edit["objects"][0]["actions"].as_array().context("no actions")?.iter().map(|it| &it["operation"]).collect();
    assert_eq!((planned(&edit)?, operations), (names(["a"]), vec![&json!("CreateRole"), &json!("AttachRolePolicy")]));
    Ok(())
}

#[tokio::test]
async fn plan_as_yaml_says_what_it_says_as_json_and_its_exit_code_tells_of_changes_and_failures() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    env.apply_yaml(&[manifest(&namespace, "new", "{}"), manifest(&namespace, "idle", "{suspend: true}")].concat())
        .await?;
    let cli = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", "outputs");
    let of = |name: &str| format!("{namespace}/{name}");

    let both = [of("new"), of("idle")];
    let json = cli.json(&["plan", &both[0], &both[1], "-o", "json"]).await?;
    let yaml = cli.ok(&["plan", &both[0], &both[1], "-o", "yaml"]).await?;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml)?, json);
    assert_eq!(json["cluster"]["name"], "outputs", "{json}");
    assert_eq!(json["summary"], json!({ "create": 2, "change": 0, "delete": 0, "unchanged": 1, "refused": 0 }));
    let results: Vec<&Value> =
        json["objects"].as_array().context("no objects")?.iter().map(|it| &it["result"]).collect();
    assert_eq!(results, [&json!("Changes"), &json!("LeftAlone")]);
    assert_eq!(json["objects"][0]["actions"][0]["operation"], "CreatePolicy", "{json}");

    let down = cli.clone().env("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{}", free_port()?));
    for (cli, arguments, code) in [
        (&cli, vec![both[1].as_str()], 0),
        (&cli, vec![both[0].as_str()], 2),
        (&cli, vec!["--all", "-n", &namespace], 2),
        (&cli, vec!["-o", "json", both[0].as_str()], 2),
        (&cli, vec!["nowhere/nothing"], 1),
        // AWS does not answer: nobody knows, which is no "no changes".
        (&down, vec![both[0].as_str()], 1),
    ] {
        let outcome = cli.run(&[&["plan", "--exit-code"], &arguments[..]].concat()).await?;
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
        let without = cli.run(&[&["plan"], &arguments[..]].concat()).await?;
        assert_eq!(without.code, i32::from(arguments[0] == "nowhere/nothing"), "{arguments:?}: {without:?}");
    }
    Ok(())
}
