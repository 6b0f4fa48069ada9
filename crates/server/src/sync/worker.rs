//! The task of one warehouse: what is due comes first, then what must be filled, then backfills, a cut at a time.

mod side;
mod unit;

use super::clock::moment;
use super::engine::{EndedSync, Shared};
use super::run::{Cut, Run};
use super::views::UnitState;
use crate::config::{Schedule, WarehouseConfig};
use crate::state::{End, Kind, Notice, Status, Sync, Trouble};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tablecast::Result;
use tokio::sync::watch;
use tracing::{error, info, warn};
use unit::{Aside, Unit, back_off};

/// The wait after the service's own state failed.
const STATE_WAIT: i64 = 10_000_000;

/// What comes after a step.
enum Next {
    Again,
    /// Nothing before this time.
    At(i64),
}

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    name: String,
    units: BTreeMap<String, Unit>,
    /// Fills and backfills at work.
    side: Vec<Run>,
    /// Only what waits, no schedule.
    once: bool,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, name: String) -> Worker {
        Worker { shared, name, units: BTreeMap::new(), side: Vec::new(), once: false }
    }

    /// Until `stop` is true or the warehouse is no longer configured.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.shared.changes();
        while !*stop.borrow() {
            let now = self.shared.now();
            changes.borrow_and_update();
            let config = self.shared.config();
            let Some(warehouse) = config.warehouse(&self.name) else { break };
            let until = match self.step(warehouse, &stop).await {
                Ok(Next::Again) => continue,
                Ok(Next::At(time)) => time,
                Err(error) => {
                    error!(target: "tablecast", warehouse = self.name, %error, to_do = error.remedy(), "the service's own state failed");
                    now + STATE_WAIT
                }
            };
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { break },
                _ = changes.changed() => {}
                () = self.shared.settings.clock.until(now, until) => {}
            }
        }
        let side = std::mem::take(&mut self.side);
        self.lay_aside(side);
    }

    /// Does what waits, and fills what it brings on.
    pub(super) async fn drain(mut self) {
        self.once = true;
        let (_keep, stop) = watch::channel(false);
        let config = self.shared.config();
        let Some(warehouse) = config.warehouse(&self.name) else { return };
        loop {
            match self.step(warehouse, &stop).await {
                Ok(Next::Again) => {}
                Ok(Next::At(_)) => return,
                Err(error) => {
                    error!(target: "tablecast", warehouse = self.name, %error, to_do = error.remedy(), "the service's own state failed");
                    return;
                }
            }
        }
    }

    async fn step(&mut self, warehouse: &WarehouseConfig, stop: &watch::Receiver<bool>) -> Result<Next> {
        self.refresh(warehouse)?;
        let now = self.shared.now();
        if !self.once {
            let moved = self.units.iter_mut().filter_map(|(space, unit)| unit.bound(now).then(|| space.clone()));
            moved.collect::<Vec<_>>().iter().for_each(|space| self.show(space, UnitState::Idle));
        }
        let waiting = self.shared.state.waiting(&self.name)?;
        if let Some(sync) = waiting.iter().find(|sync| sync.kind == Kind::Sync) {
            if self.units.contains_key(&sync.space) {
                self.sync(warehouse, &sync.space, Some(sync.id), stop).await?;
            } else {
                self.abandon(sync)?;
            }
            return Ok(Next::Again);
        }
        let due = self.units.iter().filter(|_| !self.once).min_by_key(|(_, unit)| unit.due());
        if let Some((space, _)) = due.filter(|(_, unit)| unit.due() <= now) {
            let space = space.clone();
            self.sync(warehouse, &space, None, stop).await?;
            return Ok(Next::Again);
        }
        if self.fill(warehouse, now, stop).await? || self.backfill(warehouse, &waiting, now, stop).await? {
            return Ok(Next::Again);
        }
        Ok(Next::At(self.units.values().map(|unit| unit.next(now)).min().unwrap_or(i64::MAX)))
    }

    /// Takes up spaces and schedules as the configuration has them.
    fn refresh(&mut self, warehouse: &WarehouseConfig) -> Result<()> {
        self.units.retain(|space, _| warehouse.spaces.contains(space));
        let gone = self.side.extract_if(.., |run| !warehouse.spaces.contains(&run.space)).collect();
        self.lay_aside(gone);
        for space in &warehouse.spaces {
            let known = self.units.get(space).map(|unit| unit.schedule == warehouse.schedule);
            if known == Some(true) {
                continue;
            }
            let now = self.shared.now();
            let last = self.shared.state.last_run(&self.name, space)?;
            let slot = match &last {
                // What a crash or a failure left behind is taken up at once when the service begins.
                Some(last) if known.is_some() || last.status == Status::Success => {
                    warehouse.schedule.after(last.start).as_microsecond().max(now)
                }
                _ => now,
            };
            let unit = self.units.entry(space.clone()).or_insert_with(|| Unit {
                schedule: Schedule::default(),
                slot,
                retry: None,
                failures: 0,
                fill: Aside::default(),
                backfill: Aside::default(),
            });
            unit.schedule = warehouse.schedule.clone();
            unit.slot = slot;
            self.show(space, UnitState::Idle);
        }
        Ok(())
    }

    /// Lets others see what a unit is about.
    fn show(&self, space: &str, state: UnitState) {
        let Some(unit) = self.units.get(space) else { return };
        let next = (!self.once).then(|| moment(unit.due()));
        let failures = unit.all_failures();
        let state = if state == UnitState::Idle && failures > 0 { UnitState::Retrying } else { state };
        self.shared.live.change(&self.name, space, |live| {
            (live.state, live.next, live.failures) = (state, next, failures);
        });
    }

    fn show_trouble(&self, space: &str, trouble: Option<Trouble>) {
        self.shared.live.change(&self.name, space, |live| live.error = trouble);
    }

    /// One sync of one space, from its beginning to its end.
    async fn sync(
        &mut self,
        warehouse: &WarehouseConfig,
        space: &str,
        waiting: Option<i64>,
        stop: &watch::Receiver<bool>,
    ) -> Result<()> {
        let shared = self.shared.clone();
        let now = shared.now();
        let off = shared.off(warehouse)?;
        let schema = warehouse.schema(space);
        let (first, to) = shared.spools.get(space).map_or((0, 0), |spool| spool.bounds());
        let position = shared.state.position(&self.name, space)?;
        let behind = position.as_ref().is_some_and(|position| position.cursor < first);
        let address = warehouse.shown_uri.as_str();
        let begun = shared.state.begin(waiting, &self.name, space, schema.as_str(), address, &off, first, to, now)?;
        if let Some(unit) = self.units.get_mut(space) {
            unit.slot = if self.once { i64::MAX } else { unit.schedule.after(moment(now)).as_microsecond() };
            unit.retry = None;
        }
        self.show(space, UnitState::Running);

        let mut run = Run::new(begun.id, Kind::Sync, warehouse, space, (begun.from, to.max(begun.from)), off);
        if position.as_ref().is_some_and(|position| position.turned_back) {
            run.notice(Notice::warning(
                "the spool ended before what this warehouse had taken from it: its end was lost, and syncs go on from what is left",
            ));
        }
        if behind {
            run.notice(Notice::warning("calls that the warehouse lacks are no longer in the spool and were left out"));
        }
        if let Some(before) = begun.address.filter(|before| before != address) {
            run.notice(Notice::info(format!(
                "the warehouse is at {address} now and was at {before}: syncs go on where they were; \
                 `tablecast backfill --to {}` brings what the spool still has",
                self.name
            )));
        }
        let outcome = loop {
            match self.watching_slots(&mut run, warehouse, stop).await {
                Ok(Cut::More) if !*stop.borrow() => {}
                Ok(Cut::More | Cut::Stopped) => {
                    run.notice(Notice::warning("the service ended: the next sync takes up the rest"));
                    break Ok(());
                }
                Ok(Cut::Done) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        run.notice_discards();
        let now = shared.now();
        if let Some(unit) = self.units.get_mut(space) {
            match &outcome {
                Ok(()) => unit.failures = 0,
                Err(error) => {
                    unit.failures += 1;
                    unit.retry = Some(now.saturating_add(back_off(unit.failures, error)));
                }
            }
        }
        let trouble = outcome.as_ref().err().map(Trouble::from);
        self.show_trouble(space, trouble.clone());
        self.show(space, UnitState::Idle);
        let status = run.status(outcome.is_ok());
        self.end(&run, status, trouble.as_ref(), &[])
    }

    /// A cut; slots that pass meanwhile are skipped.
    async fn watching_slots(
        &mut self,
        run: &mut Run,
        warehouse: &WarehouseConfig,
        stop: &watch::Receiver<bool>,
    ) -> Result<Cut> {
        let shared = self.shared.clone();
        let (space, began) = (run.space.clone(), shared.now());
        let mut cut = pin!(run.cut(&shared, warehouse, stop));
        let done = loop {
            let (now, slot) = (shared.now(), self.units.get(&space).map_or(i64::MAX, |unit| unit.slot));
            tokio::select! {
                biased;
                done = &mut cut => break done,
                () = shared.settings.clock.until(now, slot) => {
                    if slot <= shared.now() {
                        self.skip(warehouse, &space, began)?;
                    }
                }
            }
        };
        if self.units.get(&space).is_some_and(|unit| unit.slot <= shared.now()) {
            self.skip(warehouse, &space, began)?;
        }
        done
    }

    /// Notes that a beginning came while the sync before was still running.
    fn skip(&mut self, warehouse: &WarehouseConfig, space: &str, began: i64) -> Result<()> {
        let now = self.shared.now();
        let Some(unit) = self.units.get_mut(space) else { return Ok(()) };
        let slot = unit.slot;
        let next = unit.schedule.after(moment(now.max(slot)));
        unit.slot = next.as_microsecond();
        let why = Notice::info(format!("the sync that was at work at {} had not ended", moment(began.max(slot))));
        warn!(target: "tablecast", warehouse = self.name, space, "a sync was skipped: the one before still runs");
        let schema = warehouse.schema(space);
        self.shared.state.skip((&self.name, space, schema.as_str()), slot, Some(next), &why)?;
        self.show(space, UnitState::Running);
        Ok(())
    }

    /// Writes down how something ended, and says so.
    fn end(&self, run: &Run, status: Status, trouble: Option<&Trouble>, filled: &[i64]) -> Result<()> {
        let (preparation_ms, loading_ms) = run.times();
        let next = self.units.get(&run.space).filter(|_| !self.once).map(|unit| moment(unit.due()));
        let (warehouse, space, id) = (&self.name, &run.space, run.id);
        match trouble {
            None => {
                info!(target: "tablecast", warehouse, space, id, kind = %run.kind, %status, rows = run.rows, preparation_ms, loading_ms, "sync ended");
            }
            Some(trouble) => {
                warn!(target: "tablecast", warehouse, space, id, kind = %run.kind, %status, rows = run.rows, error = trouble.what, to_do = trouble.to_do, "sync failed");
            }
        }
        if let Some(on_end) = &self.shared.settings.on_end {
            let millis = u64::try_from(preparation_ms.saturating_add(loading_ms)).unwrap_or(0);
            on_end(&EndedSync {
                warehouse,
                space,
                kind: run.kind,
                status,
                rows: run.rows,
                discards: run.discards,
                time: Duration::from_millis(millis),
            });
        }
        self.shared.state.end(&End {
            id: run.id,
            status,
            now: self.shared.now(),
            preparation_ms,
            loading_ms,
            next,
            notices: &run.notices,
            trouble,
            filled,
        })
    }

    fn abandon(&self, sync: &Sync) -> Result<()> {
        let trouble = Trouble {
            what: "the warehouse does not get this space any more".to_owned(),
            to_do: "add the space to the warehouse in the configuration, then ask again".to_owned(),
        };
        self.shared.state.abandon(sync.id, self.shared.now(), &trouble)
    }
}
