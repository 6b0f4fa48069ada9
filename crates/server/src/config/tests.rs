//! What a configuration may say, and that everything wrong with it is said at once.

use super::*;

fn problems(text: &str) -> Vec<String> {
    Config::parse(text).unwrap_err().0.iter().map(ToString::to_string).collect()
}

const LEAST: &str = "[[source]]\nspace = \"default\"\nwrite_keys = [\"demo\"]\n";

#[test]
fn the_least_configuration_and_its_defaults() {
    let config = Config::parse(LEAST).unwrap();
    assert_eq!(
        (config.listen.to_string().as_str(), config.data.to_str()),
        ("127.0.0.1:8437", Some("./tablecast-data"))
    );
    assert_eq!((config.retention.as_hours(), config.max_connections, config.strict), (720, 1_000, false));
    assert_eq!(config.space_of("demo"), Some("default"));
    assert_eq!(config.space_of("other"), None);
    assert!(config.token.is_none() && config.warehouses.is_empty());
}

#[test]
fn the_example_is_a_configuration() {
    let text = include_str!("../../../../examples/tablecast.toml");
    let config = Config::parse(text).unwrap();
    assert!(!config.warehouses.is_empty());
    // What is commented out in it is right as well.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_ne!(all.trim(), text.trim());
    if let Err(problems) = Config::parse(&all) {
        let only_features = problems.0.iter().all(|problem| problem.what.contains("without the connector"));
        assert!(only_features, "{problems}");
    }
}

#[test]
fn a_warehouse_with_everything() {
    let config = Config::parse(&format!(
        "{LEAST}[[source]]\nspace = \"shop\"\nwrite_keys = [\"k1\", \"k2\"]\n\
         [[warehouse]]\nname = \"main\"\nuri = \"sqlite:w\"\nat = [0, 6]\nzone = \"Europe/Berlin\"\nschema_prefix = \"p_\"\n\
         spaces = [\"shop\"]\nhistory = false\noff = {{ tables = [\"tracks\"], columns = [\"*.ssn\"], computations = [\"vip\"] }}\n\
         rules = {{ timestamps = \"off\", identities = false, types = {{ n = \"float\" }} }}\n"
    ))
    .unwrap();
    let main = config.warehouse("main").unwrap();
    assert_eq!(main.schedule.to_string(), "at 0:00, 6:00 (Europe/Berlin)");
    assert_eq!(
        (main.spaces.join(","), main.history, main.schema("shop").to_string()),
        ("shop".into(), false, "p_shop".into())
    );
    let rules = main.rules("shop", &main.off);
    assert_eq!((rules.space.as_str(), rules.warehouse.as_deref()), ("shop", Some("main")));
    assert!(rules.off.tables.contains("identities") && rules.off.tables.contains("tracks"));
    assert_eq!(rules.types.len(), 1);
}

#[test]
fn everything_wrong_is_said_at_once_with_what_to_do() {
    let text = "listen = \"here\"\nstrickt = true\nretention = \"often\"\nmax_connections = 0\ntoken = \"env:TABLECAST_NO_SUCH_VARIABLE\"\n\
        [[source]]\nspace = \"default\"\n\
        [[source]]\nspace = \"Default\"\nwrite_keys = [\"a\", \"a\"]\n\
        [[warehouse]]\nuri = \"oracle:x\"\nevery = \"1 hour\"\nat = [24]\nzone = \"Mars/Base\"\nspaces = [\"moon\"]\n\
        off = { columns = [\"*.id\", \"plan\"], tabels = [] }\nrules = { fill = true, arrays = \"list\" }\n";
    let found = problems(text);
    for part in [
        "listen: ",
        "strickt: unknown field `strickt`",
        "retention: ",
        "max_connections: ",
        "token: the environment has no variable TABLECAST_NO_SUCH_VARIABLE",
        "\"default\": write_keys: there is none",
        "\"Default\": another space has the same schema",
        "a key is there twice",
        "[[warehouse]] 1: it has no name",
        "no connector knows this scheme",
        "both `every` and `at`",
        "at: these are no hours",
        "zone: no time zone",
        "no [[source]] has the space \"moon\"",
        "column *.id: it is a core column",
        "column plan: it is no column's name",
        "off: tabels: unknown field",
        "fill has no place in it",
        "rules: arrays: ",
    ] {
        assert!(found.iter().any(|problem| problem.contains(part)), "{part} is not in {found:#?}");
    }
    assert_eq!(found.len(), 19, "{found:#?}");
    assert!(Config::parse(text).unwrap_err().0.iter().all(|problem| !problem.to_do.is_empty()));
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated() {
    let found = problems(&format!("token = 4711\nstrict = \"hush\"\n{LEAST}"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|problem| !problem.contains("4711") && !problem.contains("hush")), "{found:?}");
}

#[test]
fn text_that_is_no_toml_names_its_line() {
    let found = problems("listen = \"127.0.0.1:1\"\n[[source\n");
    assert!(found[0].starts_with("line 2: "), "{found:?}");
}

#[test]
fn names_can_stand_in_an_address() {
    let named = |name: &str| Config::parse(&format!("{LEAST}[[warehouse]]\nname = \"{name}\"\nuri = \"sqlite:w\"\n"));
    for name in ["", " a", ".", "..", "a\\u0007b"] {
        let found = named(name).unwrap_err().to_string();
        assert!(found.contains("it is no name of 1 to"), "{name:?}: {found}");
    }
    assert!(named("...").is_ok() && named("main / EU ü?").is_ok());
}

#[test]
fn two_warehouses_cannot_fill_one_schema() {
    let two = |prefix: &str| {
        Config::parse(&format!(
            "{LEAST}[[warehouse]]\nname = \"a\"\nuri = \"sqlite:w\"\n[[warehouse]]\nname = \"b\"\nuri = \"sqlite:w\"\n{prefix}"
        ))
    };
    assert!(two("").unwrap_err().to_string().contains("fills the schema personas_default"));
    assert!(two("schema_prefix = \"b_\"\n").is_ok());
}

#[test]
fn secrets_come_from_files_and_do_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "hush\n").unwrap();
    let config = Config::parse(&format!("token = \"file:{}\"\n{LEAST}", path.display())).unwrap();
    assert_eq!(config.token.as_ref().unwrap().expose(), "hush");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && !shown.contains("demo"), "{shown}");
}
