//! `users`: one row per user, the newest value of each trait, whatever the order of arrival.

use super::at;
use super::values::kept;
use crate::generate::{Call, START, quoted};
use crate::harness::Checked;
use crate::room::Room;
use tablecast_core::time;

/// An absent trait leaves the user alone, an explicit null clears it, an empty string is a value.
pub async fn absent_is_not_null(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"plan": "pro", "vip": true, "n": 1}"#)]).await?;
    room.load(&[at("m2", 2, r#"{"plan": null}"#)]).await?;
    room.expect("users", "id | plan | vip | n\n u1 | | true | 1").await?;
    room.load(&[at("m3", 3, r#"{"plan": "free", "vip": null, "n": null}"#), at("m4", 4, r#"{"vip": false}"#)]).await?;
    room.expect("users", "id | plan | vip | n\n u1 | free | false |").await?;
    room.expect("identifies", "id | plan | vip | n\n m1 | pro | true | 1\n m2 | | |\n m3 | free | |\n m4 | | false |")
        .await
}

/// A key that was only ever null has no column and fixes no type.
pub async fn a_trait_that_is_only_null_has_no_column(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"plan": null}"#)]).await?;
    room.expect_columns("identifies", &[]).await?;
    room.expect_columns("users", &[]).await?;
    room.expect("users", "id\n u1").await?;
    room.load(&[at("m2", 2, r#"{"plan": 5}"#)]).await?;
    room.expect("users", "id | plan\n u1 | 5").await
}

/// A null is remembered even before its column is there: an older value that comes later does not win.
pub async fn a_null_keeps_older_values_out(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 20, r#"{"plan": null}"#)]).await?;
    room.load(&[at("m2", 10, r#"{"plan": "old"}"#)]).await?;
    room.expect("users", "id | plan\n u1 |").await?;
    room.expect("identifies", "id | plan\n m1 |\n m2 | old").await?;
    room.load(&[at("m3", 15, r#"{"plan": "still old"}"#)]).await?;
    room.expect("users", "id | plan\n u1 |").await?;
    room.load(&[at("m4", 30, r#"{"plan": "new"}"#)]).await?;
    room.expect("users", "id | plan\n u1 | new").await
}

/// What arrives late is a row, and changes no newer cell.
pub async fn a_late_older_value_does_not_overwrite(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 10, r#"{"plan": "b", "n": 1}"#)]).await?;
    room.load(&[at("m2", 5, r#"{"plan": "a", "vip": true}"#), at("m3", 20, r#"{"n": 2}"#)]).await?;
    room.expect("users", "id | plan | vip | n | received_at\n u1 | b | true | 2 | 2026-01-01T00:00:21.000000Z").await?;
    room.load(&[at("m4", 15, r#"{"plan": "c", "n": 9}"#), at("m5", 8, r#"{"vip": null}"#)]).await?;
    room.expect("users", "id | plan | vip | n | received_at\n u1 | c | | 2 | 2026-01-01T00:00:21.000000Z").await?;
    room.expect("identifies", "id | plan\n m1 | b\n m2 | a\n m3 |\n m4 | c\n m5 |").await
}

/// At one moment the id decides, the same in any order and any cut.
pub async fn equal_times_are_decided_by_the_id(room: &Room<'_>) -> Checked {
    let lines = [
        at("m1", 5, r#"{"plan": "a", "n": 1}"#),
        at("m2", 5, r#"{"plan": "b"}"#),
        at("m3", 5, r#"{"plan": null, "n": 2}"#),
        at("m4", 5, r#"{"n": null}"#),
    ];
    room.load(&lines).await?;
    let first = room.dump().await?;
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let other = room.beside().await?;
        for index in order {
            other.load(&lines[index..=index]).await?;
        }
        other.dump().await?.must_equal(&first, &format!("order {order:?} shows"))?;
    }
    Ok(())
}

/// A time beyond the moment of receiving counts as that moment.
pub async fn a_clock_ahead_does_not_win_for_ever(room: &Room<'_>) -> Checked {
    let ahead = |id: &str, second: i64, traits: &str| {
        let received = quoted(&time::format(START + second * 1_000_000));
        Call::identify(id, "u1")
            .set("originalTimestamp", "\"2099-01-01T00:00:00Z\"")
            .set("receivedAt", received)
            .traits(traits)
            .line()
    };
    room.load(&[ahead("m1", 10, r#"{"plan": "ahead"}"#)]).await?;
    room.load(&[at("m2", 20, r#"{"plan": "later"}"#)]).await?;
    room.expect("users", "id | plan\n u1 | later").await?;
    room.load(&[ahead("m3", 15, r#"{"plan": "ahead again"}"#)]).await?;
    room.expect("users", "id | plan\n u1 | later").await?;
    room.expect("identifies", "id | timestamp\n m1 | 2099-01-01T00:00:00.000000Z\n m2 | 2026-01-01T00:00:20.000000Z\n m3 | 2099-01-01T00:00:00.000000Z").await
}

/// A value that cannot be held has no part in the fold, within a cut and across.
pub async fn a_discarded_value_does_not_hide_an_older_one(room: &Room<'_>) -> Checked {
    room.load(&[at("m1", 1, r#"{"n": 1}"#)]).await?;
    room.load(&[at("m2", 2, r#"{"n": 2}"#), at("m3", 3, r#"{"n": "N/A"}"#)]).await?;
    room.expect("users", "id | n\n u1 | 2").await?;
    room.load(&[at("m4", 4, r#"{"n": "N/A"}"#)]).await?;
    room.expect("users", "id | n\n u1 | 2").await?;
    kept(room, "identifies", "n", "N/A", "type_conflict").await
}

/// A user exists once an identify of them was accepted.
pub async fn a_user_without_traits_is_a_row(room: &Room<'_>) -> Checked {
    room.load(&[
        Call::identify("m1", "u1").line(),
        Call::identify("m2", "u2").traits("{}").line(),
        at("m3", 5, r#"{"vip": null}"#),
    ])
    .await?;
    room.expect("users", "id | user_id\n u1 | u1\n u2 | u2").await?;
    room.expect("identifies", "id | user_id\n m1 | u1\n m2 | u2\n m3 | u1").await
}
