//! The service as those who use it see it: Segment's own SDKs, clients that are slow or many, a process that is killed,
//! a disk that is full, a warehouse that fails while there is load, and a browser that goes through the page.
//!
//! `cargo xtask test --engine service` installs the SDKs and the browser; `cargo xtask soak` runs the load for longer.

#[path = "service/clients.rs"]
mod clients;
#[path = "service/crash.rs"]
mod crash;
#[path = "service/harness.rs"]
mod harness;
#[path = "service/page.rs"]
mod page;
#[path = "service/sdks.rs"]
mod sdks;
#[path = "service/serving.rs"]
mod serving;
#[path = "service/soak.rs"]
mod soak;
