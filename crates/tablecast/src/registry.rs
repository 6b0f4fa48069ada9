//! Which connectors are compiled in, and how a URI finds one.

use std::sync::Arc;
use tablecast_core::connector::find;
use tablecast_core::{Connector, Dialect, Error, ErrorKind, Finding, Ident, Result, Rules, Uri, Warehouse};

/// One line for each connector crate: its feature (and the part of it that brings the crate, where it has parts),
/// its schemes, its constant.
macro_rules! connectors {
    ($($feature:literal $(by $part:literal)? [$($scheme:literal),+] => $constant:path;)*) => {
        const CONNECTORS: &[Connector] = &[$(#[cfg(any(feature = $feature $(, feature = $part)?))] $constant,)*];
        /// Feature and schemes of every connector there is, compiled in or not.
        const KNOWN: &[(&str, &[&str])] = &[$(($feature, &[$($scheme),+]),)*];
    };
}

connectors! {
    "bigquery" ["bigquery"] => tablecast_bigquery::CONNECTOR;
    "sqlite" ["sqlite"] => tablecast_sqlite::CONNECTOR;
    "redshift" by "redshift-wire" ["redshift", "redshift-data"] => tablecast_redshift::CONNECTOR;
    "snowflake" ["snowflake"] => tablecast_snowflake::CONNECTOR;
}

/// The connectors that are compiled in, by the features `sqlite` … of this crate.
pub fn connectors() -> &'static [Connector] {
    CONNECTORS
}

/// Opens the schema that `rules` fill in the warehouse at `uri`.
///
/// Fails with `Config` if the URI is wrong or no connector that is compiled in answers to it; creates nothing.
pub async fn open(uri: &str, rules: &Rules) -> Result<Arc<dyn Warehouse>> {
    open_with(connectors(), uri, &rules.schema()).await
}

/// Like [`open`], with connectors of the caller's choice.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let none = tablecast::open_with(&[], "oracle:x", &"personas_default".into()).await;
/// assert!(none.unwrap_err().remedy().contains("compiled in"));
/// # }
/// ```
pub async fn open_with(connectors: &[Connector], uri: &str, schema: &Ident) -> Result<Arc<dyn Warehouse>> {
    let uri = Uri::parse(uri)?;
    (choose(connectors, &uri)?.open)(&uri, schema).await
}

/// Looks at everything that a load needs, and says what is wrong and what to do.
pub async fn check(uri: &str, rules: &Rules) -> Result<Vec<Finding>> {
    check_with(connectors(), uri, &rules.schema()).await
}

/// Like [`check`], with connectors of the caller's choice.
pub async fn check_with(connectors: &[Connector], uri: &str, schema: &Ident) -> Result<Vec<Finding>> {
    let uri = Uri::parse(uri)?;
    Ok((choose(connectors, &uri)?.check)(&uri, schema).await)
}

/// The connector that answers to a URI; nothing is opened.
pub fn connector(uri: &Uri) -> Result<&'static Connector> {
    choose(connectors(), uri)
}

/// The facts of a warehouse by its connector's name, for planning without a connection.
pub fn dialect(name: &str) -> Result<&'static Dialect> {
    connectors()
        .iter()
        .find(|connector| connector.name == name)
        .map(|connector| connector.dialect)
        .ok_or_else(|| missing(connectors(), name))
}

fn choose<'a>(connectors: &'a [Connector], uri: &Uri) -> Result<&'a Connector> {
    find(connectors, uri).ok_or_else(|| missing(connectors, uri.scheme()))
}

/// Why nothing answers to a scheme: not compiled in, or not known.
fn missing(connectors: &[Connector], scheme: &str) -> Error {
    let there = match connectors.iter().map(|connector| connector.example).collect::<Vec<_>>() {
        list if list.is_empty() => "no connector is compiled in: build with a feature such as `sqlite`".to_owned(),
        list => format!("use one that is compiled in: {}", list.join(", ")),
    };
    let compiled_in = |name: &str| connectors.iter().any(|connector| connector.name == name);
    let known = KNOWN.iter().find(|(name, schemes)| *name == scheme || schemes.contains(&scheme));
    match known {
        Some((feature, _)) if !compiled_in(feature) => {
            Error::new(ErrorKind::Config, "this program was built without the connector for the URI's scheme")
                .with("scheme", scheme)
                .fix(format!("build it with the feature `{feature}` (cargo build --features {feature})"))
        }
        _ => Error::new(ErrorKind::Config, "no connector knows this scheme").with("scheme", scheme).fix(there),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(uri: &str) -> (String, String) {
        let error = choose(connectors(), &Uri::parse(uri).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        (error.to_string(), error.remedy().to_owned())
    }

    #[test]
    fn an_unknown_scheme_says_what_to_do() {
        let (what, _) = message("oracle://x");
        assert!(what.contains("no connector knows") && what.contains("oracle"), "{what}");
        assert!(dialect("oracle").is_err());
    }

    #[cfg(not(feature = "sqlite"))]
    #[test]
    fn a_known_scheme_names_its_feature() {
        let (what, to_do) = message("sqlite:x");
        assert!(what.contains("without the connector") && to_do.contains("--features sqlite"), "{what} {to_do}");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn what_is_compiled_in_is_found_and_listed() {
        assert_eq!(dialect("sqlite").unwrap().name, "sqlite");
        assert!(choose(connectors(), &Uri::parse("sqlite:x").unwrap()).is_ok());
        assert!(message("oracle:x").1.contains("sqlite:"));
        for connector in connectors() {
            assert!(
                KNOWN.contains(&(connector.name, connector.schemes)),
                "{} is listed with its own schemes",
                connector.name
            );
        }
    }
}
