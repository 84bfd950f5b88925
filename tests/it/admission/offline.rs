//! The command line judges a manifest as `kubectl apply` and the API server do.

use std::process::Stdio;

use anyhow::{Context, Result};
use aurora_test_support::environment::Environment;
use futures::{StreamExt, stream};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{accepted, account, accounts, policy, policy_cases};
use crate::environment;
use crate::fixture::BINARY;

/// What `render -f -` says on standard error, and whether it succeeded.
async fn render(env: &Environment, manifest: &str) -> Result<(bool, String)> {
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", env.dir()).args(["render", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(manifest.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Manifests as people write them, beyond the cases of the schema: how YAML is read, nulls, keys, metadata.
fn texts(namespace: &str) -> Vec<String> {
    let head = "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy";
    let with = |metadata: &str, rest: &str| {
        format!("{head}\nmetadata: {{name: a, namespace: {namespace}{metadata}}}\n{rest}\n")
    };
    let spec = |spec: &str| with("", &format!("spec: {spec}"));
    let specs = [
        "{}",
        "{tags: {a: null, b: c}}",
        "{tags: {a: ~}}",
        "{tags: null, scope: ~, trust: , outputs: null, roleName: null, suspend: null}",
        "{scope: {regions: null}, outputs: {configMapRef: null}}",
        "{scope: {regions: [eu-west-1, null]}}",
        "{suspend: yes}",
        "{suspend: On}",
        "{suspend: oN}",
        "{suspend: 'true'}",
        "{suspend: 1}",
        "{tags: {a: yes}}",
        "{tags: {a: 'yes'}}",
        "{tags: {a: 1}}",
        "{tags: {a: !!str 1}}",
        "{tags: {1: a}}",
        "{tags: {y: a}}",
        "{tags: {~: a}}",
        "{tags: {[a]: b}}",
        "{tags: {a: 1:30, b: 2026-01-01, c: 0o8, d: =}}",
        "{tags: {a: 1_000}}",
        "{tags: {a: .inf}}",
        "{scope: {accountIds: [012345678901]}}",
        "{scope: {accountIds: ['012345678901']}}",
        "{description: 1e3}",
        "{description: 'a', description: 'b'}",
        "{acess: Minimal}",
        "{scope: {region: [eu-west-1]}, trust: {principal: a}}",
        "&a {tags: &b {x: z}}",
        "{tags: *nowhere}",
        "{tags: {<<: {a: b}, c: d}}",
        "[",
        "text",
        "7",
    ];
    let mut texts: Vec<_> = specs.map(spec).into();
    texts.extend([
        with("", "spec:\n  tags: {a: b}\n  suspend: true\n  tags: {c: d}\nspec: {}"),
        with("", "spec: {}\nspecs: {}"),
        with("", "spec: {}\nstatus: {accountId: '1', phase: x}"),
        with("", "spec: {}\nstatus: {accountId: '1'}"),
        with("", ""),
        with(", label: x", "spec: {}"),
        with(", labels: {a: 1}", "spec: {}"),
        with(", labels: {a: null, example.com/b: c}", "spec: {}"),
        with(", labels: {'a b': c}", "spec: {}"),
        with(", labels: {a: 'b c'}", "spec: {}"),
        with(", labels: [a]", "spec: {}"),
        with(", annotations: {a: true}", "spec: {}"),
        with(", annotations: {a: any text}", "spec: {}"),
        with(", creationTimestamp: null", "spec: {}"),
        spec("{}").replace("name: a,", "name: A_b,"),
        spec("{}").replace("name: a,", "name: 7,"),
        spec("{}").replace("name: a,", "name: ,"),
        spec("{}").replace("name: a,", "generateName: a,"),
        spec("{}").replace("name: a,", &format!("name: {},", "n".repeat(129))),
        spec("{}").replace("v1alpha1", "v1"),
        spec("{}").replace("apiVersion: auroralogexport.dev/v1alpha1\n", ""),
        spec("{}").replace("\nspec", "\n spec"),
        spec("{}").replace("metadata", "\tmetadata"),
    ]);
    texts
}

#[tokio::test]
async fn render_takes_and_refuses_what_kubectl_apply_takes_and_refuses() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let mut manifests = texts(&namespace);
    let invalid = policy_cases::cases().into_iter().map(|case| case.spec);
    manifests.extend(invalid.chain(accepted::policies()).map(|spec| policy(&namespace, "a", &spec)));
    let specs = accounts::cases().into_iter().map(|case| case.spec).chain(accepted::accounts());
    // `render` needs a policy, too.
    let minimal = policy(&namespace, "b", "{}");
    manifests.extend(specs.map(|spec| format!("{}---\n{minimal}", account("offline", &spec))));
    let judged = stream::iter(&manifests).map(|manifest| async move {
        let arguments = ["apply", "--dry-run=server", "-f", "-"];
        let kubectl = env.kubectl_with(env.kubeconfig(), &arguments, Some(manifest)).await;
        let (accepted, says) = render(env, manifest).await?;
        // The API server does not know the account, nor IAM's limits.
        let unknown = ["results in a policy of", "of this account", "in this account"];
        let operator_refuses = kubectl.is_ok() && unknown.iter().any(|part| says.contains(part));
        let differs = accepted != kubectl.is_ok() && !operator_refuses;
        anyhow::Ok(differs.then(|| format!("{manifest}\nkubectl: {kubectl:?}\nrender: {accepted} {says}")))
    });
    let judged: Vec<_> = judged.buffered(4).collect().await;
    let wrong: Vec<_> = judged.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), manifests.len(), wrong.join("\n"));
    Ok(())
}

/// kubectl's client-side apply drops the null before it sends the object.
#[tokio::test]
async fn a_spec_that_is_null_is_a_working_manifest() -> Result<()> {
    let env = environment().await?;
    let manifest = policy(&env.namespace().await?, "a", "null");
    let arguments = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    env.kubectl_with(env.kubeconfig(), &arguments, Some(&manifest)).await?;
    let (accepted, says) = render(env, &manifest).await?;
    assert!(accepted && says.is_empty(), "{says}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_has_the_field_the_line_and_the_next_step() -> Result<()> {
    let env = environment().await?;
    let head = "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {name: a}\n";
    for (rest, accepted, words) in [
        (
            "spec:\n  tags: {a: b}\n  tags: {c: d}\n",
            true,
            vec!["warning: -: line 6", "\"tags\"", "line 5", "remove one of them"],
        ),
        ("spec: {tags: {a: yes}}", false, vec!["spec.tags.a: must be of type string, and is boolean; quote it"]),
        ("spec: {acess: Minimal}\nspecs: {}", false, vec!["unknown field \"spec.acess\"", "unknown field \"specs\""]),
        ("spec: {\n", false, vec!["- is not valid YAML; correct the file", "line "]),
        ("", false, vec!["spec: is required; write spec: {}"]),
    ] {
        let (success, says) = render(env, &format!("{head}{rest}")).await?;
        assert_eq!(success, accepted, "{rest}: {says}");
        for words in words {
            assert!(says.contains(words), "{rest}: {words:?} is not in {says}");
        }
        assert!(!says.contains("Options") && !says.contains("DuplicateKey"), "{says}");
    }
    Ok(())
}
