//! The service without a socket: every part is the real one, and requests go straight into its router.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tablecast::core::Secret;
use tablecast_server::ingest::{self, Ingest, Keys};
use tablecast_server::metrics::Metrics;
use tablecast_server::spool::SpoolOptions;
use tablecast_server::sync::{Settings, Spools};
use tablecast_server::{Config, Engine, State, api, web};

pub(crate) const TOKEN: &str = "a token of 4711 letters";

/// A name that a page must not take for its own words.
pub(crate) const ODD: &str = "<b>\"odd\" & 'co'</b>/x";

pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) engine: Engine,
    router: TowerToHyperService<Router>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a no, with what was said checked to say what to do.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert!(!json["message"].as_str().unwrap().is_empty() && !json["to_do"].as_str().unwrap().is_empty(), "{json}");
        json["code"].as_str().unwrap().to_owned()
    }
}

/// A source with a key, and warehouses with more in their sections.
pub(crate) fn config(warehouses: &[(&str, &str)]) -> String {
    let mut text = "[[source]]\nspace = \"default\"\nwrite_keys = [\"demo\"]\n".to_owned();
    for (at, (name, more)) in warehouses.iter().enumerate() {
        let name = Value::from(*name);
        text.push_str(&format!(
            "[[warehouse]]\nname = {name}\nuri = \"sqlite:DIR/{at}\"\nevery = \"30 days\"\n{more}\n"
        ));
    }
    text
}

impl World {
    pub(crate) fn new(config: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse(&config.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let (spools, metrics) = (Spools::default(), Arc::new(Metrics::new()));
        let mut open = BTreeMap::new();
        for space in config.spaces() {
            open.insert(space.to_owned(), spools.open(dir.path(), SpoolOptions::new(space)).unwrap());
        }
        let state = State::open(dir.path()).unwrap();
        let keys = config
            .sources
            .iter()
            .flat_map(|source| source.write_keys.iter().map(|key| (key.expose().to_owned(), source.space.clone())));
        let settings = ingest::Settings { keys: Keys::new(keys), strict: true };
        let engine = Engine::new(config, state, spools.clone(), Settings::default()).unwrap();
        let ingest = Arc::new(Ingest::new(settings, open, metrics.clone()));
        let app = api::App::new(engine.control(), metrics, spools, ingest.clone(), &Secret::new(TOKEN));
        let router = ingest::router(ingest).merge(api::router(app.clone())).merge(web::router(app));
        World { _dir: dir, engine, router: TowerToHyperService::new(router) }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Sends calls, as an SDK does.
    pub(crate) async fn post(&self, calls: &[&str]) {
        let body = format!("{{\"writeKey\": \"demo\", \"batch\": [{}]}}", calls.join(","));
        let request = Request::post("/v1/batch").body(Body::from(body)).unwrap();
        assert_eq!(self.send(request).await.status, StatusCode::OK);
    }

    /// Asks for a sync of everything, and does all that waits.
    pub(crate) async fn sync(&self) {
        self.engine.control().sync_now(None, None).unwrap();
        self.engine.drain().await;
    }

    /// A request to the API, with the token.
    pub(crate) async fn api(&self, method: Method, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.api(Method::GET, path, "").await
    }
}

/// A browser: it keeps its cookie.
pub(crate) struct Browser<'w> {
    world: &'w World,
    pub(crate) cookie: String,
}

impl<'w> Browser<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        Browser { world, cookie: String::new() }
    }

    /// A browser that is signed in.
    pub(crate) async fn signed_in(world: &'w World) -> Self {
        let mut browser = Browser::new(world);
        let answer = browser.submit("/signin", &[("token", TOKEN)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        browser
    }

    pub(crate) async fn open(&self, path: &str) -> Answer {
        let request = Request::get(path).header("cookie", &self.cookie).header("host", "localhost:1");
        self.world.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_from("http://localhost:1", path, fields).await
    }

    pub(crate) async fn submit_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::post(path)
            .header("cookie", &self.cookie)
            .header("host", "localhost:1")
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = self.world.send(request.body(Body::from(body.join("&"))).unwrap()).await;
        if let Some((cookie, _)) = answer.header("set-cookie").split_once(';') {
            self.cookie = cookie.to_owned();
        }
        answer
    }

    /// The mark that the forms of this session bring along.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.open("/").await.text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
