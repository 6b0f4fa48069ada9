//! The router: HTTP around the pure part.

use super::answer::Refusal;
use super::body::Route;
use super::gzip::inflate;
use super::listener::Peer;
use super::{Ingest, MOST_BODIES, Taken};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER,
};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::{get, post};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a body may take to arrive.
const BODY_SECONDS: u64 = 30;
/// Bytes of a body that is too large, read so that its sender hears the answer.
const DRAIN: usize = 64 << 20;
/// Where the API stands: SDKs disagree on whether a host is given to them with `/v1` or without.
const PREFIXES: [&str; 3] = ["", "/v1", "/v1/v1"];

/// Segment's HTTP tracking API, under any host, with `/v1` in front and without.
///
/// Addresses come from a [`Peer`] in a request's extensions, which [`serve`](super::serve) puts there.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let mut router = Router::new();
    for prefix in PREFIXES {
        for (name, route) in Route::ALL {
            let take = move |State(ingest): State<Arc<Ingest>>, request: Request| take(ingest, route, request);
            router = router.route(&format!("{prefix}/{name}"), post(take).options(preflight));
        }
        router = router.route(&format!("{prefix}/projects/{{key}}/settings"), get(settings).options(preflight));
    }
    router.with_state(ingest)
}

async fn take(ingest: Arc<Ingest>, route: Route, request: Request) -> Response<Body> {
    let begin = Instant::now();
    let ip = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    let (parts, body) = request.into_parts();
    let mut held = Held { ingest: &ingest, bytes: 0 };
    let (outcome, close) = match receive(&mut held, route, &parts.headers, body).await {
        Ok(bytes) => {
            let authorization = parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
            (ingest.request(route, authorization, &bytes, ip).await, false)
        }
        Err(refusal) => (Err(refusal), true),
    };
    drop(held);
    ingest.metrics.ingest.seconds.observe(begin.elapsed().as_secs_f64());
    let mut response = match outcome {
        Ok(taken) => accepted(taken),
        Err(refusal) => {
            ingest.metrics.ingest.refuse(refusal.code);
            refused(&refusal)
        }
    };
    if close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Bytes of a body, counted against what all bodies may take.
struct Held<'i> {
    ingest: &'i Ingest,
    bytes: usize,
}

impl Held<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.ingest.bodies.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > MOST_BODIES {
            return Err(Refusal::later("overloaded", "too much comes in at once; try again"));
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.ingest.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body up to what its route may take, and inflates it.
async fn receive(held: &mut Held<'_>, route: Route, headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Refusal> {
    let limit = route.limit();
    let read = tokio::time::timeout(Duration::from_secs(BODY_SECONDS), async {
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let mut outcome = match announced {
            Some(length) if length > limit => Err(Refusal::too_large(limit)),
            length => held.take(length.unwrap_or(0)).map(|()| Vec::with_capacity(length.unwrap_or(0))),
        };
        let mut drained = 0;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let broken = |_| Refusal::bad("bad_request", "the body ended too early");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            // Who is refused is read to the end of what he sends, since an answer is only heard then.
            drained += data.len();
            if drained > DRAIN {
                break;
            }
            if let Ok(bytes) = &mut outcome {
                let more = (bytes.len() + data.len()).saturating_sub(bytes.capacity());
                if bytes.len() + data.len() > limit {
                    outcome = Err(Refusal::too_large(limit));
                } else if let Err(refusal) = held.take(more) {
                    outcome = Err(refusal);
                } else {
                    bytes.extend_from_slice(&data);
                }
            }
        }
        outcome
    });
    // Not 408, on which some SDKs give up.
    let slow = |_| Refusal::later("timeout", "the body took too long; try again");
    let bytes = read.await.map_err(slow)??;
    let coding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    match coding.as_deref() {
        None | Some(b"identity" | b"") => Ok(bytes),
        Some(b"gzip" | b"x-gzip") => {
            let bytes = inflate(&bytes, limit)?;
            held.take(bytes.capacity())?;
            Ok(bytes)
        }
        Some(_) => Err(Refusal::bad("bad_request", "the body is compressed in a way that is not known; use gzip")),
    }
}

fn accepted(_: Taken) -> Response<Body> {
    answer(StatusCode::OK, r#"{"success":true}"#.to_owned())
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::json!({"success": false, "code": refusal.code, "message": refusal.message});
    let mut response = answer(status, body.to_string());
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    response
}

/// What a browser asks before it posts to another host.
async fn preflight() -> Response<Body> {
    let mut response = answer(StatusCode::NO_CONTENT, String::new());
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    let allowed = "authorization, content-type, content-encoding, x-retry-count";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// What browser and mobile SDKs ask first: where their calls go. That is here.
async fn settings(State(ingest): State<Arc<Ingest>>, Path(key): Path<String>, headers: HeaderMap) -> Response<Body> {
    if ingest.settings().keys.space(&key).is_none() {
        let message = "no source has this write key".to_owned();
        return refused(&Refusal { status: 404, code: "unknown_source", message, retry_after: None });
    }
    let mut own = serde_json::json!({"apiKey": key});
    if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) {
        own["apiHost"] = format!("{host}/v1").into();
    }
    let body =
        serde_json::json!({"integrations": {"Segment.io": own}, "plan": {"track": {"__default": {"enabled": true}}}});
    answer(StatusCode::OK, body.to_string())
}
