//! Who signs in: a service account's key, a user's or a workload's credentials file, or the machine itself.

use crate::config::{self, Options};
use async_trait::async_trait;
use gcp_bigquery_client::auth::Authenticator;
use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::yup_oauth2 as yup;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Error, ErrorKind, Result};
use yup::authenticator::{ApplicationDefaultCredentialsTypes, DefaultAuthenticator};

const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// How long the server that signs in may take; the library would wait for ever.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(30);
const SIGN_IN: &str =
    "give credentials=file:KEY.json with a service account's key, or run `gcloud auth application-default login`";

/// Gives each call its token; the library keeps and renews it.
#[derive(Clone)]
pub(crate) enum Auth {
    /// An emulator asks nobody.
    Anonymous,
    Google(DefaultAuthenticator),
}

#[async_trait]
impl Authenticator for Auth {
    async fn access_token(&self) -> Result<String, BQError> {
        match self {
            Auth::Anonymous => Ok("none".to_owned()),
            Auth::Google(authenticator) => {
                let token = tokio::time::timeout(SIGN_IN_TIMEOUT, authenticator.token(&[SCOPE])).await;
                let token = token.map_err(|late| yup::Error::LowLevelError(late.into()))??;
                token.token().map(str::to_owned).ok_or(BQError::NoToken)
            }
        }
    }
}

/// Reads the credentials that the options name, or those of the machine. Asks nobody yet.
pub(crate) async fn sign_in(options: &Options) -> Result<Arc<Auth>> {
    if options.is_anonymous() {
        return Ok(Arc::new(Auth::Anonymous));
    }
    let text = match &options.credentials {
        Some(secret) => Some(config::resolve(secret)?),
        None => default_file()?,
    };
    let built = match text {
        Some(text) => from_text(&text).await?,
        None => from_machine().await,
    };
    built
        .map(|authenticator| Arc::new(Auth::Google(authenticator)))
        .map_err(|error| unusable("they cannot be used").because(error))
}

/// The application default credentials, where `gcloud` and other programs look for them too.
fn default_file() -> Result<Option<String>> {
    let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    let home =
        || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config/gcloud/application_default_credentials.json"));
    let Some(path) = named.clone().or_else(home) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(_) if named.is_none() => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Config, "the credentials cannot be read from a file")
            .with("at", path.display())
            .fix("correct GOOGLE_APPLICATION_CREDENTIALS, or give credentials=file:KEY.json")
            .because(error)),
    }
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

async fn from_text(text: &str) -> Result<std::io::Result<DefaultAuthenticator>> {
    let Kind { r#type: kind } = read(text)?;
    Ok(match kind.as_str() {
        "service_account" => yup::ServiceAccountAuthenticator::builder(read(text)?).build().await,
        "authorized_user" => yup::authenticator::AuthorizedUserAuthenticator::builder(read(text)?).build().await,
        "external_account" => yup::authenticator::ExternalAccountAuthenticator::builder(read(text)?).build().await,
        _ => return Err(unusable("they are of a kind that is not known").with("type", kind)),
    })
}

/// On Google's own machines: the account that the machine runs as.
async fn from_machine() -> std::io::Result<DefaultAuthenticator> {
    let options = yup::ApplicationDefaultCredentialsFlowOpts::default();
    match yup::authenticator::ApplicationDefaultCredentialsAuthenticator::builder(options).await {
        ApplicationDefaultCredentialsTypes::InstanceMetadata(builder) => builder.build().await,
        ApplicationDefaultCredentialsTypes::ServiceAccount(builder) => builder.build().await,
    }
}

/// What a parser says about a text may quote it, so it is not passed on.
fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| unusable("they are no credentials file of Google's"))
}

fn unusable(why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the credentials are not understood: {why}")).fix(SIGN_IN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::connector::Secret;

    #[tokio::test]
    async fn credentials_are_read_offline_and_never_shown() {
        let user = r#"{"type": "authorized_user", "client_id": "c", "client_secret": "hush", "refresh_token": "hush"}"#;
        let signed = |text: &str| {
            let options = Options { credentials: Some(Secret::new(text)), ..Options::default() };
            async move { sign_in(&options).await.map(drop) }
        };
        assert!(signed(user).await.is_ok());
        let wrong = [
            "hush",
            r#"{"type": "hush_account"}"#,
            r#"{"type": "service_account", "private_key": "hush"}"#,
            r#"{"type": "service_account", "project_id": "p", "private_key_id": "i", "private_key": "hush", "client_email": "a@b",
                "client_id": "1", "token_uri": "https://127.0.0.1:1/token"}"#,
        ];
        for text in wrong {
            let error = signed(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.remedy().contains("credentials=file:"));
            let shown = format!("{error:?}").replace("hush_account", "");
            assert!(!shown.contains("hush"), "{shown}");
        }
        let anonymous = Options { endpoint: Some("http://127.0.0.1:1".into()), ..Options::default() };
        assert!(matches!(*sign_in(&anonymous).await.unwrap(), Auth::Anonymous));
    }
}
