//! The switches of a warehouse: traits and audiences, tables, and columns that are off.

use super::view::{Group, Switch, written};
use crate::api::{App, SelectionFacts};
use crate::config::{Item, ItemKind};
use crate::sync::{OffWhy, Unknown};
use std::collections::{BTreeMap, BTreeSet};
use tablecast::Dialect;
use tablecast::core::ident::computation_columns;

/// Columns of `users` that are no traits.
const NO_TRAITS: [&str; 4] = ["id", "user_id", "received_at", "uuid_ts"];

/// What a warehouse's page offers to switch.
pub(super) fn groups(app: &App, selection: &SelectionFacts) -> Vec<Group> {
    let config = app.control().config();
    let Some(dialect) = config.warehouse(&selection.selection.warehouse).map(|warehouse| warehouse.dialect) else {
        return Vec::new();
    };
    let classes: BTreeMap<&str, &'static str> =
        config.computations.all().map(|computation| (computation.key.as_str(), computation.class())).collect();
    let later = "None is known yet: they are listed here after the first sync.";
    let columns = known(selection, ItemKind::Column);
    let off = |item: &&Item| selection.selection.off.iter().any(|off| off.kind == item.kind && off.name == item.name);
    vec![
        Group {
            name: "Traits and audiences",
            none: later,
            switches: switches(selection, &traits(selection, dialect), &classes, dialect),
        },
        Group {
            name: "Tables",
            none: later,
            switches: switches(selection, &known(selection, ItemKind::Table), &BTreeMap::new(), dialect),
        },
        Group {
            name: "Columns that are off",
            none: "None.",
            // Every column of every table would hide the rest.
            switches: switches(selection, &columns.iter().filter(off).cloned().collect(), &BTreeMap::new(), dialect),
        },
    ]
}

/// Everything of a kind that is known or off.
fn known(selection: &SelectionFacts, kind: ItemKind) -> BTreeSet<Item> {
    let off = selection.selection.off.iter().map(|off| Item { kind: off.kind, name: off.name.clone() });
    selection.known.iter().cloned().chain(off).filter(|item| item.kind == kind).collect()
}

/// Audiences and traits: those that are set up or off by their keys, and whatever else is a column of `users`.
fn traits(selection: &SelectionFacts, dialect: &Dialect) -> BTreeSet<Item> {
    let mut traits = known(selection, ItemKind::Computation);
    let named: BTreeSet<_> = traits.iter().flat_map(|item| computation_columns(&item.name, dialect)).collect();
    let columns = selection.known.iter().filter(|item| item.kind == ItemKind::Column);
    let columns = columns.filter_map(|item| item.name.strip_prefix("users."));
    let new = |name: &&str| !NO_TRAITS.contains(name) && !name.starts_with("context_") && !named.contains(*name);
    traits.extend(columns.filter(new).map(Item::computation));
    traits
}

fn switches(
    selection: &SelectionFacts,
    items: &BTreeSet<Item>,
    classes: &BTreeMap<&str, &'static str>,
    dialect: &Dialect,
) -> Vec<Switch> {
    let met = [(dialect, selection.known.clone())];
    let switch = |item: &Item| {
        let off = selection.selection.off.iter().filter(|off| off.kind == item.kind && off.name == item.name);
        let why: Vec<OffWhy> = off.map(|off| off.by).collect();
        let fixed = why.contains(&OffWhy::Configuration);
        let note = if fixed {
            "off in the configuration".to_owned()
        } else if let Some(unknown) = Unknown::of(item, &met).filter(|unknown| !unknown.close.is_empty()) {
            format!("not in the warehouse; {}", unknown.hint())
        } else {
            classes.get(item.name.as_str()).copied().unwrap_or_default().to_owned()
        };
        Switch { value: written(item), name: item.name.clone(), on: why.is_empty(), fixed, note }
    };
    items.iter().map(switch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{OffItem, SelectionView};
    use tablecast::core::memory::DIALECT;

    #[test]
    fn traits_are_listed_once_by_their_keys() {
        let off = |kind, name: &str, by| OffItem { kind, name: name.into(), by };
        let selection = SelectionFacts {
            selection: SelectionView {
                warehouse: "main".into(),
                off: vec![
                    off(ItemKind::Computation, "VIP Customers", OffWhy::Configuration),
                    off(ItemKind::Computation, "plan", OffWhy::Switch),
                    off(ItemKind::Computation, "order", OffWhy::Switch),
                    off(ItemKind::Computation, "emial", OffWhy::Switch),
                    off(ItemKind::Column, "*.ssn", OffWhy::Switch),
                ],
            },
            known: ["plan", "vip_customers", "id", "context_ip", "ltv", "_order", "email"]
                .map(|column| Item::column(format!("users.{column}")))
                .into(),
        };
        let shown = switches(&selection, &traits(&selection, &DIALECT), &BTreeMap::from([("ltv", "trait")]), &DIALECT);
        let shown: Vec<_> = shown.iter().map(|one| (one.name.as_str(), one.on, one.fixed, &*one.note)).collect();
        assert_eq!(
            shown,
            [
                ("VIP Customers", false, true, "off in the configuration"),
                ("email", true, false, ""),
                ("emial", false, false, "not in the warehouse; close to it: email"),
                ("ltv", true, false, "trait"),
                ("order", false, false, ""),
                ("plan", false, false, "")
            ]
        );
    }
}
