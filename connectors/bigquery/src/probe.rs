//! Reading tables back, for tests.

use crate::BigQuery;
use crate::client::Cells;
use crate::sql::Writer;
use crate::types::DIALECT;
use async_trait::async_trait;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Result, Type, float_text};

#[async_trait]
impl Probe for BigQuery {
    async fn tables(&self) -> Result<Vec<String>> {
        BigQuery::tables(self).await
    }

    async fn rows(&self, table: &str) -> Result<Vec<Row>> {
        let Some(shape) = self.client.table(&self.dataset, table).await? else { return Ok(Vec::new()) };
        let columns: Vec<(String, Option<Type>)> =
            shape.columns.into_iter().map(|(name, declared)| (name, (DIALECT.parse_type)(&declared))).collect();
        let location = self.location().await?;
        let read = self.client.query(&location, &Writer::new(&self.dataset).select(table, &columns)).await?;
        Ok(read.into_iter().map(|cells| row(&columns, cells)).collect())
    }
}

fn row(columns: &[(String, Option<Type>)], cells: Cells) -> Row {
    let cell = |((name, ty), value): (&(String, Option<Type>), Option<String>)| {
        let value = match (ty, value?) {
            (Some(Type::Float), text) => text.parse().map(float_text).unwrap_or(text),
            (_, text) => text,
        };
        Some((name.to_ascii_lowercase(), value))
    };
    columns.iter().zip(cells).filter_map(cell).collect()
}
