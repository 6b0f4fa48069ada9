//! API and page through the router, over a real engine, spool, state and SQLite warehouses.

mod api;
mod pages;
mod support;
