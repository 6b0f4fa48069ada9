//! `sync`, `syncs` and `backfill`: asking for syncs, and looking at them.

use crate::args::service::{BackfillArgs, NowArgs, SyncCommand, SyncsArgs};
use crate::ask::{self, Asked};
use crate::failure::{Exit, Failure};
use crate::{output, waiting};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use std::fmt::Write;
use tablecast_server::State;
use tablecast_server::service::DataLock;
use tablecast_server::state::{BackfillRequest, HistoryFilter, Kind, Level, Status, Sync, SyncDetail};
use tablecast_server::sync::{UnitState, UnitView};

pub(crate) async fn sync(what: &SyncCommand) -> Result<Exit, Failure> {
    match what {
        SyncCommand::Now(args) => now(args).await,
        SyncCommand::Renamed { service, to } => {
            let config = ask::config_here(service)?;
            if config.warehouse(to).is_none() {
                let to_do = "name a [[warehouse]] of the configuration";
                return Err(Failure::usage(format!("there is no warehouse \"{to}\""), to_do));
            }
            let place = service.config.display().to_string();
            let _lock = DataLock::take(&config.data).map_err(|problems| ask::wrong(problems, &place))?;
            State::open(&config.data)?.forget_schemas(to)?;
            output::print(&format!("the next sync of {to} goes to the schemas as the configuration names them\n"))?;
            Ok(Exit::Done)
        }
    }
}

async fn now(args: &NowArgs) -> Result<Exit, Failure> {
    let asked = Asked::find(&args.service)?;
    let ids = asked.sync_now(args.to.as_deref(), args.space.as_deref()).await?;
    let details = waiting::for_all(&asked, &ids).await?;
    tell(&details, args.json)
}

pub(crate) async fn backfill(args: &BackfillArgs) -> Result<Exit, Failure> {
    let time = |option: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => moment(text).map(Some).ok_or_else(|| {
            Failure::usage(
                format!("{option} is no time"),
                "write it as 2026-01-31 or 2026-01-31T12:00:00Z; without a zone it is this machine's",
            )
        }),
    };
    let request = BackfillRequest {
        warehouse: args.to.clone(),
        space: args.space.clone(),
        from: time("--from", &args.from)?,
        until: time("--until", &args.until)?,
        tables: args.tables.clone(),
        columns: args.columns.clone(),
    };
    let asked = Asked::find(&args.service)?;
    let ids = asked.backfill(&request).await?;
    let details = waiting::for_all(&asked, &ids).await?;
    tell(&details, args.json)
}

/// A time as people write it.
fn moment(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        TimeZone::system().to_timestamp(time).ok()
    })
}

/// Syncs that have ended.
fn tell(details: &[SyncDetail], json: bool) -> Result<Exit, Failure> {
    if json {
        output::print_json(&json!({"syncs": details}))?;
    } else {
        let syncs: Vec<Sync> = details.iter().map(|detail| detail.sync.clone()).collect();
        let mut text = table(&syncs);
        for detail in details {
            text.push_str(&notices(detail));
        }
        if let [detail] = details {
            let _ = writeln!(text, "next: tablecast syncs {}", detail.sync.id);
        }
        output::print(&text)?;
    }
    let failed = details.iter().any(|detail| detail.sync.error.is_some());
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

pub(crate) async fn syncs(args: &SyncsArgs) -> Result<Exit, Failure> {
    let asked = Asked::find(&args.service)?;
    if let Some(id) = args.id {
        let detail = asked.sync(id).await?;
        if args.json {
            output::print_json(&json!(detail))?;
        } else {
            output::print(&one(&detail))?;
        }
        return Ok(Exit::Done);
    }
    let filter =
        HistoryFilter { warehouse: args.to.clone(), space: args.space.clone(), before: None, limit: args.limit.max(1) };
    let syncs = asked.syncs(&filter).await?;
    let is = |wanted: &Option<String>, of: &str| wanted.as_deref().is_none_or(|wanted| wanted == of);
    let units: Vec<UnitView> = asked
        .warehouses()
        .await?
        .into_iter()
        .flat_map(|warehouse| warehouse.spaces)
        .filter(|unit| is(&args.to, &unit.warehouse) && is(&args.space, &unit.space))
        .collect();
    if args.json {
        output::print_json(&json!({"syncs": syncs, "upcoming": units}))?;
        return Ok(Exit::Done);
    }
    let mut text = upcoming(&units, matches!(asked, Asked::Running(_)));
    text.push_str(&if syncs.is_empty() { "\nno sync yet\n".to_owned() } else { format!("\npast\n{}", table(&syncs)) });
    output::print(&text)?;
    Ok(Exit::Done)
}

fn upcoming(units: &[UnitView], running: bool) -> String {
    if units.is_empty() {
        return "no warehouse is configured\n".to_owned();
    }
    let mut table = output::table(["warehouse", "source", "state", "next", "behind"]);
    for unit in units {
        let state = match unit.state {
            UnitState::Idle => "idle".to_owned(),
            UnitState::Running => "running".to_owned(),
            UnitState::Retrying => format!("failed {}, tries again", times(unit.failures)),
        };
        let next = match unit.next {
            Some(next) if unit.state != UnitState::Running => shown(next),
            _ => String::new(),
        };
        let behind = if unit.behind_bytes == 0 {
            "up to date".to_owned()
        } else {
            indicatif::HumanBytes(unit.behind_bytes).to_string()
        };
        table.add_row([unit.warehouse.clone(), unit.schema.clone(), state, next, behind]);
    }
    let mut text = format!("upcoming\n{table}\n");
    if !running {
        text.push_str("the service does not run: nothing begins by itself (tablecast serve, or tablecast sync now)\n");
    }
    for unit in units {
        if let Some(error) = &unit.error {
            let _ = writeln!(text, "{} {}: {}\nto do: {}", unit.warehouse, unit.schema, error.what, error.to_do);
        }
    }
    text
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn table(syncs: &[Sync]) -> String {
    let mut table = output::table([
        "sync",
        "warehouse",
        "source",
        "kind",
        "status",
        "start",
        "took",
        "rows",
        "discards",
        "notices",
    ]);
    for sync in syncs {
        table.add_row([
            sync.id.to_string(),
            sync.warehouse.clone(),
            sync.schema.clone(),
            sync.kind.to_string(),
            status(sync),
            shown(sync.start),
            took(sync),
            sync.rows.to_string(),
            sync.discards.to_string(),
            sync.notices.to_string(),
        ]);
    }
    output::align_numbers(&mut table, 7);
    format!("{table}\n")
}

fn status(sync: &Sync) -> String {
    match sync.progress {
        Some(progress) if sync.status == Status::Running && progress.total > 0 => {
            format!("running {}%", progress.done.saturating_mul(100) / progress.total)
        }
        _ => sync.status.to_string(),
    }
}

/// Preparation and loading.
fn took(sync: &Sync) -> String {
    let seconds = |ms: i64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    match (sync.preparation_ms, sync.loading_ms) {
        (Some(preparation), Some(loading)) => seconds(preparation + loading),
        _ => String::new(),
    }
}

/// A time in the zone of whoever looks.
fn shown(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// One sync with everything.
fn one(detail: &SyncDetail) -> String {
    let sync = &detail.sync;
    let mut text = table(std::slice::from_ref(sync));
    if let (Some(preparation), Some(loading)) = (sync.preparation_ms, sync.loading_ms) {
        let _ = writeln!(text, "preparation {preparation} ms, loading {loading} ms");
    }
    if let Some(next) = sync.next {
        let _ = writeln!(text, "the next was to begin at {}", shown(next));
    }
    if let Some(request) = sync.request.as_ref().filter(|_| sync.kind == Kind::Backfill) {
        let _ = writeln!(text, "asked for: {}", json!(request));
    }
    text.push_str(&notices(detail));
    if !detail.changes.is_empty() {
        text.push_str("\nchanges\n");
        for change in &detail.changes {
            let _ = writeln!(text, "  {change}");
        }
    }
    if !detail.tables.is_empty() {
        let mut table = output::table(["table", "received", "loaded", "duplicates", "filtered", "discarded"]);
        for counts in &detail.tables {
            table.add_row([
                counts.name.clone(),
                counts.received.to_string(),
                counts.loaded.to_string(),
                counts.duplicates.to_string(),
                counts.filtered.to_string(),
                counts.discarded.to_string(),
            ]);
        }
        output::align_numbers(&mut table, 1);
        let _ = write!(text, "\nrows\n{table}\n");
    }
    text
}

fn notices(detail: &SyncDetail) -> String {
    let mut text = String::new();
    if let Some(error) = &detail.sync.error {
        let _ = writeln!(text, "error: {}\nto do: {}", error.what, error.to_do);
    }
    for notice in &detail.notices {
        let level = match notice.level {
            Level::Info => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let _ = writeln!(text, "{level}: {}", notice.message);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00Z".parse().ok());
        assert_eq!(moment("2026-01-31T12:00:00+02:00"), "2026-01-31T10:00:00Z".parse().ok());
        assert!(moment("2026-01-31").is_some());
        assert_eq!(moment("yesterday"), None);
    }
}
