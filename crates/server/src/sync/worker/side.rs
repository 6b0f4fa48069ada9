//! What a warehouse's task does when no sync is due: a cut of a fill, or of a backfill.

use super::Worker;
use super::unit::Aside;
use crate::config::{Item, Off, WarehouseConfig};
use crate::state::{Gap, Kind, Notice, Status, Sync, Trouble};
use crate::sync::clock::moment;
use crate::sync::run::{Cut, Run};
use crate::sync::views::UnitState;
use tablecast::{Only, Result};
use tokio::sync::watch;
use tracing::{error, warn};

impl Worker {
    /// One cut of a fill, if there is anything to fill.
    pub(super) async fn fill(
        &mut self,
        warehouse: &WarehouseConfig,
        now: i64,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool> {
        let off = self.shared.off(warehouse)?;
        // A fill that began with another selection ends; what is left of the gap begins again.
        if let Some(at) = self.side.iter().position(|run| run.kind == Kind::Fill && run.off != off) {
            let mut run = self.side.remove(at);
            run.notice(Notice::warning("the selection was changed: another fill takes up the rest"));
            self.end(&run, run.status(true), None, &[])?;
        }
        // A warehouse that takes no sync is not asked for a fill.
        let ready = self.units.iter().filter(|(_, unit)| unit.fill.at <= now && unit.failures == 0);
        let ready: Vec<String> = ready.map(|(space, _)| space.clone()).collect();
        for space in ready {
            let at = match self.side.iter().position(|run| run.kind == Kind::Fill && run.space == space) {
                Some(at) => at,
                None => {
                    let gaps = self.shared.state.gaps(&self.name, &space)?;
                    let gaps: Vec<Gap> =
                        gaps.into_iter().filter(|gap| gap.until.is_some() && !off.0.contains(&gap.item)).collect();
                    if gaps.is_empty() {
                        self.is_well(Kind::Fill, &space);
                        continue;
                    }
                    self.side.push(self.begin_fill(warehouse, &space, gaps, off.clone())?);
                    self.side.len() - 1
                }
            };
            let run = self.side.remove(at);
            self.side_cut(run, warehouse, stop).await?;
            return Ok(true);
        }
        Ok(false)
    }

    fn begin_fill(&self, warehouse: &WarehouseConfig, space: &str, gaps: Vec<Gap>, off: Off) -> Result<Run> {
        let from = gaps.iter().map(|gap| gap.since).min().unwrap_or(0);
        let to = gaps.iter().filter_map(|gap| gap.until).max().unwrap_or(0);
        let schema = warehouse.schema(space);
        let place = (self.name.as_str(), space, schema.as_str());
        let now = self.shared.now();
        let id = self.shared.state.request(place, (Kind::Fill, Status::Running), now, Some((from, to)), None)?;
        self.shared.state.lacks(&self.name, space, &off, from)?;
        let mut run = Run::new(id, Kind::Fill, warehouse, space, (from, to), off);
        let spool = self.shared.spools.get(space);
        let time = |offset| spool.as_ref().and_then(|spool| spool.time_at(offset)).map(moment);
        for gap in &gaps {
            let since = time(gap.since).map_or_else(|| "the first call in the spool".to_owned(), |at| at.to_string());
            let until = gap.until.and_then(time).map_or_else(|| "now".to_owned(), |at| at.to_string());
            let Item { kind, name } = &gap.item;
            run.notice(Notice::info(format!(
                "{kind} {name} was off: filled for calls received from {since} until {until}"
            )));
        }
        run.gaps = gaps;
        Ok(run)
    }

    /// One cut of a backfill, if one waits.
    pub(super) async fn backfill(
        &mut self,
        warehouse: &WarehouseConfig,
        waiting: &[Sync],
        now: i64,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool> {
        let off = self.shared.off(warehouse)?;
        let ready = |space: &str| self.units.get(space).is_some_and(|unit| unit.backfill.at <= now);
        if let Some(at) = self.side.iter().position(|run| run.kind == Kind::Backfill && ready(&run.space)) {
            let mut run = self.side.remove(at);
            if run.off != off {
                self.shared.state.lacks(&self.name, &run.space, &off, run.at)?;
                run.switch(off);
            }
            self.side_cut(run, warehouse, stop).await?;
            return Ok(true);
        }
        for sync in waiting.iter().filter(|sync| sync.kind == Kind::Backfill) {
            if !self.units.contains_key(&sync.space) {
                self.abandon(sync)?;
                return Ok(true);
            }
            if ready(&sync.space) && !self.side.iter().any(|run| run.kind == Kind::Backfill) {
                let run = self.begin_backfill(warehouse, sync, off)?;
                self.side_cut(run, warehouse, stop).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin_backfill(&self, warehouse: &WarehouseConfig, sync: &Sync, off: Off) -> Result<Run> {
        let (from, to) = self.shared.state.span(sync.id)?;
        let done = sync.progress.map_or(0, |progress| progress.done);
        let schema = warehouse.schema(&sync.space);
        self.shared.state.start(sync.id, schema.as_str(), (from, to), self.shared.now())?;
        self.shared.state.lacks(&self.name, &sync.space, &off, from)?;
        let mut run = Run::new(sync.id, Kind::Backfill, warehouse, &sync.space, (from.saturating_add(done), to), off);
        if let Some(before) = self.shared.state.sync(sync.id)? {
            (run.rows, run.discards) = (before.sync.rows, before.sync.discards);
            (run.notices, run.changes) = (before.notices, before.changes);
        }
        let request = sync.request.clone().unwrap_or_default();
        let (tables, columns) = (request.tables.into_iter().collect(), request.columns.into_iter().collect());
        Ok(run.only(Only { tables, columns }))
    }

    /// A cut of a fill or a backfill, and what comes of it.
    async fn side_cut(
        &mut self,
        mut run: Run,
        warehouse: &WarehouseConfig,
        stop: &watch::Receiver<bool>,
    ) -> Result<()> {
        self.show(&run.space, UnitState::Running);
        let shared = self.shared.clone();
        let outcome = run.cut(&shared, warehouse, stop).await;
        let (now, once) = (shared.now(), self.once);
        // Of a fill the gap stays; a backfill that will fail again ends.
        let comes_again =
            outcome.as_ref().err().is_some_and(|error| run.kind == Kind::Fill || error.is_temporary() && !once);
        match (&outcome, self.aside(run.kind, &run.space)) {
            (Err(error), Some(aside)) if comes_again => {
                aside.failed(now, error);
                aside.at = if once { i64::MAX } else { aside.at };
            }
            _ => self.is_well(run.kind, &run.space),
        }
        // What is wrong with syncs stays to be seen.
        if outcome.is_err() || self.units.get(&run.space).is_some_and(|unit| unit.failures == 0) {
            self.show_trouble(&run.space, outcome.as_ref().err().map(Trouble::from));
        }
        self.show(&run.space, UnitState::Idle);
        match outcome {
            Ok(Cut::More | Cut::Stopped) => {
                self.side.push(run);
                Ok(())
            }
            Ok(Cut::Done) => {
                run.notice_discards();
                let filled: Vec<i64> = run.gaps.iter().map(|gap| gap.id).collect();
                self.end(&run, run.status(true), None, &filled)
            }
            Err(error) => {
                let trouble = Trouble::from(&error);
                if run.kind == Kind::Backfill && comes_again {
                    let (preparation_ms, loading_ms) = run.times();
                    warn!(target: "tablecast", warehouse = self.name, space = run.space, %error, to_do = error.remedy(), "a backfill waits");
                    return self.shared.state.rest(run.id, preparation_ms, loading_ms, Some(&trouble));
                }
                run.notice_discards();
                self.end(&run, run.status(false), Some(&trouble), &[])
            }
        }
    }

    fn aside(&mut self, kind: Kind, space: &str) -> Option<&mut Aside> {
        let unit = self.units.get_mut(space)?;
        Some(if kind == Kind::Fill { &mut unit.fill } else { &mut unit.backfill })
    }

    /// Notes that nothing that failed waits to be tried again.
    fn is_well(&mut self, kind: Kind, space: &str) {
        if let Some(aside) = self.aside(kind, space).filter(|aside| aside.failures > 0) {
            *aside = Aside::default();
            self.show(space, UnitState::Idle);
        }
    }

    /// Leaves fills and backfills so that they go on at the next start.
    pub(super) fn lay_aside(&self, side: Vec<Run>) {
        for mut run in side {
            let laid = if run.kind == Kind::Backfill {
                let (preparation_ms, loading_ms) = run.times();
                self.shared.state.rest(run.id, preparation_ms, loading_ms, None)
            } else {
                run.notice(Notice::warning("it was broken off: another fill takes up the rest"));
                self.end(&run, run.status(true), None, &[])
            };
            if let Err(error) = laid {
                error!(target: "tablecast", warehouse = self.name, %error, "the service's own state failed");
            }
        }
    }
}
