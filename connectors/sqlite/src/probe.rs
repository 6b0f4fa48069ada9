//! Reading tables back, for tests.

use crate::client::Session;
use crate::read::render;
use crate::{Sqlite, schema, sql};
use async_trait::async_trait;
use tablecast_core::testing::{Probe, Row};
use tablecast_core::{Ident, LiveType, Result};

#[async_trait]
impl Probe for Sqlite {
    async fn tables(&self) -> Result<Vec<String>> {
        match self.session()? {
            Some(session) => session.all(sql::TABLES, [], |row| row.get(0)),
            None => Ok(Vec::new()),
        }
    }

    async fn rows(&self, table: &str) -> Result<Vec<Row>> {
        let Some(session) = self.session()? else { return Ok(Vec::new()) };
        rows(&session, table)
    }
}

fn rows(session: &Session, table: &str) -> Result<Vec<Row>> {
    let Some(live) = schema::live(session, &Ident::from(table))? else { return Ok(Vec::new()) };
    let names: Vec<String> = live.columns.keys().map(Ident::to_string).collect();
    let types: Vec<&LiveType> = live.columns.values().collect();
    session.all(&sql::select(table, &names), [], |row| {
        let mut cells = Row::new();
        for (at, (name, ty)) in names.iter().zip(&types).enumerate() {
            if let Some(text) = render(row.get_ref(at)?, ty) {
                cells.insert(name.clone(), text);
            }
        }
        Ok(cells)
    })
}
