use super::super::super::faults::{Effect, FaultPlan, Rule};
use super::{ACCOUNT, TRUST, call, element, server};

fn plan(effect: Effect, action: &str) -> FaultPlan {
    FaultPlan::of(1, vec![Rule::new(effect, &[action]).times(1)])
}

const CREATE: [(&str, &str); 2] = [("RoleName", "r"), ("AssumeRolePolicyDocument", TRUST)];

#[tokio::test]
async fn a_lost_answer_was_executed() -> anyhow::Result<()> {
    let server = server()?;
    server.gate().set_faults(plan(Effect::LoseAnswer, "CreateRole"));
    assert!(call(server.addr(), "CreateRole", &CREATE).await.is_err());
    assert_eq!(server.world().account(ACCOUNT).lock().counts().0, 1);
    let (status, _) = call(server.addr(), "CreateRole", &CREATE).await?;
    assert_eq!(status, 409);
    let log = server.gate().calls_since(0);
    assert_eq!((log[0].outcome.as_str(), log[0].executed), ("ConnectionLost", true));
    assert_eq!((log[1].outcome.as_str(), log[1].executed), ("EntityAlreadyExists", false));
    assert_eq!((log[0].account.as_str(), log[0].resource.as_str()), (ACCOUNT, "r"));
    Ok(())
}

#[tokio::test]
async fn a_dropped_connection_was_not_executed() -> anyhow::Result<()> {
    let server = server()?;
    server.gate().set_faults(plan(Effect::DropConnection, "write"));
    assert!(call(server.addr(), "CreateRole", &CREATE).await.is_err());
    assert_eq!(server.world().account(ACCOUNT).lock().counts().0, 0);
    Ok(())
}

#[tokio::test]
async fn a_truncated_body_is_an_error_to_the_reader() -> anyhow::Result<()> {
    let server = server()?;
    server.gate().set_faults(plan(Effect::TruncateBody, "CreateRole"));
    let error = call(server.addr(), "CreateRole", &CREATE).await.err();
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some("the body is incomplete"));
    assert_eq!(server.world().account(ACCOUNT).lock().counts().0, 1);
    assert_eq!(server.gate().calls_since(0)[0].outcome, "TruncatedBody");
    Ok(())
}

#[tokio::test]
async fn errors_have_the_messages_of_aws() -> anyhow::Result<()> {
    let server = server()?;
    for (effect, status, code) in [
        (Effect::Throttle, 400, "Throttling"),
        (Effect::ServiceFailure, 500, "ServiceFailure"),
        (Effect::AccessDenied, 403, "AccessDenied"),
    ] {
        server.gate().set_faults(plan(effect, "*"));
        let (answered, body) = call(server.addr(), "CreateRole", &CREATE).await?;
        assert_eq!((answered, element(&body, "Code")?), (status, code));
    }
    server.gate().set_faults(plan(Effect::Unavailable, "*"));
    let (status, body) = call(server.addr(), "CreateRole", &CREATE).await?;
    assert_eq!(status, 503);
    assert!(body.starts_with("<html>"), "{body}");
    assert_eq!(server.world().account(ACCOUNT).lock().counts().0, 0);
    assert_eq!(server.gate().counts()["CreateRole"], 4);
    assert_eq!(server.gate().outcomes()["Throttling"], 1);
    Ok(())
}

#[tokio::test]
async fn a_slow_call_is_executed_although_the_caller_left() -> anyhow::Result<()> {
    let server = server()?;
    server.gate().set_faults(plan(Effect::Latency { ms: 100 }, "CreateRole"));
    let impatient =
        tokio::time::timeout(std::time::Duration::from_millis(20), call(server.addr(), "CreateRole", &CREATE));
    assert!(impatient.await.is_err());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while server.world().account(ACCOUNT).lock().counts().0 == 0 {
        assert!(std::time::Instant::now() < deadline, "the call was never executed");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Ok(())
}
