//! Runs what the Data API accepted.

use super::statement::{Record, ResultSet, Status, Sub};
use super::{Result, invalid};
use crate::backend::cells;
use crate::engine::{Engine, Reply};
use crate::fault::{Effect, Point};
use crate::frame::Frame;
use crate::wire::refusal;
use crate::world::{USERS, World};
use serde_json::json;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How a run ends.
enum End {
    Done,
    /// Which statement, and why.
    Failed(usize, String),
    Aborted,
}

/// Runs it to its end.
pub(super) async fn run(world: Arc<World>, record: Arc<Record>) {
    let end = match attempt(&world, &record).await {
        Ok(end) => end,
        Err(error) => End::Failed(0, format!("rsemu: {error}")),
    };
    record.change(|state| match end {
        End::Done => state.status = Status::Finished,
        End::Failed(at, error) => {
            state.status = Status::Failed;
            let error = if record.batch { format!("Query #{} failed with {error}", at + 1) } else { error };
            state.error = Some(error);
        }
        End::Aborted => {
            state.status = Status::Aborted;
            state.subs.iter_mut().for_each(|sub| sub.status = Status::Aborted);
        }
    });
}

async fn attempt(world: &Arc<World>, record: &Record) -> io::Result<End> {
    if !USERS.iter().any(|user| user.name == record.user) {
        return Ok(End::Failed(0, format!("FATAL: password authentication failed for user \"{}\"", record.user)));
    }
    let (engine, frames) = Engine::open(world, &record.user, &record.database, None).await?;
    let Some(mut engine) = engine else {
        return Ok(End::Failed(0, trouble(&frames).unwrap_or_default()));
    };
    // A result holds numbers, not fifteen digits of them.
    engine.simple("SET extra_float_digits TO 2").await?;
    record.change(|state| {
        state.status = Status::Started;
        state.process = engine.process;
    });
    let in_block = record.batch && record.transaction;
    if in_block {
        engine.simple("BEGIN").await?;
    }
    let end = statements(&mut engine, world, record).await?;
    if !in_block {
        return Ok(end);
    }
    let (last, sql) = match &end {
        End::Done => (record.sqls.len().saturating_sub(1), "COMMIT"),
        End::Failed(at, _) => (*at, "ROLLBACK"),
        End::Aborted => (0, "ROLLBACK"),
    };
    let reply = engine.simple(sql).await?;
    match (trouble(&reply), end) {
        (Some(error), End::Done) => Ok(End::Failed(last, error)),
        (_, end) => Ok(end),
    }
}

async fn statements(engine: &mut Engine, world: &World, record: &Record) -> io::Result<End> {
    let mut failed = None;
    // A single statement meets its faults before it runs, a batch before its COMMIT.
    if !record.batch
        && let Some(end) = meet(engine, world, record).await?
    {
        return Ok(end);
    }
    for (at, sql) in record.sqls.iter().enumerate() {
        if record.cancelled.load(Ordering::SeqCst) {
            return Ok(End::Aborted);
        }
        let begun = Instant::now();
        let reply = engine.simple(sql).await?;
        let mut sub = outcome(engine, &reply);
        sub.millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = sub.error.clone();
        record.change(|state| state.subs[at] = sub);
        if let Some(error) = error {
            if record.cancelled.load(Ordering::SeqCst) {
                return Ok(End::Aborted);
            }
            failed.get_or_insert((at, error));
            if record.transaction {
                let rest = |state: &mut super::statement::State| {
                    state.subs[at + 1..].iter_mut().for_each(|sub| sub.status = Status::Aborted);
                };
                record.change(rest);
                break;
            }
        }
    }
    if let Some((at, error)) = failed {
        return Ok(End::Failed(at, error));
    }
    if record.batch
        && let Some(end) = meet(engine, world, record).await?
    {
        return Ok(end);
    }
    Ok(if record.cancelled.load(Ordering::SeqCst) && record.batch { End::Aborted } else { End::Done })
}

async fn meet(engine: &mut Engine, world: &World, record: &Record) -> io::Result<Option<End>> {
    for fault in world.faults.call(Point::Run, &record.sqls) {
        match fault.does {
            Effect::Abort => return Ok(Some(End::Aborted)),
            Effect::Delay => world.faults.delay(&fault).await,
            Effect::Refuse => {
                let reply = engine.refuse(&refusal(&fault)).await?;
                let last = record.sqls.len().saturating_sub(1);
                return Ok(trouble(&reply).map(|error| End::Failed(last, error)));
            }
            Effect::DropBefore | Effect::DropAfter | Effect::Throttle | Effect::Busy => {}
        }
    }
    Ok(None)
}

/// The error of an answer as the service tells it: there is no SQLSTATE in it.
fn trouble(reply: &[Frame]) -> Option<String> {
    let fields = reply.iter().find(|frame| frame.kind == b'E')?.fields();
    let field = |wanted: u8| fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.as_str());
    let mut text = format!("{}: {}", field(b'S').unwrap_or("ERROR"), field(b'M').unwrap_or_default());
    for (key, name) in [(b'D', "Detail"), (b'H', "Hint")] {
        if let Some(value) = field(key) {
            let _ = write!(text, "\n  {name}: {value}");
        }
    }
    Some(text)
}

fn outcome(engine: &Engine, reply: &Reply) -> Sub {
    let mut sub = Sub { status: Status::Finished, error: trouble(reply), rows: -1, result: None, millis: 0 };
    for frame in reply {
        match frame.kind {
            b'T' => sub.result = Some(ResultSet { columns: columns(frame), rows: Vec::new() }),
            b'D' => {
                if let Some(result) = &mut sub.result {
                    result.rows.push(cells(frame));
                }
            }
            b'C' => {
                let tag = frame.text_at(0).map(|(tag, _)| tag).unwrap_or_default();
                let counted = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
                // "DescribeStatement": COPY's rows are counted too.
                sub.rows = match tag.as_str() {
                    "COPY" => i64::try_from(engine.last_copy.1).unwrap_or(-1),
                    _ => counted.unwrap_or(-1),
                };
            }
            _ => {}
        }
    }
    if sub.error.is_some() {
        sub.status = Status::Failed;
        sub.result = None;
    }
    sub
}

/// Names and types of a row description.
fn columns(frame: &Frame) -> Vec<(String, u32)> {
    let mut columns = Vec::new();
    let mut at = 2;
    while let Some((name, behind)) = frame.text_at(at) {
        let ty = frame.body.get(behind + 6..).and_then(|rest| rest.first_chunk::<4>());
        columns.push((name, ty.map_or(0, |bytes| u32::from_be_bytes(*bytes))));
        at = behind + 18;
    }
    columns
}

/// Ends what runs.
pub(super) async fn cancel(world: &World, record: &Record) -> Result {
    let (process, status) = {
        let state = record.state();
        (state.process, state.status)
    };
    if record.is_done() {
        return Err(invalid(format!("Could not cancel a query that is already in {status:?} state.")));
    }
    record.cancelled.store(true, Ordering::SeqCst);
    if let Some(database) = world.database(&record.database) {
        let _ = database.must(&format!("SELECT pg_cancel_backend({process})")).await;
    }
    Ok(json!({ "Status": true }))
}
