//! The API of the service, for the command line and for other programs.
//!
//! Every request to `/api` brings `Authorization: Bearer TOKEN`. Every answer is JSON; one that says no is
//! `{"code": "not_found", "message": "there is no sync 7", "to_do": "what to do"}`, with a status of 400, 401, 404, 405, 413 or
//! 500. Codes are `unauthorized`, `not_found`, `refused`, `bad_query`, `bad_body`, `method_not_allowed`, `failed`.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /api/syncs?warehouse=&space=&before=&limit=` | [`History`]: past syncs, the newest first, and upcoming ones |
//! | `GET /api/syncs/{id}` | [`SyncDetail`](crate::state::SyncDetail) |
//! | `POST /api/syncs` with a [`SyncRequest`] | 202, [`Asked`]: rows of the history to watch |
//! | `GET /api/selection?warehouse=` | [`Selections`] |
//! | `POST /api/selection` with a [`SelectRequest`](crate::sync::SelectRequest) | [`Selected`](crate::sync::Selected) |
//! | `POST /api/backfills` with a [`BackfillRequest`](crate::state::BackfillRequest) | 202, [`Asked`] |
//! | `GET /api/warehouses` | [`Warehouses`] |
//! | `GET /api/sources` | [`Sources`] |
//!
//! `/healthz`, `/readyz` and `/metrics` stand beside it and need no token.

mod app;
mod facts;
mod failure;
pub(crate) mod look;
mod routes;
mod token;

pub use app::App;
pub use facts::*;
pub use failure::Failure;
pub use routes::router;
pub(crate) use token::{SESSION, Session};
