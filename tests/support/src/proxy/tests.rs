//! The proxy before an upstream with moto's manners: the model's server with a recorder in between would hide them,
//! so the upstream here is a script.

use super::{Proxy, ProxyOptions};
use crate::iam_model::faults::{Effect, FaultPlan, Rule};
use crate::iam_model::http::{Query, listen, reply};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;

const ARN: &str = "arn:aws:iam::123456789012:policy/p";

/// The forms an upstream received.
type Received = Arc<Mutex<Vec<String>>>;

/// An upstream that answers each action with a fixed body; everything else with an empty 200.
struct Script {
    addr: SocketAddr,
    received: Received,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Script {
    fn start(answers: &'static [(&'static str, &'static str)]) -> anyhow::Result<Self> {
        let received = Received::default();
        let (addr, runtime) = listen(0, 1, {
            let received = received.clone();
            move |request: Request<hyper::body::Incoming>| {
                let received = received.clone();
                async move {
                    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
                    let action = Query::parse(&body, None).action;
                    received
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(String::from_utf8_lossy(&body).into_owned());
                    let answer = answers.iter().find(|(name, _)| *name == action).map_or("", |(_, answer)| answer);
                    Ok(reply::whole(200, "text/xml", answer))
                }
            }
        })?;
        Ok(Self { addr, received, runtime: Some(runtime) })
    }

    fn actions(&self) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|form| Query::parse(form.as_bytes(), None).action).collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn post(addr: SocketAddr, path: &str, key: &str, body: String) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(path)
        .header("host", "localhost")
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/iam/aws4_request"))
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?))
}

async fn call(proxy: &Proxy, action: &str, params: &[(&str, &str)]) -> anyhow::Result<(u16, String)> {
    let mut form = format!("Action={action}&Version=2010-05-08");
    for (name, value) in params {
        form.extend(["&", *name, "="]);
        form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    post(proxy.addr(), "/", "AKIATESTONE", form).await
}

fn before(script: &Script) -> anyhow::Result<Proxy> {
    Proxy::start(ProxyOptions::before_moto(script.addr))
}

#[tokio::test]
async fn the_present_default_is_not_set_again() -> anyhow::Result<()> {
    let script = Script::start(&[("GetPolicy", "<x><DefaultVersionId>v1</DefaultVersionId></x>")])?;
    let proxy = before(&script)?;
    let (status, body) = call(&proxy, "SetDefaultPolicyVersion", &[("PolicyArn", ARN), ("VersionId", "v1")]).await?;
    assert_eq!(status, 200);
    assert!(body.contains("SetDefaultPolicyVersionResponse"), "{body}");
    assert_eq!(script.actions(), ["GetPolicy"]);
    call(&proxy, "SetDefaultPolicyVersion", &[("PolicyArn", ARN), ("VersionId", "v2")]).await?;
    assert_eq!(script.actions(), ["GetPolicy", "GetPolicy", "SetDefaultPolicyVersion"]);
    assert_eq!(proxy.gate().counts()["SetDefaultPolicyVersion"], 2);
    Ok(())
}

#[tokio::test]
async fn an_attached_policy_is_not_deleted() -> anyhow::Result<()> {
    let script = Script::start(&[("GetPolicy", "<x><AttachmentCount>1</AttachmentCount></x>")])?;
    let proxy = before(&script)?;
    let (status, body) = call(&proxy, "DeletePolicy", &[("PolicyArn", ARN)]).await?;
    assert!(status == 409 && body.contains("<Code>DeleteConflict</Code>"), "{status} {body}");
    assert_eq!(script.actions(), ["GetPolicy"]);
    let log = proxy.gate().calls_since(0);
    assert_eq!((log[0].outcome.as_str(), log[0].executed), ("DeleteConflict", false));
    Ok(())
}

#[tokio::test]
async fn a_policy_with_versions_is_not_deleted_and_one_without_is() -> anyhow::Result<()> {
    const TWO: &str = "<m><VersionId>v1</VersionId></m><m><VersionId>v2</VersionId></m>";
    let script = Script::start(&[("ListPolicyVersions", TWO)])?;
    let (status, _) = call(&before(&script)?, "DeletePolicy", &[("PolicyArn", ARN)]).await?;
    assert_eq!(status, 409);
    let script = Script::start(&[("ListPolicyVersions", "<m><VersionId>v2</VersionId></m>")])?;
    let (status, _) = call(&before(&script)?, "DeletePolicy", &[("PolicyArn", ARN)]).await?;
    assert_eq!(status, 200);
    assert_eq!(script.actions(), ["GetPolicy", "ListPolicyVersions", "DeletePolicy"]);
    Ok(())
}

#[tokio::test]
async fn attaching_twice_reaches_moto_once() -> anyhow::Result<()> {
    const HELD: &str = "<m><PolicyArn>arn:aws:iam::123456789012:policy/p</PolicyArn></m>";
    let script = Script::start(&[("ListAttachedRolePolicies", HELD)])?;
    let proxy = before(&script)?;
    call(&proxy, "AttachRolePolicy", &[("RoleName", "r"), ("PolicyArn", ARN)]).await?;
    assert_eq!(script.actions(), ["ListAttachedRolePolicies"]);
    Ok(())
}

#[tokio::test]
async fn update_role_keeps_the_description() -> anyhow::Result<()> {
    let script = Script::start(&[("GetRole", "<r><Description>a &amp;lt; b</Description></r>")])?;
    let proxy = before(&script)?;
    call(&proxy, "UpdateRole", &[("RoleName", "r")]).await?;
    let forms = script.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let sent = Query::parse(forms[1].as_bytes(), None);
    assert_eq!(sent.params.get("Description"), Some("a &lt; b"));
    Ok(())
}

#[tokio::test]
async fn plain_documents_are_encoded_and_encoded_ones_left() -> anyhow::Result<()> {
    const PLAIN: &str = "<Document>{&quot;a&quot;: &quot;b+c&quot;}</Document><Document>%7B%7D</Document>";
    let script = Script::start(&[("GetPolicyVersion", PLAIN)])?;
    let (_, body) = call(&before(&script)?, "GetPolicyVersion", &[("PolicyArn", ARN)]).await?;
    let encoded = "<Document>%7B%22a%22%3A%20%22b%2Bc%22%7D</Document><Document>%7B%7D</Document>";
    assert_eq!(body, encoded);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_was_forwarded_and_a_refusal_was_not() -> anyhow::Result<()> {
    let script = Script::start(&[])?;
    let proxy = before(&script)?;
    let rules =
        vec![Rule::new(Effect::LoseAnswer, &["CreateRole"]).times(1), Rule::new(Effect::Throttle, &["write"]).times(1)];
    proxy.gate().set_faults(FaultPlan::of(0, rules));
    assert!(call(&proxy, "CreateRole", &[("RoleName", "r")]).await.is_err());
    let (status, body) = call(&proxy, "CreateRole", &[("RoleName", "r")]).await?;
    assert!(status == 400 && body.contains("<Code>Throttling</Code>"), "{body}");
    assert_eq!(script.actions(), ["CreateRole"]);
    let log = proxy.gate().calls_since(0);
    let seen: Vec<_> = log.iter().map(|record| (record.outcome.as_str(), record.executed)).collect();
    assert_eq!(seen, [("ConnectionLost", true), ("Throttling", false)]);
    Ok(())
}

#[tokio::test]
async fn sessions_are_logged_in_their_account() -> anyhow::Result<()> {
    const SESSION: &str = "<Credentials><AccessKeyId>ASIANEW</AccessKeyId></Credentials><AssumedRoleUser>\
        <Arn>arn:aws:sts::444455556666:assumed-role/r/s</Arn></AssumedRoleUser>";
    let script = Script::start(&[("AssumeRole", SESSION)])?;
    let proxy = before(&script)?;
    call(&proxy, "AssumeRole", &[("RoleArn", "arn:aws:iam::444455556666:role/r")]).await?;
    post(proxy.addr(), "/", "ASIANEW", "Action=ListRoles&Version=2010-05-08".to_owned()).await?;
    let accounts: Vec<_> = proxy.gate().calls_since(0).into_iter().map(|record| record.account).collect();
    assert_eq!(accounts, ["123456789012", "444455556666"]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_call_passes_and_an_absent_emulator_is_named() -> anyhow::Result<()> {
    let script = Script::start(&[])?;
    let proxy = before(&script)?;
    proxy.gate().set_faults(FaultPlan::of(0, vec![Rule::new(Effect::Throttle, &["*"])]));
    let (status, _) = post(proxy.addr(), "/moto-api/reset", "AKIATESTONE", String::new()).await?;
    assert_eq!((status, script.actions().len(), proxy.gate().last_seq()), (200, 1, 0));
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let proxy = Proxy::start(ProxyOptions::before_moto(closed))?;
    let (status, body) = call(&proxy, "ListRoles", &[]).await?;
    assert!(status == 502 && body.contains("does not accept connections"), "{status} {body}");
    Ok(())
}
