//! The web page: sources, warehouses, past and upcoming syncs, and what each warehouse gets.
//!
//! It is made on the server, without scripts and without anything from elsewhere. Behind a sign-in with the token.

mod forms;
mod guard;
mod pages;
mod switches;
mod text;
mod view;

use crate::api::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};

/// All there is of style, in every page.
const STYLE: &str = include_str!("../../templates/style.css");

/// The longest form.
const LONGEST: usize = 1 << 20;
/// The longest form of somebody who is not signed in.
const LONGEST_SIGNIN: usize = 4 << 10;

/// The pages, for the address itself.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/syncs", get(pages::history))
        .route("/syncs/{id}", get(pages::sync))
        .route("/warehouses/{name}", get(pages::warehouse))
        .route("/warehouses/{name}/sync", post(forms::sync_now))
        .route("/warehouses/{name}/selection", post(forms::select))
        .route("/signin", get(pages::signin).post(forms::sign_in).layer(DefaultBodyLimit::max(LONGEST_SIGNIN)))
        .route("/signout", post(forms::sign_out))
        .fallback(pages::nowhere)
        .method_not_allowed_fallback(pages::wrong_method)
        .layer(map_response(guard::headers))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(app)
}
