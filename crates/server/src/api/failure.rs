//! What a request is answered that cannot be done: a status, a code for programs, and a message that says what to do.

use crate::sync::{Refusal, RefusalKind};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// As JSON: `{"code": "not_found", "message": "there is no sync 7", "to_do": "`tablecast syncs` lists those that there are"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// For programs; it stays the same.
    pub code: String,
    /// What happened.
    #[serde(rename = "message")]
    pub what: String,
    /// What to do.
    pub to_do: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, what: impl Into<String>, to_do: impl Into<String>) -> Failure {
        Failure { status, code: code.to_owned(), what: what.into(), to_do: to_do.into() }
    }

    pub(crate) fn bad(code: &str, what: impl Into<String>, to_do: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code, what, to_do)
    }

    pub(crate) fn not_found(what: impl Into<String>, to_do: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", what, to_do)
    }

    /// The task that was to look at the state is gone.
    pub(crate) fn broken() -> Failure {
        let to_do = "look into the service's log, and report it";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the service failed on its own", to_do)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let (status, code) = match refusal.kind {
            RefusalKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            RefusalKind::Invalid => (StatusCode::BAD_REQUEST, "refused"),
            RefusalKind::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        Failure::new(status, code, refusal.what, refusal.to_do)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"tablecast\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
