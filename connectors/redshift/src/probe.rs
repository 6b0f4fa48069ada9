//! Reading tables back, for tests.

use crate::sql::STAGE_PREFIX;
use crate::{Redshift, schema, sql};
use async_trait::async_trait;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Ident, LiveType, Result, Type, float_text};

impl Redshift {
    /// Runs a statement as whoever changes tables by hand would; its rows.
    pub async fn run(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.client.session().await?.query(sql).await
    }

    /// The staging tables that are there.
    pub async fn staged(&self) -> Result<Vec<String>> {
        Ok(self.names().await?.into_iter().filter(|name| name.starts_with(STAGE_PREFIX)).collect())
    }

    async fn names(&self) -> Result<Vec<String>> {
        let rows = self.run(&sql::tables(&self.schema)).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

#[async_trait]
impl Probe for Redshift {
    async fn tables(&self) -> Result<Vec<String>> {
        Ok(self.names().await?.into_iter().filter(|name| !name.starts_with(STAGE_PREFIX)).collect())
    }

    async fn rows(&self, table: &str) -> Result<Vec<Row>> {
        let mut session = self.client.session().await?;
        let table = Ident::from(table);
        let catalog = schema::describe(&mut session, &self.schema, std::slice::from_ref(&table)).await?;
        let Some(live) = catalog.table(table.as_str()) else { return Ok(Vec::new()) };
        let columns: Vec<(&Ident, &LiveType)> = live.columns.iter().collect();
        let rows = session.query(&sql::select(&self.sql(), &table, &columns)).await?;
        let row = |cells: Vec<Option<String>>| {
            let named = columns.iter().zip(cells).filter_map(|((name, ty), cell)| {
                let cell = cell?;
                let is_float = **ty == LiveType::Known(Type::Float);
                let parts = || cell.split(' ').map(|part| part.parse::<f64>().unwrap_or(f64::NAN)).sum();
                let text = if is_float { float_text(parts()) } else { cell };
                Some((name.to_string(), text))
            });
            named.collect()
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
