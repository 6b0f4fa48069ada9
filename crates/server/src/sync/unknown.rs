//! Names that are switched and that no warehouse has yet: they may be early, or mistyped.

use crate::config::{Item, ItemKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use tablecast::Dialect;
use tablecast::core::ident::{CORE_COLUMNS, STANDARD_TABLES, computation_columns};

/// Something that was switched and that is not known, with known names that are close to it.
///
/// What was off from the beginning stays unknown: no column is made for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// What was switched.
    #[serde(flatten)]
    pub item: Item,
    /// Names of the same kind that are known, the closest first.
    pub close: Vec<String>,
}

/// How many close names are told.
const CLOSE: usize = 3;

impl Unknown {
    /// Nothing if one of the warehouses, each with what it knows, has met the item.
    pub(crate) fn of(item: &Item, warehouses: &[(&Dialect, Vec<Item>)]) -> Option<Unknown> {
        if warehouses.iter().any(|(dialect, known)| is_known(item, known, dialect)) {
            return None;
        }
        let names: BTreeSet<&str> = warehouses.iter().flat_map(|(_, known)| names(item, known)).collect();
        let mut close: Vec<(usize, &str)> =
            names.into_iter().filter_map(|name| Some((distance(&item.name, name)?, name))).collect();
        close.sort_unstable();
        let close = close.into_iter().take(CLOSE).map(|(_, name)| name.to_owned()).collect();
        Some(Unknown { item: item.clone(), close })
    }

    /// The names that are close, in words; empty if there are none.
    pub(crate) fn hint(&self) -> String {
        if self.close.is_empty() { String::new() } else { format!("close to it: {}", self.close.join(", ")) }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in the warehouse yet: what was said of it holds once it comes", self.item)?;
        if self.close.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint()) }
    }
}

fn is_known(item: &Item, known: &[Item], dialect: &Dialect) -> bool {
    let mut columns = columns(known);
    known.contains(item)
        || match item.kind {
            ItemKind::Table => STANDARD_TABLES.contains(&item.name.as_str()),
            ItemKind::Column => item.name.strip_prefix("*.").is_some_and(|name| columns.any(|(_, one)| one == name)),
            ItemKind::Computation => {
                let own = computation_columns(&item.name, dialect);
                columns.any(|(_, column)| own.contains(column))
            }
        }
}

/// The names that an item could have meant.
fn names<'k>(item: &Item, known: &'k [Item]) -> Vec<&'k str> {
    let same = known.iter().filter(|one| one.kind == item.kind).map(|one| one.name.as_str());
    match item.kind {
        ItemKind::Table | ItemKind::Column => same.collect(),
        ItemKind::Computation => {
            let is_trait = |name: &&str| !CORE_COLUMNS.contains(name) && !name.starts_with("context_");
            same.chain(columns(known).map(|(_, column)| column).filter(is_trait)).collect()
        }
    }
}

fn columns(known: &[Item]) -> impl Iterator<Item = (&str, &str)> {
    known.iter().filter(|one| one.kind == ItemKind::Column).filter_map(|one| one.name.split_once('.'))
}

/// How far a name is from a known one; none if nobody would take the one for the other.
fn distance(name: &str, known: &str) -> Option<usize> {
    let (name, known) = (name.to_lowercase(), known.to_lowercase());
    let column = |name: &str| name.strip_prefix("*.").map(str::to_owned);
    // Of `*.plam` the column counts, whatever the table.
    let (name, known) = match (column(&name), known.split_once('.')) {
        (Some(name), Some((_, known))) => (name, known.to_owned()),
        _ => (name, known),
    };
    let far = strsim::osa_distance(&name, &known);
    // A part of a name, such as `address` of `address_city`, is closer than its length says.
    let part = name.len() > 2 && known.len() > 2 && (known.contains(&name) || name.contains(&known));
    let near = far <= (name.chars().count() / 3).clamp(1, 3);
    (near || part).then_some(far)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast::core::memory::DIALECT;

    #[test]
    fn what_was_met_is_known_by_all_its_names_and_the_rest_is_told_with_close_ones() {
        let mut known = ["users.email", "users._order", "users.address_city", "users.user_id", "tracks.event"]
            .map(Item::column)
            .to_vec();
        known.extend([Item::table("order_completed"), Item::computation("vip_customers")]);
        let unknown = |item: &Item| Unknown::of(item, &[(&DIALECT, known.clone())]);
        for item in [
            Item::computation("email"),
            Item::computation("Email"),
            Item::computation("order"),
            Item::computation("_order"),
            Item::computation("vip_customers"),
            Item::column("*.email"),
            Item::column("users.email"),
            Item::table("order_completed"),
            Item::table("pages"),
        ] {
            assert_eq!(unknown(&item), None, "{item}");
        }
        for (item, close) in [
            (Item::computation("emial"), vec!["email"]),
            (Item::computation("vip_customer"), vec!["vip_customers"]),
            (Item::computation("address"), vec!["address_city"]),
            (Item::computation("revenue"), vec![]),
            (Item::column("*.emial"), vec!["users.email"]),
            (Item::column("users.emal"), vec!["users.email"]),
            (Item::column("tracks.email"), vec![]),
            (Item::table("order_complete"), vec!["order_completed"]),
        ] {
            assert_eq!(
                unknown(&item).map(|unknown| unknown.close),
                Some(close.iter().map(|name| (*name).to_owned()).collect()),
                "{item}"
            );
        }
        let text = unknown(&Item::computation("emial")).unwrap().to_string();
        assert_eq!(
            text,
            "computation emial is not in the warehouse yet: what was said of it holds once it comes; close to it: email"
        );
        // Any of the warehouses may know it.
        let both = [(&DIALECT, Vec::new()), (&DIALECT, known.clone())];
        assert_eq!(Unknown::of(&Item::computation("email"), &both), None);
    }
}
