//! `[[audience]]` and `[[trait]]` in the file.

use super::problem::Problems;
use super::raw::{join, section};
use super::{Source, WarehouseConfig};
use crate::emit::{Audience, Computation, Computations, Refused, Trait};

/// Reads all of them; what is wrong with one does not hide the others.
pub(super) fn read(
    audiences: Vec<toml::Table>,
    traits: Vec<toml::Table>,
    sources: &[Source],
    warehouses: &[WarehouseConfig],
    problems: &mut Problems,
) -> Computations {
    let Some(first) = sources.first().map(|source| source.space.as_str()) else { return Computations::default() };
    let mut all: Vec<Computation> = Vec::new();
    let mut add = |place: &str, checked: Result<Computation, Refused>, problems: &mut Problems| {
        let computation = match checked {
            Ok(computation) => computation,
            Err(refused) => return problems.add(place, refused.what, refused.to_do),
        };
        check(place, &computation, sources, warehouses, problems);
        if all.iter().any(|one| (&one.space, &one.key) == (&computation.space, &computation.key)) {
            problems.add(
                place,
                "another audience or trait of the space has the same key",
                "give each a key of its own",
            );
        }
        all.push(computation);
    };
    for (at, table) in audiences.into_iter().enumerate() {
        let place = place("audience", at, &table);
        let raw: Audience = section(&place, table, problems);
        add(&place, raw.of(first), problems);
    }
    for (at, table) in traits.into_iter().enumerate() {
        let place = place("trait", at, &table);
        let raw: Trait = section(&place, table, problems);
        add(&place, raw.of(first), problems);
    }
    Computations::new(all)
}

fn place(kind: &str, at: usize, table: &toml::Table) -> String {
    match table.get("key").and_then(toml::Value::as_str) {
        Some(key) => format!("[[{kind}]] \"{key}\""),
        None => format!("[[{kind}]] {}", at + 1),
    }
}

fn check(
    place: &str,
    computation: &Computation,
    sources: &[Source],
    warehouses: &[WarehouseConfig],
    problems: &mut Problems,
) {
    let space = &computation.space;
    if !sources.iter().any(|source| source.space == *space) {
        problems.add(
            join(place, "space"),
            format!("no [[source]] has the space \"{space}\""),
            "add the source, or name another space",
        );
    }
    for name in computation.warehouses.iter().flatten() {
        match warehouses.iter().find(|warehouse| warehouse.name == *name) {
            None => {
                let to_do = "name those of [[warehouse]], or take `warehouses` out: then all get the calls";
                problems.add(join(place, "warehouses"), format!("there is no warehouse \"{name}\""), to_do);
            }
            Some(warehouse) if !warehouse.spaces.contains(space) => {
                let what = format!("the warehouse \"{name}\" does not get the space \"{space}\"");
                problems.add(join(place, "warehouses"), what, "add the space to the warehouse, or take the name out");
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use tablecast::Type;

    const LEAST: &str =
        "[[source]]\nspace = 'default'\nwrite_keys = ['demo']\n[[warehouse]]\nname = 'main'\nuri = 'sqlite:w'\n";

    #[test]
    fn audiences_and_traits_are_read_and_their_types_reach_the_rules() {
        let text = "[[audience]]\nkey = 'vip'\nwarehouses = ['main']\n[[trait]]\nkey = 'revenue'\ntype = 'float'\nmobile_ids = true\n";
        let config = Config::parse(&format!("{LEAST}{text}")).unwrap();
        let vip = config.computations.get("default", "vip").unwrap();
        assert_eq!(vip.warehouses, Some(vec!["main".to_owned()]));
        assert!(config.computations.get("default", "revenue").unwrap().mobile_ids);
        let main = config.warehouse("main").unwrap();
        let types = main.rules("default", &main.off).types;
        let expected = [("revenue".to_owned(), Type::Float), ("vip".to_owned(), Type::Boolean)];
        assert_eq!(types.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(config.keys().space("demo"), Some("default"));
    }

    #[test]
    fn everything_wrong_with_them_is_said_at_once() {
        let text = "[[audience]]\nkey = 'Not A Column'\n[[audience]]\nkey = 'a'\nspace = 'moon'\nmobile_id = true\n\
            [[trait]]\nkey = 'b'\nwarehouses = ['nowhere']\n[[trait]]\nkey = 'b'\n[[trait]]\n";
        let problems = Config::parse(&format!("{LEAST}{text}")).unwrap_err();
        let found: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        for part in [
            "[[audience]] \"Not A Column\": its key would not be",
            "[[audience]] \"a\": space: no [[source]] has the space \"moon\"",
            "[[audience]] \"a\": mobile_id: unknown field",
            "[[trait]] \"b\": warehouses: there is no warehouse \"nowhere\"",
            "[[trait]] \"b\": another audience or trait",
            "[[trait]] 3: it has no key",
        ] {
            assert!(found.iter().any(|problem| problem.contains(part)), "no `{part}` in {found:#?}");
        }
    }
}
