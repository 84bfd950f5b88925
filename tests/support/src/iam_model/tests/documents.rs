use super::super::{CreatePolicy, CreateRole, Iam};
use super::{Outcome, account, code, document, policy, role};

fn policy_code(document: &str) -> String {
    code(account().create_policy(&CreatePolicy { document: document.to_owned(), ..policy("p") }))
}

fn trust_code(trust: &str) -> String {
    code(account().create_role(&CreateRole { trust: trust.to_owned(), ..role("r") }))
}

#[test]
fn policies_aws_accepts() {
    for text in [
        r#"{"Statement":{"Effect":"Deny","NotAction":"*","NotResource":"arn:aws:s3:::b"}}"#,
        r#"{"Version":"2008-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":["logs:*"],"Resource":["*"]}]}"#,
        r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Effect":"Allow","Action":"logs:Put*","Resource":
            "arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*","Condition":
            {"ForAnyValue:StringLikeIfExists":{"aws:x":["a","b"]}}}]}"#,
    ] {
        assert_eq!(policy_code(text), "OK", "{text}");
    }
}

#[test]
fn policies_aws_rejects() {
    for text in [
        "not json",
        "[]",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-18","Statement":[{"Effect":"Allow","Action":"a:b","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"allow","Action":"a:b","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":[]}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"nothing","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"bucket"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"arn:aws-cn:s3:::b"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"*","Principal":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"*","Unknown":"*"}]}"#,
        r#"{"Statement":[{"Sid":"a-b","Effect":"Allow","Action":"a:b","Resource":"*"}]}"#,
        r#"{"Statement":[{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"Equals":{"a:b":"c"}}}]}"#,
        r#"{"Statement":[{"Sid":"s","Effect":"Allow","Action":"a:b","Resource":"*"},
            {"Sid":"s","Effect":"Allow","Action":"a:b","Resource":"*"}]}"#,
    ] {
        assert_eq!(policy_code(text), "MalformedPolicyDocument", "{text}");
    }
    assert_eq!(policy_code(""), "ValidationError");
}

#[test]
fn trust_policies_aws_rejects() {
    let statement = |body: &str| format!(r#"{{"Statement":[{{"Effect":"Allow",{body}}}]}}"#);
    for body in [
        r#""Action":"sts:AssumeRole""#,
        r#""Action":"s3:GetObject","Principal":{"Service":"rds.amazonaws.com"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"Service":"rds"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"Robot":"x"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:role/missing"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"AWS":"someone"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"Service":"rds.amazonaws.com"},"Resource":"*""#,
    ] {
        assert_eq!(trust_code(&statement(body)), "MalformedPolicyDocument", "{body}");
    }
    for body in [
        r#""Action":"sts:AssumeRole","Principal":{"Service":["rds.amazonaws.com","ec2.amazonaws.com.cn"]}"#,
        r#""Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::999999999999:role/foreign"}"#,
        r#""Action":"sts:AssumeRole","Principal":{"AWS":"*"}"#,
    ] {
        assert_eq!(trust_code(&statement(body)), "OK", "{body}");
    }
}

#[test]
fn a_new_role_is_not_a_valid_principal_yet() -> Outcome {
    let mut iam = account();
    iam.settings.visibility_delay_ms = 1000;
    let arn = iam.create_role(&role("first"))?.arn;
    let trust =
        format!(r#"{{"Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"AWS":"{arn}"}}}}]}}"#);
    let second = CreateRole { trust, ..role("second") };
    assert_eq!(code(iam.create_role(&second)), "MalformedPolicyDocument");
    iam.advance_ms(1000);
    assert_eq!(code(iam.create_role(&second)), "OK");
    Ok(())
}

#[test]
fn sizes_do_not_count_white_space() {
    let with_padding = |sid: usize, blanks: usize| {
        let (sid, blanks) = ("s".repeat(sid), " ".repeat(blanks));
        format!(r#"{{"Statement":[{{"Sid":"{sid}","Effect":"Allow","Action":"a:b","Resource":"*"}}]{blanks}}}"#)
    };
    let fixed = with_padding(0, 0).len();
    assert_eq!(policy_code(&with_padding(6144 - fixed, 500)), "OK");
    assert_eq!(policy_code(&with_padding(6145 - fixed, 0)), "LimitExceeded");
    assert_eq!(policy_code(&with_padding(0, 131_072)), "ValidationError");
}

#[test]
fn the_trust_quota_is_adjustable() {
    let mut iam = account();
    let accounts: Vec<String> = (0..130).map(|number| format!("{number:012}")).collect();
    let trust = serde_json::json!({"Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": accounts}}]});
    let large = CreateRole { trust: trust.to_string(), ..role("r") };
    assert_eq!(code(iam.create_role(&large)), "OK");
    assert_eq!(code(iam.update_assume_role_policy("r", &large.trust)), "OK");
    iam.quotas.trust_size = 1000;
    assert_eq!(code(iam.update_assume_role_policy("r", &large.trust)), "LimitExceeded");
}

#[test]
fn documents_are_returned_unchanged_and_encoded_by_rfc_3986() -> Outcome {
    let mut iam: Iam = account();
    let spaced = document().replace(',', ", ");
    let arn = iam.create_policy(&CreatePolicy { document: spaced.clone(), ..policy("p") })?.arn;
    let version = iam.get_policy_version(&arn, "v1")?;
    assert_eq!(version.document.as_str(), spaced);
    let encoded = version.document.encoded();
    assert!(encoded.starts_with("%7B%22") && encoded.contains("%2C%20") && !encoded.contains('+'), "{encoded}");
    Ok(())
}
