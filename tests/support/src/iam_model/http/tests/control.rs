use super::{ACCOUNT, TRUST, call, call_as, element, send, server};
use hyper::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;

async fn control(addr: SocketAddr, method: Method, path: &str, body: Value) -> anyhow::Result<(u16, Value)> {
    let (status, text) = send(addr, method, &format!("/control/{path}"), None, body.to_string()).await?;
    Ok((status, serde_json::from_str(&text)?))
}

#[tokio::test]
async fn another_process_sets_faults_and_reads_the_log() -> anyhow::Result<()> {
    let server = server()?;
    let addr = server.addr();
    let plan = json!({"seed": 1, "rules": [{"actions": ["read"], "effect": {"kind": "throttle"}}]});
    assert_eq!(control(addr, Method::PUT, "faults", plan).await?.0, 200);
    let (_, body) = call(addr, "ListRoles", &[]).await?;
    assert_eq!(element(&body, "Code")?, "Throttling");
    assert_eq!(control(addr, Method::DELETE, "faults", Value::Null).await?.0, 200);
    assert_eq!(call(addr, "ListRoles", &[]).await?.0, 200);
    let (_, log) = control(addr, Method::GET, "log?since=1", Value::Null).await?;
    assert_eq!(log.as_array().map(Vec::len), Some(1));
    assert_eq!((&log[0]["action"], &log[0]["outcome"]), (&json!("ListRoles"), &json!("OK")));
    let (_, counts) = control(addr, Method::GET, "counts", Value::Null).await?;
    assert_eq!(counts["actions"], json!({"ListRoles": 2}));
    Ok(())
}

#[tokio::test]
async fn another_process_makes_accounts() -> anyhow::Result<()> {
    let server = server()?;
    let addr = server.addr();
    let change = json!({"partition": "aws-us-gov", "keys": ["AKIANEW"], "visibilityDelayMs": 60000,
                        "serviceLinkedRole": true});
    assert_eq!(control(addr, Method::PUT, "accounts/222233334444", change).await?.0, 200);
    let create = [("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)];
    let (_, body) = call_as(addr, Some("AKIANEW"), "CreateRole", &create).await?;
    assert_eq!(element(&body, "Arn")?, "arn:aws-us-gov:iam::222233334444:role/r");
    let (status, _) = call_as(addr, Some("AKIANEW"), "GetRole", &[("RoleName", "r")]).await?;
    assert_eq!(status, 404);
    let (status, _) = call_as(addr, Some("AKIANEW"), "GetRole", &[("RoleName", "AWSServiceRoleForRDS")]).await?;
    assert_eq!(status, 200);
    let (_, snapshot) = control(addr, Method::GET, "snapshot/222233334444", Value::Null).await?;
    assert_eq!(snapshot["roles"]["r"]["trust"], json!(TRUST));
    let (_, ids) = control(addr, Method::GET, "accounts", Value::Null).await?;
    assert_eq!(ids, json!([ACCOUNT, "222233334444"]));
    Ok(())
}

#[tokio::test]
async fn a_wrong_control_request_says_why() -> anyhow::Result<()> {
    let server = server()?;
    let (status, error) = control(server.addr(), Method::PUT, "faults", json!({"rulez": []})).await?;
    assert_eq!(status, 400);
    assert!(error["error"].as_str().is_some_and(|text| text.contains("rulez")), "{error}");
    assert_eq!(control(server.addr(), Method::GET, "nothing", Value::Null).await?.0, 404);
    Ok(())
}
