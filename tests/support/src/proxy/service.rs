//! One request through the proxy: control, faults, moto's gaps, forwarding, log.

use super::ProxyOptions;
use super::forward::{Answer, Upstream};
use super::moto_gaps::{self, Mended};
use crate::calls;
use crate::iam_model::call_log::CallInfo;
use crate::iam_model::faults::Effect;
use crate::iam_model::handle::lock;
use crate::iam_model::http::judged::{Entity, judged};
use crate::iam_model::http::reply::{self, Reply, ReplyBody};
use crate::iam_model::http::xml::{self, Service as AwsService};
use crate::iam_model::http::{Gate, Query, control};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What every connection shares.
#[derive(Clone, Debug)]
pub(super) struct Service {
    gate: Gate,
    upstream: Upstream,
    mend_moto: bool,
    default_account: Arc<str>,
    /// By access key id: the accounts that `AssumeRole` answers have told.
    accounts: Arc<Mutex<HashMap<String, String>>>,
}

impl Service {
    pub(super) fn new(gate: Gate, options: ProxyOptions) -> Self {
        Self {
            gate,
            upstream: Upstream(options.upstream),
            mend_moto: options.mend_moto,
            default_account: options.default_account.into(),
            accounts: Arc::default(),
        }
    }

    pub(super) async fn serve(self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if let Some(path) = head.uri.path().strip_prefix("/control/") {
            return Ok(control::answer(&self.gate, None, &head.method, path, head.uri.query(), &body));
        }
        let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let query = Query::parse(&body, authorization);
        if query.action.is_empty() || head.uri.path() != "/" {
            return Ok(self.upstream.send(&head, body).await.map_or_else(|error| bad_gateway(&error), response));
        }
        let access_key = query.access_key.clone().unwrap_or_default();
        let account = lock(&self.accounts).get(&access_key).cloned();
        let info = CallInfo {
            account: account.unwrap_or_else(|| self.default_account.to_string()),
            access_key,
            action: query.action.clone(),
            resource: query.resource().to_owned(),
            parameters: query.conditions(),
            user_agent: calls::user_agent(&head.headers),
        };
        if let Some(program) = calls::caller(&head.headers) {
            let entity = self.entity(&head, &query).await;
            // moto's accounts are in this partition, by the Region that its callers sign for.
            calls::call(&program, &info.account, "aws", judged(&query, "aws", &info.account, entity));
        }
        let (seq, decision) = self.gate.enter(&info);
        // The emulator executes what it has received, also when the caller has gone: this must outlive the connection.
        let rest = tokio::spawn(async move {
            if decision.delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(decision.delay_ms)).await;
            }
            self.answer(&head, &query, body, seq, decision.effect.as_ref()).await
        });
        rest.await.map_err(io::Error::other)?
    }

    async fn answer(&self, head: &Parts, query: &Query, body: Bytes, seq: u64, effect: Option<&Effect>) -> Reply {
        let service = if query.params.get("Version") == Some("2011-06-15") { AwsService::Sts } else { AwsService::Iam };
        let id = reply::request_id(seq);
        let caller = query.access_key.as_deref().unwrap_or_default();
        if let Some((reply, outcome)) =
            effect.and_then(|effect| reply::instead(effect, service, &query.action, caller, &id))
        {
            self.gate.leave(seq, &outcome, false);
            return reply;
        }
        let (response, outcome) = match self.execute(head, query, body).await {
            Ok(Executed::Forwarded(answer)) => {
                let outcome = outcome(&answer);
                (response(answer), outcome)
            }
            Ok(Executed::Done) => {
                (reply::xml(200, xml::success(service, &query.action, &id, ""), &id), "OK".to_owned())
            }
            Ok(Executed::Refused(error)) => (reply::error(service, &error, &id), error.code),
            Err(error) => (bad_gateway(&error), "BadGateway".to_owned()),
        };
        let (reply, struck) = reply::afterwards(effect, response);
        self.gate.leave(seq, struck.unwrap_or(&outcome), outcome == "OK");
        reply
    }

    async fn execute(&self, head: &Parts, query: &Query, body: Bytes) -> anyhow::Result<Executed> {
        let mended = if self.mend_moto {
            moto_gaps::before(self.upstream, head, query, body).await?
        } else {
            Mended::Forward(body)
        };
        let body = match mended {
            Mended::Forward(body) => body,
            Mended::Done => return Ok(Executed::Done),
            Mended::Refused(error) => return Ok(Executed::Refused(error)),
        };
        let mut answer = self.upstream.send(head, body).await?;
        if query.action.starts_with("AssumeRole") {
            self.learn_account(&answer);
        }
        if self.mend_moto {
            answer.body = moto_gaps::after(&query.action, answer.text()).into();
        }
        Ok(Executed::Forwarded(answer))
    }

    /// What a call is about, as the emulator has it.
    async fn entity(&self, head: &Parts, query: &Query) -> Option<Entity> {
        let (action, key) = [("GetRole", "RoleName"), ("GetPolicy", "PolicyArn")]
            .into_iter()
            .find(|(_, key)| query.params.get(key).is_some())?;
        let found = self.upstream.query(head, action, &[(key, query.params.get(key)?)]).await.ok()?.text();
        let tags = found.split("<Key>").skip(1).filter_map(|rest| {
            Some((rest.split_once("</Key>")?.0.to_owned(), moto_gaps::element(rest, "Value")?.to_owned()))
        });
        Some(Entity {
            arn: moto_gaps::element(&found, "Arn")?.to_owned(),
            tags: tags.collect(),
            boundary: moto_gaps::element(&found, "PermissionsBoundaryArn").map(str::to_owned),
        })
    }

    /// Remembers whose account a new session's key belongs to.
    fn learn_account(&self, answer: &Answer) {
        let text = answer.text();
        let user = moto_gaps::element(&text, "AssumedRoleUser").and_then(|user| moto_gaps::element(user, "Arn"));
        let account = user.and_then(|arn| arn.split(':').nth(4));
        if let (Some(key), Some(account)) = (moto_gaps::element(&text, "AccessKeyId"), account) {
            lock(&self.accounts).insert(key.to_owned(), account.to_owned());
        }
    }
}

enum Executed {
    Forwarded(Answer),
    Done,
    Refused(crate::iam_model::ApiError),
}

fn outcome(answer: &Answer) -> String {
    if answer.status.is_success() {
        return "OK".to_owned();
    }
    let text = answer.text();
    moto_gaps::element(&text, "Code").map_or_else(|| answer.status.as_str().to_owned(), str::to_owned)
}

fn response(answer: Answer) -> Response<ReplyBody> {
    let mut response = reply::whole(answer.status.as_u16(), "text/xml", answer.body);
    for (name, value) in &answer.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn bad_gateway(error: &anyhow::Error) -> Response<ReplyBody> {
    reply::whole(502, "text/plain", format!("{error:#}\n"))
}
