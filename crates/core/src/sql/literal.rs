//! Values as SQL text that nothing can leave, for protocols without binds.

/// A value on its way into SQL text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// TRUE or FALSE
    Boolean(bool),
    /// A whole number, of up to 38 digits.
    Number(i128),
    /// What is not finite becomes NULL.
    Float(f64),
    /// Microseconds since 1970 in UTC, years 1 to 9999.
    Timestamp(i64),
    /// NUL is dropped: no warehouse holds it.
    Text(&'a str),
}

/// Renders a value as SQL that means the same in every warehouse, whatever the text holds.
///
/// Quotes, backslashes and control characters never stand in a string: warehouses differ in how they
/// escape them, so each is a `CHR(n)` between strings.
///
/// ```
/// use tablecast_core::sql::{Value, literal};
/// assert_eq!(literal(Value::Text("it's")), "('it' || CHR(39) || 's')");
/// assert_eq!(literal(Value::Number(-5)), "(-5)");
/// ```
pub fn literal(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(true) => "TRUE".into(),
        Value::Boolean(false) => "FALSE".into(),
        Value::Number(number) => signed(number.to_string()),
        Value::Float(number) if number.is_finite() => signed(zmij::Buffer::new().format_finite(number).to_owned()),
        Value::Float(_) => "NULL".into(),
        Value::Timestamp(micros) => {
            let text = crate::time::format(micros);
            format!("TIMESTAMP '{}'", text.trim_end_matches('Z').replace('T', " "))
        }
        Value::Text(text) => text_literal(text),
    }
}

/// A bare minus behind another one would start a comment.
fn signed(number: String) -> String {
    if number.starts_with('-') { format!("({number})") } else { number }
}

fn text_literal(text: &str) -> String {
    let special = |c: char| c.is_ascii_control() || c == '\'' || c == '\\';
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if special(first) {
            if first != '\0' {
                parts.push(format!("CHR({})", u32::from(first)));
            }
            rest = &rest[first.len_utf8()..];
        } else {
            let end = rest.find(special).unwrap_or(rest.len());
            parts.push(format!("'{}'", &rest[..end]));
            rest = &rest[end..];
        }
    }
    match parts.len() {
        0 => "''".into(),
        1 => parts.remove(0),
        _ => format!("({})", parts.join(" || ")),
    }
}
