//! Syncs: one task for each warehouse brings it up to date, space by space, by its schedule or on demand; fills what it
//! lacked while something was off; loads again what a backfill asks for.
//!
//! All that matters is in the [`State`](crate::State): a task that ends anywhere, by an error or in the middle of
//! anything, goes on there when it begins again.

mod clock;
mod control;
mod engine;
mod live;
mod retention;
mod run;
mod spools;
mod unknown;
mod views;
mod worker;

pub use clock::{Clock, SystemClock};
pub use control::{Control, Refusal, RefusalKind};
pub use engine::{EndedSync, Engine, OnEnd, Open, Settings};
pub use spools::Spools;
pub use unknown::Unknown;
pub use views::{
    OffItem, OffWhy, SelectRequest, Selected, SelectionView, SourceView, UnitState, UnitView, WarehouseView,
};
