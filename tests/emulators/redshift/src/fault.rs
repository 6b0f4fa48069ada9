//! Faults on request: each is addressed by a marker in the statements that it is to meet, such as a schema's name,
//! so that tests that run side by side do not meet each other's.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is to go wrong, as the control port takes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// A session is met from the first statement on that holds this word; a call, if one of its statements does.
    pub(crate) marker: String,
    /// Where.
    pub(crate) at: Point,
    /// What happens.
    pub(crate) does: Effect,
    /// Only statements that begin with this are counted (`COMMIT`), in any case; of a batch, its first tells.
    #[serde(default)]
    pub(crate) statement: String,
    /// Which of a session's statements, or of the calls, is the first to be met.
    #[serde(default = "one")]
    pub(crate) nth: u64,
    /// How often it happens.
    #[serde(default = "one")]
    pub(crate) times: u64,
    /// How long a delay is.
    #[serde(default)]
    pub(crate) delay_ms: u64,
    /// What a refusal says: SQLSTATE, message, detail.
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) detail: Option<String>,
}

fn one() -> u64 {
    1
}

/// Where a fault happens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Point {
    /// A statement of the wire protocol.
    #[serde(rename = "wire")]
    Wire,
    ExecuteStatement,
    BatchExecuteStatement,
    DescribeStatement,
    GetStatementResult,
    CancelStatement,
    /// The run of a Data API statement or batch, between its last statement and its COMMIT.
    #[serde(rename = "run")]
    Run,
}

/// What happens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// Wire: the connection is lost before PostgreSQL sees the statement.
    DropBefore,
    /// Wire: the connection is lost when PostgreSQL has done the statement. Calls: the answer is lost.
    DropAfter,
    /// Wire and run: the statement fails with `code`, `message` and `detail` instead.
    Refuse,
    /// It takes `delay_ms` longer; calls and runs no longer than the fault is there.
    Delay,
    /// Calls: `ThrottlingException`
    Throttle,
    /// Calls: `ActiveStatementsExceededException`
    Busy,
    /// Run: the statement ends as ABORTED and leaves nothing.
    Abort,
}

/// A fault that waits, as the control port shows it.
#[derive(Debug, Serialize)]
struct Armed {
    #[serde(flatten)]
    fault: Fault,
    /// How often it has happened.
    met: u64,
    /// How many statements (of a session) or calls were counted.
    #[serde(skip)]
    counted: HashMap<u64, u64>,
}

/// All faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().push(Armed { fault, met: 0, counted: HashMap::new() });
    }

    /// Forgets those with this marker.
    pub(crate) fn remove(&self, marker: &str) {
        self.lock().retain(|armed| armed.fault.marker != marker);
    }

    /// Those with this marker, as JSON, with how often each was met.
    pub(crate) fn list(&self, marker: &str) -> serde_json::Value {
        let armed = self.lock();
        let found: Vec<&Armed> =
            armed.iter().filter(|armed| marker.is_empty() || armed.fault.marker == marker).collect();
        serde_json::json!({ "faults": found })
    }

    /// What a statement of a wire session meets.
    pub(crate) fn statement(&self, session: u64, sql: &str) -> Vec<Fault> {
        let mut met = Vec::new();
        for armed in self.lock().iter_mut().filter(|armed| armed.fault.at == Point::Wire) {
            let known = armed.counted.contains_key(&session);
            if !known && !holds(sql, &armed.fault.marker) {
                continue;
            }
            let counts = begins(sql, &armed.fault.statement);
            met.extend(armed.count(session, counts));
        }
        met
    }

    /// What a call of the Data API, or its run, meets.
    pub(crate) fn call(&self, point: Point, statements: &[String]) -> Vec<Fault> {
        let first = statements.first().map_or("", String::as_str);
        let mut armed = self.lock();
        armed
            .iter_mut()
            .filter(|armed| armed.fault.at == point && statements.iter().any(|sql| holds(sql, &armed.fault.marker)))
            .filter_map(|armed| armed.count(0, begins(first, &armed.fault.statement)))
            .collect()
    }

    /// Waits as long as a fault says, or until it is taken back.
    pub(crate) async fn delay(&self, fault: &Fault) {
        const STEP: Duration = Duration::from_millis(20);
        let end = Instant::now() + Duration::from_millis(fault.delay_ms);
        while Instant::now() < end && self.lock().iter().any(|armed| armed.fault.marker == fault.marker) {
            tokio::time::sleep(STEP).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a text holds a marker as a word: `t1` is not in `t12`.
fn holds(text: &str, marker: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(marker)
        .any(|(at, found)| !text[..at].ends_with(is_part) && !text[at + found.len()..].starts_with(is_part))
}

/// Whether a statement begins with a text, in any case.
fn begins(sql: &str, prefix: &str) -> bool {
    let start = sql.trim_start().as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

impl Armed {
    /// Counts one more, and says whether it is met.
    fn count(&mut self, session: u64, counts: bool) -> Option<Fault> {
        let counted = self.counted.entry(session).or_default();
        if !counts {
            return None;
        }
        *counted += 1;
        let meets = *counted >= self.fault.nth && self.met < self.fault.times;
        self.met += u64::from(meets);
        meets.then(|| self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).expect("a fault")
    }

    #[test]
    fn a_session_is_met_by_its_marker() {
        let faults = Faults::default();
        faults.add(fault(r#"{"marker":"s1","at":"wire","does":"drop_after","statement":"commit","nth":2}"#));
        assert!(faults.statement(1, "COMMIT").is_empty(), "the marker was not seen yet");
        assert!(faults.statement(1, "LOCK \"s1\".\"_lock\"").is_empty());
        assert!(faults.statement(2, "LOCK \"s11\".\"_lock\"").is_empty());
        assert!(faults.statement(1, "COMMIT").is_empty(), "the first");
        assert!(faults.statement(2, "COMMIT").is_empty(), "of another session");
        assert_eq!(faults.statement(1, " commit")[0].does, Effect::DropAfter);
        assert!(faults.statement(1, "COMMIT").is_empty(), "once only");
        assert_eq!(faults.list("s1")["faults"][0]["met"], 1);
        faults.remove("s1");
        assert_eq!(faults.list("")["faults"].as_array().map(Vec::len), Some(0));
    }

    #[test]
    fn calls_are_met_by_their_statements() {
        let faults = Faults::default();
        faults.add(fault(r#"{"marker":"s1","at":"DescribeStatement","does":"throttle","times":2}"#));
        let (mine, other) = (vec!["SELECT 1 FROM s1.t".to_owned()], vec!["SELECT 1 FROM s2.t".to_owned()]);
        assert!(faults.call(Point::DescribeStatement, &other).is_empty());
        assert!(faults.call(Point::ExecuteStatement, &mine).is_empty());
        assert_eq!([(); 3].map(|()| faults.call(Point::DescribeStatement, &mine).len()), [1, 1, 0]);
        assert!(serde_json::from_str::<Fault>(r#"{"marker":"","at":"wire","does":"explode"}"#).is_err());
    }
    #[test]
    fn a_batch_is_told_by_its_first_statement() {
        let faults = Faults::default();
        faults.add(fault(r#"{"marker":"s1","at":"run","does":"abort","statement":"lock","nth":2}"#));
        let run = |statements: &[&str]| {
            let statements: Vec<String> = statements.iter().map(|sql| (*sql).to_owned()).collect();
            faults.call(Point::Run, &statements).len()
        };
        assert_eq!(run(&["SELECT 1 FROM s1.t", "LOCK s1.t"]), 0);
        assert_eq!(run(&["LOCK s1.t", "SELECT 1"]), 0, "the first");
        assert_eq!(run(&["LOCK s2.t"]), 0, "of another schema");
        assert_eq!(run(&[" LOCK s1.t", "SELECT 1"]), 1);
        assert_eq!(run(&["LOCK s1.t"]), 0, "once only");
    }
}
