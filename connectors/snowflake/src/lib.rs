#![doc = include_str!("../README.md")]

mod config;
mod types;

pub use config::{Encryption, Names, Options, Protocol};
pub use types::DIALECT;

use async_trait::async_trait;
use std::sync::Arc;
use tablecast_core::{
    BoxFuture, Catalog, Change, Commit, Connector, Dialect, Error, ErrorKind, Finding, Ident, Receipt, Result, Uri, Warehouse,
};

/// Opens `snowflake://USER@ACCOUNT/DATABASE`.
pub const CONNECTOR: Connector = Connector {
    name: "snowflake",
    schemes: &["snowflake"],
    example: "snowflake://user@account/db?warehouse=WH&role=R&private_key=file:key.p8",
    dialect: &DIALECT,
    open: |uri, schema| -> BoxFuture<'_, Result<Arc<dyn Warehouse>>> {
        Box::pin(async move { Ok(Arc::new(from_uri(uri, schema).await?) as Arc<dyn Warehouse>) })
    },
    check: |uri, schema| -> BoxFuture<'_, Vec<Finding>> {
        Box::pin(async move { let _ = from_uri(uri, schema).await; Vec::new() })
    },
};

async fn from_uri(uri: &Uri, schema: &Ident) -> Result<Snowflake> {
    Snowflake::open(uri.body(), schema, config::options(uri)?).await
}

/// One schema of a database of a Snowflake account.
#[derive(Debug)]
pub struct Snowflake {
    schema: Ident,
    options: Options,
}

impl Snowflake {
    /// Reads an address, `USER@ACCOUNT/DATABASE`, and what the options name. Nobody is asked and nothing is made.
    ///
    /// # Errors
    ///
    /// `Config` if something is wrong or missing, with what to write instead.
    pub async fn open(address: &str, schema: &Ident, options: Options) -> Result<Snowflake> {
        let address = config::address(address)?;
        options.check()?;
        options.place()?;
        options.base(&address.account)?;
        config::schema(schema)?;
        Ok(Snowflake { schema: schema.clone(), options })
    }
}

#[async_trait]
impl Warehouse for Snowflake {
    fn dialect(&self) -> &'static Dialect {
        types::dialect(self.options.names)
    }

    async fn describe(&self, _tables: &[Ident]) -> Result<Catalog> {
        Err(Error::new(ErrorKind::Internal, "not there yet").with("schema", &self.schema))
    }

    async fn apply(&self, _changes: &[Change]) -> Result<()> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    async fn commit(&self, _commit: &Commit) -> Result<Receipt> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl tablecast_core::testing::Probe for Snowflake {
    async fn tables(&self) -> Result<Vec<String>> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    async fn rows(&self, _table: &str) -> Result<Vec<tablecast_core::testing::Row>> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }
}
