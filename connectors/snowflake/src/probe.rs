//! Reading tables back, for tests.

use crate::sql::STAGE_PREFIX;
use crate::{Snowflake, schema};
use async_trait::async_trait;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Ident, LiveType, Result, Type, float_text};

impl Snowflake {
    /// Runs a statement as whoever changes tables by hand would; its rows.
    pub async fn run(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut session = self.session().await?;
        let rows = session.query(sql, &[]).await;
        session.close().await;
        Ok(rows?)
    }

    /// The staging tables that are there.
    pub async fn staged(&self) -> Result<Vec<String>> {
        Ok(self.names().await?.into_iter().filter(|name| name.starts_with(STAGE_PREFIX)).collect())
    }

    async fn names(&self) -> Result<Vec<String>> {
        let writer = self.writer();
        let rows = self.run(&writer.tables()).await?;
        let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        Ok(names.filter_map(|name| writer.unfolded(&name)).map(|name| name.to_string()).collect())
    }
}

#[async_trait]
impl Probe for Snowflake {
    async fn tables(&self) -> Result<Vec<String>> {
        Ok(self.names().await?.into_iter().filter(|name| !name.starts_with(STAGE_PREFIX)).collect())
    }

    async fn rows(&self, table: &str) -> Result<Vec<Row>> {
        let mut session = self.session().await?;
        let table = Ident::from(table);
        let tables = schema::live(self, &mut session, std::slice::from_ref(&table)).await?;
        let Some(live) = tables.get(&table) else {
            session.close().await;
            return Ok(Vec::new());
        };
        let columns: Vec<(&Ident, &LiveType)> = live.columns.iter().collect();
        let rows = session.query(&self.writer().select(&table, &columns), &[]).await;
        session.close().await;
        let row = |cells: Vec<Option<String>>| {
            let named = columns.iter().zip(cells).filter_map(|((name, ty), cell)| {
                let cell = cell?;
                let is_float = **ty == LiveType::Known(Type::Float);
                let text = if is_float { cell.parse().map(float_text).unwrap_or(cell) } else { cell };
                Some((name.to_string(), text))
            });
            named.collect()
        };
        Ok(rows?.into_iter().map(row).collect())
    }
}
