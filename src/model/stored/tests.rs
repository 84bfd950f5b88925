//! What is read of an object, and what becomes of what cannot be read.

use super::*;
use serde_json::json;

fn read(value: Value) -> PolicyObject {
    serde_json::from_value(value).unwrap()
}

#[test]
fn an_unreadable_spec_names_its_field_and_keeps_metadata_and_status() {
    let object = read(json!({
        "apiVersion": "auroralogexport.dev/v1alpha1",
        "kind": "AuroraLogExportPolicy",
        "metadata": { "namespace": "shop", "name": "orders", "uid": "u", "generation": 3, "finalizers": [FINALIZER] },
        "spec": { "scope": { "regions": ["eu-west-1", 7] } },
        "status": { "observedGeneration": 2, "accountId": "123456789012" },
    }));
    let error = object.spec.clone().unwrap_err();
    assert_eq!(error.field, "spec.scope.regions[1]");
    assert!(error.message.contains("expected a string"), "{error}");
    assert_eq!(object.key(), Owner::new("shop", "orders"));
    assert!(object.has_finalizer());
    assert_eq!(object.status.account_id.as_deref(), Some("123456789012"));
}

#[test]
fn an_unreadable_spec_of_an_account_names_its_field_and_keeps_the_rest() {
    let object: AccountObject = serde_json::from_value(json!({
        "metadata": { "name": "prod", "generation": 2, "finalizers": [FINALIZER] },
        "spec": { "accountId": "111122223333", "limits": { "readsPerSecond": "many" } },
        "status": { "observedGeneration": 1, "policies": 3 },
    }))
    .unwrap();
    assert_eq!(object.spec.as_ref().unwrap_err().field, "spec.limits.readsPerSecond");
    assert!(object.has_finalizer());
    assert_eq!(object.status.policies, Some(3));
}

#[test]
fn an_unreadable_status_becomes_the_default() {
    let status = |status: Value| read(json!({ "metadata": {}, "spec": {}, "status": status })).status;
    assert_eq!(status(json!({ "observedGeneration": 7, "unknown": [{}] })).observed_generation, 7);
    for unreadable in [Value::Null, json!(7), json!([]), json!({ "observedGeneration": "7", "accountId": "1" })] {
        assert_eq!(status(unreadable.clone()), AuroraLogExportPolicyStatus::default(), "{unreadable}");
    }
}

#[test]
fn an_invalid_value_is_an_error_with_its_path() {
    let field = |spec: Value| read(json!({ "metadata": {}, "spec": spec })).spec.unwrap_err().field;
    assert_eq!(field(json!({ "access": "Everything" })), "spec.access");
    assert_eq!(field(json!({ "scope": { "region": "eu-west-1" } })), "spec.scope.region");
    assert_eq!(field(json!({ "driftCheckInterval": "soon" })), "spec.driftCheckInterval");
    assert_eq!(field(json!(["exports"])), "spec");
}

#[test]
fn a_megabyte_of_metadata_is_not_kept() {
    let mut finalizers: Vec<String> = (0..3_000).map(|number| format!("example.com/{number:0>300}")).collect();
    finalizers.push(FINALIZER.to_owned());
    let annotations = json!({ RECONCILE_AT: "x".repeat(250_000), "other": "x".repeat(250_000) });
    let object = read(json!({ "metadata": { "finalizers": finalizers, "annotations": annotations }, "spec": {} }));
    assert_eq!(object.spec.as_ref().unwrap_err().field, "metadata.finalizers");
    assert_eq!(object.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert!(format!("{object:?}").len() < 2_000);
}

#[test]
fn a_field_of_a_newer_version_is_ignored_and_reported() {
    let object =
        read(json!({ "metadata": {}, "spec": { "rotation": {}, "deletionPolicy": "Archive", "tags": { "a": "b" } } }));
    assert_eq!(object.ignored, ["spec.rotation", "spec.deletionPolicy: Archive (Retain is used)"]);
    let spec = object.spec.unwrap();
    assert_eq!(spec.deletion_policy, Some(crate::api::policy::DeletionPolicy::Retain));
    assert!(spec.tags.is_some());
}

#[test]
fn a_null_is_read_as_unset_and_a_missing_spec_is_an_error() {
    let nothing = read(json!({ "metadata": {}, "spec": {} })).spec;
    for spec in
        [Value::Null, json!({ "scope": null, "tags": null, "trust": null, "outputs": null, "accountRef": null })]
    {
        assert_eq!(read(json!({ "metadata": {}, "spec": spec })).spec, nothing, "{spec}");
    }
    assert_eq!(read(json!({ "metadata": {} })).spec.unwrap_err().field, "spec");
    let account: AccountObject = serde_json::from_value(json!({ "metadata": {}, "spec": null })).unwrap();
    assert!(account.spec.unwrap_err().message.contains("accountId"));
}

#[test]
fn a_null_in_the_status_loses_nothing_else() {
    let status = json!({ "accountId": "1", "tagKeys": null, "drift": null, "conditions": null, "policy": null });
    assert_eq!(read(json!({ "metadata": {}, "spec": {}, "status": status })).status.account_id.as_deref(), Some("1"));
    let status = json!({ "policies": 3, "conditions": null });
    let account: AccountObject = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
    assert_eq!(account.status.policies, Some(3));
}

#[test]
fn only_the_metadata_that_the_pipeline_needs_is_kept() {
    let object = read(json!({
        "metadata": {
            "name": "orders",
            "labels": { "a": "b" },
            "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", RECONCILE_AT: "now" },
            "managedFields": [{ "manager": "x" }],
        },
        "spec": {},
    }));
    assert_eq!(object.reconcile_at(), Some("now"));
    assert_eq!(object.metadata.annotations.as_ref().map(BTreeMap::len), Some(1));
    assert_eq!(object.metadata.labels, None);
    assert_eq!(object.metadata.managed_fields, None);
}
