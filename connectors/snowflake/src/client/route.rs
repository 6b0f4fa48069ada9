//! What stands between requests and the network: where the account is, and answers that are none.

use crate::error::Refused;
use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Error, Middleware, Next, Result};

/// What the transport is told the account is called: it makes a host of it that is replaced here.
pub(super) const ACCOUNT: &str = "account";
/// That host.
const PLACEHOLDER: &str = "account.snowflakecomputing.com";
/// The most that is read of an answer that is no success.
const MOST: usize = 64 << 10;

/// Sends what is for the account to where it is, and makes errors of statuses, which the transport drops.
pub(super) struct Route {
    base: Url,
}

impl Route {
    pub(super) fn new(base: Url) -> Route {
        Route { base }
    }

    fn redirect(&self, url: &mut Url) {
        if url.host_str() != Some(PLACEHOLDER) {
            return;
        }
        let mut to = self.base.clone();
        to.set_path(&url.path().replace("//", "/"));
        to.set_query(url.query());
        *url = to;
    }
}

#[async_trait]
impl Middleware for Route {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        self.redirect(request.url_mut());
        let mut response = next.run(request, extensions).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Ok(Some(part)) = response.chunk().await {
            body.extend_from_slice(&part);
            if body.len() > MOST {
                body.clear();
                break;
            }
        }
        Err(Error::middleware(Refused { status, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_the_account_is_sent_there() {
        let route = Route::new(Url::parse("http://127.0.0.1:81/").unwrap());
        let sent = |text: &str| {
            let mut url = Url::parse(text).unwrap();
            route.redirect(&mut url);
            url.to_string()
        };
        assert_eq!(
            sent("https://account.snowflakecomputing.com/session/v1/login-request?a=b%20c"),
            "http://127.0.0.1:81/session/v1/login-request?a=b%20c"
        );
        assert_eq!(sent("https://account.snowflakecomputing.com//session?x=1"), "http://127.0.0.1:81/session?x=1");
        assert_eq!(sent("https://bucket.s3.amazonaws.com//x?y"), "https://bucket.s3.amazonaws.com//x?y");
    }
}
