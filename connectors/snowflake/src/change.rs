//! Changes that raise the schema's version. A change of a type takes several statements, each of which Snowflake
//! commits by itself, so the change is written down in `_lock.changing` before its first step and taken out with the last;
//! as long as there is an entry nobody commits.
//!
//! Whoever finds an entry finishes it, one at a time: a second session holds the guard in an open transaction while the
//! first one does the steps. What is left to do follows from the columns that are there.

use crate::Snowflake;
use crate::client::{Session, Waits, nonce};
use crate::error::Fault;
use crate::schema::{live, lock};
use crate::sql::{self, REPLACED, WIDENED};
use crate::stage::Staging;
use crate::types::DIALECT;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablecast_core::discard::{self, Discard, Reason};
use tablecast_core::ident::append_twin;
use tablecast_core::schema::{Table, TableKind};
use tablecast_core::sql::{self as shared, LOCK};
use tablecast_core::{Counts, Error, ErrorKind, Fold, Ident, LiveType, Load, LoadColumn, Result, Type, nearest_float};

/// Steps that one entry of the journal holds.
const AT_ONCE: usize = 100;
/// How often the transaction that holds the guard is used: Snowflake ends one that blocks others after five minutes of rest.
const BEAT: Duration = Duration::from_secs(60);
/// Statements after which a column that still is not as it should be never will.
const MOST_STEPS: usize = 12;

/// One column that is to be there with a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) to: Type,
}

/// What stands in the journal.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Tells this entry from a later one of the same words.
    nonce: String,
    steps: Vec<Step>,
}

/// Makes some columns be there with their types.
pub(crate) async fn change(snowflake: &Snowflake, session: &mut Session, steps: &[Step]) -> Result<()> {
    let writer = snowflake.writer();
    for steps in steps.chunks(AT_ONCE) {
        let entry = Entry { nonce: nonce(), steps: steps.to_vec() };
        let entry = serde_json::to_string(&entry)
            .map_err(|error| Error::new(ErrorKind::Internal, "a change cannot be written down").because(error))?;
        if lock(snowflake, session).await?.is_none() {
            session.exec(&writer.restore_lock(crate::client::now())).await?;
        }
        session.change(&writer.begin_change(), &[&entry]).await?;
        if lock(snowflake, session).await?.and_then(|lock| lock.changing).as_deref() != Some(entry.as_str()) {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                "the type of a column is being changed by somebody else",
            ));
        }
        finish(snowflake, session, &entry).await?;
    }
    Ok(())
}

/// Does what an entry says, as far as it is not done, and takes it out.
pub(crate) async fn finish(snowflake: &Snowflake, session: &mut Session, entry: &str) -> Result<()> {
    let read: Entry = serde_json::from_str(entry).map_err(|_| {
        Error::new(ErrorKind::SchemaBroken, "the journal of changes cannot be read")
            .with("table", LOCK)
            .fix("set changing to NULL in _lock if no other Tablecast is running, then run again")
    })?;
    let mut held = Held::take(snowflake).await?;
    // Somebody else may have finished it while this one waited.
    let done = if lock(snowflake, &mut held.session).await?.and_then(|lock| lock.changing).as_deref() == Some(entry) {
        let done = held.during(run(snowflake, session, &read.steps)).await;
        match done {
            Ok(()) => held.end(entry, read.steps.len()).await,
            Err(error) => Err(error),
        }
    } else {
        Ok(())
    };
    held.session.close().await;
    done
}

/// The guard, held in a transaction of its own.
struct Held<'a> {
    snowflake: &'a Snowflake,
    session: Session,
}

impl<'a> Held<'a> {
    async fn take(snowflake: &'a Snowflake) -> Result<Held<'a>> {
        let mut session = snowflake.session().await?;
        let text = nonce();
        begin(snowflake, &mut session, &snowflake.writer().take(), &text).await?;
        Ok(Held { snowflake, session })
    }

    /// Waits for something, and keeps the transaction awake meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            match select(work.as_mut(), pin!(tokio::time::sleep(BEAT))).await {
                Either::Left((done, _)) => return done,
                // Without the guard somebody else may be at the same columns.
                Either::Right(_) => self.session.exec(sql::ONE).await?,
            }
        }
    }

    /// Takes the entry out, and lets go.
    async fn end(&mut self, entry: &str, raises: usize) -> Result<()> {
        self.session.change(&self.snowflake.writer().end_change(raises), &[entry]).await?;
        Ok(self.session.exec(sql::COMMIT).await?)
    }
}

/// Opens a transaction by a statement that takes the guard, however long that takes; how many rows it changed.
pub(crate) async fn begin(snowflake: &Snowflake, session: &mut Session, take: &str, nonce: &str) -> Result<u64, Fault> {
    let patience = Duration::from_secs(u64::from(snowflake.options().lock_timeout_s));
    let (mut waits, since) = (Waits::endless(Duration::from_millis(500)), Instant::now());
    loop {
        session.exec(sql::BEGIN).await?;
        match session.change(take, &[nonce]).await {
            Ok((rows, _)) => return Ok(rows),
            // Snowflake waits for a lock, but not where many do already.
            Err(fault) if fault.is_conflict() && since.elapsed() < patience => {
                session.exec(sql::ROLLBACK).await?;
                waits.again();
                waits.wait().await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

async fn run(snowflake: &Snowflake, session: &mut Session, steps: &[Step]) -> Result<()> {
    for step in steps {
        let (table, column) = (Ident::from(step.table.as_str()), Ident::from(step.column.as_str()));
        if !make(snowflake, session, &table, &column, step.to).await? {
            return Err(Error::new(ErrorKind::SchemaBroken, "a column does not take its new type")
                .with("table", &table)
                .with("column", &column)
                .fix("look at the columns _widened and _replaced of the table; drop those that are not needed, then run again"));
        }
    }
    Ok(())
}

/// Does one statement after another until a column is as it should be; whether it is in the end.
async fn make(snowflake: &Snowflake, session: &mut Session, table: &Ident, column: &Ident, to: Type) -> Result<bool> {
    for _ in 0..MOST_STEPS {
        let tables = live(snowflake, session, std::slice::from_ref(table)).await?;
        // A table that is gone has nothing to change.
        let Some(there) = tables.get(table) else { return Ok(true) };
        let statements = next(snowflake, table, column, to, there);
        if statements.is_empty() {
            return Ok(true);
        }
        if let Some(LiveType::Known(from @ (Type::Int | Type::Decimal))) = there.columns.get(column)
            && to == Type::Float
            && from.join(to) != *from
            && !twin_has(snowflake, session, table, column).await?
        {
            keep_bent(snowflake, session, table, column, there).await?;
        }
        for statement in statements {
            session.exec(&statement).await?;
        }
    }
    Ok(false)
}

/// What comes next for one column: one statement, or two that only together change what is there. None if it is as it
/// should be.
fn next(snowflake: &Snowflake, table: &Ident, column: &Ident, to: Type, there: &Table) -> Vec<String> {
    let writer = snowflake.writer();
    let name = column.as_str();
    let (widened, replaced) = (there.columns.get(WIDENED), there.columns.contains_key(REPLACED));
    match there.columns.get(column) {
        Some(LiveType::Known(from)) if from.join(to) == *from => {
            if replaced {
                vec![writer.drop_column(table, REPLACED)]
            } else if widened.is_some() {
                vec![writer.drop_column(table, WIDENED)]
            } else {
                vec![]
            }
        }
        // Somebody made something else of it meanwhile.
        Some(LiveType::Other(_)) => vec![],
        Some(LiveType::Known(from)) => match widened {
            Some(LiveType::Known(ty)) if *ty == DIALECT.told(to) => {
                vec![writer.copy_column(table, column, *from, to), writer.rename_column(table, name, REPLACED)]
            }
            Some(_) => vec![writer.drop_column(table, WIDENED)],
            None => vec![writer.add_column(table, WIDENED, to)],
        },
        None if replaced && widened.is_some() => vec![writer.rename_column(table, WIDENED, name)],
        None if replaced => vec![writer.rename_column(table, REPLACED, name)],
        None => vec![writer.add_column(table, name, to)],
    }
}

/// Whether the append table that gets the same values has them, exactly or in `_discards`.
async fn twin_has(snowflake: &Snowflake, session: &mut Session, table: &Ident, column: &Ident) -> Result<bool> {
    let Some(twin) = append_twin(table).map(Ident::from) else { return Ok(false) };
    let tables = live(snowflake, session, std::slice::from_ref(&twin)).await?;
    Ok(tables.get(&twin).is_some_and(|twin| twin.columns.contains_key(column)))
}

/// Notes every number of a column that will be bent when it becomes a float.
async fn keep_bent(
    snowflake: &Snowflake,
    session: &mut Session,
    table: &Ident,
    column: &Ident,
    there: &Table,
) -> Result<()> {
    let writer = snowflake.writer();
    let has_received_at = there.columns.get("received_at") == Some(&LiveType::Known(Type::Timestamp));
    let mut bent = Vec::new();
    for row in session.query(&writer.large_numbers(table, column, has_received_at), &[]).await? {
        let mut cells = row.into_iter();
        let (Some(Some(event)), Some(Some(digits)), at) = (cells.next(), cells.next(), cells.next().flatten()) else {
            continue;
        };
        if digits.parse::<i128>().is_ok_and(|number| !nearest_float(number).1) {
            let at = at.and_then(|at| at.parse().ok()).unwrap_or(0);
            bent.push(Discard::new(&event, table.as_str(), column.as_str(), digits.as_bytes(), Reason::Precision, at));
        }
    }
    if bent.is_empty() {
        return Ok(());
    }
    let columns: Vec<(Ident, Type)> = discard::COLUMNS.iter().map(|(name, ty)| (Ident::from(*name), *ty)).collect();
    for text in writer.create_table(&discard::TABLE.into(), &columns) {
        session.exec(&text).await?;
    }
    let load = load(&bent)?;
    let staging = Staging::of(snowflake, vec![&load], &nonce());
    let kept = match staging.fill(session).await {
        Ok(()) => keep(snowflake, session, &load, &staging).await,
        Err(error) => Err(error),
    };
    staging.tidy(session).await;
    kept
}

/// Inserts discards that are not there yet.
async fn keep(snowflake: &Snowflake, session: &mut Session, load: &Load, staging: &Staging<'_>) -> Result<()> {
    let writer = snowflake.writer();
    let groups = shared::groups(load, writer.sql.dialect);
    for statement in writer.load(load, &groups, &staging.sources(0), 0, None) {
        session.exec(&statement).await?;
    }
    Ok(())
}

/// Discards as a load of their table.
fn load(discards: &[Discard]) -> Result<Load> {
    let text = |of: &dyn Fn(&Discard) -> String| -> ArrayRef {
        Arc::new(discards.iter().map(|discard| Some(of(discard))).collect::<StringArray>())
    };
    let bytes = discards.iter().map(|discard| i64::try_from(discard.bytes).unwrap_or(i64::MAX));
    let at = discards.iter().map(|discard| discard.received_at);
    let arrays: [ArrayRef; 10] = [
        text(&Discard::id),
        Arc::new(StringArray::new_null(discards.len())),
        text(&|discard| discard.table.clone()),
        text(&|discard| discard.event_id.clone()),
        text(&|discard| discard.column.clone()),
        text(&|discard| discard.value.clone()),
        Arc::new(Int64Array::from_iter_values(bytes)),
        text(&|discard| discard.sha256.clone()),
        text(&|discard| discard.reason.code().to_owned()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC")),
    ];
    let columns = discard::COLUMNS.iter().enumerate().map(|(at, (name, ty))| LoadColumn {
        name: (*name).into(),
        ty: *ty,
        fold: Fold::Once,
        values: Some(at),
        versions: None,
    });
    let batch = RecordBatch::try_from_iter(discard::COLUMNS.iter().map(|(name, _)| *name).zip(arrays))
        .map_err(|error| Error::new(ErrorKind::Internal, "discards do not fit their table").because(error))?;
    Ok(Load {
        table: discard::TABLE.into(),
        kind: TableKind::Append,
        columns: columns.collect(),
        batch,
        counts: Counts::default(),
        fill: false,
        window: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    fn table(columns: &[(&str, Type)]) -> Table {
        let columns = columns.iter().map(|(name, ty)| ((*name).into(), LiveType::Known(*ty))).collect();
        Table { columns, ..Table::default() }
    }

    fn snowflake() -> Snowflake {
        let options = Options { password: Some(tablecast_core::Secret::new("x")), ..Options::default() };
        Snowflake::new("//me@a/db", &"s".into(), options).unwrap()
    }

    /// The verbs of what comes next.
    fn left(columns: &[(&str, Type)], to: Type) -> Vec<String> {
        let out = next(&snowflake(), &"t".into(), &"c".into(), to, &table(columns));
        let verbs = ["ADD COLUMN", "UPDATE", "RENAME COLUMN", "DROP COLUMN"];
        out.iter()
            .map(|text| {
                let verb = verbs.iter().find(|verb| text.contains(**verb)).unwrap();
                let names = text.rsplit(' ').next().unwrap();
                if *verb == "RENAME COLUMN" { format!("{verb} TO {names}") } else { (*verb).to_owned() }
            })
            .collect()
    }

    #[test]
    fn a_change_goes_on_where_it_was_left() {
        let (int, float) = (Type::Decimal, Type::Float);
        assert_eq!(left(&[("c", int)], float), ["ADD COLUMN"]);
        assert_eq!(left(&[("c", int), (WIDENED, float)], float), ["UPDATE", "RENAME COLUMN TO \"_REPLACED\""]);
        assert_eq!(left(&[(REPLACED, int), (WIDENED, float)], float), ["RENAME COLUMN TO \"C\""]);
        assert_eq!(left(&[(REPLACED, int), ("c", float)], float), ["DROP COLUMN"]);
        assert_eq!(left(&[("c", float)], float), [""; 0]);
        // What somebody else left, or nobody.
        assert_eq!(left(&[("c", int), (WIDENED, Type::Text)], float), ["DROP COLUMN"]);
        assert_eq!(left(&[("c", float), (WIDENED, float)], float), ["DROP COLUMN"]);
        assert_eq!(left(&[(REPLACED, int)], float), ["RENAME COLUMN TO \"C\""]);
        assert_eq!(left(&[], int), ["ADD COLUMN"]);
        assert_eq!(left(&[("c", float)], int), [""; 0]);
    }

    #[test]
    fn discards_are_a_load_of_their_table() {
        let discard = Discard::new("e", "t", "c", b"9007199254740993", Reason::Precision, 5);
        let load = load(&[discard]).unwrap();
        assert_eq!((load.rows(), load.columns.len(), load.columns[0].name.as_str()), (1, 10, "id"));
    }
}
