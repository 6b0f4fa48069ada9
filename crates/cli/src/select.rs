//! `select`: what is off, and switching.

use crate::args::service::{SelectCommand, Selected, SwitchArgs};
use crate::ask::Asked;
use crate::failure::{Exit, Failure};
use crate::{output, waiting};
use serde_json::json;
use std::fmt::Write;
use tablecast_server::config::Item;
use tablecast_server::sync::{OffWhy, SelectRequest, Selected as Done, SelectionView};

pub(crate) async fn select(what: &SelectCommand) -> Result<Exit, Failure> {
    match what {
        SelectCommand::Show(selected) => show(selected).await,
        SelectCommand::Off(args) => switch(args, true).await,
        SelectCommand::On(args) => switch(args, false).await,
    }
}

async fn show(args: &Selected) -> Result<Exit, Failure> {
    let asked = Asked::find(&args.service)?;
    let selection = asked.selection(args.to.as_deref()).await?;
    if args.json {
        output::print_json(&json!({"warehouses": selection}))?;
    } else {
        output::print(&table(&selection))?;
    }
    Ok(Exit::Done)
}

async fn switch(args: &SwitchArgs, off: bool) -> Result<Exit, Failure> {
    let Selected { service, to, json } = &args.selected;
    let computations = args.audiences.iter().chain(&args.traits).map(Item::computation);
    let items: Vec<Item> =
        args.tables.iter().map(Item::table).chain(args.columns.iter().map(Item::column)).chain(computations).collect();
    if items.is_empty() {
        return Err(Failure::usage(
            "nothing is named to switch",
            "name it by --table, --column, --audience or --trait; see `tablecast select --help`",
        ));
    }
    let (off, on) = if off { (items, Vec::new()) } else { (Vec::new(), items) };
    let asked = Asked::find(service)?;
    let selected = asked.select(&SelectRequest { warehouse: to.clone(), off, on }).await?;
    // In this process nobody else would do them.
    if matches!(asked, Asked::Here { .. }) && !selected.syncs.is_empty() {
        waiting::for_all(&asked, &selected.syncs).await?;
    }
    if *json {
        let Done { selection, syncs, unknown } = selected;
        output::print_json(&json!({"warehouses": selection, "syncs": syncs, "unknown": unknown}))?;
        return Ok(Exit::Done);
    }
    let mut text = table(&selected.selection);
    for unknown in &selected.unknown {
        let _ = write!(text, "\nnote: {unknown}");
    }
    if !selected.unknown.is_empty() {
        text.push('\n');
    }
    text.push_str(if selected.syncs.is_empty() {
        "\nit holds from the next sync on; what is in the tables stays\n"
    } else {
        "\na sync was asked for; after it the gap is filled from the spool\nnext: tablecast syncs\n"
    });
    output::print(&text)?;
    Ok(Exit::Done)
}

fn table(selection: &[SelectionView]) -> String {
    if selection.iter().all(|view| view.off.is_empty()) {
        return "everything is on\n".to_owned();
    }
    let mut table = output::table(["warehouse", "off", "name", "by"]);
    for view in selection {
        for item in &view.off {
            let by = match item.by {
                OffWhy::Configuration => "the configuration",
                OffWhy::Switch => "select",
            };
            table.add_row([view.warehouse.as_str(), item.kind.as_str(), item.name.as_str(), by]);
        }
    }
    format!("{table}\n")
}
