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

async fn why_not(ops: &Ops) -> Option<String> {
    for space in ops.control.config().spaces() {
        let Some(spool) = ops.spools.get(space) else { return Some(format!("the spool of {space} is not open")) };
        if let Err(error) = spool.ready().await {
            return Some(format!("{space}: {error}; to do: {}", error.remedy()));
        }
    }
    ops.control.warehouses().err().map(|refusal| refusal.to_string())
}

async fn metrics_text(State(ops): State<Ops>) -> impl IntoResponse {
    ops.measures.look(&ops.metrics, &ops.control, &ops.spools);
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], ops.metrics.text())
}
