//! `POST /v1/computations`: changes of computations in, for platforms that speak HTTP.

use super::{Computations, Wrong, changes};
use crate::ingest::{Ingest, MAX_CALLS};
use crate::spool::SpoolError;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Bytes that a request may have.
const LIMIT: usize = 4 << 20;
/// How long a request may take to arrive.
const BODY_SECONDS: u64 = 30;

/// What the route needs. Share it by `Arc`.
pub struct Door {
    ingest: Arc<Ingest>,
    computations: RwLock<Arc<Computations>>,
    /// The token of the API.
    token: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("computations", &self.computations).finish_non_exhaustive()
    }
}

impl Door {
    /// Sends calls through `ingest`. `token` says whether a text is the API's token, and should take the same time
    /// for each.
    pub fn new(
        ingest: Arc<Ingest>,
        computations: Computations,
        token: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Door { ingest, computations: RwLock::new(Arc::new(computations)), token: Box::new(token) }
    }

    /// Goes on with other computations.
    pub fn update(&self, computations: Computations) {
        *self.computations.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(computations);
    }

    fn computations(&self) -> Arc<Computations> {
        self.computations.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The route. Who posts shows the API's token (`Authorization: Bearer …`) and may name a `space`, or the write key of
/// the space as the user of Basic authentication.
pub fn router(door: Arc<Door>) -> Router {
    Router::new().route("/v1/computations", post(take)).with_state(door)
}

#[derive(Debug, Deserialize)]
struct Where {
    space: Option<String>,
}

async fn take(State(door): State<Arc<Door>>, Query(place): Query<Where>, request: Request) -> Response<Body> {
    match answer(&door, place, request).await {
        Ok(body) => json(StatusCode::OK, &body),
        Err((status, Wrong { code, message })) => {
            let body = serde_json::json!({"success": false, "code": code, "message": message});
            let mut response = json(status, &body);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            response
        }
    }
}

type Refusal = (StatusCode, Wrong);

async fn answer(door: &Door, place: Where, request: Request) -> Result<serde_json::Value, Refusal> {
    let refuse = |status, code, message: &str| (status, Wrong { code, message: message.to_owned() });
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let computations = door.computations();
    let space = if let Some(token) = crate::ingest::bearer(authorization) {
        if !(door.token)(token) {
            return Err(refuse(StatusCode::FORBIDDEN, "wrong_token", "this is not the token of the configuration"));
        }
        let only = || {
            let mut spaces: Vec<&str> = computations.all().map(|computation| &*computation.space).collect();
            spaces.dedup();
            if let [only] = *spaces { Some(only.to_owned()) } else { None }
        };
        let what = "computations of several spaces are set up: say which by ?space=NAME";
        place.space.or_else(only).ok_or_else(|| refuse(StatusCode::BAD_REQUEST, "bad_request", what))?
    } else {
        let key = crate::ingest::basic(authorization);
        let what =
            "show the token as `Authorization: Bearer TOKEN`, or the write key of the space by Basic authentication";
        let key = key.ok_or_else(|| refuse(StatusCode::UNAUTHORIZED, "no_token", what))?;
        let space = door.ingest.space_of(&key);
        let what = "no source has this write key, or it is that of another space";
        space
            .filter(|own| place.space.as_ref().is_none_or(|asked| asked == own))
            .ok_or_else(|| refuse(StatusCode::FORBIDDEN, "unknown_source", what))?
    };

    let read = tokio::time::timeout(Duration::from_secs(BODY_SECONDS), to_bytes(body, LIMIT)).await;
    let read = read.map_err(|_| refuse(StatusCode::REQUEST_TIMEOUT, "timeout", "the body took too long"))?;
    let bytes = read.map_err(|_| {
        refuse(StatusCode::BAD_REQUEST, "too_large", "the body is larger than 4 MiB, or ended too early")
    })?;
    let bad = |wrong: Wrong| (StatusCode::BAD_REQUEST, wrong);
    let changes = changes(&bytes).map_err(bad)?;
    let mut calls = Vec::new();
    // Each change a moment later, so that the last of several of one person stands.
    for (now, (nth, change)) in (crate::ingest::now()..).zip(changes.iter().enumerate()) {
        let own = computations.calls(&space, change, &tablecast::core::time::format(now));
        let numbered = |wrong: Wrong| bad(Wrong { message: format!("change {nth}: {wrong}"), ..wrong });
        calls.extend(own.map_err(numbered)?);
    }
    // One batch after the other; whoever is refused half way posts the same again, and what was taken is known.
    let mut duplicates = 0;
    for some in batches(&calls) {
        let body = format!(r#"{{"batch":[{}]}}"#, some.join(","));
        let taken = door.ingest.take(&space, body.as_bytes()).await.map_err(|error| {
            if matches!(error, SpoolError::TooLong) {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    "too_large",
                    "a call of one of the changes is larger than 32 KiB",
                );
            }
            tracing::error!(space, %error, remedy = error.remedy(), "calls of computations were not taken");
            let message =
                "the calls could not be written; post the same again later, with `id` or `timestamp` in each change";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        })?;
        duplicates += taken.duplicates;
    }
    Ok(serde_json::json!({
        "success": true, "changes": changes.len(), "calls": calls.len(), "duplicates": duplicates
    }))
}

/// Cuts calls into batches that ingest takes.
pub(super) fn batches(calls: &[String]) -> Vec<&[String]> {
    let (mut batches, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, call) in calls.iter().enumerate() {
        if at > from && (at - from >= MAX_CALLS || bytes + call.len() > crate::ingest::MAX_BATCH - 1_000) {
            batches.push(&calls[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += call.len() + 1;
    }
    if from < calls.len() {
        batches.push(&calls[from..]);
    }
    batches
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
