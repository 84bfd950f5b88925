//! The status that the operator writes fits the schema, whatever the spec was before.

use anyhow::{Result, ensure};
use aurora_test_support::operator::{Operator, OperatorOptions};

use crate::emulators::aws;
use crate::environment;

const ACCOUNT: &str = "222233334444";

/// While a spec's tags are replaced, the keys of both are on record: more than AWS allows on one resource.
#[tokio::test]
async fn thirty_tags_are_replaced_by_thirty_others() -> Result<()> {
    let env = environment().await?;
    let (aws, namespace) = (aws()?, env.namespace().await?);
    aws.world().add_key("test", ACCOUNT);
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments([format!("--watch-namespace={namespace}").as_str()])
        .aws_endpoint(&aws.url());
    let operator = Operator::start(env, options).await?;
    for (generation, prefix) in [(1, "first"), (2, "second")] {
        let tags: String = (0..30).map(|number| format!("{prefix}{number}: x, ")).collect();
        env.apply_yaml(&format!(
            "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
             metadata: {{name: orders, namespace: {namespace}}}\nspec: {{tags: {{{}}}}}\n",
            tags.trim_end_matches(", ")
        ))
        .await?;
        let observed = format!("--for=jsonpath={{.status.observedGeneration}}={generation}");
        env.kubectl(&["wait", &observed, "alep/orders", "-n", &namespace, "--timeout=60s"]).await?;
        env.kubectl(&["wait", "--for=condition=Ready", "alep/orders", "-n", &namespace, "--timeout=60s"]).await?;
    }
    let keys = env.kubectl(&["get", "alep/orders", "-n", &namespace, "-o=jsonpath={.status.tagKeys}"]).await?;
    ensure!(!keys.contains("first") && keys.contains("second29"), "{keys}");
    operator.stop().await.map(drop)
}
