//! The address and the options of a `bigquery:` URI.

use serde::Deserialize;
use std::path::Path;
use tablecast_core::connector::Secret;
use tablecast_core::{Error, ErrorKind, Ident, Result, Uri};

/// Google's own address of the API.
const GOOGLE: &str = "https://bigquery.googleapis.com";
/// What an upload's chunks must be a multiple of, in KiB.
const CHUNK_UNIT_KIB: u32 = 256;

/// How a project is reached and how its tables are made. The default is what a load wants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the dataset is: `EU`, `US`, `europe-west3` … If it is there already, this must be its own; if not, it is
    /// made there, or in `US`.
    pub location: Option<String>,
    /// A key or a credentials file of Google's, as a value, `env:NAME` or `file:PATH`; none takes the application
    /// default credentials.
    pub credentials: Option<Secret>,
    /// Another address of the API: a private endpoint, or an emulator. Without `credentials` nobody signs in there.
    pub endpoint: Option<String>,
    /// How finely append tables are partitioned by `received_at`. It holds for tables that are made from now on.
    pub partition: Partition,
    /// Whether every table gets a `<table>_view` with one row per id, as Segment's datasets have.
    pub views: bool,
    /// Bytes of an upload that are sent at a time, in KiB: a multiple of 256. Smaller files are sent in one piece.
    pub chunk_kib: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            location: None,
            credentials: None,
            endpoint: None,
            partition: Partition::Day,
            views: false,
            chunk_kib: 2 * 1024,
        }
    }
}

/// How finely append tables are partitioned. A table has at most 10,000 partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// By day: 27 years of days.
    Day,
    /// By month: any time that a clock may say.
    Month,
    /// Not at all.
    None,
}

impl Options {
    /// What can be wrong without asking anybody.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str, remedy: &str| Err(Error::new(ErrorKind::Config, what).fix(remedy));
        if self.chunk_kib == 0 || !self.chunk_kib.is_multiple_of(CHUNK_UNIT_KIB) {
            return wrong("`chunk_kib` is no multiple of 256", "write for example chunk_kib=8192");
        }
        if let Some(location) = &self.location
            && (location.is_empty() || !location.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        {
            return wrong("`location` is no location", "write for example location=EU or location=europe-west3");
        }
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let Some((scheme, host)) = endpoint.split_once("://") else {
            return wrong("`endpoint` is no address", "write for example endpoint=http://127.0.0.1:9050");
        };
        let local = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|name| host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])));
        match scheme {
            "https" => Ok(()),
            "http" if local || self.credentials.is_none() => Ok(()),
            "http" => wrong("credentials would be sent unencrypted to `endpoint`", "write the endpoint with https://"),
            _ => wrong("`endpoint` is neither http nor https", "write for example endpoint=http://127.0.0.1:9050"),
        }
    }

    /// The address of the API, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(GOOGLE).trim_end_matches('/')
    }

    /// Whether nobody signs in: at an emulator.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.endpoint.is_some() && self.credentials.is_none()
    }

    /// The most bytes that are sent at a time.
    pub(crate) fn chunk(&self) -> usize {
        usize::try_from(self.chunk_kib).unwrap_or(usize::MAX).saturating_mul(1024)
    }
}

/// The project that a URI names: `bigquery://PROJECT`.
pub(crate) fn project(uri: &Uri) -> Result<String> {
    let body = uri.body().strip_prefix("//").unwrap_or(uri.body()).trim_end_matches('/');
    let fits = !body.is_empty()
        && body.len() <= 100
        && body.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b));
    if fits {
        return Ok(body.to_owned());
    }
    Err(Error::new(ErrorKind::Config, "the warehouse URI names no project")
        .fix("write bigquery://PROJECT, with the project's id (not its name or number), for example bigquery://my-project?location=EU"))
}

/// The dataset of a schema.
pub(crate) fn dataset(schema: &Ident) -> Result<String> {
    let name = schema.as_str();
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(name.to_owned());
    }
    Err(Error::new(ErrorKind::Config, "the schema's name cannot be a dataset's name")
        .with("schema", name)
        .fix("use letters, digits and underscores"))
}

/// What a secret refers to.
pub(crate) fn resolve(secret: &Secret) -> Result<String> {
    let text = secret.expose();
    let unreadable = |what: &str, at: &str| {
        Error::new(ErrorKind::Config, format!("the credentials cannot be read from {what}")).with("at", at)
    };
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map_err(|error| {
            unreadable("the environment", name)
                .fix(format!("set {name} to the contents of the key file"))
                .because(error)
        });
    }
    if let Some(path) = text.strip_prefix("file:") {
        return std::fs::read_to_string(Path::new(path))
            .map_err(|error| unreadable("a file", path).fix("check the path and who may read it").because(error));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options> {
        let options = Uri::parse(text)?.options::<Options>()?;
        options.check().map(|()| options)
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_errors() {
        assert_eq!(options("bigquery://p").unwrap(), Options::default());
        let all = "bigquery://p?location=EU&credentials=file:k.json&endpoint=https://x&partition=month&views=true&chunk_kib=256";
        let read = options(all).unwrap();
        assert_eq!(
            (read.location.as_deref(), read.base(), read.partition),
            (Some("EU"), "https://x", Partition::Month)
        );
        assert!(read.views && !read.is_anonymous() && read.chunk() == 256 * 1024);
        let local = options("bigquery://p?endpoint=http://127.0.0.1:1/").unwrap();
        assert!(local.is_anonymous() && local.base() == "http://127.0.0.1:1");
        for wrong in [
            "bigquery://p?locations=EU",
            "bigquery://p?location=",
            "bigquery://p?location=E U",
            "bigquery://p?partition=hour",
            "bigquery://p?chunk_kib=100",
            "bigquery://p?chunk_kib=0",
            "bigquery://p?endpoint=127.0.0.1",
            "bigquery://p?endpoint=ftp://x",
            "bigquery://p?endpoint=http://example.com&credentials=x",
            "bigquery://p?endpoint=http://127.0.0.1.example.com&credentials=x",
        ] {
            assert_eq!(options(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn a_uri_names_a_project_and_a_schema_a_dataset() {
        let named = |text: &str| project(&Uri::parse(text).unwrap());
        assert_eq!(named("bigquery://my-project-1/").unwrap(), "my-project-1");
        assert_eq!(named("bigquery://example.com:old").unwrap(), "example.com:old");
        for wrong in ["bigquery:", "bigquery://", "bigquery://My Project", "bigquery://a/b"] {
            assert!(named(wrong).unwrap_err().remedy().contains("project's id"), "{wrong}");
        }
        assert_eq!(dataset(&"personas_default".into()).unwrap(), "personas_default");
        assert!(dataset(&"a-b".into()).is_err() && dataset(&"".into()).is_err());
    }

    #[test]
    fn a_secret_that_is_not_there_names_where_it_was_looked_for() {
        let missing = resolve(&Secret::new("env:TABLECAST_NO_SUCH_KEY")).unwrap_err();
        assert!(missing.to_string().contains("TABLECAST_NO_SUCH_KEY"));
        assert!(resolve(&Secret::new("file:/nowhere/key.json")).unwrap_err().to_string().contains("/nowhere/key.json"));
        assert_eq!(resolve(&Secret::new("{}")).unwrap(), "{}");
    }
}
