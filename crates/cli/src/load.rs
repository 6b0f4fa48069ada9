//! `load` and `plan`: the same work, before a warehouse and before its stand-in.

use crate::args::{LoadArgs, PlanArgs, Source};
use crate::failure::{Exit, Failure};
use crate::inputs::{Entry, Inputs};
use crate::preview::Rows;
use crate::{output, preview, stop};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablecast::core::schema::TableKind;
use tablecast::input::{Ended, Loader, Position, Progress};
use tablecast::{Change, Ident, Rehearsal, Report, Retry, RetryPolicy, Rules, Warehouse};

/// Rows of `users` that are shown after a load.
const PREVIEW: usize = 5;
/// Work that takes longer shows its progress.
const LONG: Duration = Duration::from_secs(1);

/// What came of reading the inputs.
#[derive(Debug, Default)]
struct Outcome {
    report: Report,
    /// Inputs that could not be read to their ends.
    broken: Vec<Failure>,
    stopped: bool,
    /// The warehouse's error, if one ended the work.
    failure: Option<Failure>,
    durable: Option<Position>,
}

pub(crate) async fn load(args: &LoadArgs) -> Result<Exit, Failure> {
    let rules = rules(&args.source, args.target.rules()?);
    let inputs = Inputs::find(&args.source)?;
    let warehouse = tablecast::open(&args.target.to, &rules).await?;
    let warehouse = Retry::new(warehouse, RetryPolicy::default());
    let outcome = work(&warehouse, &rules, &inputs).await?;

    let preview = if outcome.report.tables.contains_key("users") { users(&args.target.to, &rules).await } else { None };
    if args.json {
        let mut document = document(&outcome, &args.target.to, &rules);
        document["preview"] = preview.map_or(Value::Null, |rows| json!({"users": rows.json()}));
        output::print_json(&document)?;
    } else {
        let mut text = head(&args.target.to, &rules);
        text.push_str(&changes(&outcome.report, "made"));
        text.push_str(&tables(&outcome.report));
        text.push_str(&notices(&outcome.report));
        if let Some(rows) = preview {
            let _ = write!(text, "\nusers\n{}", rows.text(output::width()));
        }
        text.push_str(&next(&outcome, args, &rules));
        output::print(&text)?;
    }
    Ok(end(outcome, &inputs, args.strict))
}

pub(crate) async fn plan(args: &PlanArgs) -> Result<Exit, Failure> {
    let rules = rules(&args.source, args.target.rules()?);
    let inputs = Inputs::find(&args.source)?;
    let (to, warehouse) = match &args.dialect {
        Some(name) => (format!("{name} (empty, not connected)"), Rehearsal::offline(tablecast::dialect(name)?)),
        None => {
            let live: Arc<dyn Warehouse> =
                Arc::new(Retry::new(tablecast::open(&args.target.to, &rules).await?, RetryPolicy::default()));
            (args.target.to.clone(), Rehearsal::before(live))
        }
    };
    let outcome = work(&warehouse, &rules, &inputs).await?;
    if args.json {
        let mut document = document(&outcome, &to, &rules);
        document["would_read_bytes"] = warehouse.bytes().into();
        output::print_json(&document)?;
    } else {
        let mut text = head(&to, &rules);
        text.push_str(&changes(&outcome.report, "to make"));
        text.push_str(&tables(&outcome.report));
        text.push_str(&notices(&outcome.report));
        let commits = output::count(outcome.report.commits.len() as u64, "commit");
        let read = warehouse.bytes().map_or_else(String::new, |bytes| {
            format!("its statements would read {} of what is there, as a dry run says\n", HumanBytes(bytes))
        });
        let _ = writeln!(
            text,
            "\n{read}{commits} planned, nothing was done; rows that are there already count as loaded here\nnext: the same with `tablecast load`"
        );
        output::print(&text)?;
    }
    Ok(end(outcome, &inputs, false))
}

fn rules(source: &Source, mut rules: Rules) -> Rules {
    if let Some(warehouse) = &source.warehouse {
        rules.warehouse = Some(warehouse.clone());
    }
    rules
}

/// Reads all inputs into a warehouse; stops early on Ctrl-C and on the warehouse's errors, not on an input's.
async fn work(warehouse: &dyn Warehouse, rules: &Rules, inputs: &Inputs) -> Result<Outcome, Failure> {
    let bar = Bar::new(inputs.size);
    let mut outcome = Outcome::default();
    let mut loader =
        Loader::new(warehouse, rules).stop_when(stop::on_interrupt()?).on_progress(|progress| bar.show(progress));
    for entry in &inputs.entries {
        let mut input = match inputs.open(entry) {
            Ok(input) => input,
            Err(failure) => {
                outcome.broken.push(failure);
                continue;
            }
        };
        match loader.read(&mut input).await {
            Ok(Ended::Done) => {}
            Ok(Ended::Broken(error)) => outcome.broken.push(error.into()),
            Ok(Ended::Stopped) => {
                outcome.stopped = true;
                break;
            }
            Err(error) => {
                outcome.failure = Some(error.into());
                break;
            }
        }
        bar.done(input.bytes_read());
    }
    if !outcome.stopped && outcome.failure.is_none() {
        match loader.finish().await {
            Ok(report) => outcome.report = report,
            Err(error) => outcome.failure = Some(error.into()),
        }
    }
    if outcome.stopped || outcome.failure.is_some() {
        outcome.report = loader.report().clone();
    }
    outcome.durable = loader.durable().cloned();
    drop(loader);
    bar.bar.finish_and_clear();
    for notice in &inputs.notices {
        outcome.report.notices.push(notice.clone());
    }
    Ok(outcome)
}

/// Tells on standard error how it ended, and with which code.
fn end(outcome: Outcome, inputs: &Inputs, strict: bool) -> Exit {
    for failure in &outcome.broken {
        failure.tell();
    }
    if let Some(mut failure) = outcome.failure {
        failure.what = format!("{}; {}", failure.what, how_far(outcome.durable.as_ref()));
        failure.tell();
        return failure.exit();
    }
    if outcome.stopped {
        let once = inputs.entries.contains(&Entry::Stdin);
        let go_on = if once {
            "send the calls behind it again"
        } else {
            "run the same command again, it finishes the job; nothing is loaded twice"
        };
        say(&format!("stopped: {}\nto do: {go_on}", how_far(outcome.durable.as_ref())));
        return Exit::Stopped;
    }
    if !outcome.broken.is_empty() {
        return Exit::Failed;
    }
    if strict && outcome.report.discards() > 0 { Exit::Discards } else { Exit::Done }
}

fn how_far(durable: Option<&Position>) -> String {
    durable.map_or_else(
        || "nothing new is loaded".to_owned(),
        |at| format!("everything up to line {} of {} is loaded", at.line, at.input),
    )
}

#[expect(clippy::print_stderr, reason = "how the work ended")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn document(outcome: &Outcome, to: &str, rules: &Rules) -> Value {
    let mut document = serde_json::to_value(&outcome.report).unwrap_or_default();
    let mut errors: Vec<Value> = Vec::new();
    for failure in outcome.broken.iter().chain(&outcome.failure) {
        errors.push(json!({"what": failure.what, "to_do": failure.to_do}));
    }
    document["warehouse"] = shown(to).into();
    document["schema"] = rules.schema().as_str().into();
    document["discards"] = outcome.report.discards().into();
    document["errors"] = errors.into();
    document["stopped"] = outcome.stopped.into();
    document["durable"] =
        outcome.durable.as_ref().map_or(Value::Null, |at| json!({"input": at.input, "line": at.line}));
    document
}

/// A URI without its secrets.
fn shown(to: &str) -> String {
    tablecast::Uri::parse(to).map_or_else(|_| to.to_owned(), |uri| uri.to_string())
}

fn head(to: &str, rules: &Rules) -> String {
    format!("{} in {}\n", rules.schema(), shown(to))
}

/// The changes, one line for each table; Tablecast's own tables and the core columns are only counted.
fn changes(report: &Report, done: &str) -> String {
    let mut lines: Vec<(String, bool, Vec<String>, u64)> = Vec::new();
    let mut own = 0;
    for change in &report.changes {
        let table = change.table().to_string();
        let system = table.starts_with('_')
            && matches!(change, Change::CreateTable { kind: TableKind::System | TableKind::Versions, .. })
            || table == "_discards";
        let versions = table.starts_with('_') && table.ends_with("_versions");
        if system || versions {
            own += u64::from(matches!(change, Change::CreateTable { .. }));
            continue;
        }
        let at = lines.iter().position(|(name, ..)| *name == table).unwrap_or_else(|| {
            lines.push((table, false, Vec::new(), 0));
            lines.len() - 1
        });
        match change {
            Change::CreateTable { columns, .. } => {
                lines[at].1 = true;
                let (core, own): (Vec<_>, Vec<_>) =
                    columns.iter().partition(|(column, _)| preview::is_core(column.as_str()));
                lines[at].2.extend(own.iter().map(|(column, ty)| format!("{column} {ty}")));
                lines[at].3 = core.len() as u64;
            }
            Change::AddColumn { column, ty, .. } => lines[at].2.push(format!("{column} {ty}")),
            Change::Widen { column, from, to, .. } => lines[at].2.push(format!("{column} {from} → {to}")),
            Change::Grow { column, bytes, .. } => lines[at].2.push(format!("{column} up to {bytes} bytes")),
        }
    }
    if lines.is_empty() && own == 0 {
        return "\nplan: no changes, the tables are as they should be\n".to_owned();
    }
    let mut text = format!("\nplan ({done})\n");
    let widest = lines.iter().map(|(table, ..)| table.len()).max().unwrap_or_default().min(40);
    for (table, new, columns, core) in &lines {
        let sign = if *new { "new table" } else { "columns  " };
        let tail = if *core > 0 {
            format!("{}{core} core", if columns.is_empty() { "" } else { " and " })
        } else {
            String::new()
        };
        let room = output::width().saturating_sub(widest + 15 + tail.len());
        let _ = writeln!(text, "  {sign}  {table:widest$}  {}{tail}", fit(columns, room));
    }
    if own > 0 {
        let _ = writeln!(text, "  and {} of Tablecast's own", output::count(own, "table"));
    }
    text
}

/// As many items as fit, and how many do not.
fn fit(items: &[String], width: usize) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        let more = items.len() - at;
        let behind = if more == 1 { 2 } else { 12 };
        if at > 0 && text.chars().count() + item.chars().count() + behind > width {
            let _ = write!(text, ", {more} more");
            break;
        }
        let _ = write!(text, "{}{item}", if at == 0 { "" } else { ", " });
    }
    text
}

fn tables(report: &Report) -> String {
    if report.tables.is_empty() {
        return "\nno calls\n".to_owned();
    }
    let mut table = output::table(["table", "received", "loaded", "duplicates", "filtered", "discarded"]);
    for (name, c) in &report.tables {
        table.add_row([
            name.to_string(),
            c.received.to_string(),
            c.loaded.to_string(),
            c.duplicates.to_string(),
            c.filtered.to_string(),
            c.discarded.to_string(),
        ]);
    }
    output::align_numbers(&mut table, 1);
    let replayed = report.commits.iter().filter(|commit| commit.replayed).count() as u64;
    let again = match output::count(replayed, "commit") {
        _ if replayed == 0 => String::new(),
        _ if report.commits.iter().all(|commit| commit.replayed) => {
            "an earlier run had loaded all of this; nothing was loaded twice\n".to_owned()
        }
        commits => format!("an earlier run had done {commits} of this; nothing was loaded twice\n"),
    };
    format!("\nrows\n{table}\n{again}")
}

fn notices(report: &Report) -> String {
    report.notices.iter().map(|notice| format!("note: {notice}\n")).collect()
}

/// A few rows of `users`: who first, then what is known of them.
async fn users(to: &str, rules: &Rules) -> Option<Rows> {
    let mut rows = Rows::read(to, rules, "users", PREVIEW).await.ok()?;
    rows.arrange(|name| if name == "user_id" || !preview::is_core(name) { preview::rank(name) } else { None });
    Some(rows)
}

/// What to do next.
fn next(outcome: &Outcome, args: &LoadArgs, rules: &Rules) -> String {
    if outcome.stopped || outcome.failure.is_some() {
        return String::new();
    }
    let Some(rest) = args.target.to.strip_prefix("sqlite:") else {
        // The warehouse has a client of its own; the address stays unsaid, for it may hold secrets.
        return format!("\nnext: in the warehouse: {}\n", select(outcome, rules));
    };
    let mut options = String::new();
    if args.target.to != crate::args::DEFAULT_WAREHOUSE {
        let _ = write!(options, " --to {}", quoted(&args.target.to));
    }
    if let Some(space) = &args.target.space {
        let _ = write!(options, " --space {}", quoted(space));
    }
    if let Some(path) = &args.target.rules {
        let _ = write!(options, " --rules {}", quoted(&path.display().to_string()));
    }
    let discards = outcome.report.discards();
    if discards > 0 {
        return format!(
            "\n{} kept in _discards, nothing is lost\nnext: tablecast discards{options}\n",
            output::count(discards, "discard")
        );
    }
    let table = outcome.report.tables.keys().find(|table| *table == "users").or(outcome.report.tables.keys().next());
    let Some(table) = table else { return String::new() };
    let directory = rest.split('?').next().unwrap_or_default();
    let file = Path::new(directory.strip_prefix("//").unwrap_or(directory)).join(format!("{}.db", rules.schema()));
    let sql = format!("   or: sqlite3 {} 'select * from {table}'", quoted(&file.display().to_string()));
    format!("\nnext: tablecast show {table}{options}{sql}\n")
}

/// SQL that shows what was loaded, or what was not.
fn select(outcome: &Outcome, rules: &Rules) -> String {
    let tables = &outcome.report.tables;
    let table = match outcome.report.discards() {
        0 => tables.keys().find(|table| *table == "users").or(tables.keys().next()).map_or("_commits", Ident::as_str),
        _ => "_discards",
    };
    format!("select * from {}.{table}", rules.schema())
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let safe = word.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,".contains(c));
    if safe && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A progress bar on a terminal, once the work is long.
struct Bar {
    bar: ProgressBar,
    begun: Instant,
    before: std::sync::atomic::AtomicU64,
}

impl Bar {
    fn new(size: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::hidden());
        let template = if size.is_some() {
            "{bar:30} {percent}% {msg} {elapsed}, {eta} left"
        } else {
            "{spinner} {msg} {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar { bar, begun: Instant::now(), before: 0.into() }
    }

    fn show(&self, progress: Progress<'_>) {
        if self.begun.elapsed() < LONG || !std::io::stderr().is_terminal() {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(self.before.load(std::sync::atomic::Ordering::Relaxed) + progress.input.bytes_read());
        self.bar.set_message(format!("{} lines, {} commits", progress.lines, progress.commits));
    }

    fn done(&self, bytes: u64) {
        self.before.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use tablecast::{Counts, Type};

    #[test]
    fn what_to_do_next_repeats_no_secret() {
        let cli =
            Cli::parse_from(["tablecast", "load", "x", "--to", "redshift://me@h/d?password=hush", "--space", "shop"]);
        let Command::Load(args) = cli.command else { panic!("not a load") };
        let rules = Rules { space: "shop".into(), ..Rules::default() };
        let mut outcome = Outcome::default();
        outcome.report.tables.insert("identifies".into(), Counts::default());
        assert_eq!(next(&outcome, &args, &rules), "\nnext: in the warehouse: select * from personas_shop.identifies\n");
        let discards = Counts { received: 1, loaded: 1, ..Counts::default() };
        outcome.report.tables.insert("_discards".into(), discards);
        assert!(next(&outcome, &args, &rules).contains("personas_shop._discards"));
    }

    #[test]
    fn changes_are_short_and_own_tables_are_counted() {
        let create = |table: &str, kind| Change::CreateTable {
            table: table.into(),
            kind,
            columns: vec![("id".into(), Type::Text), ("vip".into(), Type::Boolean)],
        };
        let report = Report {
            changes: vec![
                create("_lock", TableKind::System),
                create("_users_versions", TableKind::Versions),
                create("_discards", TableKind::Append),
                create("_2fa_enabled", TableKind::Append),
                Change::AddColumn { table: "users".into(), column: "a".into(), ty: Type::Int },
                Change::AddColumn { table: "_users_versions".into(), column: "a".into(), ty: Type::Version },
                Change::Widen { table: "users".into(), column: "b".into(), from: Type::Int, to: Type::Float },
            ],
            ..Report::default()
        };
        let text = changes(&report, "made");
        assert!(text.contains("new table  _2fa_enabled  vip boolean and 1 core\n"), "{text}");
        assert!(text.contains("columns    users         a int, b int → float\n"), "{text}");
        assert!(text.contains("and 3 tables of Tablecast's own"), "{text}");
        assert!(changes(&Report::default(), "made").contains("no changes"));
    }

    #[test]
    fn words_for_the_shell() {
        assert_eq!(quoted("sqlite:./warehouse"), "sqlite:./warehouse");
        assert_eq!(quoted("sqlite:w?mode=ro"), "'sqlite:w?mode=ro'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(fit(&["aaaa".to_owned(), "bbbb".to_owned(), "cccc".to_owned()], 15), "aaaa, 2 more");
        assert_eq!(fit(&["aaaa".to_owned(), "bbbb".to_owned()], 10), "aaaa, bbbb");
    }
}
