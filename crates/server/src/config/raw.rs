//! The file as it is written, and the checks that make a [`Config`] of it. Each key is read by itself where a
//! section as a whole cannot be, so that one mistake does not hide the next.

use super::problem::Problems;
use super::schedule::parse_duration;
use super::{Config, Off, Schedule, Source, WarehouseConfig, computations};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use tablecast::core::Secret;
use tablecast::core::ident::schema_name;
use tablecast::{Rules, Selection, Uri};

const LISTEN: &str = "127.0.0.1:8437";
const DATA: &str = "./tablecast-data";
const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
const MAX_CONNECTIONS: usize = 1_000;
/// The shortest interval between two syncs.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// The longest name, in bytes.
const MAX_NAME: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Top {
    listen: Option<String>,
    data: Option<PathBuf>,
    token: Option<Secret>,
    strict: bool,
    retention: Option<String>,
    max_connections: Option<usize>,
    source: Vec<toml::Table>,
    warehouse: Vec<toml::Table>,
    audience: Vec<toml::Table>,
    r#trait: Vec<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSource {
    space: Option<String>,
    write_keys: Vec<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawWarehouse {
    name: Option<String>,
    uri: Option<Secret>,
    every: Option<String>,
    at: Option<Vec<i8>>,
    zone: Option<String>,
    schema_prefix: Option<String>,
    spaces: Option<Vec<String>>,
    history: Option<bool>,
    off: toml::Table,
    rules: toml::Table,
}

/// What becomes of `env:NAME` and `file:PATH`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Resolved,
    AsWritten,
}

pub(super) fn parse(text: &str, secrets: Secrets) -> Result<Config, Problems> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        let what = error.message().replace('\n', ", ");
        let mut problems = Problems::default();
        problems.add(format!("line {line}"), what, "write the line as TOML");
        problems
    })?;
    let mut problems = Problems::default();
    let config = read(table, secrets, &mut problems);
    if problems.0.is_empty() { Ok(config) } else { Err(problems) }
}

/// A section; keys that cannot be read are problems and left out.
pub(super) fn section<T: DeserializeOwned + Default>(place: &str, table: toml::Table, problems: &mut Problems) -> T {
    if let Ok(whole) = T::deserialize(table.clone()) {
        return whole;
    }
    let mut good = toml::Table::new();
    for (key, value) in table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        match T::deserialize(alone) {
            Ok(_) => drop(good.insert(key, value)),
            Err(error) => {
                let message = error.message().replace('\n', ", ");
                // What stands in front of it is the value, which may be a secret.
                let what = match message.split_once(", expected ") {
                    Some((unknown, expected)) if unknown.starts_with("unknown") => {
                        format!("{unknown}; there are {}", expected.trim_start_matches("one of "))
                    }
                    Some((_, expected)) => format!("it should be {expected}"),
                    None => message,
                };
                problems.add(join(place, &key), what, "correct the key or its value, or take it out");
            }
        }
    }
    T::deserialize(good).unwrap_or_default()
}

pub(super) fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}: {key}") }
}

fn read(table: toml::Table, secrets: Secrets, problems: &mut Problems) -> Config {
    let top: Top = section("", table, problems);
    let listen = top.listen.as_deref().unwrap_or(LISTEN);
    let listen = listen.parse::<SocketAddr>().unwrap_or_else(|_| {
        problems.add("listen", "it is no address with a port", format!("write it as IP:PORT, such as {LISTEN}"));
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    let retention = duration("retention", top.retention.as_deref(), RETENTION, problems);
    let max_connections = top.max_connections.unwrap_or(MAX_CONNECTIONS);
    if max_connections == 0 {
        problems.add("max_connections", "nobody could connect", "write 1 or more, or take it out");
    }
    let token = top.token.and_then(|token| resolve("token", &token, secrets, problems));
    let sources = sources(top.source, secrets, problems);
    let mut warehouses = warehouses(top.warehouse, &sources, problems);
    let computations = computations::read(top.audience, top.r#trait, &sources, &warehouses, problems);
    for warehouse in &mut warehouses {
        let of = |space: &String| (space.clone(), computations.types(space));
        warehouse.types = warehouse.spaces.iter().map(of).collect();
    }
    Config {
        listen,
        data: top.data.unwrap_or_else(|| DATA.into()),
        token,
        strict: top.strict,
        retention,
        max_connections,
        sources,
        warehouses,
        computations,
    }
}

fn duration(place: &str, text: Option<&str>, default: SignedDuration, problems: &mut Problems) -> SignedDuration {
    let Some(text) = text else { return default };
    match parse_duration(text) {
        Some(duration) if duration >= SHORTEST => duration,
        _ => {
            problems.add(
                place,
                "it is no duration of at least a second",
                "write it as \"1 hour\", \"15 minutes\", \"30 days\"",
            );
            default
        }
    }
}

/// The value of a secret: as written, or where `env:NAME` or `file:PATH` point.
fn resolve(place: &str, secret: &Secret, secrets: Secrets, problems: &mut Problems) -> Option<Secret> {
    if secrets == Secrets::AsWritten {
        return Some(secret.clone());
    }
    let written = secret.expose();
    let found = if let Some(name) = written.strip_prefix("env:") {
        std::env::var(name).map_err(|_| {
            (
                format!("the environment has no variable {name}"),
                "set it before the service starts, or refer to a file: file:PATH".to_owned(),
            )
        })
    } else if let Some(path) = written.strip_prefix("file:") {
        let read = std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        read.map_err(|error| (format!("its file cannot be read: {error}"), format!("see to {path}")))
    } else {
        Ok(written.to_owned())
    };
    match found {
        Ok(value) if value.is_empty() => {
            problems.add(place, "the secret is empty", "give it a value");
            None
        }
        Ok(value) => Some(Secret::new(value)),
        Err((what, to_do)) => {
            problems.add(place, what, to_do);
            None
        }
    }
}

/// Whether a name can stand in history, paths and messages.
fn check_name(place: &str, name: &str, problems: &mut Problems) {
    // A browser takes dots alone in an address for folders.
    let dots = matches!(name, "." | "..");
    if dots || name.trim() != name || name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        problems.add(
            place,
            format!("it is no name of 1 to {MAX_NAME} bytes"),
            "write a short name without blanks around it",
        );
    }
}

fn sources(tables: Vec<toml::Table>, secrets: Secrets, problems: &mut Problems) -> Vec<Source> {
    if tables.is_empty() {
        problems.add(
            "[[source]]",
            "there is none, so no call could be taken",
            "add one: [[source]] with space = \"default\" and write_keys = [\"…\"]",
        );
    }
    let mut sources: Vec<Source> = Vec::new();
    let mut keys = BTreeSet::new();
    for (at, table) in tables.into_iter().enumerate() {
        let nth = format!("[[source]] {}", at + 1);
        let raw: RawSource = section(&nth, table, problems);
        let Some(space) = raw.space else {
            problems.add(&nth, "it has no space", "add space = \"default\", the name behind `personas_`");
            continue;
        };
        let place = format!("[[source]] \"{space}\"");
        check_name(&join(&place, "space"), &space, problems);
        if sources.iter().any(|source| source.space == space) {
            problems.add(&place, "the space is there twice", "put all its write_keys into one [[source]]");
        } else if sources.iter().any(|source| schema_name("", &source.space) == schema_name("", &space)) {
            problems.add(
                &place,
                "another space has the same schema",
                "give the spaces names that differ in letters or digits",
            );
        }
        if raw.write_keys.is_empty() {
            problems.add(join(&place, "write_keys"), "there is none", "add at least one, as the SDK is given it");
        }
        let mut write_keys = Vec::new();
        for key in &raw.write_keys {
            let Some(key) = resolve(&join(&place, "write_keys"), key, secrets, problems) else { continue };
            if !keys.insert(key.expose().to_owned()) {
                problems.add(join(&place, "write_keys"), "a key is there twice", "give each source keys of its own");
            }
            write_keys.push(key);
        }
        sources.push(Source { space, write_keys });
    }
    sources
}

fn warehouses(tables: Vec<toml::Table>, sources: &[Source], problems: &mut Problems) -> Vec<WarehouseConfig> {
    let mut warehouses: Vec<WarehouseConfig> = Vec::new();
    let mut places: BTreeMap<(String, String), String> = BTreeMap::new();
    for (at, table) in tables.into_iter().enumerate() {
        let nth = format!("[[warehouse]] {}", at + 1);
        let place = match table.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("[[warehouse]] \"{name}\""),
            None => nth.clone(),
        };
        let raw: RawWarehouse = section(&place, table, problems);
        let Some(warehouse) = warehouse(&place, raw, sources, problems) else { continue };
        if warehouses.iter().any(|other| other.name == warehouse.name) {
            problems.add(&place, "another warehouse has the same name", "give each a name of its own");
        }
        for space in &warehouse.spaces {
            let schema = warehouse.schema(space).to_string();
            if let Some(other) = places.insert((warehouse.shown_uri.clone(), schema.clone()), warehouse.name.clone()) {
                let what = format!("it fills the schema {schema} of the same warehouse as \"{other}\"");
                problems.add(&place, what, "give one of them another schema_prefix, or take one out");
            }
        }
        warehouses.push(warehouse);
    }
    warehouses
}

fn warehouse(place: &str, raw: RawWarehouse, sources: &[Source], problems: &mut Problems) -> Option<WarehouseConfig> {
    let at = |key: &str| join(place, key);
    let before = problems.0.len();
    match &raw.name {
        None => problems.add(place, "it has no name", "add name = \"main\""),
        Some(name) => check_name(&at("name"), name, problems),
    }
    let example = "add uri = \"sqlite:./warehouse\", or that of another warehouse";
    let uri = raw.uri.as_ref().map(|uri| Uri::parse(uri.expose()));
    let found = match uri.map(|uri| uri.and_then(|uri| Ok((uri.to_string(), tablecast::connector(&uri)?)))) {
        None => {
            problems.add(place, "it has no uri", example);
            None
        }
        Some(Err(error)) => {
            problems.add(at("uri"), error.to_string(), error.remedy());
            None
        }
        Some(Ok(found)) => Some(found),
    };
    let schedule = schedule(place, &raw, problems);
    let mut spaces = raw.spaces.clone().unwrap_or_else(|| sources.iter().map(|source| source.space.clone()).collect());
    for space in &spaces {
        if !sources.iter().any(|source| source.space == *space) {
            problems.add(
                at("spaces"),
                format!("no [[source]] has the space \"{space}\""),
                "add the source or take the space out",
            );
        }
    }
    spaces.sort_unstable();
    spaces.dedup();
    for key in ["space", "schema_prefix", "warehouse", "off", "fill", "only"] {
        if raw.rules.contains_key(key) {
            let to_do = match key {
                "schema_prefix" | "off" => format!("write {key} in [[warehouse]] itself"),
                "space" => "write spaces in [[warehouse]] itself".to_owned(),
                _ => "take it out; the service sees to it".to_owned(),
            };
            problems.add(at("rules"), format!("{key} has no place in it"), to_do);
        }
    }
    let mut rules: Rules = section(&at("rules"), raw.rules, problems);
    if rules.cut.events == 0 || rules.cut.bytes == 0 {
        problems.add(at("rules"), "a cut of nothing", "write cut.events and cut.bytes above 0, or take them out");
    }
    let selection: Selection = section(&at("off"), raw.off, problems);
    let mut off = Off::of(&selection);
    for item in &off.0 {
        if let Some((what, to_do)) = item.refusal() {
            problems.add(at("off"), format!("{item}: {what}"), to_do);
        }
    }
    if !rules.identities {
        // One switch for both, so that the table's gap is filled when it comes on again.
        rules.identities = true;
        off = off.with([super::Item::table("identities")]);
    }
    let (name, uri) = raw.name.zip(raw.uri).filter(|_| problems.0.len() == before)?;
    let (shown_uri, connector) = found?;
    Some(WarehouseConfig {
        name,
        uri,
        shown_uri,
        dialect: connector.dialect,
        schedule,
        schema_prefix: raw.schema_prefix.unwrap_or_else(|| Rules::default().schema_prefix),
        spaces,
        history: raw.history.unwrap_or(true),
        off,
        rules,
        types: BTreeMap::new(),
    })
}

fn schedule(place: &str, raw: &RawWarehouse, problems: &mut Problems) -> Schedule {
    let at = |key: &str| join(place, key);
    let zone = raw.zone.as_deref().map(|name| {
        TimeZone::get(name).unwrap_or_else(|_| {
            problems.add(
                at("zone"),
                "no time zone has this name",
                "write one of the IANA database, such as \"Europe/Berlin\"",
            );
            TimeZone::UTC
        })
    });
    let Some(hours) = &raw.at else {
        if zone.is_some() {
            problems.add(at("zone"), "an interval has no time zone", "add at = [0, 12] to it, or take it out");
        }
        return Schedule::Every(duration(&at("every"), raw.every.as_deref(), SignedDuration::from_hours(1), problems));
    };
    if raw.every.is_some() {
        problems.add(place, "it has both `every` and `at`", "take one of them out");
    }
    if hours.is_empty() || hours.iter().any(|hour| !(0..24).contains(hour)) {
        problems.add(at("at"), "these are no hours of a day", "write at = [0, 6, 12], with hours from 0 to 23");
    }
    Schedule::At { hours: hours.iter().copied().collect(), zone: zone.unwrap_or(TimeZone::UTC) }
}
