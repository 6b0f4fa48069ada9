//! The API: who gets in, what it answers, and how it says no.

use crate::support::{TOKEN, World, config};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use tablecast_server::api::{History, Selections, Sources, Warehouses};
use tablecast_server::config::Item;
use tablecast_server::state::{Status, SyncDetail};
use tablecast_server::sync::Selected;

const AUDIENCE: &str = r#"{"type": "identify", "userId": "u123", "messageId": "m1", "traits": {"first_time_shopper": true, "plan": 1},
    "context": {"personas": {"computation_key": "first_time_shopper", "computation_class": "audience"}}}"#;
const CLASH: &str =
    r#"{"type": "identify", "userId": "u124", "messageId": "m2", "traits": {"first_time_shopper": "N/A"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_token() {
    let world = World::new(&config(&[("main", "")]));
    let routes = [
        (Method::GET, "/api/syncs"),
        (Method::GET, "/api/syncs/1"),
        (Method::POST, "/api/syncs"),
        (Method::GET, "/api/selection"),
        (Method::POST, "/api/selection"),
        (Method::POST, "/api/backfills"),
        (Method::GET, "/api/warehouses"),
        (Method::GET, "/api/sources"),
        // What is not there and what is not allowed is not told either.
        (Method::GET, "/api/nothing"),
        (Method::DELETE, "/api/syncs"),
    ];
    let tokens = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer wrong".to_owned()),
        Some(format!("Basic {TOKEN}")),
        Some(format!("Bearer {TOKEN}x")),
        Some(TOKEN.to_owned()),
    ];
    for (method, path) in routes {
        for token in &tokens {
            let mut request = Request::builder().method(&method).uri(path);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let answer = world.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {token:?}");
            assert_eq!(answer.code(), "unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert!(!answer.text.contains(TOKEN));
        }
    }
    assert_eq!(world.get("/api/syncs").await.json()["syncs"], json!([]), "nothing was asked for");
    let lower = Request::get("/api/sources").header("authorization", format!("bearer {TOKEN}"));
    assert_eq!(world.send(lower.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_are_asked_for_and_told_with_everything() {
    let world = World::new(&config(&[("main", ""), ("second", "")]));
    world.post(&[AUDIENCE]).await;
    let asked = world.api(Method::POST, "/api/syncs", r#"{"warehouse": "main"}"#).await;
    assert_eq!((asked.status, asked.json()), (StatusCode::ACCEPTED, json!({"syncs": [1]})));
    let again = world.api(Method::POST, "/api/syncs", r#"{"warehouse": "main", "space": "default"}"#).await;
    assert_eq!(again.json(), json!({"syncs": [1]}), "what waits already is not asked for twice");
    let waiting: SyncDetail = serde_json::from_value(world.get("/api/syncs/1").await.json()).unwrap();
    assert_eq!(waiting.sync.status, Status::Waiting);
    world.engine.drain().await;
    world.post(&[CLASH]).await;
    assert_eq!(world.api(Method::POST, "/api/syncs", "").await.json(), json!({"syncs": [2, 3]}), "no body is all");
    world.engine.drain().await;

    let first: SyncDetail = serde_json::from_value(world.get("/api/syncs/1").await.json()).unwrap();
    assert_eq!(
        (first.sync.status, first.sync.rows, first.sync.schema.as_str()),
        (Status::Success, 2, "personas_default")
    );
    assert!(first.changes.iter().any(|change| change.starts_with("create table users")), "{:?}", first.changes);
    assert!(first.tables.iter().any(|table| table.name == "identifies" && table.loaded == 1));
    let second = world.get("/api/syncs/2").await.json();
    assert_eq!(second["status"], "partial");
    let reason = |table: &str| json!({"table": table, "reason": "type_conflict", "discards": 1});
    assert_eq!(second["reasons"], json!([reason("identifies"), reason("users")]), "{second}");

    let all: History = serde_json::from_value(world.get("/api/syncs").await.json()).unwrap();
    assert_eq!(all.syncs.iter().map(|sync| sync.id).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(all.next, None);
    let page: History = serde_json::from_value(world.get("/api/syncs?limit=2").await.json()).unwrap();
    assert_eq!((page.syncs.len(), page.next), (2, Some(2)));
    let page: History = serde_json::from_value(world.get("/api/syncs?limit=2&before=2").await.json()).unwrap();
    assert_eq!((page.syncs.len(), page.syncs[0].id, page.next), (1, 1, None));
    let of = world.get("/api/syncs?warehouse=second&space=default").await.json();
    assert_eq!(of["syncs"].as_array().unwrap().len(), 1);
    assert_eq!(of["syncs"][0]["warehouse"], "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn warehouses_and_sources_are_told() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&[AUDIENCE, CLASH]).await;
    let before: Warehouses = serde_json::from_value(world.get("/api/warehouses").await.json()).unwrap();
    let unit = &before.warehouses[0].spaces[0];
    assert!(unit.behind_bytes > 0 && unit.behind_since.is_some() && unit.last.is_none());
    world.sync().await;
    let after: Warehouses = serde_json::from_value(world.get("/api/warehouses").await.json()).unwrap();
    let unit = &after.warehouses[0].spaces[0];
    assert_eq!((unit.behind_bytes, unit.schema.as_str()), (0, "personas_default"));
    assert!(unit.last.is_some());
    let sources: Sources = serde_json::from_value(world.get("/api/sources").await.json()).unwrap();
    let [source] = &sources.sources[..] else { panic!("{sources:?}") };
    assert_eq!((source.events, source.source.schemas.join(",")), (2, "personas_default".into()));
    assert!(source.newest.is_some() && source.source.spool_bytes > 0);
    assert!(!world.get("/api/sources").await.text.contains("demo"), "no write key is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_switched_off_and_on_and_the_gap_is_filled() {
    let world = World::new(&config(&[("main", "off = { computations = [\"vip\"] }")]));
    world.post(&[AUDIENCE]).await;
    world.sync().await;
    let told: Selections = serde_json::from_value(world.get("/api/selection?warehouse=main").await.json()).unwrap();
    let known = &told.warehouses[0].known;
    for item in [Item::table("users"), Item::table("identifies"), Item::column("users.plan")] {
        assert!(known.contains(&item), "{item} is not in {known:?}");
    }
    assert!(known.iter().all(|item| !item.name.starts_with('_')), "{known:?}");

    let off = json!({"warehouse": "main", "off": [{"kind": "column", "name": "users.plan"}]}).to_string();
    let switched: Selected =
        serde_json::from_value(world.api(Method::POST, "/api/selection", &off).await.json()).unwrap();
    assert_eq!((switched.selection[0].off.len(), switched.syncs.len()), (2, 0));
    world.sync().await;
    world.post(&[r#"{"type": "identify", "userId": "u5", "messageId": "m5", "traits": {"plan": 7}}"#]).await;
    world.sync().await;
    let on = json!({"warehouse": "main", "on": [{"kind": "column", "name": "users.plan"}]}).to_string();
    let switched: Selected =
        serde_json::from_value(world.api(Method::POST, "/api/selection", &on).await.json()).unwrap();
    assert_eq!((switched.selection[0].off.len(), switched.syncs.len()), (1, 1));
    world.engine.drain().await;
    let history = world.get("/api/syncs").await.json();
    assert_eq!(history["syncs"][0]["kind"], "fill", "{history}");

    for (body, status, code) in [
        (json!({"warehouse": "main", "off": [{"kind": "column", "name": "users.id"}]}), 400, "refused"),
        (json!({"warehouse": "main", "on": [{"kind": "computation", "name": "vip"}]}), 400, "refused"),
        (json!({"warehouse": "main"}), 400, "refused"),
        (json!({"warehouse": "nobody", "off": [{"kind": "table", "name": "tracks"}]}), 404, "not_found"),
        (json!({"warehouse": "main", "off": [{"kind": "sink", "name": "x"}]}), 400, "bad_body"),
        (json!({"warehouse": "main", "of": []}), 400, "bad_body"),
    ] {
        let answer = world.api(Method::POST, "/api/selection", &body.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backfills_are_asked_for() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&[AUDIENCE]).await;
    world.sync().await;
    let asked = world.api(Method::POST, "/api/backfills", r#"{"warehouse": "main", "tables": ["users"]}"#).await;
    assert_eq!((asked.status, asked.json()), (StatusCode::ACCEPTED, json!({"syncs": [2]})));
    world.engine.drain().await;
    let done = world.get("/api/syncs/2").await.json();
    assert_eq!((&done["kind"], &done["status"]), (&json!("backfill"), &json!("success")), "{done}");
    assert_eq!(done["request"]["tables"], json!(["users"]));
    for (body, status, code) in [
        (r#"{"warehouse": "nobody"}"#, 404, "not_found"),
        (r#"{"warehouse": "main", "from": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}"#, 400, "refused"),
        (r#"{"warehouse": "main", "from": "yesterday"}"#, 400, "bad_body"),
    ] {
        let answer = world.api(Method::POST, "/api/backfills", body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_no_says_what_to_do() {
    let world = World::new(&config(&[("main", "")]));
    let long = "x".repeat(70_000);
    for (method, path, body, status, code) in [
        (Method::GET, "/api/syncs/7", "", 404, "not_found"),
        (Method::GET, "/api/syncs/seven", "", 404, "not_found"),
        (Method::GET, "/api/syncs/99999999999999999999", "", 404, "not_found"),
        (Method::GET, "/api/nothing", "", 404, "not_found"),
        (Method::GET, "/api", "", 404, "not_found"),
        (Method::GET, "/api/selection?warehouse=nobody", "", 404, "not_found"),
        (Method::POST, "/api/syncs", r#"{"warehouse": "nobody"}"#, 404, "not_found"),
        (Method::POST, "/api/syncs", r#"{"warehouse": "main", "space": "moon"}"#, 404, "not_found"),
        (Method::DELETE, "/api/syncs", "", 405, "method_not_allowed"),
        (Method::GET, "/api/backfills", "", 405, "method_not_allowed"),
        (Method::GET, "/api/syncs?limit=many", "", 400, "bad_query"),
        (Method::GET, "/api/syncs?wharehouse=main", "", 400, "bad_query"),
        (Method::POST, "/api/syncs", "{", 400, "bad_body"),
        (Method::POST, "/api/syncs", r#"{"warehouze": "main"}"#, 400, "bad_body"),
        (Method::POST, "/api/syncs", long.as_str(), 413, "bad_body"),
    ] {
        let answer = world.api(method.clone(), path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {path}");
        }
    }
    let none = World::new(&config(&[]));
    let answer = none.api(Method::POST, "/api/syncs", "").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "refused"), "no warehouse is configured");
}
