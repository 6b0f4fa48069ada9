//! The address and the options of a `snowflake:` URI, checked without a connection.

use reqwest::Url;
use serde::Deserialize;
use tablecast_core::{Error, ErrorKind, Ident, Result, Secret};

/// How an account is reached, signed in to, and loaded into. The default is what a load wants, but for the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The virtual warehouse that runs the statements; without it the user's default one.
    pub warehouse: Option<String>,
    /// The role to act as; without it the user's default one.
    pub role: Option<String>,

    /// The user's private key: PKCS#8 in PEM, not encrypted.
    pub private_key: Option<Secret>,
    /// A programmatic access token.
    pub token: Option<Secret>,
    /// An access token of an OAuth integration.
    pub oauth_token: Option<Secret>,
    /// The user's password.
    pub password: Option<Secret>,

    /// Where the account is, if not at `ACCOUNT.snowflakecomputing.com`: a private link, or an emulator.
    pub host: Option<String>,
    /// The port there.
    pub port: Option<u16>,
    /// `https`, or `http` to this machine itself.
    pub protocol: Protocol,

    /// How the files in the internal stage are encrypted, where this makes the stage.
    pub encryption: Encryption,
    /// `s3://…`, `gcs://…` or `azure://…`: a place of your own for staged files, instead of the internal stage.
    pub stage: Option<String>,
    /// The storage integration by which Snowflake reads that place.
    pub storage_integration: Option<String>,
    /// An AWS access key with which this program writes there; without it the environment's.
    pub stage_key: Option<Secret>,
    /// The secret to that key.
    pub stage_secret: Option<Secret>,
    /// The session token to that key, if it is a temporary one.
    pub stage_token: Option<Secret>,
    /// The bucket's region, for S3.
    pub stage_region: Option<String>,
    /// Another address of the storage.
    pub stage_endpoint: Option<String>,

    /// How tables and columns are called.
    pub names: Names,
    /// What the statements are tagged with in the query history.
    pub query_tag: String,
    /// How long a statement waits for another writer, in seconds.
    pub lock_timeout_s: u32,
    /// How long a statement may run, in seconds, as Snowflake counts it.
    pub statement_timeout_s: u32,
    /// How long to wait for a statement's end, in seconds, before it is cancelled.
    pub query_deadline_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            warehouse: None,
            role: None,
            private_key: None,
            token: None,
            oauth_token: None,
            password: None,
            host: None,
            port: None,
            protocol: Protocol::Https,
            encryption: Encryption::Full,
            stage: None,
            storage_integration: None,
            stage_key: None,
            stage_secret: None,
            stage_token: None,
            stage_region: None,
            stage_endpoint: None,
            names: Names::Upper,
            query_tag: "tablecast".into(),
            lock_timeout_s: 600,
            statement_timeout_s: 3_600,
            query_deadline_s: 3_900,
        }
    }
}

/// How the account is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// With TLS.
    Https,
    /// Without, which only an emulator on this machine is for.
    Http,
}

/// How the files in the internal stage are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// By this program before they leave it, and by Snowflake (`SNOWFLAKE_FULL`).
    Full,
    /// By Snowflake (`SNOWFLAKE_SSE`).
    Sse,
}

/// How tables and columns are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// `USERS`: who asks for them needs no quotes.
    Upper,
    /// `"users"`, as the planner has them: who asks for them must quote them.
    Preserve,
}

/// Which proof of identity was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Key(Secret),
    Token(Secret),
    Delegated(Secret),
    Password(Secret),
}

/// What a URI names: `snowflake://USER@ACCOUNT/DATABASE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) account: String,
    /// As the catalog has it.
    pub(crate) database: String,
}

/// A place for staged files that is not Snowflake's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cloud: Cloud,
    /// The storage account, on Azure.
    pub(crate) account: String,
    /// The bucket, or the container.
    pub(crate) bucket: String,
    /// Without slashes at its ends; may be empty.
    pub(crate) prefix: String,
    /// As SQL has it, with a slash at its end.
    pub(crate) url: String,
    pub(crate) integration: String,
}

/// Whose storage it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    S3,
    Gcs,
    Azure,
}

const FORM: &str = "write snowflake://USER@ACCOUNT/DATABASE?warehouse=WAREHOUSE&role=ROLE&private_key=file:KEY.p8";
/// As long as a warehouse lets a statement run at most.
const LONGEST_S: u32 = 604_800;

fn wrong(what: &str, remedy: &str) -> Error {
    Error::new(ErrorKind::Config, what).fix(remedy)
}

impl Options {
    /// What can be wrong without asking anybody; which proof of identity was given.
    pub(crate) fn check(&self) -> Result<Auth> {
        for (option, value) in [("warehouse", &self.warehouse), ("role", &self.role)] {
            if value.as_ref().is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
                return Err(wrong("an option is no name", "give it a value, or leave it out").with("option", option));
            }
        }
        if self.query_tag.len() > 2_000 || self.query_tag.chars().any(char::is_control) {
            return Err(wrong("the query_tag is too long, or has control characters", "take up to 2000 plain bytes"));
        }
        let limits = [self.lock_timeout_s, self.statement_timeout_s, self.query_deadline_s];
        if limits.iter().any(|seconds| !(1..=LONGEST_S).contains(seconds)) {
            return Err(wrong(
                "a time limit leaves no time, or more than Snowflake knows",
                "give lock_timeout_s, statement_timeout_s and query_deadline_s from 1 to 604800 (a week)",
            ));
        }
        if self.stage_key.is_some() != self.stage_secret.is_some() {
            return Err(wrong("stage_key and stage_secret belong together", "give both, or neither"));
        }
        self.auth()
    }

    fn auth(&self) -> Result<Auth> {
        let given = [
            self.private_key.clone().map(Auth::Key),
            self.token.clone().map(Auth::Token),
            self.oauth_token.clone().map(Auth::Delegated),
            self.password.clone().map(Auth::Password),
        ];
        let mut given = given.into_iter().flatten();
        let ways = "give one of private_key=file:KEY.p8, token=env:NAME, oauth_token=env:NAME, password=env:NAME";
        match (given.next(), given.next()) {
            (Some(auth), None) => Ok(auth),
            (None, _) => Err(wrong("the warehouse URI has nothing to sign in with", ways)),
            (Some(_), Some(_)) => Err(wrong("the warehouse URI has two ways to sign in", ways)),
        }
    }

    /// Where the account answers.
    pub(crate) fn base(&self, account: &str) -> Result<Url> {
        let host = match &self.host {
            Some(host) => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            None => default_host(account),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(wrong(
                "`host` is no name of a host",
                "write it without scheme and port, as host=NAME&port=NUMBER",
            ));
        }
        let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let scheme = match self.protocol {
            Protocol::Https => "https",
            Protocol::Http if local => "http",
            Protocol::Http => {
                return Err(wrong(
                    "secrets and rows would be sent unencrypted",
                    "leave protocol=http out: it is for an emulator on this machine (host=127.0.0.1)",
                ));
            }
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        Url::parse(&format!("{scheme}://{host}{port}/"))
            .map_err(|_| wrong("`host` and `port` are no address", "write them as host=NAME&port=NUMBER"))
    }

    /// The place for staged files, if it is not the internal stage.
    pub(crate) fn place(&self) -> Result<Option<Place>> {
        let (url, integration) = match (&self.stage, &self.storage_integration) {
            (None, None) => {
                let lone = [
                    ("stage_key", self.stage_key.is_some()),
                    ("stage_token", self.stage_token.is_some()),
                    ("stage_region", self.stage_region.is_some()),
                    ("stage_endpoint", self.stage_endpoint.is_some()),
                ];
                return match lone.iter().find(|(_, given)| *given) {
                    Some((option, _)) => Err(wrong(
                        "an option is for a stage of your own",
                        "give stage=URL&storage_integration=NAME too, or leave it out",
                    )
                    .with("option", option)),
                    None => Ok(None),
                };
            }
            (Some(url), Some(integration)) => (url, integration),
            _ => return Err(wrong("stage and storage_integration belong together", "give both, or neither")),
        };
        place(url, integration).map(Some)
    }
}

/// The host of an account that has no private link. Host names have no underscores.
fn default_host(account: &str) -> String {
    let account = account.to_ascii_lowercase().replace('_', "-");
    let china = account.split('.').any(|part| part.starts_with("cn-"));
    format!("{account}.snowflakecomputing.{}", if china { "cn" } else { "com" })
}

fn place(url: &str, integration: &str) -> Result<Place> {
    let form =
        "write stage=s3://BUCKET/PREFIX, gcs://BUCKET/PREFIX or azure://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX";
    let bad = |what: &str| wrong(what, form).with("stage", url);
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("the stage is no address"))?;
    let cloud = match scheme {
        "s3" => Cloud::S3,
        "gcs" => Cloud::Gcs,
        "azure" => Cloud::Azure,
        _ => return Err(bad("the stage is on no cloud that Snowflake reads")),
    };
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.=".contains(&byte);
    if !rest.bytes().all(byte) || rest.contains("//") || rest.split('/').any(|part| part == "." || part == "..") {
        return Err(bad("the stage has other signs than letters, digits and /-_.="));
    }
    let rest = rest.trim_end_matches('/');
    let (host, rest) = match cloud {
        Cloud::Azure => rest.split_once('/').ok_or_else(|| bad("the stage names no container"))?,
        Cloud::S3 | Cloud::Gcs => ("", rest),
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let account = host.strip_suffix(".blob.core.windows.net").unwrap_or_default();
    if bucket.is_empty() || (cloud == Cloud::Azure && account.is_empty()) {
        return Err(bad("the stage names no bucket"));
    }
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    if integration.is_empty() || !integration.bytes().all(name) {
        return Err(wrong("storage_integration is no name", "write the integration's name, in letters, digits and _"));
    }
    Ok(Place {
        cloud,
        account: account.to_owned(),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        url: format!("{}/", url.trim_end_matches('/')),
        integration: integration.to_owned(),
    })
}

/// What the address of a URI names, by the text behind the scheme.
pub(crate) fn address(body: &str) -> Result<Address> {
    let body = body.strip_prefix("//").unwrap_or(body);
    let (place, database) = body.rsplit_once('/').ok_or_else(|| wrong("the warehouse URI names no database", FORM))?;
    let (user, account) = place.rsplit_once('@').ok_or_else(|| wrong("the warehouse URI names no user", FORM))?;
    if user.contains(':') {
        return Err(wrong(
            "a password does not belong into the address",
            "give it as the option password=env:NAME or password=file:PATH; write a colon of a user name as %3A",
        ));
    }
    let (user, database) = (decoded(user)?, decoded(database)?);
    if user.is_empty() {
        return Err(wrong("the warehouse URI names no user", FORM));
    }
    let account = account.strip_suffix(".snowflakecomputing.com").unwrap_or(account);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if account.is_empty() || !account.bytes().all(plain) || account.starts_with(['.', '-']) {
        return Err(wrong(
            "the warehouse URI names no account",
            "write snowflake://USER@ACCOUNT/DATABASE with the account's identifier, ORGANIZATION-ACCOUNT (or LOCATOR.REGION)",
        ));
    }
    let database = match database.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => database.to_ascii_uppercase(),
    };
    if database.is_empty() || database.chars().any(|c| c.is_control() || c == '"') {
        return Err(wrong("the warehouse URI names no database", FORM));
    }
    Ok(Address { user, account: account.to_owned(), database })
}

/// `%3A` and the like.
fn decoded(text: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)?.try_into().ok());
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong("the warehouse URI has a % that is no escape", FORM));
        };
        let (high, low): (u8, u8) = (high, low);
        out.push(high << 4 | low);
    }
    String::from_utf8(out).map_err(|_| wrong("the warehouse URI has escapes that are no UTF-8", FORM))
}

/// The name of a schema, if Snowflake takes it without quotes.
pub(crate) fn schema(schema: &Ident) -> Result<()> {
    let name = schema.as_str();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 255 || !name.bytes().all(plain) {
        return Err(wrong(
            "the schema's name cannot be used",
            "use up to 255 lower-case letters, digits and underscores",
        )
        .with("schema", name));
    }
    Ok(())
}

/// The value of a secret: as written, or where `env:NAME` or `file:PATH` point.
pub(crate) fn reveal(option: &'static str, secret: &Secret) -> Result<String> {
    let text = secret.expose();
    let missing = |what: &str, remedy: String| Error::new(ErrorKind::Config, what).with("option", option).fix(remedy);
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| {
            missing("the environment variable of a secret is not set", format!("set the variable {name}"))
        });
    }
    if let Some(path) = text.strip_prefix("file:") {
        let read = std::fs::read_to_string(path).map_err(|error| {
            missing(
                "the file of a secret cannot be read",
                format!("put the secret into {path} and let this user read it"),
            )
            .because(error)
        })?;
        return Ok(read.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
