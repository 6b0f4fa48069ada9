//! The forms: signing in and out, asking for a sync, switching.

use super::guard::{SignedIn, cookie, onward, same_site, session_id};
use super::pages::{problem, signin_page};
use super::view::{read, warehouse_link};
use crate::api::{App, Failure, Session};
use crate::config::{Item, ItemKind};
use crate::sync::SelectRequest;
use axum::Form;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use std::time::Instant;

/// What a form brings: names may come more than once.
type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

fn value<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn fields(form: Fields) -> Result<Vec<(String, String)>, Failure> {
    form.map(|Form(fields)| fields)
        .map_err(|_| Failure::bad("bad_form", "The form cannot be read.", "Open the page again and send it anew."))
}

/// The fields of a form that is this session's own.
fn own(session: &Session, headers: &HeaderMap, form: Fields) -> Result<Vec<(String, String)>, Failure> {
    let fields = fields(form)?;
    if same_site(headers) && session.sent(value(&fields, "csrf")) {
        return Ok(fields);
    }
    let what = "The form does not come from a page of this session.";
    Err(Failure::new(StatusCode::FORBIDDEN, "foreign_form", what, "Open the page again and send it anew."))
}

/// Shows the token, begins a session.
pub(super) async fn sign_in(State(app): State<App>, headers: HeaderMap, form: Fields) -> Response {
    let fields = match fields(form) {
        Ok(fields) if same_site(&headers) => fields,
        Ok(_) => return signin_page(StatusCode::FORBIDDEN, Some("The form came from another site. Sign in here."), ""),
        Err(failure) => return problem(None, &failure),
    };
    let next = value(&fields, "next");
    if !app.gate().opens(value(&fields, "token").trim()) {
        tracing::warn!("somebody tried to sign in with a wrong token");
        let said = "This is not the token. Look for `token` in the service's configuration.";
        return signin_page(StatusCode::UNAUTHORIZED, Some(said), next);
    }
    match app.gate().begin(Instant::now()) {
        Some(id) => {
            let headers = [(LOCATION, onward(next).to_owned()), (SET_COOKIE, cookie(Some(&id), &headers))];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        None => problem(None, &Failure::broken()),
    }
}

/// Ends the session.
pub(super) async fn sign_out(user: SignedIn, State(app): State<App>, headers: HeaderMap, form: Fields) -> Response {
    if let Err(failure) = own(&user.session, &headers, form) {
        return problem(Some(&user.session), &failure);
    }
    session_id(&headers).into_iter().for_each(|id| app.gate().end(id));
    let gone = [(LOCATION, "/signin".to_owned()), (SET_COOKIE, cookie(None, &headers))];
    (StatusCode::SEE_OTHER, gone).into_response()
}

/// Asks for a sync of a warehouse.
pub(super) async fn sync_now(
    user: SignedIn,
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Fields,
) -> Response {
    let done = async {
        own(&user.session, &headers, form)?;
        let name = name.map(|Path(name)| name).unwrap_or_default();
        let link = warehouse_link(&name);
        app.look(move |app| Ok(app.control().sync_now(Some(&name), None)?)).await?;
        Ok::<_, Failure>(format!("{link}?done=sync&follow=1"))
    };
    answer(&user.session, done.await)
}

/// Switches what the form changed, or the one thing that it names.
pub(super) async fn select(
    user: SignedIn,
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    form: Fields,
) -> Response {
    let done = async {
        let fields = own(&user.session, &headers, form)?;
        let name = name.map(|Path(name)| name).unwrap_or_default();
        let link = warehouse_link(&name);
        let (off, on) = changes(&fields);
        if off.is_empty() && on.is_empty() {
            return Ok(format!("{link}?done=same#selection"));
        }
        let request = SelectRequest { warehouse: Some(name), off, on };
        let selected = app.look(move |app| Ok(app.control().select(&request)?)).await?;
        let done = if selected.unknown.is_empty() { "saved" } else { "unknown" };
        Ok::<_, Failure>(format!("{link}?done={done}"))
    };
    answer(&user.session, done.await)
}

fn answer(session: &Session, done: Result<String, Failure>) -> Response {
    match done {
        Ok(onward) => Redirect::to(&onward).into_response(),
        Err(failure) => problem(Some(session), &failure),
    }
}

/// What goes off and what comes on: only what differs from what the form was made with, so that whoever else switched
/// something meanwhile keeps it.
fn changes(fields: &[(String, String)]) -> (Vec<Item>, Vec<Item>) {
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let checked = all("on");
    let mut off: Vec<Item> =
        all("was_on").into_iter().filter(|item| !checked.contains(item)).filter_map(read).collect();
    let on = all("was_off").into_iter().filter(|item| checked.contains(item)).filter_map(read).collect();
    let kinds = [ItemKind::Table, ItemKind::Column, ItemKind::Computation];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == value(fields, "kind"));
    off.extend(kind.map(|kind| Item { kind, name: value(fields, "name").trim().to_owned() }));
    (off, on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_touched_is_switched() {
        let fields = |of: &[(&str, &str)]| -> Vec<(String, String)> {
            of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let form = fields(&[
            ("on", "computation:vip"),
            ("was_on", "computation:vip"),
            ("was_on", "table:tracks"),
            ("on", "table:pages"),
            ("was_off", "table:pages"),
            ("was_off", "table:screens"),
        ]);
        assert_eq!(changes(&form), (vec![Item::table("tracks")], vec![Item::table("pages")]));
        let named = fields(&[("kind", "column"), ("name", " users.plan ")]);
        assert_eq!(changes(&named), (vec![Item::column("users.plan")], vec![]));
        assert_eq!(changes(&fields(&[("kind", "sink"), ("name", "x"), ("was_on", "nonsense")])), (vec![], vec![]));
    }
}
