//! How a warehouse is named and opened: URIs, secrets, and the constant that a connector crate exports.

use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::ident::Ident;
use crate::warehouse::Warehouse;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future, as function pointers need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens one schema of the warehouse at a URI.
pub type Open = for<'a> fn(&'a Uri, &'a Ident) -> BoxFuture<'a, Result<Arc<dyn Warehouse>>>;

/// Looks at everything that a load into one schema of the warehouse at a URI needs.
pub type Check = for<'a> fn(&'a Uri, &'a Ident) -> BoxFuture<'a, Vec<Finding>>;

/// What a connector crate exports: a constant that opens warehouses from URIs.
#[derive(Clone, Copy)]
pub struct Connector {
    /// Its name, which is also its Cargo feature in the facade.
    pub name: &'static str,
    /// The URI schemes it answers to.
    pub schemes: &'static [&'static str],
    /// An example URI for messages and help.
    pub example: &'static str,
    /// The facts that the planner needs.
    pub dialect: &'static Dialect,
    /// Checks the configuration offline, then opens one schema. Creates nothing that a load would not.
    pub open: Open,
    /// Looks at everything that a load needs and says what is wrong and what to do.
    pub check: Check,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.name)
    }
}

/// One thing that `check` looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `connect`, `write`, `space on disk` …
    pub what: String,
    /// Whether a load can work with it.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do, if it is not all right.
    pub remedy: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Finding { what: what.into(), ok: true, detail: detail.into(), remedy: None }
    }

    /// Something that a load would trip over.
    pub fn bad(what: impl Into<String>, error: &Error) -> Self {
        Finding { what: what.into(), ok: false, detail: error.to_string(), remedy: Some(error.remedy().to_owned()) }
    }
}

/// A warehouse's address: `scheme:body?option=value&…`. Printing it never shows a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: String,
    body: String,
    query: String,
}

impl Uri {
    /// Reads a URI; it is not opened.
    pub fn parse(text: &str) -> Result<Uri> {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Config, what)
                .fix("write a warehouse as scheme:address, for example sqlite:./warehouse")
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| wrong("a warehouse URI has no scheme"))?;
        let well_formed = !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'+');
        if !well_formed {
            return Err(wrong("the scheme of a warehouse URI must be lower-case letters, digits and dashes"));
        }
        let (body, query) = rest.split_once('?').unwrap_or((rest, ""));
        if body.bytes().any(|b| b < 0x20) || query.bytes().any(|b| b < 0x20) {
            return Err(wrong("a warehouse URI has a control character"));
        }
        Ok(Uri { scheme: scheme.to_owned(), body: body.to_owned(), query: query.to_owned() })
    }

    /// The part before the colon.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The part between the colon and the question mark, as written.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The options behind the question mark as a connector's configuration; unknown ones are errors.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T> {
        serde_urlencoded::from_str(&self.query).map_err(|error| {
            Error::new(ErrorKind::Config, "an option of the warehouse URI is not understood")
                .with("scheme", &self.scheme)
                .with("option", error)
                .fix("see the connector's README for its options")
        })
    }
}

impl fmt::Display for Uri {
    /// The scheme and the address without user, password and options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match self.body.strip_prefix("//") {
            // A password may hold a slash, so everything up to the last `@` may be one.
            Some(rest) => &rest[rest.rfind('@').map_or(0, |at| at + 1)..],
            None => &self.body,
        };
        let slashes = if self.body.starts_with("//") { "//" } else { "" };
        write!(f, "{}:{slashes}{body}", self.scheme)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

/// Finds the connector for a URI among those that are there.
pub fn find<'a>(connectors: &'a [Connector], uri: &Uri) -> Option<&'a Connector> {
    connectors.iter().find(|connector| connector.schemes.contains(&uri.scheme()))
}

/// A secret in a configuration: a value, `env:NAME`, or `file:PATH`.
///
/// It cannot be printed.
/// ```compile_fail
/// println!("{}", tablecast_core::connector::Secret::new("hush"));
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// From a value or a reference.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value or reference as written. Resolving `env:` and `file:` is I/O and belongs to the connector.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Options {
        size: Option<u32>,
        password: Option<Secret>,
    }

    #[test]
    fn uris_are_read_and_never_show_secrets() {
        let uri = Uri::parse("redshift://me:hush@host:5439/db?size=3&password=hush").unwrap();
        assert_eq!((uri.scheme(), uri.body()), ("redshift", "//me:hush@host:5439/db"));
        let options: Options = uri.options().unwrap();
        assert_eq!(options, Options { size: Some(3), password: Some(Secret::new("hush")) });
        for shown in [uri.to_string(), format!("{uri:?}"), format!("{options:?}")] {
            assert!(!shown.contains("hush"), "{shown}");
        }
        assert_eq!(uri.to_string(), "redshift://host:5439/db");
        assert_eq!(Uri::parse("redshift://me:hu/s@h@host/db").unwrap().to_string(), "redshift://host/db");
    }

    #[test]
    fn wrong_uris_say_what_to_write() {
        for text in ["", "warehouse", ":x", "SQLITE:x", "sq lite:x", "sqlite:a\nb"] {
            let error = Uri::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text:?}");
            assert!(error.remedy().contains("sqlite:./warehouse"));
        }
        assert!(Uri::parse("sqlite:x?sise=3").unwrap().options::<Options>().is_err());
        assert!(Uri::parse("sqlite:x?size=many").unwrap().options::<Options>().is_err());
    }
}
