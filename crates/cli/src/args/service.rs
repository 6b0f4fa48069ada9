//! The commands of the service.

use clap::{Args, Subcommand};
use std::path::PathBuf;

pub(crate) const SERVE_MANUAL: &str = "\
Examples:
  tablecast serve --config examples/tablecast.toml
  tablecast serve --log json                   logs for machines, one JSON object a line

What it does:
  Takes calls as Segment's SDKs send them (host and write key are all that changes), writes them to disk before it answers,
  and brings each [[warehouse]] up to date by its schedule. Page and API are on the same address, behind a token.
  Two processes cannot have one data folder.

Signals:
  SIGTERM, Ctrl-C  takes no more calls, lets requests and commits that run end, then ends. Ending it in any other way is safe too.
  SIGHUP           reads the configuration again; a wrong one is logged, and the old one stays.";

pub(crate) const SELECT_MANUAL: &str = "\
Examples:
  tablecast select show
  tablecast select off --trait total_revenue_180_days
  tablecast select off --to main --table tracks --column users.email
  tablecast select on --trait total_revenue_180_days

Off means: nothing more is written there; what is there stays. For an audience or trait that is its column in every table and
the calls that it sent; it is named by its key or its column's name. On again: the next sync writes it, and what passed by meanwhile is filled from the spool.";

pub(crate) const BACKFILL_MANUAL: &str = "\
Examples:
  tablecast backfill --to analytics
  tablecast backfill --to main --from 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z
  tablecast backfill --to main --column users.plan

It reads what the service still has (see `retention`), up to where syncs have come. It can be repeated: a call is in its table
once, rows that are there get only what they lack, and an older value never takes the place of a newer one.";

pub(crate) const EMIT_MANUAL: &str = "\
Examples:
  echo '{\"computation\": \"first_time_shopper\", \"value\": true, \"userId\": \"u123\"}' | tablecast emit -
  tablecast emit first_time_shopper true --user u123
  tablecast emit total_revenue_180_days 450.00 --user u123 --id order-17

The audience or trait must be set up in the configuration ([[audience]], [[trait]]): it says which calls are sent and where to.
With --id, or an `id` or `timestamp` in each change, telling the same again changes nothing.";

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct Service {
    /// The service's configuration
    #[arg(long, value_name = "FILE.toml", default_value = "tablecast.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) service: Service,
    /// How the log is written, to standard error
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json"])]
    pub(crate) log: String,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug"])]
    pub(crate) level: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Sync now: all warehouses or one, and wait for the end
    ///
    /// Without a running service it is done here, with the service's configuration and data folder.
    Now(NowArgs),
    /// Say that a warehouse's schemas were renamed there, after `schema_prefix` was changed; the service must not run
    Renamed {
        #[command(flatten)]
        service: Service,
        /// The warehouse's name
        #[arg(long, value_name = "NAME")]
        to: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NowArgs {
    #[command(flatten)]
    pub(crate) service: Service,
    /// One warehouse by its name [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// One space [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SyncsArgs {
    /// One sync by its number, with everything that is known of it
    #[arg(value_name = "ID")]
    pub(crate) id: Option<i64>,
    #[command(flatten)]
    pub(crate) service: Service,
    /// One warehouse by its name [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// One space [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// Syncs at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SelectCommand {
    /// Show what is off
    Show(Selected),
    /// Switch off: nothing more is written there, what is there stays
    Off(SwitchArgs),
    /// Switch on again; what passed by meanwhile is filled
    On(SwitchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Selected {
    #[command(flatten)]
    pub(crate) service: Service,
    /// One warehouse by its name [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    pub(crate) selected: Selected,
    /// A table
    #[arg(long = "table", value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// A column, as table.column, or *.column for every table
    #[arg(long = "column", value_name = "TABLE.COLUMN")]
    pub(crate) columns: Vec<String>,
    /// An audience by its key
    #[arg(long = "audience", value_name = "KEY")]
    pub(crate) audiences: Vec<String>,
    /// A trait by its key
    #[arg(long = "trait", value_name = "KEY")]
    pub(crate) traits: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackfillArgs {
    #[command(flatten)]
    pub(crate) service: Service,
    /// The warehouse by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) to: String,
    /// One space [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// Only calls received at or after this, in ISO 8601 [default: all that the service has]
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only calls received before this, in ISO 8601 [default: up to the last sync]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// These tables only
    #[arg(long = "table", value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// These columns only, as table.column, or *.column for every table
    #[arg(long = "column", value_name = "TABLE.COLUMN")]
    pub(crate) columns: Vec<String>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// The key of the audience or trait, or `-` for changes from standard input, one JSON object per line
    #[arg(value_name = "KEY|-")]
    pub(crate) key: String,
    /// true or false for an audience, any JSON for a trait; text that is no JSON is a string
    #[arg(value_name = "VALUE")]
    pub(crate) value: Option<String>,
    #[command(flatten)]
    pub(crate) service: Service,
    /// Whose it is
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Whose it is, if the user is not known
    #[arg(long, value_name = "ID")]
    pub(crate) anonymous: Option<String>,
    /// Sent along
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// What tells this change from others; the same again changes nothing
    #[arg(long, value_name = "TEXT")]
    pub(crate) id: Option<String>,
    /// The space [default: the one that computations are set up in]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// Print one JSON document instead of a line
    #[arg(long)]
    pub(crate) json: bool,
}
