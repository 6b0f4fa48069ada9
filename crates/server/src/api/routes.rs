//! The routes under `/api`.

use super::{App, Asked, Failure, History, Selections, Sources, SyncRequest, Warehouses, look};
use crate::state::{BackfillRequest, HistoryFilter, SyncDetail};
use crate::sync::{SelectRequest, Selected};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The longest body.
const LONGEST: usize = 64 << 10;
/// Rows of the history in one answer: unless said otherwise, and at most.
const FEW: u32 = 50;
const MOST: u32 = 500;

type Answer<T> = Result<T, Failure>;
type JsonAnswer<T> = Answer<Json<T>>;
type Accepted = Answer<(StatusCode, Json<Asked>)>;

/// Everything under `/api`.
pub fn router(app: App) -> Router {
    let api = Router::new()
        .route("/syncs", get(syncs).post(sync_now))
        .route("/syncs/{id}", get(sync))
        .route("/selection", get(selection).post(switch))
        .route("/backfills", post(backfill))
        .route("/warehouses", get(warehouses))
        .route("/sources", get(sources))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), authorize))
        .layer(DefaultBodyLimit::max(LONGEST));
    Router::new().nest("/api", api).with_state(app)
}

/// Lets through who has the token.
async fn authorize(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let mut response = match token {
        Some((_, token)) if app.gate().opens(token.trim()) => next.run(request).await,
        Some(_) => unauthorized("the token is not the service's").into_response(),
        None => unauthorized("the request has no token").into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unauthorized(what: &str) -> Failure {
    let to_do = "send Authorization: Bearer TOKEN with the token of the service's configuration";
    Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", what, to_do)
}

async fn nowhere() -> Failure {
    let to_do = "there are syncs, selection, backfills, warehouses and sources under /api";
    Failure::not_found("the API has no such address", to_do)
}

async fn wrong_method() -> Failure {
    let (what, to_do) = ("the address does not take this method", "the header Allow names those that it takes");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", what, to_do)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    warehouse: Option<String>,
    space: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// Only of one warehouse, or of all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Of {
    warehouse: Option<String>,
}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Answer<T> {
    query.map(|Query(query)| query).map_err(|error| {
        Failure::bad("bad_query", format!("the query is not understood: {}", error.body_text()), "correct it")
    })
}

fn body<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Answer<T> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let what = format!("the body is longer than {LONGEST} bytes");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_body", what, "send a shorter one")
        }
        _ => Failure::bad("bad_body", "the body ended early, or took too long", "send it again"),
    })?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| {
        Failure::bad(
            "bad_body",
            format!("the body is not understood: {error}"),
            "send JSON as the documentation shows it",
        )
    })
}

async fn syncs(State(app): State<App>, wanted: Result<Query<Wanted>, QueryRejection>) -> JsonAnswer<History> {
    let wanted = query(wanted)?;
    let limit = wanted.limit.unwrap_or(FEW).clamp(1, MOST);
    let history = app.look(move |app| {
        let mut upcoming = look::upcoming(&app.control().warehouses()?);
        upcoming.retain(|next| {
            let is = |wanted: &Option<String>, of: &str| wanted.as_deref().is_none_or(|wanted| wanted == of);
            is(&wanted.warehouse, &next.warehouse) && is(&wanted.space, &next.space)
        });
        let Wanted { warehouse, space, before, .. } = wanted;
        // One more than asked for tells whether there is another page.
        let mut syncs = app.control().syncs(&HistoryFilter { warehouse, space, before, limit: limit + 1 })?;
        let more = u32::try_from(syncs.len()).is_ok_and(|count| count > limit);
        if more {
            syncs.pop();
        }
        let next = syncs.last().filter(|_| more).map(|sync| sync.id);
        Ok(History { syncs, upcoming, next })
    });
    Ok(Json(history.await?))
}

async fn sync(State(app): State<App>, id: Result<Path<i64>, PathRejection>) -> JsonAnswer<SyncDetail> {
    let id = id.map_or(-1, |Path(id)| id);
    Ok(Json(app.look(move |app| Ok(app.control().sync(id)?)).await?))
}

async fn sync_now(State(app): State<App>, request: Result<Bytes, BytesRejection>) -> Accepted {
    let SyncRequest { warehouse, space } = body(request)?;
    let syncs = app.look(move |app| Ok(app.control().sync_now(warehouse.as_deref(), space.as_deref())?)).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked { syncs })))
}

async fn selection(State(app): State<App>, of: Result<Query<Of>, QueryRejection>) -> JsonAnswer<Selections> {
    let of = query(of)?;
    let warehouses = app.look(move |app| look::selection(app, of.warehouse.as_deref())).await?;
    Ok(Json(Selections { warehouses }))
}

async fn switch(State(app): State<App>, request: Result<Bytes, BytesRejection>) -> JsonAnswer<Selected> {
    let request: SelectRequest = body(request)?;
    Ok(Json(app.look(move |app| Ok(app.control().select(&request)?)).await?))
}

async fn backfill(State(app): State<App>, request: Result<Bytes, BytesRejection>) -> Accepted {
    let request: BackfillRequest = body(request)?;
    let syncs = app.look(move |app| Ok(app.control().backfill(&request)?)).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked { syncs })))
}

async fn warehouses(State(app): State<App>) -> JsonAnswer<Warehouses> {
    let warehouses = app.look(|app| Ok(app.control().warehouses()?)).await?;
    Ok(Json(Warehouses { warehouses }))
}

async fn sources(State(app): State<App>) -> JsonAnswer<Sources> {
    Ok(Json(app.look(look::sources).await?))
}
