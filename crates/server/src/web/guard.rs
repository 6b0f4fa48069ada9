//! What stands between a browser and the pages: the session's cookie, where a form comes from, and the headers of answers.

use super::STYLE;
use crate::api::{App, SESSION, Session};
use axum::extract::FromRequestParts;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::time::Instant;

/// The cookie's name.
const NAME: &str = "tablecast_session";

/// A request of a browser that is signed in. Others are sent to the sign-in page.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<SignedIn, Response> {
        match session_id(&parts.headers).and_then(|id| app.gate().session(id, Instant::now())) {
            Some(session) => Ok(SignedIn { session }),
            None if parts.method == Method::GET => {
                let wanted = parts.uri.path_and_query().map_or("/", |wanted| wanted.as_str());
                Err(Redirect::to(&signin(wanted)).into_response())
            }
            // What was to be done is not done later by signing in.
            None => Err(Redirect::to("/signin").into_response()),
        }
    }
}

/// The sign-in page that leads on to a page.
fn signin(wanted: &str) -> String {
    if wanted == "/" {
        return "/signin".to_owned();
    }
    let encoded: String = wanted
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("/signin?next={encoded}")
}

/// Where to go after signing in: a page of this service, whatever was asked for.
pub(crate) fn onward(next: &str) -> &str {
    let own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic())
        && !next.starts_with("/sign");
    if own { next } else { "/" }
}

/// What the browser's cookie says.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// The cookie of a session, or the one that takes it away.
pub(crate) fn cookie(id: Option<&str>, headers: &HeaderMap) -> String {
    // TLS ends at a proxy, which says so; who claims it without only gets a stricter cookie.
    let tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let (value, age) = id.map_or(("", 0), |id| (id, SESSION.as_secs()));
    let secure = if tls { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether a form was sent by a page of this service, as far as the browser says.
pub(crate) fn same_site(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = said("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (said(ORIGIN.as_str()), said(HOST.as_str())) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
        // Not a browser of the last years; the form's own token decides.
        (None, _) => true,
    }
}

/// Nothing is loaded from anywhere, and only the one style sheet counts.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// Puts the headers on that every page has.
pub(crate) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Without an address of its own a form could not say where it comes from.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(session_id(&headers(&[("cookie", "a=b; tablecast_session=x1; c=d")])), Some("x1"));
        assert_eq!(session_id(&headers(&[("cookie", "tablecast_sessions=x1")])), None);
        assert_eq!(session_id(&headers(&[])), None);
        let plain = cookie(Some("x"), &headers(&[]));
        assert!(plain.contains("HttpOnly; SameSite=Strict") && !plain.contains("Secure"), "{plain}");
        assert!(cookie(Some("x"), &headers(&[("x-forwarded-proto", "https")])).ends_with("; Secure"));
        assert!(cookie(None, &headers(&[])).contains("Max-Age=0"));
    }

    #[test]
    fn signing_in_leads_to_own_pages_only() {
        for own in ["/", "/syncs/7", "/warehouses/a%2Fb?before=3"] {
            assert_eq!(onward(own), own);
        }
        for other in ["", "//example.org", "https://example.org", "/\\example.org", "/a\nb", "syncs", "/signout"] {
            assert_eq!(onward(other), "/", "{other}");
        }
        assert_eq!(signin("/"), "/signin");
        assert_eq!(signin("/syncs?before=3&x"), "/signin?next=/syncs%3Fbefore%3D3%26x");
    }

    #[test]
    fn forms_of_other_sites_are_known() {
        let from = |of: &[(&'static str, &str)]| same_site(&headers(of));
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(!from(&[("sec-fetch-site", "cross-site"), ("origin", "http://h:1"), ("host", "h:1")]));
        assert!(!from(&[("sec-fetch-site", "same-site")]));
        assert!(from(&[("origin", "http://h:1"), ("host", "h:1")]));
        assert!(!from(&[("origin", "http://h:2"), ("host", "h:1")]));
        assert!(!from(&[("origin", "null"), ("host", "h:1")]));
        assert!(from(&[("host", "h:1")]));
    }
}
