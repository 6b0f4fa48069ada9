//! One part of a spool into one schema: cut by cut, each durable in the warehouse before the place that it reached is
//! written down.

use super::clock::moment;
use super::engine::Shared;
use crate::config::{Off, WarehouseConfig};
use crate::spool::{Kind as RecordKind, SpoolError};
use crate::state::{Gap, Kind, Notice, Status, Step, rows_of};
use std::sync::Arc;
use tablecast::{
    Draft, Error, ErrorKind, Ident, Only, Origin, Report, Result, Retry, Rules, Timeout, Trace, Warehouse,
};
use tokio::sync::watch;

/// Records between two looks at whether to stop.
const STRIDE: u32 = 256;

/// A sync, a fill or a backfill at work.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) kind: Kind,
    pub(super) space: String,
    /// Everything before is done.
    pub(super) at: u64,
    pub(super) to: u64,
    /// What is off while it runs.
    pub(super) off: Off,
    /// What a fill closes.
    pub(super) gaps: Vec<Gap>,
    pub(super) notices: Vec<Notice>,
    pub(super) changes: Vec<String>,
    pub(super) rows: u64,
    pub(super) discards: u64,
    /// In µs.
    preparation: i64,
    loading: i64,
    schema: Ident,
    source: String,
    rules: Rules,
    only: Option<Only>,
    draft: Option<Draft>,
    warehouse: Option<Arc<dyn Warehouse>>,
}

/// How a cut ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// There is more.
    More,
    /// That was the last.
    Done,
    /// The service ends; what was read of the next cut is not loaded.
    Stopped,
}

impl Run {
    /// From one place to another. `off` is what is switched off.
    pub(super) fn new(
        id: i64,
        kind: Kind,
        warehouse: &WarehouseConfig,
        space: &str,
        (at, to): (u64, u64),
        off: Off,
    ) -> Run {
        let rules = Rules { fill: kind != Kind::Sync, ..warehouse.rules(space, &off) };
        Run {
            id,
            kind,
            space: space.to_owned(),
            at,
            to,
            off,
            gaps: Vec::new(),
            notices: Vec::new(),
            changes: Vec::new(),
            rows: 0,
            discards: 0,
            preparation: 0,
            loading: 0,
            schema: warehouse.schema(space),
            source: format!("tablecast-serve/{space}"),
            rules,
            only: None,
            draft: None,
            warehouse: None,
        }
    }

    /// Of some tables and columns alone.
    pub(super) fn only(mut self, only: Only) -> Run {
        self.only = Some(only).filter(|only| *only != Only::default());
        self
    }

    /// Goes on with something else switched off.
    pub(super) fn switch(&mut self, off: Off) {
        self.rules.off = off.selection();
        self.off = off;
        self.draft = None;
    }

    /// Time spent so far on preparing and on loading, in ms.
    pub(super) fn times(&self) -> (i64, i64) {
        (self.preparation / 1_000, self.loading / 1_000)
    }

    /// How it ended, by what was loaded and noticed.
    pub(super) fn status(&self, whole: bool) -> Status {
        let noticed = self.discards > 0 || self.notices.iter().any(|notice| notice.level != crate::state::Level::Info);
        match whole {
            true if !noticed => Status::Success,
            false if self.rows + self.discards == 0 => Status::Failure,
            _ => Status::Partial,
        }
    }

    /// Adds a notice, once.
    pub(super) fn notice(&mut self, notice: Notice) {
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    /// What `_discards` got, as a notice.
    pub(super) fn notice_discards(&mut self) {
        if self.discards > 0 {
            let number = self.discards;
            let rows = if number == 1 { "1 value or call is" } else { &format!("{number} values or calls are") };
            self.notice(Notice {
                table: Some("_discards".to_owned()),
                ..Notice::warning(format!("{rows} in _discards, each with its reason; nothing is lost"))
            });
        }
    }

    /// Loads the next cut. Dropping it anywhere is safe: what it loaded and did not write down is loaded again, once.
    pub(super) async fn cut(
        &mut self,
        shared: &Shared,
        config: &WarehouseConfig,
        stop: &watch::Receiver<bool>,
    ) -> Result<Cut> {
        let begin = shared.now();
        let opened = self.warehouse.is_some();
        if self.at >= self.to {
            return Ok(Cut::Done);
        }
        let warehouse = match &self.warehouse {
            Some(warehouse) => warehouse.clone(),
            None => self.open(shared, config).await.inspect_err(|_| self.preparation += shared.now() - begin)?,
        };
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => {
                let draft = Draft::new(&self.rules, warehouse.dialect());
                if let Some(only) = &self.only { draft.only(only.clone()) } else { draft }
            }
        };
        draft.clear();
        let Some(reached) = self.read(shared, &mut draft, stop).await? else { return Ok(Cut::Stopped) };
        if !opened && !draft.is_empty() {
            let described = warehouse.describe(&draft.tables()).await;
            self.preparation += shared.now() - begin;
            described?;
        }
        let loading = shared.now();
        let mut report = Report::default();
        let written =
            if draft.is_empty() { Ok(()) } else { tablecast::write_into(&*warehouse, &draft, &mut report).await };
        self.loading += shared.now() - loading;
        self.draft = Some(draft);
        // What was done before an error counts too; the place stays.
        self.take(shared, config, &report, if written.is_ok() { reached } else { self.at })?;
        written?;
        Ok(if self.at >= self.to { Cut::Done } else { Cut::More })
    }

    async fn open(&mut self, shared: &Shared, config: &WarehouseConfig) -> Result<Arc<dyn Warehouse>> {
        let settings = &shared.settings;
        let opening = (settings.open)(config.uri.expose().to_owned(), self.schema.clone());
        let opened = tokio::time::timeout(settings.limits.describe, opening).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, "the warehouse did not answer in time")
                .temporary()
                .with("call", "open"))
        })?;
        let timed = Timeout::new(Arc::new(Trace::new(opened)), settings.limits);
        let warehouse: Arc<dyn Warehouse> = Arc::new(Retry::new(Arc::new(timed), settings.retry));
        self.warehouse = Some(warehouse.clone());
        Ok(warehouse)
    }

    /// Fills the draft; where it ends. None if the service ends.
    async fn read(&mut self, shared: &Shared, draft: &mut Draft, stop: &watch::Receiver<bool>) -> Result<Option<u64>> {
        let Some(spool) = shared.spools.get(&self.space) else {
            return Err(Error::new(ErrorKind::Config, "the space has no spool").with("space", &self.space));
        };
        let (first, _) = spool.bounds();
        if self.at < first {
            let since = spool.time_at(first).map_or_else(String::new, |at| format!(" before {}", moment(at)));
            self.notice(Notice::warning(format!("calls received{since} are no longer in the spool and were left out")));
            self.at = first;
        }
        let mut reader = spool.read(self.at, self.to).map_err(|error| spool_error(&error))?;
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(None) => break,
                Ok(Some(record)) => {
                    let mut origin = Origin::file(self.source.as_str(), record.received_at);
                    match record.kind {
                        RecordKind::Call => draft.push_line_from(&mut origin, record.payload),
                        RecordKind::Surplus => draft.push_surplus(&mut origin, record.payload),
                    }
                }
                Err(SpoolError::Damaged { .. }) => {
                    let from = reader.offset();
                    let skipped = reader.skip_damage().map_err(|error| spool_error(&error))?;
                    self.notice(Notice::warning(format!(
                        "{skipped} bytes of the spool at {from} are damaged and were left out; put the file back from a \
                         backup and run a backfill to bring the calls in them"
                    )));
                }
                Err(error) => return Err(spool_error(&error)),
            }
            if draft.is_full() {
                return Ok(Some(reader.offset()));
            }
            count += 1;
            if count % STRIDE == 0 {
                tokio::task::yield_now().await;
                if *stop.borrow() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(self.to))
    }

    /// Writes down what a cut did.
    fn take(&mut self, shared: &Shared, config: &WarehouseConfig, report: &Report, reached: u64) -> Result<()> {
        let (rows, discards) = rows_of(report);
        self.rows += rows;
        self.discards += discards;
        for notice in &report.notices {
            // The planner's begin with what they are about.
            let about = notice.split([' ', '.']).next().unwrap_or_default();
            let table = report.columns.contains_key(about).then(|| about.to_owned());
            self.notice(Notice { table, ..Notice::warning(notice.clone()) });
        }
        self.changes.extend(report.changes.iter().map(ToString::to_string));
        let gaps: Vec<i64> = self.gaps.iter().map(|gap| gap.id).collect();
        shared.state.count(&Step {
            id: self.id,
            report,
            notices: &self.notices,
            changes: &self.changes,
            reached,
            cursor: (self.kind == Kind::Sync).then_some((config.name.as_str(), self.space.as_str())),
            gaps: &gaps,
        })?;
        self.at = reached;
        Ok(())
    }
}

fn spool_error(error: &SpoolError) -> Error {
    let kind = match error {
        SpoolError::Damaged { .. } => ErrorKind::Corrupt,
        SpoolError::Full(_) => ErrorKind::Exhausted,
        _ => ErrorKind::Unavailable,
    };
    let made = Error::new(kind, error.to_string()).fix(error.remedy());
    if error.is_temporary() { made.temporary() } else { made }
}
