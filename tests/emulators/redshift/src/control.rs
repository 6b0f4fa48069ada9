//! The control port: faults are asked for, looked at and taken back here.

use crate::fault::Fault;
use crate::http::{Answer, Call, json};
use crate::world::World;
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// `POST /faults` with a fault; `GET /faults?marker=M` and `DELETE /faults?marker=M`.
pub(crate) async fn answer(world: Arc<World>, call: Call) -> Answer {
    let marker = call.query.strip_prefix("marker=").unwrap_or_default();
    let (status, body) = match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/faults") => match serde_json::from_slice::<Fault>(&call.body) {
            Ok(fault) if !fault.marker.is_empty() => {
                world.faults.add(fault);
                (StatusCode::CREATED, json!({}))
            }
            Ok(_) => (StatusCode::BAD_REQUEST, json!({ "error": "a fault needs a marker" })),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error.to_string() })),
        },
        ("GET", "/faults") => (StatusCode::OK, world.faults.list(marker)),
        ("DELETE", "/faults") => {
            world.faults.remove(marker);
            (StatusCode::OK, json!({}))
        }
        _ => (StatusCode::NOT_FOUND, json!({ "error": "there are POST, GET and DELETE of /faults" })),
    };
    Some(json(status, &body))
}
