//! What people ask of the engine: what is going on, and what is to be done.

use super::clock::moment;
use super::engine::Shared;
use super::unknown::Unknown;
use super::views::{OffItem, OffWhy, SelectRequest, Selected, SelectionView, SourceView, UnitView, WarehouseView};
use crate::config::{Config, Item, WarehouseConfig};
use crate::spool::Spool;
use crate::state::{BackfillRequest, HistoryFilter, Kind, Status, Sync, SyncDetail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What kind of no it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// There is no such thing.
    NotFound,
    /// It cannot be done as asked.
    Invalid,
    /// The service's own state failed.
    Failed,
}

/// Why something is not done, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of no it is.
    pub kind: RefusalKind,
    /// Why.
    pub what: String,
    /// What to do.
    pub to_do: String,
}

impl Refusal {
    fn new(kind: RefusalKind, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Refusal { kind, what: what.into(), to_do: to_do.into() }
    }

    fn invalid(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::Invalid, what, to_do)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

impl From<tablecast::Error> for Refusal {
    fn from(error: tablecast::Error) -> Self {
        Refusal::new(RefusalKind::Failed, error.to_string(), error.remedy())
    }
}

/// The handle for page, API and command line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control(Arc<Shared>);

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Control(shared)
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        self.0.config()
    }

    /// Rows of the history, the newest first.
    pub fn syncs(&self, filter: &HistoryFilter) -> Result<Vec<Sync>, Refusal> {
        Ok(self.0.state.syncs(filter)?)
    }

    /// One row of the history with everything that is known of it.
    pub fn sync(&self, id: i64) -> Result<SyncDetail, Refusal> {
        let to_do = "`tablecast syncs` lists those that there are";
        self.0
            .state
            .sync(id)?
            .ok_or_else(|| Refusal::new(RefusalKind::NotFound, format!("there is no sync {id}"), to_do))
    }

    /// All warehouses, and how each is doing in its spaces: what is running, what was last, what comes next.
    pub fn warehouses(&self) -> Result<Vec<WarehouseView>, Refusal> {
        self.config().warehouses.iter().map(|warehouse| self.warehouse_view(warehouse)).collect()
    }

    fn warehouse_view(&self, warehouse: &WarehouseConfig) -> Result<WarehouseView, Refusal> {
        let spaces = warehouse.spaces.iter().map(|space| self.unit_view(warehouse, space));
        Ok(WarehouseView {
            name: warehouse.name.clone(),
            uri: warehouse.shown_uri.clone(),
            schedule: warehouse.schedule.to_string(),
            spaces: spaces.collect::<Result<_, _>>()?,
        })
    }

    fn unit_view(&self, warehouse: &WarehouseConfig, space: &str) -> Result<UnitView, Refusal> {
        let state = &self.0.state;
        let live = self.0.live.get(&warehouse.name, space);
        let cursor = state.position(&warehouse.name, space)?.map_or(0, |position| position.cursor);
        let spool = self.0.spools.get(space);
        let (first, end) = spool.as_ref().map_or((0, 0), Spool::bounds);
        let from = cursor.max(first);
        let gaps = state.gaps(&warehouse.name, space)?;
        let last = state.last_run(&warehouse.name, space)?;
        let error = live.error.or_else(|| last.as_ref().and_then(|last| last.error.clone()));
        Ok(UnitView {
            warehouse: warehouse.name.clone(),
            space: space.to_owned(),
            schema: warehouse.schema(space).to_string(),
            state: live.state,
            next: live.next,
            failures: live.failures,
            error,
            last,
            behind_bytes: end.saturating_sub(from),
            behind_since: spool.filter(|_| from < end).and_then(|spool| spool.time_at(from)).map(moment),
            to_fill: gaps.into_iter().filter(|gap| gap.until.is_some()).map(|gap| gap.item).collect(),
        })
    }

    /// All spaces, with where their calls come from and go to.
    pub fn sources(&self) -> Result<Vec<SourceView>, Refusal> {
        let config = self.config();
        let view = |source: &crate::config::Source| {
            let space = &source.space;
            let takers = || config.warehouses.iter().filter(|warehouse| warehouse.spaces.contains(space));
            let mut schemas: BTreeSet<String> = takers().map(|warehouse| warehouse.schema(space).to_string()).collect();
            if schemas.is_empty() {
                schemas.insert(tablecast::Rules { space: space.clone(), ..Default::default() }.schema().to_string());
            }
            let spool = self.0.spools.get(space);
            let (first, end) = spool.as_ref().map_or((0, 0), Spool::bounds);
            SourceView {
                space: space.clone(),
                schemas: schemas.into_iter().collect(),
                write_keys: source.write_keys.len(),
                warehouses: takers().map(|warehouse| warehouse.name.clone()).collect(),
                spool_bytes: end - first,
                oldest: spool.and_then(|spool| spool.time_at(first)).map(moment),
            }
        };
        Ok(config.sources.iter().map(view).collect())
    }

    /// Asks for a sync now: of all warehouses or one, in all spaces or one. Gives the numbers of their rows in the history.
    pub fn sync_now(&self, warehouse: Option<&str>, space: Option<&str>) -> Result<Vec<i64>, Refusal> {
        let config = self.config();
        let mut ids = Vec::new();
        for warehouse in self.chosen(&config, warehouse)? {
            for space in spaces_of(warehouse, space)? {
                ids.push(self.ask_for_sync(warehouse, space)?);
            }
        }
        if ids.is_empty() {
            return Err(match space {
                Some(space) => no_space(space),
                None => Refusal::invalid("no warehouse is configured", "add a [[warehouse]] to the configuration"),
            });
        }
        self.0.wake();
        Ok(ids)
    }

    fn ask_for_sync(&self, warehouse: &WarehouseConfig, space: &str) -> Result<i64, Refusal> {
        let state = &self.0.state;
        let waiting = state.waiting(&warehouse.name)?;
        if let Some(sync) = waiting.iter().find(|sync| sync.kind == Kind::Sync && sync.space == space) {
            return Ok(sync.id);
        }
        let schema = warehouse.schema(space);
        let place = (warehouse.name.as_str(), space, schema.as_str());
        Ok(state.request(place, (Kind::Sync, Status::Waiting), self.0.now(), None, None)?)
    }

    /// What is off, for all warehouses or one.
    pub fn selection(&self, warehouse: Option<&str>) -> Result<Vec<SelectionView>, Refusal> {
        let config = self.config();
        self.chosen(&config, warehouse)?.into_iter().map(|warehouse| self.selection_view(warehouse)).collect()
    }

    fn selection_view(&self, warehouse: &WarehouseConfig) -> Result<SelectionView, Refusal> {
        let item = |item: &Item, by| OffItem { kind: item.kind, name: item.name.clone(), by };
        let mut off: Vec<OffItem> = warehouse.off.0.iter().map(|fixed| item(fixed, OffWhy::Configuration)).collect();
        let switches = self.0.state.switches(&warehouse.name)?;
        off.extend(switches.0.iter().filter(|one| !warehouse.off.0.contains(one)).map(|one| item(one, OffWhy::Switch)));
        Ok(SelectionView { warehouse: warehouse.name.clone(), off })
    }

    /// What can be switched for a warehouse, as far as it is known: the audiences and traits of the configuration, and
    /// the tables and columns that its syncs have met.
    pub fn known(&self, warehouse: &str) -> Result<Vec<Item>, Refusal> {
        let config = self.config();
        let chosen = self.chosen(&config, Some(warehouse))?;
        let spaces: Vec<&String> = chosen.iter().flat_map(|warehouse| &warehouse.spaces).collect();
        let computations = config.computations.all().filter(|one| spaces.contains(&&one.space));
        let mut known: Vec<Item> = computations.map(|one| Item::computation(&one.key)).collect();
        known.extend(self.0.state.known(warehouse)?);
        Ok(known)
    }

    /// Switches tables, columns, audiences and traits off and on. Nothing is deleted by switching off; what comes on is
    /// synced at once, and then the gap is filled from the spool.
    ///
    /// Core columns cannot go off, and what the configuration switches off cannot come on here. A name that no warehouse
    /// has yet is taken, and told.
    pub fn select(&self, request: &SelectRequest) -> Result<Selected, Refusal> {
        let config = self.config();
        let warehouses = self.chosen(&config, request.warehouse.as_deref())?;
        if request.off.is_empty() && request.on.is_empty() {
            return Err(Refusal::invalid(
                "nothing is named to switch",
                "name a table, a column, an audience or a trait",
            ));
        }
        for item in &request.off {
            if let Some((what, to_do)) = item.refusal() {
                return Err(Refusal::invalid(format!("{item} cannot be switched off: {what}"), to_do));
            }
        }
        if let Some(both) = request.off.iter().find(|item| request.on.contains(item)) {
            return Err(Refusal::invalid(format!("{both} is to go off and on"), "name it once"));
        }
        for warehouse in &warehouses {
            let is_fixed = |item: &&Item| warehouse.off.0.iter().any(|fixed| fixed.is_same(item, warehouse.dialect));
            if let Some(fixed) = request.on.iter().find(is_fixed) {
                return Err(Refusal::invalid(
                    format!("{fixed} is switched off for \"{}\" by the configuration", warehouse.name),
                    format!(
                        "take it out of `off` of [[warehouse]] \"{}\" and reload the configuration (SIGHUP)",
                        warehouse.name
                    ),
                ));
            }
        }
        let unknown = self.unknown(request, &warehouses)?;
        let mut syncs = Vec::new();
        for warehouse in &warehouses {
            let before = self.0.state.switches(&warehouse.name)?;
            let comes_on = |off: &&Item| request.on.iter().any(|item| item.is_same(off, warehouse.dialect));
            let on: Vec<Item> = before.0.iter().filter(comes_on).cloned().collect();
            self.0.state.switch(&warehouse.name, &request.off, &on, self.0.now())?;
            if !on.is_empty() {
                for space in &warehouse.spaces {
                    syncs.push(self.ask_for_sync(warehouse, space)?);
                }
            }
        }
        self.0.wake();
        let selection =
            warehouses.into_iter().map(|warehouse| self.selection_view(warehouse)).collect::<Result<_, _>>()?;
        Ok(Selected { selection, syncs, unknown })
    }

    /// What is named and known to none of the warehouses. What is off already is known when it is to come on.
    fn unknown(&self, request: &SelectRequest, warehouses: &[&WarehouseConfig]) -> Result<Vec<Unknown>, Refusal> {
        let (mut known, mut off) = (Vec::new(), Vec::new());
        for warehouse in warehouses {
            known.push((warehouse.dialect, self.known(&warehouse.name)?));
            off.extend(self.0.off(warehouse)?.0.into_iter().map(|item| (item, warehouse.dialect)));
        }
        let on = request.on.iter().filter(|item| !off.iter().any(|(off, dialect)| off.is_same(item, dialect)));
        Ok(request.off.iter().chain(on).filter_map(|item| Unknown::of(item, &known)).collect())
    }

    /// Asks for a backfill: calls that the warehouse had already are loaded from the spool once more, and fill what is
    /// missing. Gives the numbers of its rows in the history, one for each space.
    pub fn backfill(&self, request: &BackfillRequest) -> Result<Vec<i64>, Refusal> {
        let config = self.config();
        let chosen = self.chosen(&config, Some(&request.warehouse))?;
        let Some(warehouse) = chosen.first() else { return Ok(Vec::new()) };
        if let (Some(from), Some(until)) = (request.from, request.until)
            && from >= until
        {
            return Err(Refusal::invalid(
                "the time span ends before it begins",
                "give --from an earlier time than --until",
            ));
        }
        let off = self.0.off(warehouse)?;
        let tables = request.tables.iter().map(Item::table);
        for item in tables.chain(request.columns.iter().map(Item::column)) {
            if let Some((what, to_do)) = item.refusal() {
                return Err(Refusal::invalid(format!("{item} cannot be loaded again by itself: {what}"), to_do));
            }
            if off.0.contains(&item) {
                return Err(Refusal::invalid(
                    format!("{item} is switched off for \"{}\"", warehouse.name),
                    "switch it on; what it lacks is filled by itself then",
                ));
            }
        }
        let mut ids = Vec::new();
        for space in spaces_of(warehouse, request.space.as_deref())? {
            let Some(spool) = self.0.spools.get(space) else { return Err(no_space(space)) };
            let (first, _) = spool.bounds();
            // What comes after is a sync's.
            let cursor = self.0.state.position(&warehouse.name, space)?.map_or(0, |position| position.cursor);
            let at = |time: jiff::Timestamp| spool.offset_at(time.as_microsecond());
            let to = request.until.map_or(cursor, at).min(cursor);
            let from = request.from.map_or(first, at).clamp(first.min(to), to);
            let schema = warehouse.schema(space);
            let place = (warehouse.name.as_str(), space, schema.as_str());
            let what = (Kind::Backfill, Status::Waiting);
            ids.push(self.0.state.request(place, what, self.0.now(), Some((from, to)), Some(request))?);
        }
        if ids.is_empty() {
            return Err(no_space(request.space.as_deref().unwrap_or_default()));
        }
        self.0.wake();
        Ok(ids)
    }

    fn chosen<'c>(&self, config: &'c Config, name: Option<&str>) -> Result<Vec<&'c WarehouseConfig>, Refusal> {
        let Some(name) = name else { return Ok(config.warehouses.iter().collect()) };
        let found = config.warehouse(name).ok_or_else(|| {
            let names: Vec<&str> = config.warehouses.iter().map(|warehouse| warehouse.name.as_str()).collect();
            let to_do = if names.is_empty() {
                "add a [[warehouse]] to the configuration".to_owned()
            } else {
                format!("name one of: {}", names.join(", "))
            };
            Refusal::new(RefusalKind::NotFound, format!("there is no warehouse \"{name}\""), to_do)
        })?;
        Ok(vec![found])
    }
}

/// The spaces of a warehouse, or the one that is named, if it is among them.
fn spaces_of<'w>(warehouse: &'w WarehouseConfig, space: Option<&str>) -> Result<Vec<&'w str>, Refusal> {
    Ok(warehouse.spaces.iter().map(String::as_str).filter(|one| space.is_none_or(|space| space == *one)).collect())
}

fn no_space(space: &str) -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        format!("the warehouse does not get the space \"{space}\""),
        "name one of its spaces; `tablecast syncs` shows them",
    )
}
