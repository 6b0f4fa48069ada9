//! What machines ask of the service: whether it lives, whether it takes calls, what it counted. Without a token.

use super::measures::Measures;
use crate::metrics::Metrics;
use crate::sync::{Control, Spools};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Ops {
    control: Control,
    metrics: Arc<Metrics>,
    measures: Measures,
    spools: Spools,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(super) fn router(control: Control, metrics: Arc<Metrics>, measures: Measures, spools: Spools) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Ops { control, metrics, measures, spools })
}

/// Ready is who can keep what it takes, whatever warehouses do: their calls wait in the spool.
async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    match why_not(&ops).await {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

/// Looks at the state and at the spools' files where waiting for the disk holds nobody up.
async fn look<T: Send + 'static>(ops: Ops, look: impl FnOnce(&Ops) -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(move || look(&ops)).await.ok()
}

async fn why_not(ops: &Ops) -> Option<String> {
    for space in ops.control.config().spaces() {
        let Some(spool) = ops.spools.get(space) else { return Some(format!("the spool of {space} is not open")) };
        if let Err(error) = spool.ready().await {
            return Some(format!("{space}: {error}; to do: {}", error.remedy()));
        }
    }
    match look(ops.clone(), |ops| ops.control.warehouses()).await {
        Some(warehouses) => warehouses.err().map(|refusal| refusal.to_string()),
        None => Some("looking at the state failed; look into the service's log".to_owned()),
    }
}

async fn metrics_text(State(ops): State<Ops>) -> impl IntoResponse {
    let metrics = ops.metrics.clone();
    // Should it fail, what was seen the last time stands there.
    look(ops, |ops| ops.measures.look(&ops.metrics, &ops.control, &ops.spools)).await;
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::service::Opened;
    use crate::spool::{Kind, NewRecord};
    use crate::sync::Settings;
    use std::fs::{self, OpenOptions};
    use std::path::Path;
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Lets go whoever waits for the file.
    fn let_go(file: &Path) {
        drop(OpenOptions::new().write(true).open(file).unwrap());
    }

    // One thread: while a request waits for the disk on it, nothing else is done.
    #[tokio::test]
    async fn a_slow_disk_holds_up_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let text = "data = \"DIR\"\n[[source]]\nspace = \"default\"\nwrite_keys = [\"demo\"]\n\
                    [[warehouse]]\nname = \"main\"\nuri = \"sqlite:DIR/main\"\n";
        let config = Config::parse(&text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let opened = Opened::open(&config).unwrap();
        let control = opened.engine(config, Settings::default()).unwrap().control();
        let spool = opened.spools.get("default").unwrap();
        spool.append(NewRecord { received_at: 1, kind: Kind::Call, payload: "{}".into() }).await.unwrap();
        let (metrics, spools) = (opened.metrics.clone(), opened.spools.clone());
        let measures = Measures::register(&metrics);
        let ops = Ops { control, metrics, measures, spools };

        // A file that opens only when somebody writes to it.
        let file = dir.path().join("spool/default/00000000000000000000.seg");
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        for path in ["metrics", "readyz"] {
            let (done, others_done) = mpsc::channel();
            let waiting = file.clone();
            let watch = std::thread::spawn(move || {
                let others = others_done.recv_timeout(Duration::from_secs(30)).is_ok();
                let_go(&waiting);
                others
            });
            let ops = ops.clone();
            let asked = tokio::spawn(async move {
                match path {
                    "metrics" => metrics_text(State(ops)).await.into_response(),
                    _ => ready(State(ops)).await.into_response(),
                }
            });
            tokio::task::yield_now().await;
            done.send(()).ok();
            assert_eq!(asked.await.unwrap().status(), StatusCode::OK);
            assert!(watch.join().unwrap(), "/{path} holds up all others");
        }
    }
}
