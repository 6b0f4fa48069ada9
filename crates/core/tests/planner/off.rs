//! What is switched off: tables, columns, audiences and traits, by whatever their columns are called.

use super::*;
use std::collections::BTreeSet;

#[test]
fn what_is_switched_off_is_counted_and_makes_nothing() {
    let off = |tables: &[&str], columns: &[&str], computations: &[&str]| {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Rules {
            off: Selection { tables: set(tables), columns: set(columns), computations: set(computations) },
            ..Rules::default()
        }
    };
    let lines = [identify(1, r#"{"vip":true,"plan":"pro"}"#)];
    let plan = plan_of(&off(&["identifies"], &[], &[]), &MODEL, &lines, &Catalog::default());
    assert!(!plan.changes.iter().any(|change| *change.table() == *"identifies"));
    let counts = load(&plan, "identifies").counts;
    assert_eq!((counts.received, counts.filtered, load(&plan, "identifies").rows()), (1, 1, 0));
    assert_eq!(load(&plan, "users").rows(), 1, "users is a table of its own");

    let plan = plan_of(
        &off(&[], &["users.vip", "*.plan", "*.id", "users.received_at"], &[]),
        &MODEL,
        &lines,
        &Catalog::default(),
    );
    let columns =
        |table: &str| load(&plan, table).columns.iter().map(|column| column.name.to_string()).collect::<Vec<_>>();
    assert!(columns("identifies").contains(&"vip".to_owned()) && !columns("identifies").contains(&"plan".to_owned()));
    assert_eq!(columns("users"), ["id", "received_at", "user_id"], "the key and received_at cannot be switched off");

    let computed = r#"{"type":"track","event":"Audience Entered","messageId":"t1","userId":"u1","context":{"personas":{"computation_key":"vip"}},"properties":{"audience_key":"vip","vip":true}}"#;
    let plan = plan_of(&off(&[], &[], &["vip"]), &MODEL, &[lines[0].clone(), computed.to_owned()], &Catalog::default());
    assert_eq!(load(&plan, "tracks").counts.filtered, 1);
    assert!(!load(&plan, "identifies").columns.iter().any(|column| column.name == *"vip"));
}

fn without(computations: &[&str]) -> Rules {
    let computations = computations.iter().map(ToString::to_string).collect();
    Rules { off: Selection { computations, ..Selection::default() }, ..Rules::default() }
}

#[test]
fn an_audience_or_trait_is_off_by_its_key_and_by_its_columns_name() {
    let line = identify(1, r#"{"order":1,"Home City":"x","3_visits":2,"id":3,"日本語":4,"kept":5}"#);
    let plan = plan_of(&Rules::default(), &MODEL, std::slice::from_ref(&line), &Catalog::default());
    let traits = |plan: &Plan, table: &str| -> Vec<String> {
        let columns = load(plan, table).columns.iter().map(|column| column.name.to_string());
        columns.filter(|name| !matches!(&**name, "id" | "user_id" | "received_at" | "timestamp")).collect()
    };
    let columns = traits(&plan, "users");
    assert!(columns.contains(&"_order".to_owned()) && columns.contains(&"_id".to_owned()), "{columns:?}");
    let columns: Vec<&str> = columns.iter().map(String::as_str).filter(|name| *name != "kept").collect();
    for names in [&["order", "Home City", "3_visits", "id", "日本語"][..], &columns] {
        let plan = plan_of(&without(names), &MODEL, std::slice::from_ref(&line), &Catalog::default());
        assert_eq!((traits(&plan, "users"), traits(&plan, "identifies")), (vec!["kept".into()], vec!["kept".into()]));
    }

    // A page has a `name` of its own, and its properties another one.
    let page =
        r#"{"type":"page","messageId":"p","userId":"u","name":"Home","properties":{"name":"secret"}}"#.to_owned();
    let plan = plan_of(&without(&["name"]), &MODEL, &[page], &Catalog::default());
    assert_eq!(texts(load(&plan, "pages"), "name"), ["Home"]);
    assert!(!load(&plan, "pages").columns.iter().any(|column| column.name == *"_name"));

    let sent = r#"{"type":"track","event":"Trait Computed","messageId":"t","userId":"u","properties":{"trait_key":"order","order":1}}"#;
    let plan = plan_of(&without(&["_order"]), &MODEL, &[sent.to_owned()], &Catalog::default());
    assert_eq!(load(&plan, "tracks").counts.filtered, 1, "the calls that it sent are off by both names too");
}

#[test]
fn a_trait_that_is_an_object_is_off_with_all_that_it_is_made_of() {
    let lines = [
        identify(1, r#"{"address":{"city":"Oslo","geo":{"lat":59.9}},"kept":1}"#),
        identify(2, r#"{"address_city":"Bern","address_book":"blue"}"#),
        identify(3, r#"{"address":{"city":"Rome","zip":4}}"#),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let lines = order.map(|at: usize| lines[at].clone());
        let plan = plan_of(&without(&["address"]), &MODEL, &lines, &Catalog::default());
        for table in ["identifies", "users"] {
            let names: BTreeSet<&str> = load(&plan, table).columns.iter().map(|column| column.name.as_str()).collect();
            assert!(names.contains("kept") && names.contains("address_book"), "{names:?}");
            assert!(!names.contains("address_zip") && !names.contains("address_geo_lat"), "{names:?}");
            let mut cities = texts(load(&plan, table), "address_city");
            cities.retain(|city| *city != "NULL");
            assert_eq!(cities, ["Bern"], "a trait of its own, in whatever order they come");
        }
    }
}

/// Nor does it come to light as a discard.
#[test]
fn a_number_too_large_for_a_column_that_is_off_is_filtered() {
    let columns = ["*.n".to_owned()].into();
    let by_column = Rules { off: Selection { columns, ..Selection::default() }, ..Rules::default() };
    for rules in [by_column, without(&["n"])] {
        for line in [r#"{"n":1e400,"kept":1}"#, r#"{"n":1,"N":1e400,"kept":1}"#] {
            let plan = plan_of(&rules, &MODEL, &[identify(1, line)], &Catalog::default());
            assert!(discards(&plan).is_empty(), "{line}: {:?}", discards(&plan));
            assert!(load(&plan, "users").columns.iter().any(|column| column.name == *"kept"));
        }
    }
}
