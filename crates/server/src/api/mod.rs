//! The API of the service, for the command line and for other programs.
//!
//! Every request to `/api` brings `Authorization: Bearer TOKEN`. Every answer is JSON; one that says no is
//! `{"code": "not_found", "message": "what happened; what to do"}`, with a status of 400, 401, 404, 405, 409, 413, 500 or 503.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /api/syncs?warehouse=&space=&before=&limit=` | [`History`]: past syncs, the newest first, and upcoming ones |
//! | `GET /api/syncs/{id}` | [`SyncDetail`](crate::state::SyncDetail) |
//! | `POST /api/syncs` with a [`SyncRequest`] | 202, [`Asked`]: rows of the history to watch |
//! | `GET /api/selection?warehouse=` | `{"warehouses": [`[`SelectionFacts`]`]}` |
//! | `POST /api/selection` with a [`SwitchRequest`] | [`SelectionFacts`] as it is then |
//! | `POST /api/backfills` with a [`BackfillRequest`](crate::state::BackfillRequest) | 202, [`Asked`] |
//! | `GET /api/warehouses` | `{"warehouses": [`[`WarehouseFacts`]`]}` |
//! | `GET /api/sources` | `{"sources": [`[`SourceFacts`]`]}` |
//!
//! Without a token, for whoever runs the service: `GET /healthz` (200 as long as the process answers), `GET /readyz` (200
//! if calls can be taken and the state can be read, else 503), `GET /metrics` (for Prometheus; counts and names only).

mod app;
mod facts;
mod failure;
pub(crate) mod look;
mod token;

pub use app::App;
pub use facts::*;
pub use failure::Failure;
pub(crate) use token::{SESSION, Session};
