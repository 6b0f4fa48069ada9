//! What a request is answered that cannot be done: a status, a code for programs, and a message that says what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tablecast::{Error, ErrorKind};

/// As JSON: `{"code": "not_found", "message": "there is no sync 7; GET /api/syncs lists them"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// For programs; it stays the same.
    pub(crate) code: &'static str,
    /// What happened.
    #[serde(skip)]
    pub(crate) what: String,
    /// What to do.
    #[serde(skip)]
    pub(crate) to_do: String,
    /// Both in one.
    message: String,
}

impl Failure {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        what: impl Into<String>,
        to_do: impl Into<String>,
    ) -> Failure {
        let (what, to_do) = (what.into(), to_do.into());
        Failure { status, code, message: format!("{what}; {to_do}"), what, to_do }
    }

    pub(crate) fn bad(code: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code, what, to_do)
    }

    pub(crate) fn not_found(what: impl Into<String>, to_do: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", what, to_do)
    }

    /// The task that was to look at the state is gone.
    pub(crate) fn broken() -> Failure {
        let to_do = "look into the service's log, and report it";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the service failed on its own", to_do)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (status, code) = match error.kind() {
            ErrorKind::Config => (StatusCode::BAD_REQUEST, "refused"),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict"),
            ErrorKind::Unavailable | ErrorKind::Exhausted => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Failure::new(status, code, error.to_string(), error.remedy())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"tablecast\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
