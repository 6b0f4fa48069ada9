//! The pages that are read.

use super::guard::{SignedIn, onward, session_id};
use super::switches::groups;
use super::text::{self, When};
use super::view::{
    Badge, Counts, Fact, Flash, Frame, Group, Next, ReasonRow, Row, Said, Source, Stranger, Tile, Warehouse,
};
use crate::api::{App, Failure, Session, Sources, Upcoming, look};
use crate::state::{HistoryFilter, Kind, Status, Sync, SyncDetail, Trouble};
use askama::Template;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Instant;

/// Rows of the history on the overview, and on a page of its own.
const FEW: u32 = 12;
const MANY: u32 = 50;
/// Seconds between two looks of a page that follows what happens.
const PAUSE: u8 = 5;

/// What the address of a page may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    before: Option<i64>,
    follow: Option<String>,
    done: Option<String>,
    next: Option<String>,
}

type Wanted = Result<Query<Asked>, QueryRejection>;

fn asked(said: Wanted) -> Asked {
    said.map(|Query(asked)| asked).unwrap_or_default()
}

/// What has just been done, by the word in the address.
fn flash(done: Option<&str>) -> Option<Flash> {
    let (class, text) = match done? {
        "sync" => ("good", "A sync was asked for. It begins as soon as the warehouse is free."),
        "saved" => ("good", "Saved. What was switched on again is filled by the next sync."),
        "unknown" => (
            "warn",
            "Saved, but the warehouse has nothing of that name yet. Names close to it stand beside its switch.",
        ),
        "same" => ("good", "Nothing was changed."),
        _ => return None,
    };
    Some(Flash { class, text })
}

fn frame(session: &Session, title: impl Into<String>, now: Timestamp) -> Frame {
    Frame {
        title: title.into(),
        csrf: session.csrf.clone(),
        pause: PAUSE,
        now: now.strftime("%-d %b %Y, %H:%M:%S").to_string(),
        ..Frame::default()
    }
}

/// The page, or what went wrong in its place.
fn page(template: &impl Template, status: StatusCode) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem {
    frame: Frame,
    what: String,
    to_do: String,
}

/// A failure as a page.
pub(super) fn problem(session: Option<&Session>, failure: &Failure) -> Response {
    let title = match failure.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::FORBIDDEN => "Not allowed",
        status if status.is_client_error() => "This cannot be done",
        _ => "Something is wrong",
    };
    let now = Timestamp::now();
    let frame = match session {
        Some(session) => frame(session, title, now),
        None => Frame { title: title.to_owned(), ..Frame::default() },
    };
    let template = Problem { frame, what: failure.what.clone(), to_do: failure.to_do.clone() };
    page(&template, failure.status)
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    tiles: Vec<Tile>,
    warehouses: Vec<Warehouse>,
    upcoming: Vec<Next>,
    past: Vec<Row>,
    sources: Vec<Source>,
    strangers: Vec<Stranger>,
    /// Whether no call has ever arrived.
    silent: bool,
    address: String,
}

pub(super) async fn overview(user: SignedIn, State(app): State<App>, said: Wanted) -> Response {
    let asked = asked(said);
    let now = Timestamp::now();
    let facts = app
        .look(|app| {
            let filter = HistoryFilter { limit: FEW, ..HistoryFilter::default() };
            Ok((app.control().warehouses()?, look::sources(app)?, app.control().syncs(&filter)?))
        })
        .await;
    let (warehouses, Sources { sources, unknown_keys }, syncs) = match facts {
        Ok(facts) => facts,
        Err(failure) => return problem(Some(&user.session), &failure),
    };
    let mut frame = frame(&user.session, "Overview", now);
    frame.place = "overview";
    frame.flash = flash(asked.done.as_deref());
    frame.here = "/".to_owned();
    frame.follows = asked.follow.is_some();
    let events: u64 = sources.iter().map(|source| source.events).sum();
    let behind: u64 = warehouses.iter().flat_map(|warehouse| &warehouse.spaces).map(|unit| unit.behind_bytes).sum();
    let (waiting, past): (Vec<Sync>, Vec<Sync>) = syncs.into_iter().partition(|sync| sync.status == Status::Waiting);
    let ran = past.iter().find(|sync| sync.status != Status::Skipped);
    let ran = ran.map(|sync| (Badge::from(sync.status).word, When::new(sync.start, now)));
    let upcoming = look::upcoming(&warehouses);
    let next = upcoming.first().map(|next| When::new(next.at, now));
    let tiles = vec![
        Tile::new("Calls received", text::number(events), "since the service started"),
        Tile::new("To load", text::bytes(behind), "in the spool, for all warehouses"),
        match ran {
            Some((word, start)) => Tile::new("Last sync", word, start.ago),
            None => Tile::new("Last sync", "–", "none yet"),
        },
        match next {
            Some(next) => Tile::new("Next sync", next.ago, next.text),
            None => Tile::new("Next sync", "–", "none planned"),
        },
    ];
    let template = Overview {
        frame,
        tiles,
        warehouses: warehouses.iter().map(|view| Warehouse::new(view, now)).collect(),
        upcoming: nexts(&waiting, &upcoming, now),
        past: past.iter().map(|sync| Row::new(sync, now)).collect(),
        silent: sources.iter().all(|source| source.newest.is_none()),
        sources: sources.iter().map(|source| Source::new(source, now)).collect(),
        strangers: unknown_keys.iter().map(|key| Stranger::new(key, now)).collect(),
        address: format!("http://{}", app.control().config().listen),
    };
    page(&template, StatusCode::OK)
}

#[derive(Template)]
#[template(path = "syncs.html")]
struct Syncs {
    frame: Frame,
    note: &'static str,
    rows: Vec<Row>,
    older: Option<String>,
    newer: Option<String>,
}

/// Rows of one page of the history, and where the next one begins.
fn turn(mut syncs: Vec<Sync>, limit: u32) -> (Vec<Sync>, Option<i64>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = syncs.len() > limit;
    syncs.truncate(limit);
    let next = syncs.last().filter(|_| more).map(|sync| sync.id);
    (syncs, next)
}

pub(super) async fn history(user: SignedIn, State(app): State<App>, said: Wanted) -> Response {
    let asked = asked(said);
    let now = Timestamp::now();
    let filter = HistoryFilter { before: asked.before, limit: MANY + 1, ..HistoryFilter::default() };
    let (syncs, next) = match app.look(move |app| Ok(app.control().syncs(&filter)?)).await {
        Ok(syncs) => turn(syncs, MANY),
        Err(failure) => return problem(Some(&user.session), &failure),
    };
    let mut frame = frame(&user.session, "History", now);
    frame.place = "history";
    let template = Syncs {
        frame,
        note: "all warehouses, the newest first",
        rows: syncs.iter().map(|sync| Row::new(sync, now)).collect(),
        older: next.map(|before| format!("/syncs?before={before}")),
        newer: asked.before.map(|_| "/syncs".to_owned()),
    };
    page(&template, StatusCode::OK)
}

#[derive(Template)]
#[template(path = "warehouse.html")]
struct WarehousePage {
    frame: Frame,
    warehouse: Warehouse,
    upcoming: Vec<Next>,
    rows: Vec<Row>,
    older: Option<String>,
    newer: Option<String>,
    groups: Vec<Group>,
}

pub(super) async fn warehouse(
    user: SignedIn,
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    said: Wanted,
) -> Response {
    let (asked, now) = (asked(said), Timestamp::now());
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let filter = HistoryFilter {
        warehouse: Some(name.clone()),
        before: asked.before,
        limit: MANY + 1,
        ..HistoryFilter::default()
    };
    let facts = app
        .look(move |app| {
            let selection = look::selection(app, Some(&name))?.pop();
            let view = app.control().warehouses()?.into_iter().find(|view| view.name == name);
            let (Some(selection), Some(view)) = (selection, view) else { return Err(no_warehouse()) };
            Ok((view, app.control().syncs(&filter)?, groups(app, &selection)))
        })
        .await;
    let (view, syncs, groups) = match facts {
        Ok(facts) => facts,
        Err(failure) => return problem(Some(&user.session), &failure),
    };
    let warehouse = Warehouse::new(&view, now);
    let (waiting, past): (Vec<Sync>, Vec<Sync>) =
        syncs.iter().cloned().partition(|sync| sync.status == Status::Waiting);
    let upcoming = nexts(&waiting, &look::upcoming(std::slice::from_ref(&view)), now);
    let (_, next) = turn(syncs, MANY);
    let mut frame = frame(&user.session, &warehouse.name, now);
    frame.flash = flash(asked.done.as_deref());
    if asked.before.is_none() {
        frame.here.clone_from(&warehouse.link);
        frame.follows = asked.follow.is_some();
    }
    let template = WarehousePage {
        frame,
        older: next.map(|before| format!("{}?before={before}", warehouse.link)),
        newer: asked.before.map(|_| warehouse.link.clone()),
        upcoming,
        rows: past.iter().map(|sync| Row::new(sync, now)).collect(),
        groups,
        warehouse,
    };
    page(&template, StatusCode::OK)
}

fn no_warehouse() -> Failure {
    Failure::not_found("There is no warehouse of this name.", "The overview names those that there are.")
}

/// What waits, then what is planned.
fn nexts(waiting: &[Sync], upcoming: &[Upcoming], now: Timestamp) -> Vec<Next> {
    // The oldest begins first.
    let waiting = waiting.iter().rev().map(|sync| Next::waiting(sync, now));
    waiting.chain(upcoming.iter().map(|next| Next::new(next, now))).collect()
}

#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    frame: Frame,
    row: Row,
    space: String,
    meaning: &'static str,
    waits: bool,
    end: Option<When>,
    next: Option<When>,
    trouble: Option<Trouble>,
    progress: Option<Bar>,
    tiles: Vec<Tile>,
    request: Vec<Fact>,
    notices: Vec<Said>,
    no_tables: &'static str,
    tables: Vec<Counts>,
    own_tables: Vec<Counts>,
    reasons: Vec<ReasonRow>,
    changes: Vec<String>,
    own_changes: Vec<String>,
}

/// How much is done.
struct Bar {
    done: u64,
    total: u64,
    text: String,
}

pub(super) async fn sync(
    user: SignedIn,
    State(app): State<App>,
    id: Result<Path<i64>, PathRejection>,
    said: Wanted,
) -> Response {
    let (asked, now) = (asked(said), Timestamp::now());
    let id = id.map_or(-1, |Path(id)| id);
    let detail = match app.look(move |app| Ok(app.control().sync(id)?)).await {
        Ok(detail) => detail,
        Err(failure) => return problem(Some(&user.session), &failure),
    };
    let mut template = sync_page(&detail, now);
    template.frame = frame(&user.session, &template.row.name, now);
    template.frame.flash = flash(asked.done.as_deref());
    if !detail.sync.status.is_final() {
        template.frame.here = format!("/syncs/{id}");
        template.frame.follows = asked.follow.is_some();
    }
    page(&template, StatusCode::OK)
}

fn sync_page(detail: &SyncDetail, now: Timestamp) -> SyncPage {
    let sync = &detail.sync;
    let mut row = Row::new(sync, now);
    row.start = When::precise(sync.start, now);
    let ms = |of: Option<i64>| of.map_or_else(|| "–".to_owned(), text::duration);
    let tiles = vec![
        Tile::new("Rows loaded", &row.rows, ""),
        Tile::new("Duration", &row.duration, ""),
        Tile::new("Preparation", ms(sync.preparation_ms), "connect, describe, plan"),
        Tile::new("Loading", ms(sync.loading_ms), "apply, commit"),
        Tile::new("Discards", text::number(sync.discards), ""),
        Tile::new("Notices", &row.notices, ""),
    ];
    let progress = sync.progress.filter(|progress| !sync.status.is_final() && progress.total > 0).map(|progress| Bar {
        done: progress.done,
        total: progress.total,
        text: format!("{} of {}", text::bytes(progress.done), text::bytes(progress.total)),
    });
    let (own_tables, tables): (Vec<_>, Vec<_>) = detail.tables.iter().partition(|table| is_own(&table.name));
    let (own_changes, changes): (Vec<_>, Vec<_>) = detail.changes.iter().partition(|change| is_own(table_of(change)));
    SyncPage {
        frame: Frame::default(),
        space: sync.space.clone(),
        meaning: meaning(sync),
        waits: sync.status == Status::Waiting,
        end: sync.end.map(|end| When::precise(end, now)),
        next: sync.next.filter(|_| sync.status.is_final()).map(|next| When::precise(next, now)),
        trouble: sync.error.clone(),
        progress,
        tiles,
        request: request(sync),
        notices: detail.notices.iter().map(Said::from).collect(),
        no_tables: match sync.status {
            Status::Waiting | Status::Running => "No table has been loaded yet.",
            Status::Success => "There was nothing new to load.",
            _ => "No table was loaded.",
        },
        tables: tables.into_iter().map(Counts::from).collect(),
        own_tables: own_tables.into_iter().map(Counts::from).collect(),
        reasons: detail.reasons.iter().map(ReasonRow::from).collect(),
        changes: changes.into_iter().cloned().collect(),
        own_changes: own_changes.into_iter().cloned().collect(),
        row,
    }
}

fn is_own(table: &str) -> bool {
    tablecast::core::ident::SYSTEM_TABLES.contains(&table) || (table.starts_with('_') && table.ends_with("_versions"))
}

/// The table of a step such as `add column users.plan text`.
fn table_of(change: &str) -> &str {
    let name = change.split(' ').nth(2).unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

/// What a status says.
fn meaning(sync: &Sync) -> &'static str {
    match (sync.status, sync.kind) {
        (Status::Waiting, _) => "Waiting: it begins when the warehouse is free.",
        (Status::Running, _) => "Running.",
        (Status::Success, _) if sync.rows == 0 => "Success: there was nothing new to load.",
        (Status::Success, _) => "Success: everything was loaded, without a notice.",
        (Status::Partial, _) if sync.rows == 0 => "Partial: there are notices, and no new rows.",
        (Status::Partial, _) => "Partial: rows were loaded, and there are notices.",
        (Status::Failure, Kind::Backfill) => "Failure: it did not come to its end.",
        (Status::Failure, _) => "Failure: nothing was loaded. The next sync takes up what is left.",
        (Status::Skipped, _) => "Skipped: the sync before was still running.",
    }
}

/// What a backfill was asked for.
fn request(sync: &Sync) -> Vec<Fact> {
    let Some(request) = &sync.request else { return Vec::new() };
    let list = |of: &[String]| (!of.is_empty()).then(|| of.join(", "));
    [
        ("Received from", request.from.map(|from| from.to_string())),
        ("Received until", request.until.map(|until| until.to_string())),
        ("Only tables", list(&request.tables)),
        ("Only columns", list(&request.columns)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(Fact { name, value: value? }))
    .collect()
}

#[derive(Template)]
#[template(path = "signin.html")]
struct SignIn {
    frame: Frame,
    problem: Option<&'static str>,
    next: String,
    hint: &'static str,
}

pub(super) async fn signin(State(app): State<App>, headers: HeaderMap, said: Wanted) -> Response {
    let next = asked(said).next.unwrap_or_default();
    if session_id(&headers).is_some_and(|id| app.gate().session(id, Instant::now()).is_some()) {
        return Redirect::to(onward(&next)).into_response();
    }
    signin_page(StatusCode::OK, None, &next)
}

pub(super) fn signin_page(status: StatusCode, problem: Option<&'static str>, next: &str) -> Response {
    let frame = Frame { title: "Sign in".to_owned(), ..Frame::default() };
    let hint = "It is `token` in the service's configuration.";
    page(&SignIn { frame, problem, next: onward(next).to_owned(), hint }, status)
}

/// There is no such page.
pub(super) async fn nowhere(State(app): State<App>, headers: HeaderMap) -> Response {
    let session = session_id(&headers).and_then(|id| app.gate().session(id, Instant::now()));
    let failure = Failure::not_found("There is no page at this address.", "Look for it from the overview.");
    problem(session.as_ref(), &failure)
}

/// The page is there, but not for this.
pub(super) async fn wrong_method(State(app): State<App>, headers: HeaderMap) -> Response {
    let session = session_id(&headers).and_then(|id| app.gate().session(id, Instant::now()));
    let what = "This address is not to be opened like that.";
    let failure =
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", what, "Go there from the overview.");
    problem(session.as_ref(), &failure)
}
