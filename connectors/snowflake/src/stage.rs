//! Staging: rows as Parquet in a stage, and tables of the attempt's own that COPY fills from it.

use crate::Snowflake;
use crate::client::{Session, nonce, now};
use crate::sql::STAGE_PREFIX;
use bytes::Bytes;
use futures_util::future::join_all;
use object_store::path::Path;
use tablecast_core::sql::{self as shared, StageColumn};
use tablecast_core::{Commit, Error, Load, Result, time};

mod cipher;
mod parquet;
mod upload;

pub(crate) use upload::own_store;
use upload::{Failed, Target};

/// Tables that are filled at the same time, each over a session of its own.
const LANES: usize = 4;
/// How often a place to upload to is asked for, before its refusal is believed.
const ASKS: u32 = 3;
/// Leftovers of this age belong to nobody any more, in µs.
const DAY: i64 = 86_400_000_000;

/// `_stage_20260131t235959_<nonce>`: one attempt only, and its age can be told.
fn attempt_name(nonce: &str) -> String {
    let digits: String = time::format(now()).chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    format!("{STAGE_PREFIX}{}_{nonce}", digits.to_ascii_lowercase())
}

/// Whether something of this name was left by somebody who is long gone.
fn is_leftover(name: &str, now: i64) -> bool {
    let limit: String = time::format(now - DAY).chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    let name = name.to_ascii_lowercase();
    let made = name.strip_prefix(STAGE_PREFIX).and_then(|rest| rest.split('_').next());
    made.is_some_and(|made| made.len() == limit.len() && made < limit.to_ascii_lowercase().as_str())
}

/// One staging table, of one group of a load's columns.
struct Table {
    /// Rendered.
    name: String,
    folder: String,
    columns: Vec<StageColumn>,
    load: usize,
}

/// Everything that one attempt has staged.
pub(crate) struct Staging<'a> {
    snowflake: &'a Snowflake,
    loads: Vec<&'a Load>,
    name: String,
    tables: Vec<Table>,
}

impl<'a> Staging<'a> {
    /// Chooses names; makes nothing yet.
    pub(crate) fn new(snowflake: &'a Snowflake, commit: &'a Commit, nonce: &str) -> Self {
        Staging::of(snowflake, commit.loads.iter().collect(), nonce)
    }

    /// The same for loads that are in no commit.
    pub(crate) fn of(snowflake: &'a Snowflake, loads: Vec<&'a Load>, nonce: &str) -> Self {
        let (name, writer) = (attempt_name(nonce), snowflake.writer());
        let mut tables = Vec::new();
        for (at, load) in loads.iter().enumerate().filter(|(_, load)| load.rows() > 0) {
            for group in shared::groups(load, writer.sql.dialect) {
                let ordinal = tables.len();
                tables.push(Table {
                    name: writer.sql.table(&format!("{name}_{ordinal}")),
                    folder: format!("{name}/{ordinal}"),
                    columns: shared::stage_columns(load, &group),
                    load: at,
                });
            }
        }
        Staging { snowflake, loads, name, tables }
    }

    /// The staging tables of one load, as the shared SQL reads them.
    pub(crate) fn sources(&self, load: usize) -> Vec<String> {
        let writer = self.snowflake.writer();
        let tables = self.tables.iter().filter(|table| table.load == load);
        tables.map(|table| writer.source(&table.name, &table.columns)).collect()
    }

    /// All staging tables, each with the rows that it must have.
    pub(crate) fn expected(&self) -> Vec<(&str, &Load)> {
        self.tables.iter().map(|table| (table.name.as_str(), self.loads[table.load])).collect()
    }

    /// Writes the files and fills the tables, a few at a time.
    pub(crate) async fn fill(&self, session: &mut Session) -> Result<()> {
        if self.tables.is_empty() {
            return Ok(());
        }
        self.snowflake.make_stage(session).await?;
        let lanes = self.tables.len().min(LANES);
        let others = (1..lanes).map(|lane| async move {
            let mut session = self.snowflake.session().await?;
            let filled = self.fill_lane(&mut session, lane, lanes).await;
            session.close().await;
            filled
        });
        // All to their end: what a dropped lane has sent would be made behind the back of who tidies up.
        let (first, others) = futures_util::future::join(self.fill_lane(session, 0, lanes), join_all(others)).await;
        std::iter::once(first).chain(others).collect()
    }

    /// Every so-manieth table, over one session.
    async fn fill_lane(&self, session: &mut Session, lane: usize, lanes: usize) -> Result<()> {
        session.exec(&self.snowflake.writer().use_schema()).await?;
        for table in self.tables.iter().skip(lane).step_by(lanes) {
            let load = self.loads[table.load];
            self.fill_table(session, table, load).await.map_err(|error| error.with("table", &load.table))?;
        }
        Ok(())
    }

    async fn fill_table(&self, session: &mut Session, table: &Table, load: &Load) -> Result<()> {
        let writer = self.snowflake.writer();
        let batch = parquet::project(&load.batch, &table.columns)?;
        let step = parquet::rows_per_file(&batch);
        for (nth, from) in (0..batch.num_rows()).step_by(step).enumerate() {
            let rows = batch.slice(from, step.min(batch.num_rows() - from));
            self.snowflake.put(session, &table.folder, &format!("{nth}.parquet"), &parquet::encode(&rows)?).await?;
        }
        match session.exec(&writer.create_staging(&table.name, &table.columns)).await {
            // Nobody else knows the name: a statement that was sent twice made it.
            Err(fault) if fault.is_there() => {}
            made => made?,
        }
        session.exec(&writer.copy(&table.name, &table.columns, &table.folder)).await?;
        Ok(())
    }

    /// Takes away what was staged, best effort: what stays is swept a day later.
    pub(crate) async fn tidy(&self, session: &mut Session) {
        if self.tables.is_empty() {
            return;
        }
        let writer = self.snowflake.writer();
        for table in &self.tables {
            let _ = session.exec(&writer.drop_table(&table.name)).await;
        }
        let _ = self.snowflake.remove(session, &self.name).await;
    }
}

impl Snowflake {
    /// Makes the stage, unless it is there.
    async fn make_stage(&self, session: &mut Session) -> Result<()> {
        let writer = self.writer();
        let made = match &self.store {
            None => session.exec(&writer.create_stage(self.options().encryption)).await,
            Some(own) => session.exec(&writer.create_external_stage(&own.place)).await,
        };
        match made {
            // Somebody else made it at the same moment.
            Err(fault) if fault.is_there() => Ok(()),
            made => Ok(made?),
        }
    }

    /// Uploads one file.
    pub(crate) async fn put(&self, session: &mut Session, folder: &str, file: &str, bytes: &Bytes) -> Result<()> {
        if let Some(own) = &self.store {
            let sealed = cipher::seal(bytes, None)?;
            return upload::write(own.store.as_ref(), &own.path(&format!("{folder}/{file}")), &sealed).await;
        }
        let mut asked = 0;
        loop {
            asked += 1;
            let answer = session.run(&self.writer().put(folder, file), &[]).await?;
            let target = Target::read(answer.data(), self.client.is_local()).map_err(Error::from)?;
            let sealed = cipher::seal(bytes, target.material.as_ref())?;
            match target.upload(&self.client, file, &sealed).await {
                Ok(()) => return Ok(()),
                // The credentials may have run out while the rows were packed.
                Err(Failed::Refused(_)) if asked < ASKS => {}
                Err(Failed::Refused(error) | Failed::Other(error)) => return Err(error),
            }
        }
    }

    /// Removes what stands in the stage below a name.
    async fn remove(&self, session: &mut Session, name: &str) -> Result<()> {
        let Some(own) = &self.store else {
            return Ok(session.exec(&self.writer().remove(name)).await?);
        };
        for path in own.list(Some(name)).await {
            let _ = own.store.delete(&path).await;
        }
        Ok(())
    }

    /// Takes away what killed processes left: staging tables and files that are older than a day.
    pub(crate) async fn sweep(&self, session: &mut Session) -> Result<()> {
        let (writer, now) = (self.writer(), now());
        let rows = session.query(&writer.tables(), &[]).await?;
        let tables = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        for table in tables.filter_map(|table| writer.unfolded(&table)).filter(|table| is_leftover(table.as_str(), now))
        {
            session.exec(&writer.drop_table(&writer.sql.table(table.as_str()))).await?;
        }
        let files: Vec<String> = match &self.store {
            Some(own) => own.list(None).await.iter().map(ToString::to_string).collect(),
            None => {
                let rows = session.query(&writer.list(), &[]).await?;
                rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
            }
        };
        let mut names: Vec<String> = files
            .iter()
            .flat_map(|file| file.split('/'))
            .filter(|part| is_leftover(part, now))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            self.remove(session, &name).await?;
        }
        Ok(())
    }

    /// Stages one row and reads it back, in a schema of its own or in this one: what a load needs of stage and tables.
    pub(crate) async fn try_stage(&self, session: &mut Session) -> Result<()> {
        let writer = self.writer();
        let name = attempt_name(&nonce());
        let column = StageColumn { name: "k".into(), ty: tablecast_core::Type::Text, source: 0 };
        let columns = std::slice::from_ref(&column);
        let array: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["check"]));
        let batch = arrow_array::RecordBatch::try_from_iter([("k", array)])
            .map_err(|error| Error::new(tablecast_core::ErrorKind::Internal, "a row cannot be made").because(error))?;
        self.make_stage(session).await?;
        session.exec(&writer.use_schema()).await?;
        let rows = parquet::encode(&parquet::project(&batch, columns)?)?;
        self.put(session, &name, "0.parquet", &rows).await?;
        let table = writer.sql.table(&name);
        session.exec(&writer.create_staging(&table, columns)).await?;
        let copied = session.exec(&writer.copy(&table, columns, &name)).await;
        let _ = session.exec(&writer.drop_table(&table)).await;
        let _ = self.remove(session, &name).await;
        Ok(copied?)
    }
}

/// A stage of the user's own.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) place: crate::config::Place,
    pub(crate) store: std::sync::Arc<dyn object_store::ObjectStore>,
}

impl Own {
    fn path(&self, name: &str) -> String {
        match self.place.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    /// The files below a name, as far as they can be listed.
    async fn list(&self, name: Option<&str>) -> Vec<Path> {
        use futures_util::StreamExt;
        let prefix = Path::from(self.path(name.unwrap_or_default()));
        let listed = self.store.list(Some(&prefix)).filter_map(|found| async move { found.ok() });
        listed.map(|found| found.location).collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_told_by_their_names() {
        let name = attempt_name("00ff");
        assert!(!is_leftover(&name, now()) && !is_leftover(&name, now() + DAY - 60_000_000));
        assert!(is_leftover(&name, now() + DAY + 60_000_000));
        assert!(is_leftover(&format!("{name}_3").to_ascii_uppercase(), now() + 2 * DAY));
        for other in ["users", "_stage_", "_stage_check_1", "_stage_2026_x", "stage_20200101t000000_x"] {
            assert!(!is_leftover(other, now() + 2 * DAY), "{other}");
        }
    }
}
