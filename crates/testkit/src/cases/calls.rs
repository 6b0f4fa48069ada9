//! Which call fills which table.

use crate::generate::Call;
use crate::harness::Checked;
use crate::room::Room;
use tablecast_core::Type;

fn seed_identifies() -> [String; 2] {
    [
        Call::identify("m1", "u123").at(1).traits(r#"{"first_time_shopper": true}"#).line(),
        Call::identify("m2", "u123").at(2).traits(r#"{"total_revenue_180_days": 450.00}"#).line(),
    ]
}

/// The two tables of the identify section of Segment's own description.
pub async fn identifies_and_users(room: &Room<'_>) -> Checked {
    room.load(&seed_identifies()).await?;
    room.expect(
        "identifies",
        "id | user_id | first_time_shopper | total_revenue_180_days\n m1 | u123 | true |\n m2 | u123 | | 450.0",
    )
    .await?;
    room.expect("users", "id | user_id | first_time_shopper | total_revenue_180_days | received_at\n u123 | u123 | true | 450.0 | 2026-01-01T00:00:03.000000Z").await?;
    room.expect_columns("identifies", &["first_time_shopper", "total_revenue_180_days"]).await?;
    room.expect_columns("users", &["first_time_shopper", "total_revenue_180_days"]).await?;
    room.expect_tables(&["identifies", "users"]).await?;
    room.expect_type("users", "first_time_shopper", Type::Boolean).await?;
    room.expect_type("users", "total_revenue_180_days", Type::Float).await?;
    room.expect_type("identifies", "received_at", Type::Timestamp).await?;
    room.expect_discards("").await
}

/// Leaving an audience is `false` in the same cell; the other trait stays.
pub async fn an_exit_changes_one_cell(room: &Room<'_>) -> Checked {
    room.load(&seed_identifies()).await?;
    room.load(&[Call::identify("m3", "u123").at(3).traits(r#"{"first_time_shopper": false}"#).line()]).await?;
    room.expect("identifies", "id | first_time_shopper\n m1 | true\n m2 |\n m3 | false").await?;
    room.expect("users", "id | first_time_shopper | total_revenue_180_days\n u123 | false | 450.0").await
}

/// The three tables of the track section, with the body under `traits` as there, or under `properties`.
pub async fn tracks_and_event_tables(room: &Room<'_>) -> Checked {
    let entered = Call::track("m1", "u123", "Audience Entered")
        .traits(r#"{"audience_key": "first_time_shopper", "first_time_shopper": true}"#);
    let exited = Call::track("m2", "u123", "Audience Exited")
        .properties(r#"{"audience_key": "first_time_shopper", "first_time_shopper": false}"#);
    let computed = Call::track("m3", "u123", "Trait Computed")
        .traits(r#"{"trait_key": "total_revenue_180_days", "total_revenue_180_days": 450.00}"#);
    room.load(&[entered.line(), exited.line(), computed.line()]).await?;
    room.expect("audience_entered", "id | user_id | audience_key | first_time_shopper | event | event_text\n m1 | u123 | first_time_shopper | true | audience_entered | Audience Entered").await?;
    room.expect(
        "audience_exited",
        "id | user_id | audience_key | first_time_shopper\n m2 | u123 | first_time_shopper | false",
    )
    .await?;
    room.expect(
        "trait_computed",
        "id | user_id | total_revenue_180_days | trait_key\n m3 | u123 | 450.0 | total_revenue_180_days",
    )
    .await?;
    room.expect("tracks", "id | user_id | event | event_text\n m1 | u123 | audience_entered | Audience Entered\n m2 | u123 | audience_exited | Audience Exited\n m3 | u123 | trait_computed | Trait Computed").await?;
    room.expect_columns("tracks", &[]).await?;
    room.expect_columns("trait_computed", &["total_revenue_180_days", "trait_key"]).await?;
    room.expect_tables(&["audience_entered", "audience_exited", "trait_computed", "tracks"]).await?;

    let both = Call::track("m4", "u123", "Two Bodies").properties(r#"{"a": 1}"#).traits(r#"{"a": 2, "b": 3}"#);
    room.load(&[both.line()]).await?;
    room.expect("two_bodies", "id | a | b\n m4 | 1 | 3").await
}

/// Events can be renamed; the name selects the table.
pub async fn renamed_events_make_other_tables(room: &Room<'_>) -> Checked {
    let lines = [
        Call::track("m1", "u1", "Became a Shopper").properties(r#"{"vip": true}"#).line(),
        Call::track("m2", "u1", "becameAShopper").properties(r#"{"vip": false}"#).line(),
        Call::track("m3", "u1", "Became a shopper").properties(r#"{"vip": true}"#).line(),
    ];
    room.load(&lines).await?;
    room.expect(
        "became_a_shopper",
        "id | vip | event_text\n m1 | true | Became a Shopper\n m3 | true | Became a shopper",
    )
    .await?;
    room.expect("became_ashopper", "id | vip | event_text\n m2 | false | becameAShopper").await?;
    room.expect("tracks", "id | event\n m1 | became_a_shopper\n m2 | became_ashopper\n m3 | became_a_shopper").await
}

/// A trait that comes later is one more column; older rows are NULL in it.
pub async fn a_new_trait_is_a_new_column(room: &Room<'_>) -> Checked {
    room.load(&seed_identifies()).await?;
    room.load(&[Call::identify("m3", "u123").at(3).traits(r#"{"orders_count": 7}"#).line()]).await?;
    room.load(&[Call::identify("m4", "u124").at(4).traits(r#"{"orders_count": 8}"#).line()]).await?;
    room.expect("identifies", "id | orders_count\n m1 |\n m2 |\n m3 | 7\n m4 | 8").await?;
    room.expect(
        "users",
        "id | first_time_shopper | total_revenue_180_days | orders_count\n u123 | true | 450.0 | 7\n u124 | | | 8",
    )
    .await
}

/// An anonymous profile is in `identifies` and not in `users`.
pub async fn anonymous_identifies_make_no_user(room: &Room<'_>) -> Checked {
    let line = Call::new("identify", "m1").set("anonymousId", "\"a1\"").traits(r#"{"vip": true}"#).line();
    room.load(&[line]).await?;
    room.expect("identifies", "id | anonymous_id | vip\n m1 | a1 | true").await?;
    room.expect_tables(&["identifies"]).await
}

/// `timestamp = received_at - (sent_at - original_timestamp)`, unless it is given.
pub async fn clock_skew_is_taken_out(room: &Room<'_>) -> Checked {
    let call = |id| Call::new("identify", id).set("userId", "\"u1\"").traits("{}");
    let skewed = call("m1")
        .set("originalTimestamp", "\"2026-01-01T10:00:00Z\"")
        .set("sentAt", "\"2026-01-01T10:00:05Z\"")
        .set("receivedAt", "\"2026-01-01T09:58:05Z\"");
    let not_sent = skewed.clone().without("sentAt").set("messageId", "\"m2\"");
    let lone = skewed
        .clone()
        .without("originalTimestamp")
        .set("timestamp", "\"2026-01-01T10:00:00Z\"")
        .set("messageId", "\"m3\"");
    let given = skewed.clone().set("timestamp", "\"2026-01-01T09:57:00Z\"").set("messageId", "\"m4\"");
    room.load(&[skewed.line(), not_sent.line(), lone.line(), given.line()]).await?;
    room.expect(
        "identifies",
        "id | timestamp                   | original_timestamp          | sent_at                     | received_at
         m1 | 2026-01-01T09:58:00.000000Z | 2026-01-01T10:00:00.000000Z | 2026-01-01T10:00:05.000000Z | 2026-01-01T09:58:05.000000Z
         m2 | 2026-01-01T10:00:00.000000Z | 2026-01-01T10:00:00.000000Z |                             | 2026-01-01T09:58:05.000000Z
         m3 | 2026-01-01T09:58:00.000000Z | 2026-01-01T10:00:00.000000Z | 2026-01-01T10:00:05.000000Z | 2026-01-01T09:58:05.000000Z
         m4 | 2026-01-01T09:57:00.000000Z | 2026-01-01T10:00:00.000000Z | 2026-01-01T10:00:05.000000Z | 2026-01-01T09:58:05.000000Z",
    )
    .await
}

/// A group call is a row in `groups`, and `accounts` has the newest state of each group.
pub async fn groups_and_accounts(room: &Room<'_>) -> Checked {
    let group = |id: &str, second, traits: &str| {
        Call::new("group", id).set("userId", "\"u1\"").set("groupId", "\"g1\"").at(second).traits(traits).line()
    };
    room.load(&[group("m1", 1, r#"{"plan": "free", "seats": 3}"#), group("m2", 2, r#"{"plan": "pro"}"#)]).await?;
    room.load(&[group("m3", 3, r#"{"seats": null}"#)]).await?;
    room.expect(
        "groups",
        "id | user_id | group_id | plan | seats\n m1 | u1 | g1 | free | 3\n m2 | u1 | g1 | pro |\n m3 | u1 | g1 | |",
    )
    .await?;
    room.expect("accounts", "id | plan | seats\n g1 | pro |").await
}

/// Page and screen calls are rows with a name and a category, and make no tables of their own.
pub async fn pages_and_screens(room: &Room<'_>) -> Checked {
    let page = Call::new("page", "m1").set("userId", "\"u1\"").set("name", "\"Home\"").set("category", "\"Docs\"");
    let screen = Call::new("screen", "m2").set("anonymousId", "\"a1\"").set("name", "\"Start\"");
    room.load(&[
        page.properties(r#"{"url": "https://example.com/?a=1"}"#).line(),
        screen.properties(r#"{"width": 320}"#).line(),
    ])
    .await?;
    room.expect("pages", "id | user_id | name | category | url\n m1 | u1 | Home | Docs | https://example.com/?a=1")
        .await?;
    room.expect("screens", "id | anonymous_id | name | width\n m2 | a1 | Start | 320").await?;
    room.expect_tables(&["pages", "screens"]).await
}

/// An alias call is a row with the previous id.
pub async fn aliases(room: &Room<'_>) -> Checked {
    room.load(&[Call::new("alias", "m1").set("userId", "\"u1\"").set("previousId", "\"a1\"").line()]).await?;
    room.expect("aliases", "id | user_id | previous_id\n m1 | u1 | a1").await
}

/// A call with two or more external ids says which user they belong to.
pub async fn identities_of_calls_with_several_ids(room: &Room<'_>) -> Checked {
    let call = |id: &str, user: &str, second| Call::identify(id, user).set("anonymousId", "\"a1\"").at(second);
    room.load(&[call("m1", "u1", 1).traits(r#"{"email": "x@example.com"}"#).line()]).await?;
    room.load(&[call("m2", "u2", 5).line(), call("m3", "u1", 3).line(), Call::identify("m4", "u9").line()]).await?;
    room.expect(
        "identities",
        "id | user_id\n anonymous_id:a1 | u2\n email:x@example.com | u1\n user_id:u1 | u1\n user_id:u2 | u2",
    )
    .await
}

/// A line may be a batch body: what it says for all holds for each call unless the call says otherwise.
pub async fn a_batch_body_is_its_calls(room: &Room<'_>) -> Checked {
    let one = Call::identify("m1", "u1").traits(r#"{"plan": "free"}"#).line();
    let two = Call::track("m2", "u1", "Order Completed").set("context", r#"{"app": {"version": "2"}}"#).line();
    let body = format!(r#"{{"context": {{"app": {{"name": "shop", "version": "1"}}}}, "batch": [{one}, {two}]}}"#);
    room.load(&[body]).await?;
    room.expect("identifies", "id | plan | context_app_name | context_app_version\n m1 | free | shop | 1").await?;
    room.expect("order_completed", "id | context_app_name | context_app_version\n m2 | shop | 2").await
}
