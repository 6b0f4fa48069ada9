//! The fold rules in SQL.

use crate::support::*;
use tablecast_core::schema::TableKind;
use tablecast_core::sql::{Sql, groups, stage_columns};
use tablecast_core::{Commit, Dialect, ErrorKind, Fold, Type, Warehouse};
use tablecast_sqlite::{DIALECT, Sqlite};

fn user_a(sqlite: &Sqlite, id: u128, mark: Mark) {
    now(sqlite.commit(&commit(id, vec![users(&["u"], &[("a", &[mark])])]))).unwrap();
}

#[test]
fn newer_wins_older_loses_null_clears_and_absent_leaves_alone() {
    let (sqlite, _directory) = ready(users_with(&["a"]));
    let a = || cell(&sqlite, "users", "u", "a");
    user_a(&sqlite, 1, None);
    assert_eq!((a(), rows(&sqlite, "users").len()), (None, 1));
    user_a(&sqlite, 2, Some((20, Some(2))));
    assert_eq!(a().as_deref(), Some("2"));
    user_a(&sqlite, 3, Some((10, Some(1))));
    assert_eq!(a().as_deref(), Some("2"), "older loses");
    user_a(&sqlite, 4, Some((20, Some(9))));
    assert_eq!(a().as_deref(), Some("2"), "the same version loses");
    user_a(&sqlite, 5, None);
    assert_eq!(a().as_deref(), Some("2"), "absent leaves alone");
    user_a(&sqlite, 6, Some((30, None)));
    assert_eq!(a(), None, "an explicit null clears");
    user_a(&sqlite, 7, Some((25, Some(5))));
    assert_eq!(a(), None, "and keeps clearing what is older");
    user_a(&sqlite, 8, Some((9_999_999_999_999_999_999_999_999_999, Some(8))));
    assert_eq!(a().as_deref(), Some("8"), "versions compare as numbers");
    assert_eq!(cell(&sqlite, "_users_versions", "u", "a").unwrap(), "9999999999999999999999999999");
    assert_eq!(cell(&sqlite, "users", "u", "user_id").unwrap(), "u");
}

#[test]
fn any_order_gives_the_same_table() {
    let marks: [Mark; 4] = [Some((10, Some(1))), Some((30, Some(3))), Some((20, None)), None];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    let tables = orders.map(|order| {
        let (sqlite, _directory) = ready(users_with(&["a"]));
        for (id, at) in (1..).zip(order) {
            user_a(&sqlite, id, marks[at]);
        }
        (rows(&sqlite, "users"), rows(&sqlite, "_users_versions"))
    });
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(tables[0].0[0]["a"], "3");
}

#[test]
fn rows_of_one_load_are_new_and_old_at_once() {
    let (sqlite, _directory) = ready(users_with(&["a", "b"]));
    now(sqlite.commit(&commit(1, vec![users(&["u", "v"], &[("a", &[Some((5, Some(1))), Some((5, Some(2)))])])])))
        .unwrap();
    let second =
        users(&["v", "w"], &[("a", &[Some((4, Some(9))), Some((4, Some(3)))]), ("b", &[Some((4, Some(7))), None])]);
    let receipt = now(sqlite.commit(&commit(2, vec![second]))).unwrap();
    assert_eq!(receipt.tables[0].1.loaded, 2);
    let of = |id: &str| (cell(&sqlite, "users", id, "a"), cell(&sqlite, "users", id, "b"));
    assert_eq!(of("u"), (Some("1".into()), None));
    assert_eq!(of("v"), (Some("2".into()), Some("7".into())));
    assert_eq!(of("w"), (Some("3".into()), None));
    assert_eq!(rows(&sqlite, "_users_versions").len(), 3);
}

#[test]
fn a_null_for_a_column_that_is_not_there_holds_its_place() {
    let mut changes = users_with(&[]);
    changes.push(add("_users_versions", "a", Type::Version));
    let (sqlite, _directory) = ready(changes);
    // `a` has a version column only, and a load may have nothing else.
    let columns =
        vec![column("id", Type::Text, Fold::Once, Some(0), None), column("a", Type::Int, Fold::Latest, None, Some(1))];
    let null = load("users", TableKind::Merge, columns, vec![text(&["u"]), decimals(29, &[Some(20)])]);
    let receipt = now(sqlite.commit(&commit(1, vec![null]))).unwrap();
    assert_eq!(receipt.tables[0].1.loaded, 1);
    assert_eq!(rows(&sqlite, "users").len(), 1);

    now(sqlite.apply(&[add("users", "a", Type::Int)])).unwrap();
    let later = |id, mark| {
        let commit = commit(id, vec![users(&["u"], &[("a", &[Some(mark)])])]);
        now(sqlite.commit(&Commit { schema_version: 1, ..commit })).unwrap();
    };
    later(2, (10, Some(1)));
    assert_eq!(cell(&sqlite, "users", "u", "a"), None, "the older value must not win");
    let stale = now(sqlite.commit(&commit(4, vec![users(&["u"], &[("a", &[Some((9, None))])])]))).unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::SchemaMismatch, "a plan that knew only the versions is out of date");
    later(3, (30, Some(3)));
    assert_eq!(cell(&sqlite, "users", "u", "a").as_deref(), Some("3"));
}

#[test]
fn the_least_the_greatest_and_the_first() {
    use Type::{Text, Timestamp};
    let columns = [("id", Text), ("first", Timestamp), ("last", Timestamp), ("value", Text), ("uuid_ts", Timestamp)];
    let (sqlite, _directory) = ready(vec![
        create("identities", TableKind::Merge, &columns),
        create("_identities_versions", TableKind::Versions, &[("id", Text)]),
    ]);
    for (id, at, value) in [(1, 500, "x"), (2, -7_000_000, "y"), (3, 100, "z")] {
        let columns = vec![
            column("id", Text, Fold::Once, Some(0), None),
            column("first", Timestamp, Fold::Min, Some(1), None),
            column("last", Timestamp, Fold::Max, Some(1), None),
            column("value", Text, Fold::Once, Some(2), None),
        ];
        let seen = load("identities", TableKind::Merge, columns, vec![text(&["k"]), times(&[at]), text(&[value])]);
        now(sqlite.commit(&commit(id, vec![seen]))).unwrap();
    }
    let row = &rows(&sqlite, "identities")[0];
    assert_eq!(row["first"], "1969-12-31T23:59:53.000000Z");
    assert_eq!(row["last"], "1970-01-01T00:00:00.000500Z");
    assert_eq!(row["value"], "x");
}

#[test]
fn a_thousand_columns_go_in_groups() {
    let names: Vec<String> = (0..1_000).map(|at| format!("trait_{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (sqlite, _directory) = ready(users_with(&names));
    let wide = |keys: &[&str], version: i128| {
        let marks: Vec<Vec<Mark>> =
            (0..1_000).map(|at| keys.iter().map(|_| Some((version, Some(at * 10)))).collect()).collect();
        let traits: Vec<(&str, &[Mark])> =
            names.iter().zip(&marks).map(|(name, marks)| (*name, marks.as_slice())).collect();
        users(keys, &traits)
    };
    assert!(tablecast_core::sql::groups(&wide(&["u"], 1), sqlite.dialect()).len() > 1);
    now(sqlite.commit(&commit(
        1,
        vec![users(&["u"], &[("trait_0", &[Some((9, Some(-1)))]), ("trait_999", &[Some((9, Some(-1)))])])],
    )))
    .unwrap();
    now(sqlite.commit(&commit(2, vec![wide(&["u", "v"], 5)]))).unwrap();
    let rows = rows(&sqlite, "users");
    assert_eq!((rows[0].len(), rows[1].len()), (1_002, 1_002));
    for (id, first, middle, last) in [("u", "-1", "5000", "-1"), ("v", "0", "5000", "9990")] {
        let of = |name| cell(&sqlite, "users", id, name).unwrap();
        assert_eq!(
            (of("trait_0").as_str(), of("trait_500").as_str(), of("trait_999").as_str(), of("user_id").as_str()),
            (first, middle, last, id)
        );
    }
    assert_eq!(cell(&sqlite, "_users_versions", "u", "trait_999").unwrap(), "9");
    assert_eq!(cell(&sqlite, "_users_versions", "v", "trait_999").unwrap(), "5");
}

#[test]
fn cost_follows_the_batch_and_not_the_table() {
    static ONE: Dialect = Dialect { merge_group: 1, ..DIALECT };
    let (sqlite, _directory) = ready(users_with(&["a", "b"]));
    let load = users(&["u"], &[("a", &[Some((5, Some(1)))]), ("b", &[Some((5, Some(1)))])]);
    let sql = Sql { dialect: sqlite.dialect(), schema: None };
    let (groups, stages) = (groups(&load, &ONE), ["temp.s0".to_owned(), "temp.s1".to_owned(), "temp.s2".to_owned()]);
    let database = by_hand(&sqlite);
    for (group, stage) in groups.iter().zip(&stages) {
        database.execute_batch(&sql.create_stage("CREATE TABLE", stage, &stage_columns(&load, group))).unwrap();
    }
    let mut statements = sql.merge(&load, &groups, &stages, Some("'now'"));
    statements.push(sql.count_present(&load, &stages[0], None));
    assert_eq!(statements.len(), 8, "three updates of users, two of versions, two inserts, a count: {statements:#?}");
    for statement in statements {
        let mut explained = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let plan: Vec<String> = explained.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.iter().any(|line| line.starts_with("SEARCH")), "{statement}: {plan:?}");
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN users") || line.starts_with("SCAN _users_versions")),
            "{statement}: {plan:?}"
        );
        assert!(!plan.iter().any(|line| line.contains("AUTOMATIC")), "{statement}: {plan:?}");
    }
}
