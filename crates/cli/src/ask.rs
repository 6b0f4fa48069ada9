//! Asking the service: the one that runs, over HTTP; where none runs, in this process, with the data folder locked.

use crate::args::service::Service;
use crate::failure::Failure;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tablecast::core::Secret;
use tablecast_server::config::Problems;
use tablecast_server::service::{self, DataLock, Opened};
use tablecast_server::state::{BackfillRequest, HistoryFilter, Sync, SyncDetail};
use tablecast_server::sync::{Refusal, RefusalKind, SelectRequest, Selected, SelectionView, Settings, WarehouseView};
use tablecast_server::{Config, Control, Engine};
use tokio::net::TcpStream;

/// The configuration, or everything that is wrong with it.
pub(crate) fn config(service: &Service) -> Result<Config, Failure> {
    Config::load(&service.config).map_err(|problems| wrong(problems, &service.config.display().to_string()))
}

/// The configuration for work on the data folder itself, which must be there: made here, it would be an empty one
/// beside the service's own.
pub(crate) fn config_here(service: &Service) -> Result<Config, Failure> {
    let config = Config::load_without_secrets(&service.config)
        .map_err(|problems| wrong(problems, &service.config.display().to_string()))?;
    if std::fs::exists(&config.data).is_ok_and(|there| !there) {
        return Err(Failure::usage(
            format!("there is no data folder at {}", config.data.display()),
            "start `tablecast serve` once; if it has run, run this in its working directory, or make `data` absolute",
        ));
    }
    Ok(config)
}

/// All problems as one failure: each told in lines of its own, the last by whoever tells the failure.
pub(crate) fn wrong(problems: Problems, place: &str) -> Failure {
    let mut all = problems.0;
    let Some(last) = all.pop() else {
        return Failure::usage("the configuration is wrong", "correct it");
    };
    let failure = |problem: &tablecast_server::config::Problem| {
        Failure::usage(format!("{problem} (in {place})"), problem.to_do.clone())
    };
    all.iter().for_each(|problem| failure(problem).tell());
    failure(&last)
}

/// The service, wherever it is.
#[derive(Debug)]
pub(crate) enum Asked {
    Running(Remote),
    Here { engine: Engine, control: Control, _opened: Box<Opened> },
}

impl Asked {
    /// The service that runs, or its data folder.
    pub(crate) fn find(service: &Service) -> Result<Asked, Failure> {
        let here = config_here(service)?;
        if DataLock::is_taken(&here.data) {
            return Ok(Asked::Running(Remote::new(&config(service)?, service)?));
        }
        let place = service.config.display().to_string();
        let opened = Opened::open(&here).map_err(|problems| wrong(problems, &place))?;
        let engine = opened.engine(here, Settings::default()).map_err(|problems| wrong(problems, &place))?;
        Ok(Asked::Here { control: engine.control(), engine, _opened: Box::new(opened) })
    }

    pub(crate) async fn syncs(&self, filter: &HistoryFilter) -> Result<Vec<Sync>, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.syncs(filter).map_err(refused)?),
            Asked::Running(remote) => {
                let mut query = format!("/api/syncs?limit={}", filter.limit);
                for (name, value) in [("warehouse", &filter.warehouse), ("space", &filter.space)] {
                    if let Some(value) = value {
                        query.push_str(&format!("&{name}={}", escaped(value)));
                    }
                }
                remote.get::<Value>(&query).await.and_then(|answer| part(answer, "syncs"))
            }
        }
    }

    pub(crate) async fn sync(&self, id: i64) -> Result<SyncDetail, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.sync(id).map_err(refused)?),
            Asked::Running(remote) => remote.get(&format!("/api/syncs/{id}")).await,
        }
    }

    pub(crate) async fn warehouses(&self) -> Result<Vec<WarehouseView>, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.warehouses().map_err(refused)?),
            Asked::Running(remote) => {
                remote.get::<Value>("/api/warehouses").await.and_then(|answer| part(answer, "warehouses"))
            }
        }
    }

    pub(crate) async fn sync_now(&self, warehouse: Option<&str>, space: Option<&str>) -> Result<Vec<i64>, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.sync_now(warehouse, space).map_err(refused)?),
            Asked::Running(remote) => {
                let mut body = json!({});
                for (name, value) in [("warehouse", warehouse), ("space", space)] {
                    if let Some(value) = value {
                        body[name] = value.into();
                    }
                }
                remote.post::<Value>("/api/syncs", &body).await.and_then(|answer| part(answer, "syncs"))
            }
        }
    }

    pub(crate) async fn backfill(&self, request: &BackfillRequest) -> Result<Vec<i64>, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.backfill(request).map_err(refused)?),
            Asked::Running(remote) => {
                let body = serde_json::to_value(request).unwrap_or_default();
                remote.post::<Value>("/api/backfills", &body).await.and_then(|answer| part(answer, "syncs"))
            }
        }
    }

    pub(crate) async fn selection(&self, warehouse: Option<&str>) -> Result<Vec<SelectionView>, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.selection(warehouse).map_err(refused)?),
            Asked::Running(remote) => {
                let query = warehouse.map_or_else(String::new, |name| format!("?warehouse={}", escaped(name)));
                let answer = remote.get::<Value>(&format!("/api/selection{query}")).await?;
                part(answer, "warehouses")
            }
        }
    }

    pub(crate) async fn select(&self, request: &SelectRequest) -> Result<Selected, Failure> {
        match self {
            Asked::Here { control, .. } => Ok(control.select(request).map_err(refused)?),
            Asked::Running(remote) => {
                remote.post("/api/selection", &serde_json::to_value(request).unwrap_or_default()).await
            }
        }
    }
}

fn part<T: DeserializeOwned>(mut answer: Value, name: &str) -> Result<T, Failure> {
    serde_json::from_value(answer[name].take()).map_err(|_| not_understood())
}

fn not_understood() -> Failure {
    Failure::new(
        "the service's answer is not understood",
        "use the same version of Tablecast for the service and the command line",
    )
}

/// A no of the service.
fn refused(refusal: Refusal) -> Failure {
    match refusal.kind {
        RefusalKind::Failed => Failure::new(refusal.what, refusal.to_do),
        RefusalKind::NotFound | RefusalKind::Invalid => Failure::usage(refusal.what, refusal.to_do),
    }
}

/// A name as part of a query.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The service that runs.
#[derive(Debug)]
pub(crate) struct Remote {
    address: SocketAddr,
    token: Secret,
}

/// How the API says no.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct No {
    message: String,
    to_do: Option<String>,
}

impl Remote {
    pub(crate) fn new(config: &Config, service: &Service) -> Result<Remote, Failure> {
        let place = service.config.display().to_string();
        let token = service::token(config).map_err(|problems| wrong(problems, &place))?;
        Ok(Remote { address: service::reach(config), token })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, String::new()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.ask(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, Failure> {
        let (status, bytes) = self.exchange(method, path, body).await.map_err(|error| {
            Failure::new(
                format!("the service at {} does not answer: {error}", self.address),
                "see that it runs (`tablecast serve`) and listens there, then ask again",
            )
        })?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|_| not_understood());
        }
        let no: No = serde_json::from_slice(&bytes).unwrap_or_default();
        let what = if no.message.is_empty() { format!("the service answered {status}") } else { no.message };
        let to_do = no.to_do.unwrap_or_else(|| "see the service's log".to_owned());
        Err(if status.is_client_error() && status != StatusCode::UNAUTHORIZED {
            Failure::usage(what, to_do)
        } else {
            Failure::new(what, to_do)
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + std::marker::Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            // The answer is read by then, or there is none.
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_a_query() {
        assert_eq!(escaped("main-1_a.b"), "main-1_a.b");
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
