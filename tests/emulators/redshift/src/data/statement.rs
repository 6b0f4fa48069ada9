//! A statement or a batch that the Data API has accepted, and what it tells of it.

use super::{Failure, Result, Submit, invalid};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// "Considerations when calling the Data API": bytes in a row of a result.
const MAX_ROW: usize = 64 << 10;

/// One accepted call.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) sqls: Vec<String>,
    pub(super) batch: bool,
    /// All statements in one transaction.
    pub(super) transaction: bool,
    pub(super) user: String,
    pub(super) database: String,
    /// Whether somebody wants it to end.
    pub(super) cancelled: AtomicBool,
    /// What every answer repeats of the call.
    echo: Map<String, Value>,
    created: f64,
    state: Mutex<State>,
    done: watch::Sender<bool>,
}

/// How far it is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) process: u32,
    pub(super) subs: Vec<Sub>,
    updated: f64,
}

/// One statement of it.
#[derive(Clone, Debug)]
pub(super) struct Sub {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    /// Rows returned or affected; −1 where there is no number.
    pub(super) rows: i64,
    pub(super) result: Option<ResultSet>,
    pub(super) millis: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Submitted,
    Started,
    Finished,
    Failed,
    Aborted,
}

/// What a query returned.
#[derive(Clone, Debug, Default)]
pub(super) struct ResultSet {
    /// Name and type.
    pub(super) columns: Vec<(String, u32)>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Started => "STARTED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }
}

/// Seconds since 1970, as JSON 1.1 has times.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An id of the form that the service gives.
fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let run = u64::from(std::process::id());
    format!("{run:08x}-7ab1-4ca5-8000-{next:012x}")
}

impl Record {
    pub(super) fn new(
        sqls: Vec<String>,
        batch: bool,
        transaction: bool,
        user: String,
        database: String,
        asked: &Submit,
    ) -> Self {
        let mut echo = Map::new();
        for (name, value) in [
            ("ClusterIdentifier", &asked.cluster_identifier),
            ("WorkgroupName", &asked.workgroup_name),
            ("SecretArn", &asked.secret_arn),
            ("DbUser", &asked.db_user),
            ("Database", &asked.database),
        ] {
            echo.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
        }
        let sub = Sub { status: Status::Submitted, error: None, rows: -1, result: None, millis: 0 };
        let created = now();
        let state =
            State { status: Status::Submitted, error: None, process: 0, subs: vec![sub; sqls.len()], updated: created };
        Self {
            id: new_id(),
            sqls,
            batch,
            transaction,
            user,
            database,
            cancelled: AtomicBool::new(false),
            echo,
            created,
            state: Mutex::new(state),
            done: watch::Sender::new(false),
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.updated = now();
        let done = !matches!(state.status, Status::Submitted | Status::Started);
        drop(state);
        if done {
            self.done.send_replace(true);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Waits until it is done, so many seconds at most.
    pub(super) async fn wait(&self, seconds: Option<u64>) {
        if let Some(seconds) = seconds {
            let mut done = self.done.subscribe();
            let _ = tokio::time::timeout(Duration::from_secs(seconds.min(30)), done.wait_for(|done| *done)).await;
        }
    }

    /// What the one who submitted it is told.
    pub(super) fn submitted(&self, waited: bool) -> Value {
        let mut answer = self.echo.clone();
        answer.insert("Id".into(), json!(self.id));
        answer.insert("CreatedAt".into(), json!(self.created));
        if waited {
            let state = self.state();
            answer.insert("Status".into(), json!(state.status.name()));
            answer.insert("HasResultSet".into(), json!(state.subs.iter().any(|sub| sub.result.is_some())));
            answer.insert("RedshiftPid".into(), json!(state.process));
        }
        Value::Object(answer)
    }

    /// The statement that an id names: `id:2` is the second of a batch.
    fn sub_of(&self, id: &str) -> Result<Option<usize>> {
        let Some((_, nth)) = id.split_once(':') else { return Ok(None) };
        let at = nth.parse::<usize>().ok().and_then(|nth| nth.checked_sub(1));
        match at.filter(|at| self.batch && *at < self.sqls.len()) {
            Some(at) => Ok(Some(at)),
            None => Err(Failure("ResourceNotFoundException", "Query does not exist.".into())),
        }
    }

    pub(super) fn describe(&self, id: &str) -> Result {
        let state = self.state();
        if let Some(at) = self.sub_of(id)? {
            return Ok(self.describe_sub(at, &state));
        }
        let mut answer = self.echo.clone();
        answer.insert("Id".into(), json!(self.id));
        answer.insert("Status".into(), json!(state.status.name()));
        answer.insert("CreatedAt".into(), json!(self.created));
        answer.insert("UpdatedAt".into(), json!(state.updated));
        answer.insert("RedshiftPid".into(), json!(state.process));
        answer.insert("HasResultSet".into(), json!(state.subs.iter().any(|sub| sub.result.is_some())));
        let nanos = state.subs.iter().map(|sub| sub.millis.saturating_mul(1_000_000)).fold(0, u64::saturating_add);
        answer.insert("Duration".into(), json!(nanos));
        answer.extend(state.error.as_ref().map(|error| ("Error".to_owned(), json!(error))));
        match (self.batch, state.subs.as_slice()) {
            (false, [sub]) => {
                answer.insert("QueryString".into(), json!(self.sqls[0]));
                answer.insert("ResultRows".into(), json!(sub.rows));
                answer.insert("ResultSize".into(), json!(size(sub)));
                answer.insert("RedshiftQueryId".into(), json!(-1));
            }
            _ => {
                let subs: Vec<Value> = (0..self.sqls.len()).map(|at| self.describe_sub(at, &state)).collect();
                answer.insert("SubStatements".into(), json!(subs));
                let mode = if self.transaction { "TRANSACTION" } else { "AUTO_COMMIT" };
                answer.insert("ExecutionMode".into(), json!(mode));
            }
        }
        Ok(Value::Object(answer))
    }

    fn describe_sub(&self, at: usize, state: &State) -> Value {
        let sub = &state.subs[at];
        let mut answer = json!({
            "Id": format!("{}:{}", self.id, at + 1),
            "Status": sub.status.name(),
            "QueryString": self.sqls[at],
            "CreatedAt": self.created,
            "UpdatedAt": state.updated,
            "Duration": sub.millis.saturating_mul(1_000_000),
            "ResultRows": sub.rows,
            "ResultSize": size(sub),
            "HasResultSet": sub.result.is_some(),
            "RedshiftQueryId": -1,
        });
        if let Some(error) = &sub.error {
            answer["Error"] = json!(error);
        }
        answer
    }

    /// One page of a result.
    pub(super) fn page(&self, id: &str, token: Option<&str>, size: usize) -> Result {
        let state = self.state();
        let at = match self.sub_of(id)? {
            Some(at) => at,
            None if self.batch => {
                return Err(invalid("rsemu: name a statement of the batch, as in id:1"));
            }
            None => 0,
        };
        let sub = &state.subs[at];
        let Some(result) = sub.result.as_ref().filter(|_| state.status == Status::Finished) else {
            return Err(Failure(
                "ResourceNotFoundException",
                "Query does not have result. Please check query status with DescribeStatement.".into(),
            ));
        };
        let from: usize = token.map_or(Ok(0), str::parse).map_err(|_| invalid("rsemu: not a NextToken"))?;
        let rows = result.rows.get(from..).unwrap_or_default();
        let page = &rows[..rows.len().min(size)];
        if page.iter().any(|row| row.iter().flatten().map(String::len).sum::<usize>() > MAX_ROW) {
            return Err(invalid("rsemu: a row of the result has more than 64 KB"));
        }
        let records: Vec<Value> = page
            .iter()
            .map(|row| row.iter().zip(&result.columns).map(|(cell, (_, ty))| field(cell.as_deref(), *ty)).collect())
            .collect();
        let columns: Vec<Value> = result
            .columns
            .iter()
            .map(|(name, ty)| json!({ "name": name, "label": name, "typeName": type_name(*ty), "nullable": 1 }))
            .collect();
        let mut answer = json!({ "Records": records, "ColumnMetadata": columns, "TotalNumRows": result.rows.len() });
        if rows.len() > size {
            answer["NextToken"] = json!((from + size).to_string());
        }
        Ok(answer)
    }
}

fn size(sub: &Sub) -> usize {
    let rows = sub.result.iter().flat_map(|result| &result.rows);
    rows.flatten().flatten().map(String::len).sum()
}

/// A cell as the service types it.
fn field(cell: Option<&str>, ty: u32) -> Value {
    let Some(cell) = cell else { return json!({ "isNull": true }) };
    let typed = match ty {
        16 => Some(json!({ "booleanValue": cell == "t" })),
        20 | 21 | 23 => cell.parse::<i64>().ok().map(|number| json!({ "longValue": number })),
        700 | 701 => cell.parse::<f64>().ok().map(|number| json!({ "doubleValue": number })),
        _ => None,
    };
    typed.unwrap_or_else(|| json!({ "stringValue": cell }))
}

fn type_name(ty: u32) -> &'static str {
    match ty {
        16 => "bool",
        20 => "int8",
        21 => "int2",
        23 => "int4",
        700 => "float4",
        701 => "float8",
        1042 => "bpchar",
        1082 => "date",
        1114 => "timestamp",
        1184 => "timestamptz",
        1700 => "numeric",
        _ => "varchar",
    }
}
