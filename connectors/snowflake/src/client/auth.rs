//! How a login proves who we are.

use crate::config::{Auth, reveal};
use crate::error::{Fault, own};
use tablecast_core::Result;

/// What goes into the body of a login.
pub(super) fn proof(auth: &Auth, account: &str, user: &str) -> Result<Vec<(&'static str, String)>> {
    let authenticator = |name: &str, token: String| vec![("AUTHENTICATOR", name.to_owned()), ("TOKEN", token)];
    Ok(match auth {
        Auth::Key(key) => {
            // The claims name account and user in upper case, whatever the URI says.
            let identity = format!("{account}.{user}").to_ascii_uppercase();
            let token = snowflake_jwt::generate_jwt_token(&reveal("private_key", key)?, &identity)
                // What went wrong may quote the key.
                .map_err(|_| Fault::new(own::KEY, ""))?;
            authenticator("SNOWFLAKE_JWT", token)
        }
        Auth::Token(token) => authenticator("PROGRAMMATIC_ACCESS_TOKEN", reveal("token", token)?),
        Auth::Delegated(token) => authenticator("OAUTH", reveal("oauth_token", token)?),
        Auth::Password(password) => vec![("PASSWORD", reveal("password", password)?)],
    })
}
