//! Answers on the wire, the broken ones included.

use super::super::error::ApiError;
use super::super::faults::Effect;
use super::super::time::iso8601;
use super::xml::{self, Service};
use crate::http;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue};
use hyper::{Response, StatusCode};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A complete body, or a truncated one: its second half is an error, which closes the connection.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    bytes: Option<Bytes>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Truncated,
    /// The first half was flushed; the error is next.
    Flushed,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Complete => Poll::Ready(None),
            End::Truncated => {
                // hyper flushes if the body is pending; without this the head is lost as well.
                self.end = End::Flushed;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Flushed => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.end == End::Complete
    }
}

/// The result of a request: a response, or a closed connection (the error).
pub(crate) type Reply = Result<Response<ReplyBody>, io::Error>;

pub(crate) fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<ReplyBody> {
    let bytes: Bytes = body.into();
    let length = bytes.len();
    let mut response = Response::new(ReplyBody { bytes: Some(bytes), end: End::Complete });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

pub(crate) fn xml(status: u16, body: String, request_id: &str) -> Response<ReplyBody> {
    let mut response = whole(status, "text/xml", body);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

pub(crate) fn error(service: Service, error: &ApiError, request_id: &str) -> Response<ReplyBody> {
    xml(error.status, xml::failure(service, &error.code, error.status, &error.message, request_id), request_id)
}

pub(crate) fn lost() -> Reply {
    Err(io::ErrorKind::ConnectionReset.into())
}

/// A request id from the number of a call.
pub(crate) fn request_id(seq: u64) -> String {
    format!("00000000-0000-4000-8000-{seq:012x}")
}

/// The reply of an effect that replaces the execution; `None` for effects after the execution.
pub(crate) fn instead(
    effect: &Effect,
    service: Service,
    action: &str,
    caller: &str,
    request_id: &str,
) -> Option<(Reply, String)> {
    let api = |failed: ApiError| (Ok(error(service, &failed, request_id)), failed.code);
    Some(match effect {
        Effect::Throttle => api(ApiError::throttling()),
        Effect::ServiceFailure => api(ApiError::service_failure()),
        Effect::AccessDenied => {
            let prefix = if service == Service::Sts { "sts" } else { "iam" };
            api(ApiError::access_denied(format!(
                "User: {caller} is not authorized to perform: {prefix}:{action} because no identity-based policy \
                 allows the {prefix}:{action} action"
            )))
        }
        Effect::Error { code, status, message } => api(ApiError::new(code.clone(), *status, message.clone())),
        Effect::Unavailable => {
            let page = "<html><head><title>503 Service Temporarily Unavailable</title></head><body>503</body></html>";
            (Ok(whole(503, "text/html", page)), "Unavailable".to_owned())
        }
        Effect::DropConnection => (lost(), "ConnectionLost".to_owned()),
        Effect::LoseAnswer
        | Effect::TruncateBody
        | Effect::MalformedBody
        | Effect::ClockAhead { .. }
        | Effect::Latency { .. } => return None,
    })
}

/// Applies an effect to the response of an executed call. The outcome is `None` if the response is unchanged.
pub(crate) fn afterwards(effect: Option<&Effect>, mut response: Response<ReplyBody>) -> (Reply, Option<&'static str>) {
    match effect {
        Some(Effect::LoseAnswer) => (lost(), Some("ConnectionLost")),
        Some(Effect::TruncateBody) => (Ok(response.map(truncated)), Some("TruncatedBody")),
        Some(Effect::ClockAhead { seconds }) => {
            if let Ok(date) = http::date(*seconds) {
                response.headers_mut().insert(DATE, date);
            }
            (Ok(response), None)
        }
        Some(Effect::MalformedBody) => {
            let body = format!("<Almost at=\"{}\"><Unclosed", iso8601(0));
            (Ok(whole(response.status().as_u16(), "text/xml", body)), Some("MalformedBody"))
        }
        _ => (Ok(response), None),
    }
}

/// The first half only. `Content-Length` stays, so the client notices the truncation.
fn truncated(body: ReplyBody) -> ReplyBody {
    let bytes = body.bytes.map(|bytes| bytes.slice(..bytes.len() / 2));
    ReplyBody { bytes, end: End::Truncated }
}
