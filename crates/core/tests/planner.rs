//! The planner against small limits: what does not fit is a discard, and every row and value is accounted for.

#[path = "planner/off.rs"]
mod off;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tablecast_core::dialect::double_quoted;
use tablecast_core::memory::DIALECT as MODEL;
use tablecast_core::rules::{OnTypeConflict, Selection};
use tablecast_core::{Catalog, Change, Commit, Cut, Dialect, Draft, Load, Origin, Plan, Rules, Type, sql};

/// A warehouse with hardly any room.
static SMALL: Dialect = Dialect {
    name: "small",
    quote: double_quoted,
    max_identifier: 20,
    reserved: &["order"],
    type_name: MODEL.type_name,
    parse_type: MODEL.parse_type,
    max_columns: 11,
    tables_per_commit: 3,
    merge_group: 2,
    max_text_bytes: 10,
    max_row_bytes: 200,
    max_sql_bytes: 1_000,
    max_statements: usize::MAX,
    max_script_bytes: usize::MAX,
    text_sizes: &[],
};

fn identify(id: usize, traits: &str) -> String {
    format!(
        r#"{{"type":"identify","messageId":"m{id}","userId":"u1","receivedAt":"2026-01-01T00:00:{:02}Z","traits":{traits}}}"#,
        id % 60
    )
}

fn plan_of(rules: &Rules, dialect: &'static Dialect, lines: &[String], live: &Catalog) -> Plan {
    let mut draft = Draft::new(rules, dialect);
    lines.iter().for_each(|line| draft.push_line(line.as_bytes()));
    draft.plan(live)
}

fn texts<'l>(load: &'l Load, column: &str) -> Vec<&'l str> {
    let column =
        load.columns.iter().find(|found| found.name == *column).and_then(|found| found.values).expect("the column");
    load.batch.column(column).as_string::<i32>().iter().map(|text| text.unwrap_or("NULL")).collect()
}

fn load<'p>(plan: &'p Plan, table: &str) -> &'p Load {
    let mut loads = plan.commits.iter().flat_map(|commit| &commit.loads);
    loads.find(|load| load.table == *table).unwrap_or_else(|| panic!("no load for {table}"))
}

/// What was discarded, as `table.column reason`, with how often.
fn discards(plan: &Plan) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for load in plan.commits.iter().flat_map(|commit| &commit.loads).filter(|load| load.table == *"_discards") {
        let (tables, columns, reasons) = (texts(load, "table_name"), texts(load, "column_name"), texts(load, "reason"));
        for ((table, column), reason) in tables.iter().zip(columns).zip(reasons) {
            *found.entry(format!("{table}.{column} {reason}")).or_default() += 1;
        }
    }
    found
}

#[test]
fn columns_beyond_the_limit_are_discarded_and_the_rest_loads() {
    let lines = [identify(1, r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}"#)];
    let plan = plan_of(&Rules::default(), &SMALL, &lines, &Catalog::default());
    let Some(Change::CreateTable { columns, .. }) = plan.changes.iter().find(|change| *change.table() == *"identifies")
    else {
        panic!()
    };
    // Room is kept for anonymous_id, sent_at and original_timestamp, which no call has had yet.
    assert_eq!(columns.len(), SMALL.max_columns - 3, "{columns:?}");
    assert_eq!(load(&plan, "identifies").rows(), 1);
    let found = discards(&plan);
    assert!(found.keys().all(|what| what.ends_with("too_many_columns")), "{found:?}");
    assert_eq!(found.keys().filter(|what| what.starts_with("identifies.")).count(), 3, "{found:?}");
    assert!(
        plan.notices.iter().any(|notice| notice.contains("users has 7 of at most 11")) || !plan.notices.is_empty(),
        "{:?}",
        plan.notices
    );
}

#[test]
fn values_and_rows_beyond_the_limit_are_discarded_largest_first() {
    let long = "x".repeat(11);
    let plan = plan_of(
        &Rules::default(),
        &SMALL,
        &[identify(1, &format!(r#"{{"a":"{long}","b":"short"}}"#))],
        &Catalog::default(),
    );
    assert_eq!(
        discards(&plan).keys().map(String::as_str).collect::<Vec<_>>(),
        ["identifies.a value_too_long", "users.a value_too_long"]
    );
    assert_eq!(texts(load(&plan, "identifies"), "b"), ["short"]);

    static NARROW: Dialect = Dialect { max_text_bytes: 1_000, max_columns: 100, ..SMALL };
    let (big, bigger, small) = ("x".repeat(90), "y".repeat(120), "z".repeat(50));
    let line = identify(1, &format!(r#"{{"a":"{big}","b":"{bigger}","c":"{small}"}}"#));
    let plan = plan_of(&Rules::default(), &NARROW, &[line], &Catalog::default());
    assert_eq!(
        discards(&plan).keys().map(String::as_str).collect::<Vec<_>>(),
        ["identifies.b row_too_long", "users.b row_too_long"]
    );
    assert_eq!(texts(load(&plan, "users"), "a"), [big.as_str()]);
}

#[test]
fn commits_hold_no_more_tables_than_fit_and_identifies_goes_with_users() {
    let mut lines = vec![identify(1, "{}")];
    for event in ["A", "B", "C", "D", "E"] {
        lines.push(format!(r#"{{"type":"track","event":"{event}","messageId":"{event}","userId":"u1","receivedAt":"2026-01-01","properties":{{"n":1e400}}}}"#));
    }
    let plan = plan_of(&Rules::default(), &SMALL, &lines, &Catalog::default());
    let tables = |commit: &Commit| commit.loads.iter().map(|load| load.table.to_string()).collect::<Vec<_>>();
    assert_eq!(tables(&plan.commits[0]), ["identifies", "users"]);
    assert!(
        plan.commits.iter().all(|commit| commit.loads.len() <= SMALL.tables_per_commit),
        "{:?}",
        plan.commits.iter().map(tables).collect::<Vec<_>>()
    );
    let total: usize = plan
        .commits
        .iter()
        .flat_map(|commit| &commit.loads)
        .filter(|load| load.table != *"_discards")
        .map(Load::rows)
        .sum();
    assert_eq!(total, 2 + 5 + 5);
    assert_eq!(discards(&plan).len(), 5);
}

#[test]
fn commits_take_no_more_statements_than_fit() {
    // Each event's table takes one, `users` four; one is left for `_discards`.
    static SHORT: Dialect = Dialect {
        max_statements: 6,
        tables_per_commit: 100,
        merge_group: 400,
        max_columns: 100,
        max_text_bytes: 100,
        max_sql_bytes: 100_000,
        ..SMALL
    };
    let mut lines = vec![identify(1, "{}")];
    for event in ["A", "B", "C", "D", "E", "F", "G"] {
        lines.push(format!(r#"{{"type":"track","event":"{event}","messageId":"{event}","userId":"u1","receivedAt":"2026-01-01","properties":{{"n":1}}}}"#));
    }
    let plan = plan_of(&Rules::default(), &SHORT, &lines, &Catalog::default());
    let taken = |commit: &Commit| -> usize { commit.loads.iter().map(|load| sql::statements(load, &SHORT)).sum() };
    let tables: Vec<usize> = plan.commits.iter().map(|commit| commit.loads.len()).collect();
    assert_eq!(plan.commits.iter().map(taken).collect::<Vec<_>>(), [5, 5, 3]);
    assert_eq!(tables, [2, 5, 3]);
}

#[test]
fn names_too_long_for_one_commit_are_cut_by_columns_and_rows() {
    static WIDE: Dialect = Dialect {
        max_columns: 1_000,
        max_identifier: 300,
        max_text_bytes: 1_000,
        max_row_bytes: 1_000_000,
        max_sql_bytes: 100_000,
        max_script_bytes: 100_000,
        merge_group: 400,
        tables_per_commit: 100,
        ..SMALL
    };
    let name = |at: usize| format!("{}{at:03}", "n".repeat(200));
    // Ten calls with thirty traits of their own each, three hundred in all.
    let call = |id: usize, traits: std::ops::Range<usize>| {
        let traits: Vec<String> = traits.map(|at| format!(r#""{}":{at}"#, name(at))).collect();
        identify(id, &format!("{{{}}}", traits.join(",")))
    };
    let mut lines: Vec<String> = (0..10).map(|id| call(id, id * 30..id * 30 + 30)).collect();
    lines.push(call(10, 0..290));
    let plan = plan_of(&Rules::default(), &WIDE, &lines, &Catalog::default());
    let of = |table: &'static str| {
        plan.commits.iter().flat_map(|commit| &commit.loads).filter(move |load| load.table == *table)
    };
    for load in plan.commits.iter().flat_map(|commit| &commit.loads) {
        assert!(sql::script_bytes(load, &WIDE) < WIDE.max_script_bytes, "{}", load.table);
        assert!(load.rows() > 0 && load.counts.received >= load.rows() as u64);
    }
    for commit in &plan.commits {
        let tables: std::collections::BTreeSet<_> = commit.loads.iter().map(|load| &load.table).collect();
        assert_eq!(tables.len(), commit.loads.len(), "a table stands in a commit once");
        assert!(commit.loads.iter().map(|load| sql::script_bytes(load, &WIDE)).sum::<usize>() < WIDE.max_script_bytes);
    }
    let mut ids: Vec<_> = plan.commits.iter().map(|commit| commit.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), plan.commits.len());
    let rows: Vec<&str> = of("identifies").flat_map(|load| texts(load, "id")).collect();
    assert_eq!(rows, (0..=10).map(|id| format!("m{id}")).collect::<Vec<_>>(), "each row once");
    assert!(of("users").count() > 1);
    // Every value is in a load, or in `_discards` because its row alone names too many columns.
    let cells = |load: &Load| -> usize {
        let user = |column: &&tablecast_core::LoadColumn| column.name.as_str().starts_with("nnn");
        let arrays = load.columns.iter().filter(user).filter_map(|column| column.values);
        arrays.map(|at| load.batch.column(at).len() - load.batch.column(at).null_count()).sum()
    };
    let lost: usize = discards(&plan).values().sum();
    assert_eq!(of("identifies").map(cells).sum::<usize>() + lost, 300 + 290);
    assert_eq!(of("users").map(cells).sum::<usize>(), 300);
    assert!(lost == 0, "{:?}", discards(&plan));

    static TIGHT: Dialect = Dialect { max_script_bytes: 40_000, max_sql_bytes: 40_000, ..WIDE };
    let plan = plan_of(&Rules::default(), &TIGHT, &lines, &Catalog::default());
    let found = discards(&plan);
    assert!(!found.is_empty() && found.keys().all(|what| what.ends_with("row_too_long")), "{found:?}");
    assert!(found.keys().all(|what| what.starts_with("identifies.")), "a merge loses nothing: {found:?}");
    let parts: Vec<&Load> =
        plan.commits.iter().flat_map(|commit| &commit.loads).filter(|load| load.table == *"identifies").collect();
    let rows: Vec<&str> = parts.iter().flat_map(|load| texts(load, "id")).collect();
    assert_eq!(rows, (0..=10).map(|id| format!("m{id}")).collect::<Vec<_>>(), "each row once");
    assert!(parts.len() > 1);
    for load in plan.commits.iter().flat_map(|commit| &commit.loads) {
        assert!(sql::script_bytes(load, &TIGHT) < TIGHT.max_script_bytes, "{}", load.table);
    }
}

#[test]
fn texts_grow_their_columns_in_steps() {
    static SIZED: Dialect =
        Dialect { text_sizes: &[30, 40, 100], max_text_bytes: 100, max_row_bytes: 10_000, max_columns: 100, ..SMALL };
    let grown = |plan: &Plan| -> Vec<String> {
        let grows = plan.changes.iter().filter(|change| matches!(change, Change::Grow { .. }));
        grows.map(ToString::to_string).collect()
    };
    let long = |length: usize| [identify(1, &format!(r#"{{"bio":"{}"}}"#, "x".repeat(length)))];
    let mut live = Catalog::default();
    let first = plan_of(&Rules::default(), &SIZED, &long(35), &live);
    assert_eq!(grown(&first), ["grow column identifies.bio to 40 bytes", "grow column users.bio to 40 bytes"]);
    live.advance(&first.changes);
    assert!(plan_of(&Rules::default(), &SIZED, &long(40), &live).changes.is_empty());
    let second = plan_of(&Rules::default(), &SIZED, &long(41), &live);
    assert_eq!(grown(&second), ["grow column identifies.bio to 100 bytes", "grow column users.bio to 100 bytes"]);
    live.advance(&second.changes);
    let third = plan_of(&Rules::default(), &SIZED, &long(101), &live);
    assert!(discards(&third).contains_key("users.bio value_too_long"));
    let of_discards = ["_discards.id to 40", "_discards.sha256 to 100"];
    assert!(of_discards.iter().all(|what| grown(&third).iter().any(|grow| grow.contains(what))), "{:?}", grown(&third));
    assert!(grown(&plan_of(&Rules::default(), &SMALL, &long(9), &Catalog::default())).is_empty());
}

#[test]
fn a_commit_is_known_by_what_it_loads() {
    let lines = [identify(1, r#"{"a":1}"#), identify(2, r#"{"b":"x"}"#)];
    let id = |lines: &[String], rules: &Rules| plan_of(rules, &MODEL, lines, &Catalog::default()).commits[0].id;
    let rules = Rules::default();
    assert_eq!(id(&lines, &rules), id(&lines, &rules));
    assert_ne!(id(&lines, &rules), id(&lines[..1], &rules));
    assert_ne!(id(&lines, &rules), id(&[identify(1, r#"{"a":1}"#), identify(2, r#"{"b":"y"}"#)], &rules));
    assert_ne!(
        id(&lines, &rules),
        id(&lines, &Rules { space: "other".into(), ..Rules::default() }),
        "spaces are apart"
    );

    // Planned again after its own changes, it is the same commit.
    let mut live = Catalog::default();
    let first = plan_of(&rules, &MODEL, &lines, &live);
    live.advance(&first.changes);
    let again = plan_of(&rules, &MODEL, &lines, &live);
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    assert_eq!(again.commits[0].id, first.commits[0].id);
}

#[test]
fn a_live_column_keeps_its_kind_unless_the_rules_say_text() {
    let mut live = Catalog::default();
    live.advance(&plan_of(&Rules::default(), &MODEL, &[identify(1, r#"{"revenue":450}"#)], &live).changes);
    let conflict = [identify(2, r#"{"revenue":"N/A"}"#)];

    let plan = plan_of(&Rules::default(), &MODEL, &conflict, &live);
    assert!(plan.changes.is_empty(), "{:?}", plan.changes);
    assert_eq!(discards(&plan).len(), 2);

    let rules = Rules { on_type_conflict: OnTypeConflict::Text, ..Rules::default() };
    let plan = plan_of(&rules, &MODEL, &conflict, &live);
    let widened: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        widened,
        ["widen column identifies.revenue from int to text", "widen column users.revenue from int to text"]
    );
    assert_eq!(plan.commits[0].schema_version, 2);
    assert!(discards(&plan).is_empty());
}

#[test]
fn a_declared_type_decides_before_any_value() {
    let rules = Rules {
        types: BTreeMap::from([("revenue".into(), Type::Float), ("identifies.zip".into(), Type::Text)]),
        ..Rules::default()
    };
    let plan = plan_of(
        &rules,
        &MODEL,
        &[identify(1, r#"{"revenue":450,"zip":8001}"#), identify(2, r#"{"revenue":"N/A"}"#)],
        &Catalog::default(),
    );
    let made: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    let table =
        |name: &str| made.iter().find(|change| change.starts_with(&format!("create table {name} "))).unwrap().clone();
    assert!(table("identifies").contains("revenue float, zip text"), "{}", table("identifies"));
    assert!(table("users").contains("revenue float, zip int"), "{}", table("users"));
    assert_eq!(discards(&plan).len(), 2, "the text finds no column, even in the same cut");
}

#[test]
fn a_type_is_told_by_the_key_of_a_trait() {
    let types = BTreeMap::from([("order".into(), Type::Float), ("users.id".into(), Type::Text)]);
    let rules = Rules { types, ..Rules::default() };
    let plan = plan_of(&rules, &MODEL, &[identify(1, r#"{"order":450,"id":7}"#)], &Catalog::default());
    let made: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    let has = |table: &str, column: &str| {
        made.iter().any(|change| change.starts_with(&format!("create table {table} ")) && change.contains(column))
    };
    assert!(has("users", "_order float") && has("identifies", "_order float"), "{made:?}");
    assert!(has("users", "_id text") && has("identifies", "_id int"), "{made:?}");
}

#[test]
fn cuts_are_by_events_and_by_bytes() {
    let rules = Rules { cut: Cut { events: 3, bytes: 1 << 30 }, ..Rules::default() };
    let mut draft = Draft::new(&rules, &MODEL);
    let full: Vec<bool> =
        (0..4).map(|id| (draft.push_line(identify(id, "{}").as_bytes()), draft.is_full()).1).collect();
    assert_eq!(full, [false, false, true, true]);
    draft.clear();
    assert!(draft.is_empty() && !draft.is_full());
    assert!(draft.plan(&Catalog::default()).commits.is_empty());

    let rules = Rules { cut: Cut { events: usize::MAX, bytes: 100_000 }, ..Rules::default() };
    let mut draft = Draft::new(&rules, &MODEL);
    let mut events = 0;
    while !draft.is_full() {
        draft.push_line(identify(events, r#"{"a":"some text"}"#).as_bytes());
        events += 1;
    }
    assert!((50..1_000).contains(&events), "{events} events of some 400 bytes");
}

#[test]
fn two_keys_of_a_shared_context_that_meet_are_both_kept() {
    let line = r#"{"context":{"aB":"first","a_b":"second","c":"shared","C":null},"batch":[
        {"type":"identify","receivedAt":"2026-01-01","userId":"u1","messageId":"m1"},
        {"type":"identify","receivedAt":"2026-01-01","userId":"u1","messageId":"m2","context":{"aB":"own"}}]}"#
        .replace('\n', "");
    let plan = plan_of(&Rules::default(), &MODEL, &[line], &Catalog::default());
    assert_eq!(texts(load(&plan, "identifies"), "context_a_b"), ["second", "own"]);
    assert_eq!(texts(load(&plan, "identifies"), "context_c"), ["shared", "shared"]);
    let found = load(&plan, "_discards");
    assert_eq!((texts(found, "value"), texts(found, "event_id")), (vec!["first"], vec!["m1"]));
    assert_eq!(texts(found, "reason"), ["column_collision"]);
}

#[test]
fn a_batch_body_gives_its_context_to_calls_that_have_none() {
    let line = r#"{"sentAt":"2026-01-01T00:00:05Z","context":{"ip":"1.1.1.1","os":{"name":"x"}},"integrations":{"Warehouses":{"all":true}},"batch":[
        {"type":"identify","messageId":"a","userId":"u1","originalTimestamp":"2026-01-01T00:00:00Z","receivedAt":"2026-01-01T00:00:06Z"},
        {"type":"identify","messageId":"b","userId":"u2","context":{"ip":"2.2.2.2"}}, 7, {"type":"identify","messageId":"c","userId":"u3","integrations":{"Warehouses":false}}]}"#;
    let plan = plan_of(&Rules::default(), &MODEL, &[line.replace('\n', " ")], &Catalog::default());
    let identifies = load(&plan, "identifies");
    assert_eq!(texts(identifies, "id"), ["a", "b"]);
    assert_eq!(texts(identifies, "context_ip"), ["1.1.1.1", "2.2.2.2"]);
    assert_eq!(texts(identifies, "context_os_name"), ["x", "x"]);
    assert_eq!(identifies.counts.filtered, 1);
    assert_eq!(discards(&plan), BTreeMap::from([(". not_an_object".into(), 1)]));
}

#[test]
fn the_surplus_of_a_batch_is_kept_call_by_call_and_loads_nothing() {
    let line =
        format!(r#"{{"batch":[{},{},3],"sentAt":"2026-01-01T00:00:00Z"}}"#, identify(1, "{}"), r#"{"type":"track"}"#);
    let planned = |times: usize| {
        let mut draft = Draft::new(&Rules::default(), &MODEL);
        (0..times).for_each(|_| draft.push_surplus(&mut Origin::file("spool", 0), line.as_bytes()));
        (draft.events(), draft.plan(&Catalog::default()))
    };
    let (events, plan) = planned(1);
    assert_eq!(events, 3);
    let codes = ["identifies. batch_too_long", "tracks. batch_too_long", ". batch_too_long"];
    assert_eq!(discards(&plan), codes.into_iter().map(|code| (code.to_owned(), 1)).collect());
    assert_eq!(texts(load(&plan, "_discards"), "event_id").iter().filter(|id| **id == "m1").count(), 1);
    assert_eq!(load(&plan, "identifies").rows(), 0);

    // As calls the same line loads something else, so it is another commit.
    let mut draft = Draft::new(&Rules::default(), &MODEL);
    draft.push_line(line.as_bytes());
    assert_ne!(draft.plan(&Catalog::default()).commits[0].id, plan.commits[0].id);
}

#[test]
fn the_same_file_gives_the_same_ids() {
    let lines = [
        r#"{"type":"identify","userId":"u1"}"#,
        r#"{"type":"identify","userId":"u2"}"#,
        r#"{"type":"identify","userId":"u1"}"#,
    ];
    let ids = |name: &str| {
        let mut origin = Origin::file(name, 1_000);
        let mut draft = Draft::new(&Rules::default(), &MODEL);
        lines.iter().for_each(|line| draft.push_line_from(&mut origin, line.as_bytes()));
        let plan = draft.plan(&Catalog::default());
        texts(load(&plan, "identifies"), "id").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids("a"), ids("a"));
    assert_eq!(ids("a").iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "equal lines are different events");
    assert_ne!(ids("a"), ids("b"));
}

/// Every row that was asked for is staged, a duplicate, filtered or discarded, and lands in at most one commit.
fn accounted_for(plan: &Plan) -> Result<(), TestCaseError> {
    for load in plan.commits.iter().flat_map(|commit| &commit.loads) {
        let counts = load.counts;
        prop_assert_eq!(
            counts.received,
            load.rows() as u64 + counts.duplicates + counts.filtered + counts.discarded,
            "{}",
            load.table
        );
        for column in load.batch.columns() {
            prop_assert_eq!(column.len(), load.rows());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_an_error(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
        let mut draft = Draft::new(&Rules::default(), &SMALL);
        lines.iter().for_each(|line| draft.push_line(line));
        accounted_for(&draft.plan(&Catalog::default()))?;
    }

    #[test]
    fn no_json_makes_an_error(
        keys in prop::collection::vec("[a-cA-C_.é ]{0,6}", 1..8),
        values in prop::collection::vec(prop::sample::select(vec![
            "1", "-0", "1.5", "1e400", "18446744073709551616", "\"\"", "\"2026-01-01\"", "\"x\\u0000y\"", "null", "true", "[1,{\"a\":[]}]",
            "{}", "{\"a\":{\"b\":null}}", "{\"c\":2}", "\"some longer text\"",
        ]), 8),
        kind in prop::sample::select(vec!["identify", "track", "page", "screen", "group", "alias", "x"]),
        twice in any::<bool>(),
    ) {
        let members: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let members = members.join(",");
        let line = format!(
            r#"{{"type":"{kind}","event":"E","userId":"u","groupId":"g","previousId":"p","messageId":"m","context":{{{members}}},"traits":{{{members}}},"properties":{{{members}}}}}"#
        );
        for dialect in [&SMALL, &MODEL] {
            let mut draft = Draft::new(&Rules::default(), dialect);
            draft.push_line(line.as_bytes());
            if twice {
                draft.push_line(line.as_bytes());
            }
            let mut live = Catalog::default();
            let plan = draft.plan(&live);
            accounted_for(&plan)?;
            live.advance(&plan.changes);
            let again = draft.plan(&live);
            prop_assert!(again.changes.is_empty(), "{:?}", again.changes);
        }
    }
}

#[test]
fn nulls_alone_cannot_use_up_a_table() {
    let nulls: Vec<String> = (0..20).map(|n| format!("\"n{n}\":null")).collect();
    let plan =
        plan_of(&Rules::default(), &SMALL, &[identify(1, &format!("{{{}}}", nulls.join(",")))], &Catalog::default());
    for change in &plan.changes {
        if let Change::CreateTable { table, columns, .. } = change {
            assert!(
                columns.len() <= SMALL.max_columns || table.as_str().starts_with("_c") || *table == *"_discards",
                "{change}"
            );
        }
    }
}

#[test]
fn a_column_is_not_widened_for_a_value_that_does_not_get_in() {
    static WIDE: Dialect = Dialect { max_columns: 100, max_text_bytes: 1_000, ..SMALL };
    let mut live = Catalog::default();
    live.advance(&plan_of(&Rules::default(), &WIDE, &[identify(1, r#"{"revenue":450}"#)], &live).changes);
    // The row is too long even without its text, so that the number goes too.
    let user = "u".repeat(400);
    let line = identify(2, r#"{"revenue":1.5}"#).replace("\"u1\"", &format!("\"{user}\""));
    let plan = plan_of(&Rules::default(), &WIDE, &[line], &live);
    assert!(!plan.changes.iter().any(|change| matches!(change, Change::Widen { .. })), "{:?}", plan.changes);
    let revenue = load(&plan, "identifies").columns.iter().find(|column| column.name == *"revenue").unwrap();
    assert_eq!(revenue.ty, Type::Int);
}

#[test]
fn values_without_a_column_fill_a_draft_as_the_discards_that_they_become() {
    let keys: Vec<String> = (0..1_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let rules = Rules { cut: Cut { events: usize::MAX, bytes: 10_000_000 }, ..Rules::default() };
    let mut draft = Draft::new(&rules, &SMALL);
    let mut events = 0;
    while !draft.is_full() {
        draft.push_line(identify(events, &format!("{{{}}}", keys.join(","))).as_bytes());
        events += 1;
    }
    assert!((2..20).contains(&events), "{events} events with some 2,000 discards each");
}

#[test]
fn a_call_with_more_values_than_any_table_is_one_discard() {
    let keys: Vec<String> = (0..50_001).map(|n| format!("\"k{n}\":{n}")).collect();
    let plan =
        plan_of(&Rules::default(), &SMALL, &[identify(1, &format!("{{{}}}", keys.join(",")))], &Catalog::default());
    assert_eq!(discards(&plan), BTreeMap::from([("identifies. too_many_columns".into(), 1)]));
    assert_eq!(load(&plan, "identifies").counts.discarded, 1);
}

#[test]
fn a_full_table_still_takes_the_columns_that_every_call_may_have() {
    let rules = Rules { identities: false, ..Rules::default() };
    let mut live = Catalog::default();
    let full = identify(1, r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}"#);
    live.advance(&plan_of(&rules, &SMALL, &[full], &live).changes);
    let late = r#"{"type":"identify","messageId":"m2","userId":"u","anonymousId":"a","sentAt":"2026-01-01","originalTimestamp":"2026-01-01"}"#;
    let plan = plan_of(&rules, &SMALL, &[late.to_owned()], &live);
    live.advance(&plan.changes);
    assert_eq!(live.table("identifies").unwrap().columns.len(), SMALL.max_columns);
    assert_eq!(discards(&plan), BTreeMap::new());
}

#[test]
fn nothing_of_a_batch_body_is_lost() {
    let plan_of_line = |line: &str| plan_of(&Rules::default(), &MODEL, &[line.to_owned()], &Catalog::default());
    let call = plan_of_line(r#"{"type":"identify","userId":"u","messageId":"m","traits":{"a":1},"batch":[7]}"#);
    assert_eq!(load(&call, "identifies").rows(), 1);
    assert_eq!(discards(&call), BTreeMap::from([("identifies.batch unknown_field".into(), 1)]));
    assert_eq!(discards(&plan_of_line(r#"{"batch":[]}"#)), BTreeMap::from([(". empty_batch".into(), 1)]));
    let nested = plan_of_line(r#"{"batch":[{"batch":[{"type":"identify","userId":"u"}]}]}"#);
    assert_eq!(discards(&nested), BTreeMap::from([(". unknown_type".into(), 1)]));
    let envelope = plan_of_line(
        r#"{"foo":1,"sentAt":"soon","userId":"u","traits":{"a":1},"batch":[{"type":"identify","userId":"u"}]}"#,
    );
    let found: Vec<String> = discards(&envelope).into_keys().collect();
    assert_eq!(
        found,
        [".foo unknown_field", ".sentAt timestamp_not_iso8601", ".traits unknown_field", ".userId unknown_field"]
    );

    let calls = vec![r#"{"type":"page","userId":"u"}"#; 37_000].join(",");
    let large = format!(r#"{{"context":{{"x":"{}"}},"batch":[{calls}]}}"#, "x".repeat(60_000));
    assert_eq!(discards(&plan_of_line(&large)), BTreeMap::from([(". line_too_long".into(), 1)]));
}

#[test]
fn an_envelope_counts_for_calls_that_say_nothing_themselves() {
    let line = r#"{"context":{"device":{"type":"ios","id":"d1"},"personas":{"computation_key":"vip"}},"integrations":{"Warehouses":{"all":false}},"batch":[
        {"type":"identify","userId":"u1","messageId":"a"},
        {"type":"identify","userId":"u2","messageId":"b","integrations":{"Warehouses":{"all":true}}}]}"#
        .replace('\n', " ");
    let plan = plan_of(&Rules::default(), &MODEL, std::slice::from_ref(&line), &Catalog::default());
    assert_eq!(texts(load(&plan, "identifies"), "id"), ["b"]);
    assert_eq!(texts(load(&plan, "identities"), "id"), ["user_id:u2", "ios.id:d1"]);
    let rules =
        Rules { off: Selection { computations: ["vip".into()].into(), ..Selection::default() }, ..Rules::default() };
    assert_eq!(load(&plan_of(&rules, &MODEL, &[line], &Catalog::default()), "identifies").counts.filtered, 2);
}

#[test]
fn what_a_draft_held_before_does_not_show() {
    let mut live = Catalog::default();
    live.advance(&plan_of(&Rules::default(), &MODEL, &[identify(1, r#"{"a":1,"b":2}"#)], &live).changes);
    let mut used = Draft::new(&Rules::default(), &MODEL);
    used.push_line(identify(1, r#"{"a":1}"#).as_bytes());
    used.push_line(br#"{"type":"page","userId":"u"}"#);
    used.clear();
    used.push_line(identify(2, r#"{"b":1}"#).as_bytes());
    let mut fresh = Draft::new(&Rules::default(), &MODEL);
    fresh.push_line(identify(2, r#"{"b":1}"#).as_bytes());
    assert_eq!(used.plan(&live).commits[0].id, fresh.plan(&live).commits[0].id);
    assert_eq!(used.tables(), fresh.tables());
}

#[test]
fn two_numbers_too_large_for_one_column_are_two_discards() {
    let plan = plan_of(&Rules::default(), &MODEL, &[identify(1, r#"{"a":1e400,"a":2e400}"#)], &Catalog::default());
    assert_eq!(discards(&plan)["identifies.a number_overflow"], 2);
}

#[test]
fn a_draft_of_batches_looks_at_its_size_too() {
    let rules = Rules { cut: Cut { events: usize::MAX, bytes: 1_000_000 }, ..Rules::default() };
    let mut draft = Draft::new(&rules, &MODEL);
    draft.push_line(identify(0, "{}").as_bytes());
    let mut batches = 0;
    while !draft.is_full() {
        let calls: Vec<String> =
            (0..64).map(|n| identify(batches * 64 + n, &format!("{{\"k{batches}\":{n}}}"))).collect();
        draft.push_line(format!("{{\"batch\":[{}]}}", calls.join(",")).as_bytes());
        batches += 1;
        assert!(batches < 200, "never full");
    }
}
