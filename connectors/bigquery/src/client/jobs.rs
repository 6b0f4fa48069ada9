//! Jobs: asked for under an id of ours, so that whoever asks again finds the same job; then waited for.

use super::{Cells, Client, FIRST_WAIT, LONGEST_WAIT, PATIENT_TRIES, RATE_WAIT, TRIES, present, random};
use crate::error::Fault;
use serde_json::Value;
use std::time::Duration;

/// The first and the longest wait between two looks at a job that runs.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// How a job is getting on.
#[derive(Debug)]
pub(crate) enum State {
    /// It waits or runs.
    Running,
    /// It did what it was asked to.
    Done {
        /// Rows that a load job put out.
        rows: Option<u64>,
    },
    /// It failed. A script did what stands before the failure, but for what a transaction had not committed.
    Failed(Fault),
}

impl Client {
    /// How a job is getting on; none if there is none with this id.
    pub(crate) async fn job(&self, id: &str, location: &str) -> Result<Option<State>, Fault> {
        let path = format!("jobs/{id}?location={location}&fields=status,statistics/load/outputRows");
        Ok(present(self.retry(|| self.get(&path)).await)?.map(|job| state(&job)))
    }

    /// Waits for the end of a job that is there.
    pub(crate) async fn ended(&self, id: &str, location: &str) -> Result<State, Fault> {
        let mut wait = FIRST_LOOK;
        loop {
            match self.job(id, location).await? {
                Some(State::Running) => tokio::time::sleep(wait).await,
                Some(State::Failed(fault)) => return Ok(State::Failed(fault.of_job(id))),
                Some(state) => return Ok(state),
                None => return Err(Fault::new(404, "notFound", "Not found: Job")),
            }
            wait = (wait * 3 / 2).min(LONGEST_LOOK);
        }
    }

    /// Runs a script under an id, or waits for the one that has it.
    pub(crate) async fn script(&self, id: &str, location: &str, sql: &str) -> Result<State, Fault> {
        self.insert_query(id, location, sql).await?;
        self.ended(id, location).await
    }

    /// The bytes that a statement would read.
    pub(crate) async fn dry_run(&self, location: &str, sql: &str) -> Result<u64, Fault> {
        let mut job = self.query_job(None, location, sql);
        job.configuration.get_or_insert_default().dry_run = Some(true);
        let answer = self.insert(job).await?;
        let bytes = answer.statistics.and_then(|statistics| statistics.total_bytes_processed);
        bytes.and_then(|bytes| bytes.parse().ok()).ok_or_else(|| Fault::new(0, "unreadable", ""))
    }

    /// Runs statements that are safe to run twice; the rows that the last one gives.
    pub(crate) async fn query(&self, location: &str, sql: &str) -> Result<Vec<Cells>, Fault> {
        let id = self.run(location, sql).await?;
        self.results(&id, location).await
    }

    /// Runs statements that are safe to run twice, under ids of their own, until they are done; the last id.
    pub(crate) async fn run(&self, location: &str, sql: &str) -> Result<String, Fault> {
        let mut waits = Waits::default();
        loop {
            let id = format!("tablecast_{:016x}{:016x}", random(), random());
            match self.script(&id, location, sql).await? {
                State::Failed(fault) if (fault.is_passing() || fault.is_conflict()) && waits.again() => {
                    waits.wait(&fault).await;
                }
                State::Failed(fault) => return Err(fault),
                State::Done { .. } | State::Running => return Ok(id),
            }
        }
    }
}

fn state(job: &Value) -> State {
    let status = &job["status"];
    if status["state"] != "DONE" {
        return State::Running;
    }
    match &status["errorResult"] {
        Value::Null => {
            let rows = job["statistics"]["load"]["outputRows"].as_str();
            State::Done { rows: rows.and_then(|rows| rows.parse().ok()) }
        }
        error => State::Failed(Fault::from_job(error)),
    }
}

/// The waits between some tries: each twice as long as the one before, and half of it random.
pub(crate) struct Waits {
    failures: u32,
    tries: u32,
}

impl Default for Waits {
    fn default() -> Self {
        Waits { failures: 0, tries: TRIES }
    }
}

impl Waits {
    /// For what others are busy with: some minutes in all.
    pub(crate) fn patient() -> Waits {
        Waits { failures: 0, tries: PATIENT_TRIES }
    }

    /// Whether to try once more.
    pub(crate) fn again(&mut self) -> bool {
        self.failures += 1;
        self.failures < self.tries
    }

    /// Waits as long as the fault and the number of tries ask for.
    pub(crate) async fn wait(&self, fault: &Fault) {
        tokio::time::sleep(self.length(fault.is_rate_limit(), random())).await;
    }

    fn length(&self, rate: bool, random: u64) -> Duration {
        let first = if rate { RATE_WAIT } else { FIRST_WAIT };
        let most = (first * 2_u32.saturating_pow(self.failures.saturating_sub(1))).min(LONGEST_WAIT);
        let share = u32::try_from(random % 1_000).unwrap_or(0);
        most / 2 + most / 2_000 * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_are_told_apart() {
        assert!(matches!(state(&json!({"status": {"state": "PENDING"}})), State::Running));
        let done = json!({"status": {"state": "DONE"}, "statistics": {"load": {"outputRows": "7"}}});
        assert!(matches!(state(&done), State::Done { rows: Some(7) }));
        let failed = json!({"status": {"state": "DONE", "errorResult": {"reason": "backendError", "message": "m"}}});
        assert!(matches!(state(&failed), State::Failed(fault) if fault.is_passing()));
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_end() {
        let mut waits = Waits::default();
        let mut lengths = Vec::new();
        while waits.again() {
            lengths.push((waits.length(false, 0).as_millis(), waits.length(true, 999).as_millis()));
        }
        assert_eq!(lengths.len(), 5);
        assert_eq!(lengths[0].0, 125);
        assert!(lengths.is_sorted() && lengths[0].1 > 1_900 && lengths[4].1 <= 10_000, "{lengths:?}");
    }
}
