//! From keys and event names to columns and tables.

use super::at;
use crate::generate::{Call, quoted};
use crate::harness::{Checked, Failed};
use crate::room::{Room, same};
use std::collections::BTreeSet;
use tablecast_core::ident::{Section, column_name, event_table_name};
use tablecast_core::testing::Row;

/// Reserved, shadowing, odd, empty, long and Chinese names each get a column, none of them one of ours.
pub async fn awkward_names_stay_apart_from_ours(room: &Room<'_>) -> Checked {
    let long = "x".repeat(300);
    let keys = [
        "id",
        "user_id",
        "receivedAt",
        "timestamp",
        "uuid",
        "3doctors",
        "context_flag",
        "order",
        "select",
        "",
        "日本語",
        "中文",
        "$%",
        &long,
    ];
    let traits: Vec<String> =
        keys.iter().map(|key| format!("{}: {}", quoted(key), quoted(&format!("v-{}", key.len())))).collect();
    room.load(&[at("m1", 1, &format!("{{{}}}", traits.join(", ")))]).await?;
    let columns: Vec<String> =
        keys.iter().map(|key| column_name(Section::Body, &[key], room.dialect()).to_string()).collect();
    let row =
        format!("m1 | u1 | {}", keys.iter().map(|key| format!("v-{}", key.len())).collect::<Vec<_>>().join(" | "));
    room.expect("identifies", &format!("id | user_id | {}\n{row}", columns.join(" | "))).await?;
    let user = row.replacen("m1", "u1", 1);
    room.expect("users", &format!("id | user_id | {}\n{user}", columns.join(" | "))).await?;
    for name in ["_id", "_user_id", "_received_at", "_timestamp", "_uuid", "_3doctors", "_context_flag"] {
        if !columns.iter().any(|column| column == name) {
            return Err(Failed(format!("no column {name} among {columns:?}")));
        }
    }
    room.expect_discards("").await
}

/// Different events may spell a name in different ways.
pub async fn spellings_of_one_name_share_a_column(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"firstName": "A"}"#), at("m2", 2, r#"{"First Name": "B"}"#)]).await?;
    room.load(&[at("m3", 3, r#"{"first_name": "C"}"#)]).await?;
    room.expect("identifies", "id | first_name\n m1 | A\n m2 | B\n m3 | C").await?;
    room.expect_columns("users", &["first_name"]).await?;
    room.expect("users", "id | first_name\n u1 | C").await
}

/// Of two keys of one event in one column the non-null wins, then the later one; the other is kept aside.
pub async fn two_keys_of_one_event_that_meet(room: &Room<'_>) -> Checked {
    let lines = [
        at("m1", 1, r#"{"firstName": "A", "first_name": "B"}"#),
        at("m2", 2, r#"{"first_name": "C", "firstName": null}"#),
        at("m3", 3, r#"{"plan": "D", "plan": "E"}"#),
    ];
    room.load(&lines).await?;
    room.expect("identifies", "id | first_name | plan\n m1 | B |\n m2 | C |\n m3 | | E").await?;
    room.expect("users", "id | first_name | plan\n u1 | C | E").await?;
    let cell = |row: &Row, column: &str| row.get(column).cloned().unwrap_or_default();
    let kept = room.rows("_discards").await?;
    let kept: BTreeSet<_> = kept.iter().map(|row| (cell(row, "value"), cell(row, "reason"))).collect();
    let should = ["A", "D"].map(|value| (value.to_owned(), "column_collision".to_owned()));
    let should = BTreeSet::from(should);
    same(&kept, &should, "discards")
}

/// A nested value and a flat one can have the same name.
pub async fn a_nested_key_that_meets_a_flat_one(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"a": {"b": 1}, "a_b": 2}"#), at("m2", 2, r#"{"a_b": 3, "a": {"b": null}}"#)]).await?;
    room.expect("identifies", "id | a_b\n m1 | 2\n m2 | 3").await?;
    room.expect("users", "id | a_b\n u1 | 3").await
}

/// `pages` has a name and a category of its own.
pub async fn a_property_of_a_page_does_not_shadow_its_name(room: &Room<'_>) -> Checked {
    let page = Call::new("page", "m1")
        .set("userId", "\"u1\"")
        .set("name", "\"Home\"")
        .properties(r#"{"name": "n", "category": "c", "title": "t"}"#);
    room.load(&[page.line()]).await?;
    room.expect("pages", "id | name | _name | _category | title\n m1 | Home | n | c | t").await
}

/// An event never gets into a standard table.
pub async fn events_named_like_standard_tables(room: &Room<'_>) -> Checked {
    let names = ["Users", "Identifies", "tracks", "Identities", "Accounts", "Home View"];
    let line = |(n, name): (usize, &&str)| Call::track(&format!("m{n}"), "u1", name).properties(r#"{"a": 1}"#).line();
    room.load(&names.iter().enumerate().map(line).collect::<Vec<_>>()).await?;
    for (n, table) in
        ["_users", "_identifies", "_tracks", "_identities", "_accounts", "_home_view"].into_iter().enumerate()
    {
        room.expect(table, &format!("id | a | event\n m{n} | 1 | {table}")).await?;
    }
    room.expect_tables(&["_users", "_identifies", "_tracks", "_identities", "_accounts", "_home_view", "tracks"]).await
}

/// A leading digit, nothing ASCII, and far too long.
pub async fn awkward_event_names(room: &Room<'_>) -> Checked {
    let long = format!("{} Completed", "Order ".repeat(60));
    for (n, name) in ["101 Account Update", "日本語", "中文", &long].into_iter().enumerate() {
        room.load(&[Call::track(&format!("m{n}"), "u1", name).line()]).await?;
        let table = event_table_name(name, room.dialect());
        room.expect(table.as_str(), &format!("id | event | event_text\n m{n} | {table} | {name}")).await?;
    }
    room.expect("_101_account_update", "id\n m0").await
}

/// Columns beyond the limit of a table are kept aside, the rest loads.
pub async fn more_columns_than_a_table_can_have(room: &Room<'_>) -> Checked {
    let limit = room.dialect().max_columns;
    // where a table takes this many columns, nothing is to be seen
    let keys = (limit + 50).min(2_100);
    let traits: Vec<String> = (0..keys).map(|key| format!("\"t{key:05}\": {key}")).collect();
    room.load(&[at("m1", 1, &format!("{{{}}}", traits.join(", ")))]).await?;
    room.load(&[at("m2", 2, r#"{"t00000": 1, "one_more": 2}"#)]).await?;
    room.expect("users", "id | t00000\n u1 | 1").await?;
    for table in ["identifies", "users"] {
        let columns = room.columns(table).await?.len();
        if columns > limit {
            return Err(Failed(format!("{table} has {columns} columns, the dialect says {limit}")));
        }
        let rows = room.rows(table).await?;
        let held = rows
            .iter()
            .flat_map(|row| row.keys())
            .filter(|column| column.starts_with("t0"))
            .collect::<BTreeSet<_>>()
            .len();
        let discards = room.rows("_discards").await?;
        let aside = discards.iter().filter(|row| {
            row.get("table_name").is_some_and(|name| name == table) && row.get("event_id").is_some_and(|id| id == "m1")
        });
        same(&(held + aside.count()), &keys, &format!("values of {table} that are somewhere"))?;
    }
    Ok(())
}
