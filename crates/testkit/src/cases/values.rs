//! What becomes of a value: its type, its form, and where it goes when it fits nowhere.

use super::at;
use crate::harness::{Checked, Failed};
use crate::room::{Room, same};
use tablecast_core::rules::OnTypeConflict;
use tablecast_core::{Rules, Type};

/// Objects become columns joined by `_`; arrays become JSON; nothing of an empty object is left.
pub async fn objects_are_flattened_and_arrays_are_json(room: &Room<'_>) -> Checked {
    let traits = r#"{"address": {"street": "6th", "geo": {"lat": 47.5, "lonDeg": -1}}, "tags": ["a", {"b": 1}, null], "none": {}, "no_tags": [], "deep": [[1, [2]]]}"#;
    room.load(&[at("m1", 1, traits)]).await?;
    let text = "id | address_street | address_geo_lat | address_geo_lon_deg | tags | no_tags | deep\n";
    room.expect("identifies", &format!("{text} m1 | 6th | 47.5 | -1 | [\"a\",{{\"b\":1}},null] | [] | [[1,[2]]]"))
        .await?;
    room.expect("users", &format!("{text} u1 | 6th | 47.5 | -1 | [\"a\",{{\"b\":1}},null] | [] | [[1,[2]]]")).await?;
    room.expect_columns(
        "users",
        &["address_street", "address_geo_lat", "address_geo_lon_deg", "tags", "no_tags", "deep"],
    )
    .await?;
    // a null for the object clears nothing of what is below it
    room.load(&[at("m2", 2, r#"{"address": null}"#)]).await?;
    room.expect("users", "id | address_street\n u1 | 6th").await
}

/// Below 32 levels an object stays JSON text in one column; 1,000 levels lose nothing either.
pub async fn deep_nesting_ends_as_json(room: &Room<'_>) -> Checked {
    let nest = |depth: usize| format!("{}\"leaf\"{}", r#"{"k": "#.repeat(depth), "}".repeat(depth));
    room.load(&[at("m1", 1, &nest(40)), at("m2", 2, &nest(1_000)), at("m3", 3, r#"{"vip": true}"#)]).await?;
    for id in ["m1", "m2"] {
        let mut rows = room.rows("identifies").await?;
        rows.retain(|row| row.get("id").is_some_and(|own| own == id));
        rows.extend(
            room.rows("_discards").await?.into_iter().filter(|row| row.get("event_id").is_some_and(|own| own == id)),
        );
        if !rows.iter().any(|row| row.values().any(|value| value.contains("leaf"))) {
            return Err(Failed(format!("the leaf of {id} is lost: {rows:?}")));
        }
    }
    room.expect("users", "id | vip\n u1 | true").await
}

/// An integer column that is offered a fraction becomes a float, and keeps it.
pub async fn numbers_widen_and_stay_exact(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"n": 450, "m": 1.5}"#)]).await?;
    room.expect_type("users", "n", Type::Int).await?;
    room.load(&[at("m2", 2, r#"{"n": 450.75, "m": 2}"#)]).await?;
    room.load(&[at("m3", 3, r#"{"n": 7}"#)]).await?;
    room.expect("identifies", "id | n | m\n m1 | 450.0 | 1.5\n m2 | 450.75 | 2.0\n m3 | 7.0 |").await?;
    room.expect("users", "id | n | m\n u1 | 7.0 | 2.0").await?;
    room.expect_type("identifies", "n", Type::Float).await?;
    room.expect_type("users", "n", Type::Float).await?;
    room.expect_discards("").await
}

/// 2^53 + 1 is exact among integers; once the column is a float it is the nearest one, and what it was is kept.
pub async fn a_big_integer_is_exact_until_a_float_comes(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"n": 9007199254740993}"#), at("m2", 2, r#"{"m": 9007199254740993}"#)]).await?;
    room.expect("users", "id | n | m\n u1 | 9007199254740993 | 9007199254740993").await?;
    room.load(&[at("m3", 0, r#"{"n": 0.5}"#)]).await?;
    room.expect("identifies", "id | n | m\n m1 | 9007199254740992.0 |\n m2 | | 9007199254740993\n m3 | 0.5 |").await?;
    room.expect("users", "id | n | m\n u1 | 9007199254740992.0 | 9007199254740993").await?;
    kept(room, "identifies", "n", "9007199254740993", "precision").await
}

/// The same the other way round: the same tables, the same discard.
pub async fn a_float_first_then_a_big_integer(room: &Room<'_>) -> Checked {
    room.load(&[at("m3", 0, r#"{"n": 0.5}"#)]).await?;
    room.load(&[at("m1", 1, r#"{"n": 9007199254740993}"#), at("m2", 2, r#"{"m": 9007199254740993}"#)]).await?;
    kept(room, "identifies", "n", "9007199254740993", "precision").await?;
    let other = room.beside().await?;
    a_big_integer_is_exact_until_a_float_comes(&other).await?;
    room.dump().await?.must_equal(&other.dump().await?, "the order shows")
}

/// Beyond 64 bits integers are exact up to 38 digits.
pub async fn decimals(room: &Room<'_>) -> Checked {
    let widest = "99999999999999999999999999999999999999";
    room.load(&[at("m1", 1, r#"{"n": 1, "d": 18446744073709551616}"#)]).await?;
    room.load(&[at("m2", 2, &format!(r#"{{"n": -{widest}, "d": 1}}"#))]).await?;
    room.expect("identifies", &format!("id | n | d\n m1 | 1 | 18446744073709551616\n m2 | -{widest} | 1")).await?;
    room.expect("users", &format!("id | n | d\n u1 | -{widest} | 1")).await?;
    room.expect_type("users", "n", Type::Decimal).await?;
    room.load(&[at("m3", 3, r#"{"n": 1.5}"#)]).await?;
    room.expect("identifies", "id | n\n m1 | 1.0\n m2 | -1e+38\n m3 | 1.5").await?;
    kept(room, "identifies", "n", &format!("-{widest}"), "precision").await
}

/// No number makes an error.
pub async fn numbers_beyond_everything(room: &Room<'_>) -> Checked {
    let huge = format!("1{}", "0".repeat(39));
    room.load(&[at(
        "m1",
        1,
        &format!(r#"{{"a": 1e400, "b": {huge}, "c": -0, "d": -0.0, "e": 1e300, "f": 0.1e-320}}"#),
    )])
    .await?;
    room.expect("identifies", &format!("id | b | c | d | e\n m1 | {huge} | 0 | 0.0 | 1e+300")).await?;
    room.expect_type("users", "b", Type::Text).await?;
    room.expect_columns("identifies", &["b", "c", "d", "e", "f"]).await?;
    kept(room, "identifies", "a", "1e400", "number_overflow").await?;
    room.load(&[at("m2", 2, &format!(r#"{{"c": {huge}}}"#))]).await?;
    room.expect("identifies", "id | c\n m1 | 0\n m2 |").await?;
    kept(room, "identifies", "c", &huge, "type_conflict").await
}

/// One `N/A` does not turn a column that dashboards read into text.
pub async fn a_word_in_a_number_column_is_kept_aside(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"revenue": 5, "vip": true}"#)]).await?;
    room.load(&[at("m2", 2, r#"{"revenue": "N/A", "vip": "yes"}"#), at("m3", 3, r#"{"vip": 1}"#)]).await?;
    room.expect("identifies", "id | revenue | vip\n m1 | 5 | true\n m2 | |\n m3 | |").await?;
    room.expect("users", "id | revenue | vip\n u1 | 5 | true").await?;
    room.expect_type("users", "revenue", Type::Int).await?;
    kept(room, "identifies", "revenue", "N/A", "type_conflict").await?;
    kept(room, "identifies", "vip", "yes", "type_conflict").await?;
    kept(room, "identifies", "vip", "1", "type_conflict").await
}

/// Who wants it gets text instead, with what was there in canonical form.
pub async fn a_conflict_can_widen_to_text_instead(room: &Room<'_>) -> Checked {
    let rules = Rules { on_type_conflict: OnTypeConflict::Text, ..room.rules() };
    room.load_by(&rules, &[at("m1", 1, r#"{"n": 5, "f": 2.0, "b": true, "t": "2026-01-01T00:00:00Z"}"#)]).await?;
    room.load_by(&rules, &[at("m2", 2, r#"{"n": "N/A", "f": "N/A", "b": "N/A", "t": "N/A"}"#)]).await?;
    room.expect(
        "identifies",
        "id | n | f | b | t
         m1 | 5 | 2.0 | true | 2026-01-01T00:00:00.000000Z
         m2 | N/A | N/A | N/A | N/A",
    )
    .await?;
    room.expect("users", "id | n | f | b | t\n u1 | N/A | N/A | N/A | N/A").await?;
    room.expect_type("identifies", "n", Type::Text).await?;
    room.expect_discards("").await
}

/// Offered several kinds at once, a column that does not exist becomes text in one canonical form.
pub async fn a_new_column_of_mixed_kinds_is_text(room: &Room<'_>) -> Checked {
    let values = ["true", "7", "2.50", "\"word\"", "\"2026-01-31T23:59:59Z\"", "[1, 2]", "18446744073709551616"];
    let lines: Vec<String> =
        values.iter().zip(1..).map(|(value, n)| at(&format!("m{n}"), n, &format!(r#"{{"x": {value}}}"#))).collect();
    room.load(&lines).await?;
    room.expect(
        "identifies",
        "id | x
         m1 | true
         m2 | 7
         m3 | 2.5
         m4 | word
         m5 | 2026-01-31T23:59:59.000000Z
         m6 | [1,2]
         m7 | 18446744073709551616",
    )
    .await?;
    room.expect_type("users", "x", Type::Text).await?;
    room.expect("users", "id | x\n u1 | 18446744073709551616").await
}

/// A type declared in the rules decides before any value does.
pub async fn a_type_can_be_decided_before_any_value(room: &Room<'_>) -> Checked {
    let types = [("revenue".to_owned(), Type::Float), ("users.note".to_owned(), Type::Text)];
    let rules = Rules { types: types.into(), ..room.rules() };
    room.load_by(&rules, &[at("m1", 1, r#"{"revenue": 450, "note": 1}"#)]).await?;
    room.expect("identifies", "id | revenue | note\n m1 | 450.0 | 1").await?;
    room.expect_type("identifies", "revenue", Type::Float).await?;
    room.expect_type("users", "revenue", Type::Float).await?;
    room.expect_type("users", "note", Type::Text).await?;
    room.expect_type("identifies", "note", Type::Int).await
}

/// Strict ISO 8601 within years 1 to 9999 is a point in time, anything else is text.
pub async fn timestamps_and_years_that_are_none(room: &Room<'_>) -> Checked {
    let line = at(
        "m1",
        1,
        r#"{"a": "2026-01-31", "b": "2026-01-31T10:20:30,5+02:00", "c": "0001-01-01T00:00:00Z", "d": "9999-12-31T23:59:59.999999Z",
            "e": "0000-01-01T00:00:00Z", "f": "10000-01-01", "g": "31.1.2026", "h": 1769817600}"#,
    );
    room.load(&[line.replace('\n', " ")]).await?;
    room.expect(
        "identifies",
        "a | b | c | d | e | f | g | h
         2026-01-31T00:00:00.000000Z | 2026-01-31T08:20:30.500000Z | 0001-01-01T00:00:00.000000Z | 9999-12-31T23:59:59.999999Z | 0000-01-01T00:00:00Z | 10000-01-01 | 31.1.2026 | 1769817600",
    )
    .await?;
    for (column, ty) in
        [("a", Type::Timestamp), ("d", Type::Timestamp), ("e", Type::Text), ("f", Type::Text), ("h", Type::Int)]
    {
        room.expect_type("users", column, ty).await?;
    }
    room.load(&[at("m2", 2, r#"{"a": "0000-01-01T00:00:00Z"}"#)]).await?;
    kept(room, "identifies", "a", "0000-01-01T00:00:00Z", "type_conflict").await
}

/// Any text comes out as it went in, but for NUL, which no warehouse holds.
pub async fn text_as_it_is_but_without_nul(room: &Room<'_>) -> Checked {
    let traits = r#"{"a": "x\u0000y", "b": "it's \"so\" \\ ; -- $1 ?", "c": "日本語 \ud83d\ude00 é", "d": "tab\there\r\nline", "e": "NULL", "f": "\\N", "g": " blank "}"#;
    room.load(&[at("m1", 1, traits)]).await?;
    for (table, key) in [("identifies", "m1"), ("users", "u1")] {
        let rows = room.rows(table).await?;
        let row = rows
            .first()
            .filter(|_| rows.len() == 1)
            .ok_or_else(|| Failed(format!("{table} has {} rows", rows.len())))?;
        let wanted = [
            ("id", key),
            ("a", "xy"),
            ("b", "it's \"so\" \\ ; -- $1 ?"),
            ("c", "日本語 😀 é"),
            ("d", "tab\there\r\nline"),
            ("e", "NULL"),
            ("f", "\\N"),
            ("g", " blank "),
        ];
        for (column, value) in wanted {
            same(&row.get(column).map(String::as_str), &Some(value), &format!("{table}.{column}"))?;
        }
    }
    room.load(&[at("m2", 2, r#"{"a": ""}"#)]).await?;
    let empty = room.rows("users").await?.iter().any(|row| row.get("a").is_some_and(String::is_empty));
    same(&empty, &true, "an empty string is a value")
}

/// Ids are numbers in decimal or text without NUL and surrounding blanks; an empty one is absent.
pub async fn ids_have_one_form(room: &Room<'_>) -> Checked {
    let call =
        |id: &str, field: &'static str, json: &str| crate::generate::Call::new("identify", id).set(field, json).line();
    let long = format!("\"{}\"", "u".repeat(600));
    room.load(&[
        call("m1", "userId", "42"),
        call("m2", "userId", "\" 42\\u0000 \""),
        call("m3", "userId", "\"42\""),
        crate::generate::Call::new("identify", "m4").set("userId", "\"\"").set("anonymousId", "\"a1\"").line(),
        crate::generate::Call::new("identify", "m5").set("userId", &*long).set("anonymousId", "\"a1\"").line(),
    ])
    .await?;
    room.expect("users", "id | user_id\n 42 | 42").await?;
    let rows = room.rows("identifies").await?;
    let mut users: Vec<_> =
        rows.iter().filter_map(|row| Some((row.get("id")?.as_str(), row.get("user_id")?.as_str()))).collect();
    users.sort_unstable();
    same(&users, &vec![("m1", "42"), ("m2", "42"), ("m3", "42")], "users of identifies")?;
    let discards = room.rows("_discards").await?;
    same(
        &discards.iter().any(|row| row.get("reason").is_some_and(|reason| reason == "id_too_long")),
        &true,
        "a discard of the long id",
    )
}

/// Text beyond what the warehouse holds is kept aside; its row is not lost.
pub async fn text_beyond_the_limit_is_discarded(room: &Room<'_>) -> Checked {
    let limit = room.dialect().max_text_bytes;
    if limit > 4 << 20 {
        return Ok(()); // such a value would be a load test
    }
    let fits = "é".repeat(limit / 2);
    room.load(&[at("m1", 1, &format!(r#"{{"a": "{fits}", "b": "{fits}xx", "c": 1}}"#))]).await?;
    let rows = room.rows("users").await?;
    let row = rows.first().ok_or_else(|| Failed::new("users is empty"))?;
    same(&row.get("a").map(String::len), &Some(fits.len()), "bytes of the text that fits")?;
    same(&row.get("b"), &None, "the text that does not fit")?;
    room.expect("users", "id | c\n u1 | 1").await?;
    let discards = room.rows("_discards").await?;
    let of_b = discards.iter().filter(|row| row.get("column_name").is_some_and(|name| name == "b"));
    same(
        &of_b.clone().all(|row| row.get("bytes").is_some_and(|bytes| *bytes == (fits.len() + 2).to_string())),
        &true,
        "the length kept",
    )?;
    same(&of_b.into_iter().next().is_some(), &true, "a discard of the long text")
}

/// A discard must be there.
pub(super) async fn kept(room: &Room<'_>, table: &str, column: &str, value: &str, reason: &str) -> Checked {
    let rows = room.rows("_discards").await?;
    let is =
        |row: &tablecast_core::testing::Row, name: &str, wanted: &str| row.get(name).is_some_and(|own| own == wanted);
    let found = rows.iter().any(|row| {
        is(row, "table_name", table)
            && is(row, "column_name", column)
            && is(row, "value", value)
            && is(row, "reason", reason)
    });
    if found {
        Ok(())
    } else {
        Err(Failed(format!("no discard {table}.{column} {value} {reason}; there are {rows:?}")))
    }
}
