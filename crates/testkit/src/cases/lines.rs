//! Lines that are no calls, and calls that cannot be loaded: kept with a reason, and nothing else is lost.

use super::at;
use crate::generate::Call;
use crate::harness::{Checked, Failed};
use crate::room::{Room, same};
use std::collections::BTreeSet;
use tablecast_core::Rules;

/// What has been discarded, as pairs of value and reason.
async fn reasons(room: &Room<'_>) -> Checked<BTreeSet<(String, String)>> {
    let cell = |row: &tablecast_core::testing::Row, column: &str| row.get(column).cloned().unwrap_or_default();
    let rows = room.rows("_discards").await?;
    Ok(rows.iter().map(|row| (cell(row, "value"), cell(row, "reason"))).collect())
}

fn pairs(text: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    text.iter().map(|(value, reason)| ((*value).to_owned(), (*reason).to_owned())).collect()
}

/// Truncated JSON, bytes that are no text, and JSON that is no object.
pub async fn broken_lines_are_kept_with_a_reason(room: &Room<'_>) -> Checked {
    let truncated = br#"{"type":"identify","userId":"u1","traits":{"plan":"#;
    let good = at("m1", 1, r#"{"plan": "a"}"#);
    let lines: [&[u8]; 6] = [truncated, b"{\"type\":\"\xff\xfe\"}", b"[1,2]", b"17", good.as_bytes(), b"nonsense"];
    room.load(&lines).await?;
    room.expect("identifies", "id | plan\n m1 | a").await?;
    let truncated = String::from_utf8_lossy(truncated);
    let should = [
        (&*truncated, "invalid_json"),
        (r#"{"type":"\xff\xfe"}"#, "invalid_utf8"),
        ("[1,2]", "not_an_object"),
        ("17", "not_an_object"),
        ("nonsense", "invalid_json"),
    ];
    same(&reasons(room).await?, &pairs(&should), "discards")
}

/// An unknown type, no id of any user, a track without a name, an alias or a group without its id.
pub async fn calls_that_cannot_be_loaded_are_kept(room: &Room<'_>) -> Checked {
    let lines = [
        Call::new("unheard of", "m1").set("userId", "\"u1\"").line(),
        Call::new("identify", "m2").traits(r#"{"plan": "a"}"#).line(),
        Call::new("track", "m3").set("userId", "\"u1\"").line(),
        Call::new("track", "m4").set("userId", "\"u1\"").set("event", "17").line(),
        Call::new("group", "m5").set("userId", "\"u1\"").line(),
        at("m6", 1, r#"{"plan": "b"}"#),
    ];
    room.load(&lines).await?;
    room.expect("identifies", "id | plan\n m6 | b").await?;
    room.expect("users", "id | plan\n u1 | b").await?;
    let wanted = ["unknown_type", "no_user_anon_id", "event_not_defined", "event_not_string", "id_required"];
    let found = reasons(room).await?;
    for ((line, reason), id) in lines.iter().zip(wanted).zip(1..) {
        if !found.iter().any(|(value, own)| own == reason && value.contains(&format!("m{id}"))) {
            return Err(Failed(format!("no discard {reason} of {line}; there are {found:?}")));
        }
    }
    room.expect_tables(&["identifies", "users"]).await
}

/// Traits that are an array are kept aside; the call is loaded without them.
pub async fn a_body_of_the_wrong_shape_loses_only_itself(room: &Room<'_>) -> Checked {
    let lines = [
        Call::identify("m1", "u1").traits("[1, 2]").line(),
        Call::identify("m2", "u2").traits("\"x\"").line(),
        Call::track("m3", "u1", "Order Completed").properties("[3]").line(),
        Call::identify("m4", "u4").traits("null").line(),
    ];
    room.load(&lines).await?;
    room.expect("identifies", "id | user_id\n m1 | u1\n m2 | u2\n m4 | u4").await?;
    room.expect("users", "id\n u1\n u2\n u4").await?;
    room.expect("order_completed", "id\n m3").await?;
    let reasons: Vec<String> = reasons(room).await?.into_iter().map(|(_, reason)| reason).collect();
    let mut sorted = reasons.clone();
    sorted.sort_unstable();
    same(
        &sorted,
        &["properties_not_object", "traits_not_object", "traits_not_object"].map(str::to_owned).to_vec(),
        "reasons",
    )
}

/// Events of which nothing is for this warehouse still leave their counts.
pub async fn a_commit_without_rows(room: &Room<'_>) -> Checked {
    let rules = Rules { warehouse: Some("main".into()), ..room.rules() };
    let none =
        Call::identify("m1", "u1").set("integrations", r#"{"Warehouses": {"all": false}}"#).traits(r#"{"plan": "a"}"#);
    room.load_by(&rules, &[none.line()]).await?;
    room.expect_tables(&[]).await?;
    let ledger = room.rows("_commits").await?;
    let filtered = ledger.iter().filter(|row| {
        row.get("table_name").is_some_and(|name| name == "identifies")
            && row.get("filtered").is_some_and(|count| count == "1")
    });
    same(&filtered.count(), &1, "ledger rows of identifies with one filtered")
}
