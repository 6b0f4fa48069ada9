//! `POST /v1/computations`: changes of computations in, for platforms that speak HTTP.

use super::{Change, Computations, Wrong, changes};
use crate::ingest::{Held, Ingest, MAX_BATCH, MAX_CALL, MAX_CALLS, Refusal, receive};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes that a request may have, after decompression.
const LIMIT: usize = 4 << 20;

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
        Err(Refusal { status, code, message, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = json(status, &serde_json::json!({"success": false, "code": code, "message": message}));
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

async fn answer(door: &Door, place: Where, request: Request) -> Result<serde_json::Value, Refusal> {
    let (parts, body) = request.into_parts();
    let computations = door.computations();
    let space = space(door, &computations, place, &parts.headers)?;

    let mut held = Held::new(&door.ingest);
    let bytes = receive(&mut held, LIMIT, &parts.headers, body).await?;
    // Read, the changes take about three times as much again.
    held.take(3 * bytes.len())?;
    let bad = |wrong: Wrong| Refusal::bad(wrong.code, wrong.message);
    let changes = changes(&bytes).map_err(bad)?;
    let now = crate::ingest::now();
    let calls_of = |nth: usize, change: &Change| {
        // Each change a moment later, so that the last of several of one person stands.
        let now = now.saturating_add(i64::try_from(nth).unwrap_or(i64::MAX));
        let numbered = |wrong: Wrong| bad(Wrong { message: format!("change {nth}: {wrong}"), ..wrong });
        computations.calls(&space, change, &tablecast::core::time::format(now)).map_err(numbered)
    };

    // All are looked at before one is taken. They are not kept meanwhile: calls are much longer than their changes.
    let mut count = 0;
    for (nth, change) in changes.iter().enumerate() {
        let calls = calls_of(nth, change)?;
        if calls.iter().any(|call| call.len() > MAX_CALL) {
            let message = format!("change {nth}: a call that it becomes is larger than {MAX_CALL} bytes");
            return Err(Refusal::bad("too_large", message));
        }
        count += calls.len();
    }
    // One batch after the other; whoever is refused half way posts the same again, and what was taken is known.
    let (mut batch, mut duplicates) = (Batch::default(), 0);
    for (nth, change) in changes.iter().enumerate() {
        for call in calls_of(nth, change)? {
            if !batch.has_room(&call) {
                duplicates += send(door, &space, batch.take()).await?;
            }
            batch.push(&call);
        }
    }
    if count > 0 {
        duplicates += send(door, &space, batch.take()).await?;
    }
    Ok(serde_json::json!({"success": true, "changes": changes.len(), "calls": count, "duplicates": duplicates}))
}

/// Whose changes they are, if who posts them may.
fn space(door: &Door, computations: &Computations, place: Where, headers: &HeaderMap) -> Result<String, Refusal> {
    let refuse = |status, code, message: &str| Refusal { status, code, message: message.to_owned(), retry_after: None };
    let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if let Some(token) = crate::ingest::bearer(authorization) {
        if !(door.token)(token) {
            return Err(refuse(403, "wrong_token", "this is not the token of the configuration"));
        }
        let only = || {
            let mut spaces: Vec<&str> = computations.all().map(|computation| &*computation.space).collect();
            spaces.dedup();
            if let [only] = *spaces { Some(only.to_owned()) } else { None }
        };
        let what = "computations of several spaces are set up: say which by ?space=NAME";
        place.space.or_else(only).ok_or_else(|| refuse(400, "bad_request", what))
    } else {
        let key = crate::ingest::basic(authorization);
        let what =
            "show the token as `Authorization: Bearer TOKEN`, or the write key of the space by Basic authentication";
        let key = key.ok_or_else(|| refuse(401, "no_token", what))?;
        let space = door.ingest.space_of(&key);
        let what = "no source has this write key, or it is that of another space";
        space
            .filter(|own| place.space.as_ref().is_none_or(|asked| asked == own))
            .ok_or_else(|| refuse(403, "unknown_source", what))
    }
}

/// Sends a batch body. How many of its calls were taken before.
async fn send(door: &Door, space: &str, body: String) -> Result<u64, Refusal> {
    let taken = door.ingest.take(space, body.as_bytes()).await.map_err(|error| {
        tracing::error!(space, %error, remedy = error.remedy(), "calls of computations were not taken");
        let message =
            "the calls could not be written; post the same again later, with `id` or `timestamp` in each change";
        Refusal::later("unavailable", message)
    })?;
    Ok(taken.duplicates)
}

/// Calls on their way into a batch body that ingest takes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    body: String,
    calls: usize,
}

impl Batch {
    pub(super) fn has_room(&self, call: &str) -> bool {
        // An empty one takes any call that ingest takes.
        self.calls < MAX_CALLS && self.body.len() + call.len() + 100 < MAX_BATCH
    }

    pub(super) fn push(&mut self, call: &str) {
        self.body.push_str(if self.calls == 0 { r#"{"batch":["# } else { "," });
        self.body.push_str(call);
        self.calls += 1;
    }

    /// The body; the next call begins another one.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(self).body + "]}"
    }
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
