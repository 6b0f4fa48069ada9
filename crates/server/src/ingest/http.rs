//! The router: HTTP around the pure part.

use super::answer::Refusal;
use super::body::Route;
use super::listener::Peer;
use super::receive::{Held, receive};
use super::{Ingest, Taken};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap,
    RETRY_AFTER,
};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Instant;

/// Where the API stands: SDKs disagree on whether a host is given to them with `/v1` or without.
const PREFIXES: [&str; 3] = ["", "/v1", "/v1/v1"];

/// Segment's HTTP tracking API, under any host, with `/v1` in front and without.
///
/// Addresses come from a [`Peer`] in a request's extensions, which [`serve`](super::serve) puts there. It is `serve`
/// too that gives a body only so much time.
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
    let mut held = Held::new(&ingest);
    let (outcome, close) = match receive(&mut held, route.limit(), &parts.headers, body).await {
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
