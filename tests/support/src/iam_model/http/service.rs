//! One request from the wire to the wire: faults, execution, log.

use super::super::action::Action;
use super::super::call_log::{CallInfo, now_ms};
use super::super::error::ApiError;
use super::super::faults::Effect;
use super::gate::Gate;
use super::reply::{self, Reply};
use super::request::Query;
use super::world::{Credential, World};
use super::xml::{self, Service};
use super::{dispatch, judged, sts};
use crate::calls;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use std::io;
use std::time::Duration;

/// The signer, or the authentication error.
pub(super) type Caller = Result<Credential, ApiError>;

/// Answers one request.
pub(super) async fn serve(world: World, gate: Gate, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = Query::parse(&body, authorization);
    let caller = world.authenticate(query.access_key.as_deref());
    let info = CallInfo {
        account: caller.as_ref().map(|caller| caller.account.clone()).unwrap_or_default(),
        access_key: query.access_key.clone().unwrap_or_default(),
        action: query.action.clone(),
        resource: query.resource().to_owned(),
        parameters: query.conditions(),
        user_agent: calls::user_agent(&head.headers),
    };
    if let (Some(program), Ok(caller)) = (calls::caller(&head.headers), &caller) {
        record(&world, &program, caller, &query);
    }
    let (seq, decision) = gate.enter(&info);
    let delay = decision.delay_ms;
    let answer = move || answer(&world, &gate, &query, seq, decision.effect.as_ref(), caller);
    if delay == 0 {
        return answer();
    }
    // AWS executes a request that it has received even if the caller disconnects, so this outlives the connection.
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        answer()
    });
    late.await.map_err(io::Error::other)?
}

/// Records the call before its execution, with the state of the resource at that time.
fn record(world: &World, program: &str, caller: &Credential, query: &Query) {
    let account = world.account(&caller.account);
    let (partition, entity) = {
        let iam = account.lock();
        (iam.partition().to_owned(), iam.entity(query))
    };
    calls::call(program, &caller.account, &partition, judged::judged(query, &partition, &caller.account, entity));
}

fn answer(world: &World, gate: &Gate, query: &Query, seq: u64, effect: Option<&Effect>, caller: Caller) -> Reply {
    let request_id = reply::request_id(seq);
    let service = service_of(query);
    let caller_arn = caller.as_ref().map(|caller| caller.arn.as_str()).unwrap_or_default();
    if let Some((reply, outcome)) =
        effect.and_then(|effect| reply::instead(effect, service, &query.action, caller_arn, &request_id))
    {
        gate.leave(seq, &outcome, false);
        return reply;
    }
    let result = execute(world, query, caller);
    let executed = result.is_ok();
    let (response, outcome) = match result {
        Ok(result) => {
            let body = xml::success(service, &query.action, &request_id, &result);
            (reply::xml(200, body, &request_id), "OK".to_owned())
        }
        Err(error) => (reply::error(service, &error, &request_id), error.code),
    };
    let (reply, struck) = reply::afterwards(effect, response);
    gate.leave(seq, struck.unwrap_or(&outcome), executed);
    reply
}

fn service_of(query: &Query) -> Service {
    match Action::parse(&query.action) {
        Some(Action::GetCallerIdentity | Action::AssumeRole | Action::AssumeRoleWithWebIdentity) => Service::Sts,
        _ => Service::Iam,
    }
}

fn execute(world: &World, query: &Query, caller: Caller) -> Result<String, ApiError> {
    let Some(action) = Action::parse(&query.action) else {
        let version = query.params.get("Version").unwrap_or_default();
        let message = format!("Could not find operation {} for version {version}", query.action);
        return Err(ApiError::new("InvalidAction", 400, message));
    };
    if service_of(query) == Service::Sts {
        return sts::execute(world, action, query, caller);
    }
    let account = world.account(&caller?.account);
    let mut iam = account.lock();
    iam.set_now_ms(now_ms());
    dispatch::execute(&mut iam, action, &query.params)
}
