//! Events for tests: one call written by hand, or many from a seed, tidy or dirty.

use crate::random::Random;
use std::fmt::Write;
use tablecast_core::time;

/// 2026-01-01T00:00:00Z in µs since 1970: second 0 of the events here.
pub const START: i64 = 1_767_225_600_000_000;

/// One call being written: a JSON object whose fields keep their order.
#[derive(Clone, Debug)]
pub struct Call {
    fields: Vec<(&'static str, String)>,
}

impl Call {
    /// A call of a type with its id, at second 0.
    pub fn new(kind: &str, id: &str) -> Self {
        Call { fields: vec![("type", quoted(kind)), ("messageId", quoted(id))] }.at(0)
    }

    /// `identify` of a user.
    pub fn identify(id: &str, user: &str) -> Self {
        Call::new("identify", id).set("userId", quoted(user))
    }

    /// `track` of a user's event.
    pub fn track(id: &str, user: &str, event: &str) -> Self {
        Call::new("track", id).set("userId", quoted(user)).set("event", quoted(event))
    }

    /// Sets a field to some JSON.
    #[must_use]
    pub fn set(mut self, field: &'static str, json: impl Into<String>) -> Self {
        self.fields.retain(|(name, _)| *name != field);
        self.fields.push((field, json.into()));
        self
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        self.fields.retain(|(name, _)| *name != field);
        self
    }

    /// When it happened, in seconds since [`START`]; it was received a second later.
    #[must_use]
    pub fn at(self, second: i64) -> Self {
        let at = |second: i64| quoted(&time::format(START + second * 1_000_000));
        self.set("originalTimestamp", at(second)).set("receivedAt", at(second + 1))
    }

    /// The traits, as JSON.
    #[must_use]
    pub fn traits(self, json: &str) -> Self {
        self.set("traits", json)
    }

    /// The properties, as JSON.
    #[must_use]
    pub fn properties(self, json: &str) -> Self {
        self.set("properties", json)
    }

    /// The line of NDJSON, without its end.
    pub fn line(&self) -> String {
        let fields = self.fields.iter().map(|(name, json)| format!("\"{name}\":{json}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            // writing to a String cannot fail
            '\0'..='\u{1f}' => drop(write!(out, "\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// How events are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each column is offered one kind of value, and every event has an id and a time: law 1 holds without exception.
    Clean,
    /// Anything: mixed kinds, broken lines, events without ids, names that meet.
    Wild,
}

/// An event that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its line, which need not be JSON.
    pub line: Vec<u8>,
    /// Its id, if it is a call that must be found again somewhere.
    pub id: Option<String>,
}

/// The events that belong to a seed.
pub fn events(seed: u64, mode: Mode, count: usize) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut events: Vec<Event> = Vec::new();
    for number in 0..count {
        let event = match mode {
            Mode::Wild if random.one_in(6) => broken(&mut random, number),
            _ => call(&mut random, mode, number),
        };
        events.push(event);
        if random.one_in(8) {
            let again = random.pick(&events).clone();
            events.push(again);
        }
    }
    events
}

fn call(random: &mut Random, mode: Mode, number: usize) -> Event {
    let id = format!("m{number}");
    let call = match random.below(10) {
        0..=4 => Call::new("identify", &id).traits(&body(random, mode)),
        5 | 6 => {
            let field = *random.pick(&["traits", "properties"]);
            let event = *random.pick(&EVENTS);
            let body = body(random, mode);
            Call::new("track", &id).set("event", quoted(event)).set(field, body)
        }
        7 => {
            let group = format!("g{}", random.below(3));
            Call::new("group", &id).set("groupId", quoted(&group)).traits(&body(random, mode))
        }
        8 => {
            let kind = *random.pick(&["page", "screen"]);
            Call::new(kind, &id).set("name", "\"Start\"").properties(&body(random, mode))
        }
        _ => Call::new("alias", &id).set("previousId", quoted(&format!("p{}", random.below(3)))),
    };
    let call = with_user(random, call);
    let call = with_times(random, call);
    let call = match random.below(4) {
        0 => call.set("context", r#"{"library":{"name":"spec","version":"1.0"},"ip":"203.0.113.7"}"#),
        1 => call.set(
            "context",
            r#"{"personas":{"computation_class":"audience","computation_key":"vip"},"device":{"type":"ios"}}"#,
        ),
        _ => call,
    };
    Event { line: call.line().into_bytes(), id: Some(id) }
}

const EVENTS: [&str; 6] = ["Audience Entered", "Audience Exited", "Trait Computed", "Users", "Home View", "日本語"];

/// Few users and few moments, so that events meet.
fn with_user(random: &mut Random, call: Call) -> Call {
    let user = quoted(&format!("u{}", random.below(4)));
    let anonymous = quoted(&format!("a{}", random.below(4)));
    match random.below(6) {
        0 if !call.line().contains("\"alias\"") => call.set("anonymousId", anonymous),
        1 => call.set("userId", user).set("anonymousId", anonymous),
        _ => call.set("userId", user),
    }
}

fn with_times(random: &mut Random, call: Call) -> Call {
    let moment = i64::try_from(random.below(12)).unwrap_or(0);
    let call = call.at(moment * if random.one_in(3) { 86_400 } else { 1 });
    match random.below(5) {
        0 => {
            let sent = i64::try_from(random.below(100)).unwrap_or(0);
            call.set("sentAt", quoted(&time::format(START + sent * 1_000_000)))
        }
        1 => call.set("originalTimestamp", quoted(&time::format(START + 400 * 86_400_000_000))),
        _ => call,
    }
}

/// Traits or properties. In clean mode a name says which kind its values are of.
fn body(random: &mut Random, mode: Mode) -> String {
    let mut fields = Vec::new();
    for _ in 0..random.below(4) {
        let name = *random.pick(&NAMES);
        let json = match mode {
            _ if random.one_in(7) => "null".to_owned(),
            Mode::Wild if random.one_in(2) => (*random.pick(&ANYTHING)).to_owned(),
            _ => value(random, name),
        };
        fields.push(format!("{}:{json}", quoted(name)));
    }
    format!("{{{}}}", fields.join(","))
}

const NAMES: [&str; 15] = [
    "first_time_shopper",
    "vip",
    "orders_count",
    "total_revenue_180_days",
    "lastSeenAt",
    "plan",
    "email",
    "address",
    "tags",
    "firstName",
    "first_name",
    "id",
    "3doctors",
    "select",
    "日本語",
];

fn value(random: &mut Random, name: &str) -> String {
    let json = match name {
        "first_time_shopper" | "vip" => *random.pick(&["true", "false"]),
        "orders_count" => *random.pick(&["0", "1", "-7", "9007199254740993", "-0", "9223372036854775807"]),
        "total_revenue_180_days" => {
            *random.pick(&["450", "450.75", "9007199254740993", "1e21", "18446744073709551616", "-0.0", "0.1"])
        }
        "3doctors" => *random.pick(&["3", "18446744073709551616", "-12345678901234567890123456789012345678"]),
        "lastSeenAt" => *random.pick(&[
            r#""2026-01-27T22:39:13.122Z""#,
            r#""0001-01-01""#,
            r#""9999-12-31T23:59:59.999999Z""#,
            r#""2026-01-27 22:39+02:00""#,
        ]),
        "address" => *random.pick(&[
            r#"{"street":"6th Street","geo":{"lat":47.1}}"#,
            r#"{"street":"7th"}"#,
            "{}",
            r#"{"geo":{"lat":null}}"#,
        ]),
        "tags" => *random.pick(&[r#"["a",{"b":1},null]"#, "[]", "[ 1, 2.50 ]"]),
        "email" => *random.pick(&[r#""a@example.com""#, r#""b@example.com""#]),
        _ => *random.pick(&[
            r#""free""#,
            r#""pro""#,
            r#""""#,
            r#""it's \"so\" \\ 日本\u0000""#,
            r#""tab\there""#,
            r#""NULL""#,
        ]),
    };
    json.to_owned()
}

const ANYTHING: [&str; 22] = [
    "1",
    "1.5",
    "true",
    r#""N/A""#,
    r#""2026-01-01T00:00:00Z""#,
    r#""0000-01-01""#,
    r#""10000-01-01""#,
    "1e400",
    "-1e400",
    "18446744073709551616",
    "1000000000000000000000000000000000000000",
    "{}",
    "[]",
    r#"{"a":{"a":{"a":1}}}"#,
    r#"{"b":[1,2]}"#,
    r#"{"street":3}"#,
    r#""\u0000""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d""#,
    "0.1e-320",
    r#"[[[[]]]]"#,
    "-0.0",
];

fn broken(random: &mut Random, number: usize) -> Event {
    let whole = call(random, Mode::Wild, number).line;
    let line = match random.below(9) {
        0 => whole[..usize::try_from(random.below(whole.len() as u64)).unwrap_or(0)].to_vec(),
        1 => [&whole[..], b"\xff\xfe"].concat(),
        2 => b"[1,2]".to_vec(),
        3 => Vec::new(),
        4 => br#"{"type":"identify","traits":{"plan":"x"}}"#.to_vec(),
        5 => br#"{"type":"unheard of","userId":"u1"}"#.to_vec(),
        6 => br#"{"type":"track","userId":"u1","properties":{"a":1}}"#.to_vec(),
        7 => br#"{"type":"identify","userId":"u1","traits":[1]}"#.to_vec(),
        _ => format!(r#"{{"type":"identify","userId":"u1","traits":{}1{}}}"#, r#"{"a":"#.repeat(60), "}".repeat(60))
            .into_bytes(),
    };
    Event { line, id: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_json_in_the_order_it_was_written() {
        let line = Call::identify("m1", "a\"b\\\n").traits("{}").at(5).line();
        assert_eq!(
            line,
            concat!(
                r#"{"type":"identify","messageId":"m1","userId":"a\"b\\\u000a","traits":{},"#,
                r#""originalTimestamp":"2026-01-01T00:00:05.000000Z","receivedAt":"2026-01-01T00:00:06.000000Z"}"#
            )
        );
    }

    #[test]
    fn a_seed_gives_the_same_events_and_other_seeds_others() {
        for mode in [Mode::Clean, Mode::Wild] {
            assert_eq!(events(3, mode, 50), events(3, mode, 50));
            assert_ne!(events(3, mode, 50), events(4, mode, 50));
        }
    }
}
