//! What can be said on the command line; the doc comments are its manual.

pub(crate) mod service;

use crate::failure::Failure;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use tablecast::Rules;

/// Turns Personas calls into warehouse tables.
///
/// Personas calls are identify and track calls that carry audiences and computed traits, one JSON object per line.
/// They become one schema, `personas_<space>`: `identifies` (every call), `users` (one row per user, the newest value
/// of each trait), and one table for each track event. Tables and columns are made as values for them arrive.
#[derive(Debug, Parser)]
#[command(name = "tablecast", version, max_term_width = 100, after_help = "Start with: tablecast load examples/personas.ndjson", after_long_help = MANUAL)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const MANUAL: &str = "\
Examples:
  tablecast load calls.ndjson                  into ./warehouse/personas_default.db
  tablecast load exports/ --space shop         every .ndjson, .jsonl and .json file of a directory, also .gz and .zst
  zcat calls.gz | tablecast load -             from standard input
  tablecast plan calls.ndjson                  what a load would do; makes nothing
  tablecast show users                         the table, as text
  tablecast check --to sqlite:/data/warehouse  whether a load can work, and what to do if not
  tablecast serve --config tablecast.toml      the service: calls in over HTTP, syncs on a schedule, a page to look at
  tablecast syncs                              what the service did and will do

Running the same load again is safe: a call is its messageId, and is in its table once.

Exit codes:
  0    done
  1    failed; what was committed stays, run again to go on
  2    the command line, the configuration or a path is wrong; nothing was done
  3    done, but with discards (under --strict)
  130  stopped by Ctrl-C, after the running commit";

const LOAD_MANUAL: &str = "\
Examples:
  tablecast load calls.ndjson
  tablecast load monday.ndjson.gz tuesday.ndjson.zst --space shop
  tablecast load exports/ --to sqlite:/data/warehouse --strict
  producer | tablecast load - --source billing
  tablecast load calls.ndjson --json | jq .tables.users

Input:
  One call per line, or a batch body {\"batch\": [...]}. gzip and zstd are told by their first bytes.
  A line that is no call, and a value that fits no column, is kept in the table _discards with a reason; see `tablecast discards`.
  A call without a messageId gets one made of the file's name and the line, so that a file can be loaded again under the
  same name; a call without a receivedAt gets the file's modification time. From standard input, both are new on every run.

Ctrl-C:
  Once: finishes the running commit and says where it stopped; the same command finishes the job. Twice: stops at once,
  which is safe too.

Rules file (TOML), all keys optional:
  space = \"default\"              timestamps = \"iso8601\"         # or rfc3339, off
  schema_prefix = \"personas_\"    on_type_conflict = \"discard\"   # or text
  warehouse = \"main\"             identities = true
  users_context = false          dedupe_window_days = 30
  fill = true                    # rows that are there already get values they lack, after a column was switched on
  [types]                        # decided before any value
  total_revenue_180_days = \"float\"
  [off]                          # selective sync
  tables = [\"tracks\"]
  columns = [\"users.email\", \"*.ssn\"]
  computations = [\"old_audience\"]
  [cut]                          # the size of a commit
  events = 50000
  bytes = 134217728";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load calls into a warehouse, making the tables and columns they need
    #[command(after_long_help = LOAD_MANUAL)]
    Load(LoadArgs),
    /// Say what a load would do, without doing it: the same cuts, the same changes, nothing made
    Plan(PlanArgs),
    /// Look at everything a load needs: connection, permissions, limits; what is wrong and what to do
    Check(CheckArgs),
    /// Show the rows of a table
    Show(ShowArgs),
    /// Show what was kept in `_discards`: values and lines that found no column, and why
    Discards(DiscardsArgs),
    /// Run the service: take calls over HTTP, sync them to warehouses on a schedule
    #[command(after_long_help = service::SERVE_MANUAL)]
    Serve(service::ServeArgs),
    /// Sync a warehouse now instead of waiting for its time
    Sync {
        #[command(subcommand)]
        what: service::SyncCommand,
    },
    /// Show past and upcoming syncs, or one with its tables, changes and notices
    Syncs(service::SyncsArgs),
    /// Switch tables, columns, audiences and traits of a warehouse off and on
    #[command(after_long_help = service::SELECT_MANUAL)]
    Select {
        #[command(subcommand)]
        what: service::SelectCommand,
    },
    /// Load calls that the service still has into a warehouse once more, to fill what is missing
    #[command(after_long_help = service::BACKFILL_MANUAL)]
    Backfill(service::BackfillArgs),
    /// Tell the service who entered or left an audience, or has a new value of a trait
    #[command(after_long_help = service::EMIT_MANUAL)]
    Emit(service::EmitArgs),
    /// Print the completions for a shell, to be sourced or installed
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which schema of which warehouse.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The warehouse, as scheme:address; `sqlite:DIR` keeps one file for each space in DIR
    #[arg(long, value_name = "URI", default_value = DEFAULT_WAREHOUSE)]
    pub(crate) to: String,
    /// The Personas space; its schema is `personas_NAME` [default: default, or as the rules say]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// How calls become tables: a TOML file, see `tablecast load --help`
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) rules: Option<PathBuf>,
}

pub(crate) const DEFAULT_WAREHOUSE: &str = "sqlite:./warehouse";

impl Target {
    /// The rules by file and option; an option wins.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        let mut rules = match &self.rules {
            None => Rules::default(),
            Some(path) => {
                let wrong = |what: &str| {
                    Failure::usage(
                        format!("{what} (path: {})", path.display()),
                        "correct the rules file; `tablecast load --help` shows its keys",
                    )
                };
                let text =
                    std::fs::read_to_string(path).map_err(|error| wrong(&format!("cannot read the rules: {error}")))?;
                toml::from_str(&text).map_err(|error| {
                    let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
                    wrong(&format!("line {line} of the rules: {}", error.message().replace('\n', ", ")))
                })?
            }
        };
        if let Some(space) = &self.space {
            rules.space.clone_from(space);
        }
        Ok(rules)
    }
}

/// What is read.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Files of calls, a directory of them, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    /// The source's name for a single input, instead of its file's name
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// This warehouse's name, for calls that integrations.Warehouses sends to named warehouses only
    #[arg(long, value_name = "NAME")]
    pub(crate) warehouse: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Exit with 3 if anything was discarded
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Plan for an empty warehouse of a kind, without a connection
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub(crate) dialect: Option<String>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Print one JSON document instead of a list
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) read: Read,
}

#[derive(Debug, Args)]
pub(crate) struct DiscardsArgs {
    #[command(flatten)]
    pub(crate) read: Read,
}

/// How a table is read.
#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Rows at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print one JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_rules_of_the_manual_are_rules() {
        let text = LOAD_MANUAL.split_once("all keys optional:\n").unwrap().1;
        // Two keys stand in one line of the manual; TOML wants them apart.
        let mut toml = String::new();
        for line in text.lines() {
            let apart = line.trim().replace("          ", "\n").replace("       ", "\n").replace("    ", "\n");
            toml.push_str(&apart);
            toml.push('\n');
        }
        let rules: Rules = toml::from_str(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
        assert_eq!(rules.cut, Rules::default().cut, "the manual shows the defaults");
        assert!(rules.off.columns.contains("*.ssn"));
    }
}
