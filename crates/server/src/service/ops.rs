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
    let config = ops.control.config();
    let spools = config.spaces().into_iter().all(|space| ops.spools.get(space).is_some());
    let state = ops.control.warehouses();
    match (spools, state) {
        (true, Ok(_)) => (StatusCode::OK, "ready\n".to_owned()),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready: a spool is not open\n".to_owned()),
        (_, Err(refusal)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {refusal}\n")),
    }
}

async fn metrics_text(State(ops): State<Ops>) -> impl IntoResponse {
    ops.measures.look(&ops.metrics, &ops.control, &ops.spools);
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], ops.metrics.text())
}
