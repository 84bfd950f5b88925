//! Documents as AWS returns them: decoded, understood, compared, judged.
#![no_main]

use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::documents::encoding::decode_document;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    let text = decode_document(&String::from_utf8_lossy(data));
    let meaning = Meaning::of(&text);
    assert_eq!(meaning, Meaning::of(&text));
    let trusted = meaning.trusts_only_rds();
    if !matches!(meaning, Meaning::Grants { .. }) {
        assert!(!trusted, "what is not understood is not trusted");
        return;
    }
    let mut value: Value = serde_json::from_str(&text).expect("it was understood");
    let pretty = serde_json::to_string_pretty(&value).expect("it is JSON");
    assert_eq!(Meaning::of(&pretty).fingerprint(), meaning.fingerprint(), "written in another way");
    // One more whom it lets in.
    let anybody = json!({ "Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole" });
    let statements = match value["Statement"].take() {
        Value::Array(mut statements) => {
            statements.push(anybody);
            statements
        }
        one => vec![one, anybody],
    };
    value["Statement"] = Value::Array(statements);
    assert!(!Meaning::of(&value.to_string()).trusts_only_rds(), "anybody is let in");
});
