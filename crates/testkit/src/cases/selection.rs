//! What is switched off, and which warehouses an event is for.

use super::at;
use crate::generate::Call;
use crate::harness::Checked;
use crate::load::counts;
use crate::room::{Room, same};
use tablecast_core::{Counts, Rules, Selection, Type};

fn off(room: &Room<'_>, tables: &[&str], columns: &[&str], computations: &[&str]) -> Rules {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Rules {
        off: Selection { tables: set(tables), columns: set(columns), computations: set(computations) },
        ..room.rules()
    }
}

fn track(id: &str, total: i64) -> String {
    Call::track(id, "u1", "Order Completed").at(total).properties(&format!(r#"{{"total": {total}}}"#)).line()
}

/// A table that is off gets nothing and loses nothing; on again, it gets what comes from then on.
pub async fn a_table_switched_off_and_on(room: &Room<'_>) -> Checked {
    let rules = off(room, &["tracks", "users"], &[], &[]);
    let receipts = room.load_by(&rules, &[track("m1", 1), at("m2", 2, r#"{"plan": "a"}"#)]).await?;
    room.expect_tables(&["order_completed", "identifies"]).await?;
    same(&counts(&receipts, "tracks"), &Counts { received: 1, filtered: 1, ..Counts::default() }, "counts of tracks")?;
    same(&counts(&receipts, "users"), &Counts { received: 1, filtered: 1, ..Counts::default() }, "counts of users")?;
    room.load(&[track("m3", 3), at("m4", 4, r#"{"n": 1}"#)]).await?;
    room.expect("tracks", "id\n m3").await?;
    room.expect("users", "id | n\n u1 | 1").await?;
    room.expect_columns("users", &["n"]).await?;
    room.load_by(&off(room, &["order_completed"], &[], &[]), &[track("m5", 5)]).await?;
    room.expect("tracks", "id\n m3\n m5").await?;
    room.expect("order_completed", "id | total\n m1 | 1\n m3 | 3").await
}

/// A column that is off is not written and keeps what it had; on again, only newer values come.
pub async fn a_column_switched_off_and_on(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"plan": "a", "n": 1}"#)]).await?;
    let rules = off(room, &[], &["identifies.plan", "users.plan"], &[]);
    room.load_by(&rules, &[at("m2", 2, r#"{"plan": "b", "n": 2}"#)]).await?;
    room.load_by(&rules, &[at("m3", 3, r#"{"plan": null}"#)]).await?;
    room.expect("identifies", "id | plan | n\n m1 | a | 1\n m2 | | 2\n m3 | |").await?;
    room.expect("users", "id | plan | n\n u1 | a | 2").await?;
    room.load(&[at("m4", 4, r#"{"plan": "c"}"#)]).await?;
    room.expect("users", "id | plan\n u1 | c").await?;
    room.expect("identifies", "id | plan\n m1 | a\n m2 |\n m3 |\n m4 | c").await?;
    room.expect_discards("").await
}

/// Loading the same events again by rules that fill puts into rows that are there what they lack, and nothing else.
pub async fn a_gap_is_filled(room: &Room<'_>) -> Checked {
    let lines = [
        at("m1", 1, r#"{"plan": "a", "n": 1}"#),
        at("m2", 2, r#"{"plan": null, "n": 2}"#),
        Call::track("m3", "u1", "Order Completed").properties(r#"{"plan": "b", "total": 3}"#).at(3).line(),
    ];
    let rules = off(room, &[], &["*.plan"], &[]);
    room.load_by(&rules, &lines[..2]).await?;
    room.load_by(&rules, &lines[2..]).await?;
    room.load_by(&Rules { fill: true, ..off(room, &[], &["*.total"], &[]) }, &lines[2..]).await?;
    let filling = Rules { fill: true, ..room.rules() };
    let again = [at("m1", 1, r#"{"plan": "a", "n": 9, "late": true}"#), at("m4", 4, r#"{"n": 4}"#)];
    for lines in [&lines[..], &again[..], &lines[..]] {
        room.load_by(&filling, lines).await?;
    }
    room.expect("identifies", "id | plan | n | late\n m1 | a | 1 | true\n m2 | | 2 |\n m4 | | 4 |").await?;
    room.expect("order_completed", "id | plan | total\n m3 | b | 3").await?;
    // m2 took it away again.
    room.expect("users", "id | plan | n\n u1 | | 4").await?;
    room.expect_discards("").await
}

/// `*.column` is every table's.
pub async fn a_column_off_in_every_table(room: &Room<'_>) -> Checked {
    let rules = off(room, &[], &["*.plan", "*.context_ip"], &[]);
    let call = Call::identify("m1", "u1")
        .set("context", r#"{"ip": "203.0.113.7", "locale": "de"}"#)
        .traits(r#"{"plan": "a", "n": 1}"#);
    let track = Call::track("m2", "u1", "Order Completed").properties(r#"{"plan": "a", "total": 1}"#);
    room.load_by(&rules, &[call.line(), track.line()]).await?;
    room.expect_columns("identifies", &["n"]).await?;
    room.expect_columns("users", &["n"]).await?;
    room.expect_columns("order_completed", &["total"]).await?;
    let ip = room.columns("identifies").await?.iter().any(|(name, _)| name == "context_ip");
    same(&ip, &false, "identifies.context_ip is there")?;
    room.expect("identifies", "id | context_locale\n m1 | de").await
}

/// The key and the time of receiving cannot be switched off.
pub async fn core_columns_cannot_be_switched_off(room: &Room<'_>) -> Checked {
    let rules = off(room, &[], &["*.id", "*.received_at", "users.id", "users.received_at", "identifies.user_id"], &[]);
    room.load_by(&rules, &[at("m1", 1, r#"{"n": 1}"#)]).await?;
    room.expect("identifies", "id | received_at | n\n m1 | 2026-01-01T00:00:02.000000Z | 1").await?;
    room.expect("users", "id | received_at | n\n u1 | 2026-01-01T00:00:02.000000Z | 1").await
}

/// A filtered value creates no column and fixes no type.
pub async fn a_column_that_is_off_fixes_no_type(room: &Room<'_>) -> Checked {
    room.load_by(&off(room, &[], &["*.plan"], &[]), &[at("m1", 1, r#"{"plan": 1}"#)]).await?;
    room.expect_columns("users", &[]).await?;
    room.load(&[at("m2", 2, r#"{"plan": "x"}"#)]).await?;
    room.expect("users", "id | plan\n u1 | x").await?;
    room.expect_type("identifies", "plan", Type::Text).await
}

/// An audience or trait that is off has no column anywhere, and the calls that it sent are not loaded.
pub async fn a_computation_switched_off(room: &Room<'_>) -> Checked {
    let rules = off(room, &[], &[], &["vip"]);
    let context = r#"{"personas": {"computation_class": "audience", "computation_key": "vip"}}"#;
    let own = Call::identify("m1", "u1").set("context", context).traits(r#"{"vip": true}"#);
    let entered = Call::track("m2", "u1", "Audience Entered")
        .set("context", context)
        .properties(r#"{"audience_key": "vip", "vip": true}"#);
    let receipts = room.load_by(&rules, &[own.line(), entered.line(), at("m3", 3, r#"{"vip": true, "n": 1}"#)]).await?;
    room.expect("identifies", "id | n\n m3 | 1").await?;
    room.expect_columns("identifies", &["n"]).await?;
    room.expect_columns("users", &["n"]).await?;
    room.expect_tables(&["identifies", "users"]).await?;
    same(
        &counts(&receipts, "identifies"),
        &Counts { received: 2, loaded: 1, filtered: 1, ..Counts::default() },
        "counts of identifies",
    )?;
    room.load(&[own.set("messageId", "\"m4\"").at(4).line()]).await?;
    room.expect("users", "id | vip\n u1 | true").await
}

/// `integrations.Warehouses` says which warehouses get an event; `All: false` says nothing to them.
pub async fn routing_to_warehouses(room: &Room<'_>) -> Checked {
    let rules = Rules { warehouse: Some("main".into()), ..room.rules() };
    let routed =
        |id: &str, integrations: &str| Call::identify(id, "u1").set("integrations", integrations).traits("{}").line();
    let lines = [
        routed("m1", r#"{"All": false}"#),
        routed("m2", r#"{"All": false, "Warehouses": {"all": true}}"#),
        routed("m3", r#"{"Warehouses": {"all": false}}"#),
        routed("m4", r#"{"Warehouses": {"warehouseIds": ["other", "main"]}}"#),
        routed("m5", r#"{"Warehouses": {"warehouseIds": ["other"]}}"#),
        routed("m6", r#"{"Warehouses": false}"#),
        routed("m7", r#"{"Warehouses": {"all": false, "warehouseIds": ["main"]}}"#),
        routed("m8", r#"{"Warehouses": {"all": true, "warehouseIds": ["other"]}}"#),
        routed("m9", r#"{"Warehouses": {}}"#),
    ];
    let receipts = room.load_by(&rules, &lines).await?;
    room.expect("identifies", "id\n m1\n m2\n m4\n m7\n m9").await?;
    let identifies = Counts { received: 9, loaded: 5, filtered: 4, ..Counts::default() };
    same(&counts(&receipts, "identifies"), &identifies, "counts of identifies")
}
