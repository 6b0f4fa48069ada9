//! A value of JSON on its way into a column: what COPY accepts, and with which code it refuses.
//!
//! Codes are from "Load error reference"; texts are as quoted in public threads, those with `rsemu:` are our own.

use std::fmt::Write;

/// What a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// At most so many bytes.
    Varchar(usize),
    /// At most so many bytes, one byte per character.
    Char(usize),
    /// The least and the greatest value, and what Redshift calls the type.
    Integer(i64, i64, &'static str),
    Float,
    /// Precision and scale.
    Numeric(usize, usize),
    Boolean,
    Date,
    Timestamp,
}

impl Kind {
    /// From PostgreSQL's name of the type and its modifier.
    pub(crate) fn of(name: &str, modifier: i32) -> Option<Self> {
        let size = usize::try_from(modifier - 4).unwrap_or(0);
        Some(match name {
            "varchar" => Self::Varchar(size),
            "bpchar" => Self::Char(size),
            "int2" => Self::Integer(i16::MIN.into(), i16::MAX.into(), "Short"),
            "int4" => Self::Integer(i32::MIN.into(), i32::MAX.into(), "Integer"),
            "int8" => Self::Integer(i64::MIN, i64::MAX, "Long"),
            "float4" | "float8" => Self::Float,
            "numeric" => Self::Numeric(size >> 16, size & 0xffff),
            "bool" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" | "timestamptz" => Self::Timestamp,
            _ => return None,
        })
    }
}

/// Why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) code: u16,
    pub(crate) message: String,
}

fn misfit<T>(code: u16, message: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { code, message: message.into() })
}

/// What PostgreSQL's COPY reads for this value; None is NULL.
///
/// `any_time` is `TIMEFORMAT 'auto'`.
pub(crate) fn convert(value: &str, kind: Kind, any_time: bool) -> Result<Option<String>, Misfit> {
    match kind {
        Kind::Varchar(bytes) => {
            if value.contains('\0') {
                return misfit(1220, "rsemu: a NUL in a string");
            }
            if value.len() > bytes {
                return misfit(1204, "String length exceeds DDL length");
            }
            Ok(Some(value.to_owned()))
        }
        Kind::Char(bytes) => {
            if !value.is_ascii() {
                return misfit(1220, "Multibyte character not supported for CHAR (Hint: Try using VARCHAR)");
            }
            if value.len() > bytes {
                return misfit(1204, "String length exceeds DDL length");
            }
            Ok(Some(value.to_owned()))
        }
        // An empty field is NULL for all other types ("Data conversion parameters", EMPTYASNULL).
        _ if value.trim().is_empty() => Ok(None),
        Kind::Integer(least, most, called) => integer(value.trim(), least, most, called).map(Some),
        Kind::Float => {
            let value = value.trim();
            let looks = value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
            match value.parse::<f64>() {
                Ok(number) if looks && number.is_finite() => Ok(Some(value.to_owned())),
                _ => misfit(1208, "rsemu: Invalid FLOAT value"),
            }
        }
        Kind::Numeric(precision, scale) => numeric(value.trim(), precision, scale).map(Some),
        Kind::Boolean => match value.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => Ok(Some("t".into())),
            "false" | "f" | "no" | "n" | "0" => Ok(Some("f".into())),
            _ => misfit(1210, "Unknown boolean format"),
        },
        Kind::Date => match date(value.trim()) {
            Some("") => Ok(Some(value.trim().to_owned())),
            _ => misfit(1205, "Invalid Date Format - length must be 10 or more"),
        },
        Kind::Timestamp => timestamp(value.trim(), any_time).map(Some),
    }
}

fn integer(value: &str, least: i64, most: i64, called: &str) -> Result<String, Misfit> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let sign = value.len() - digits.len();
    if let Some((at, c)) = digits.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
        return misfit(1207, format!("Invalid digit, Value '{c}', Pos {}, Type: {called}", at + sign));
    }
    if digits.is_empty() {
        return misfit(1207, format!("Invalid digit, Value '{value}', Pos 0, Type: {called}"));
    }
    match value.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(value.to_owned()),
        _ => misfit(1222, format!("rsemu: Overflow, Type: {called}")),
    }
}

/// COPY cuts surplus digits behind the point, unless ROUNDEC is given ("Data conversion parameters").
fn numeric(value: &str, precision: usize, scale: usize) -> Result<String, Misfit> {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let minus = if value.starts_with('-') { "-" } else { "" };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()),
        None => (unsigned, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = exponent.and_then(|exponent| i32::try_from(whole.len()).ok()?.checked_add(exponent));
    let (true, Some(point)) = (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()), point) else {
        return misfit(1209, "rsemu: Invalid DECIMAL value");
    };
    if point.abs() > 400 {
        return misfit(1209, "rsemu: Invalid DECIMAL value");
    }
    let mut text = String::new();
    let len = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    for at in point.min(0)..point.max(len) {
        if at == point {
            text.push('.');
        }
        let digit = usize::try_from(at).ok().and_then(|at| digits.as_bytes().get(at)).copied().unwrap_or(b'0');
        text.push(char::from(digit));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.trim_start_matches('0');
    if whole.len() > precision.saturating_sub(scale) {
        return misfit(1209, format!("rsemu: more digits than NUMERIC({precision},{scale}) has"));
    }
    let mut out = format!("{minus}{}", if whole.is_empty() { "0" } else { whole });
    let kept = &fraction[..fraction.len().min(scale)];
    if !kept.is_empty() {
        let _ = write!(out, ".{kept}");
    }
    Ok(out)
}

/// What stands behind `YYYY-MM-DD`.
fn date(value: &str) -> Option<&str> {
    let (date, rest) = value.split_at_checked(10)?;
    let bytes = date.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = date.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (bytes[4] == b'-' && bytes[7] == b'-' && year > 0 && (1..=12).contains(&month) && (1..=days).contains(&day))
        .then_some(rest)
}

fn timestamp(value: &str, any_time: bool) -> Result<String, Misfit> {
    let bad = || misfit(1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]");
    let Some(rest) = date(value) else { return bad() };
    if rest.is_empty() {
        return Ok(value.to_owned());
    }
    // The default format has a space and an offset; the T and the Z of ISO 8601 need 'auto' ("TIMEFORMAT").
    let rest = match rest.as_bytes()[0] {
        b' ' => &rest[1..],
        b'T' if any_time => &rest[1..],
        _ => return bad(),
    };
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => (rest[..at].trim_end(), &rest[at..]),
        None => (rest, ""),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let is_time = |part: &str, most: u32| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n <= most)
    };
    let clock_fits = match parts.as_slice() {
        [hours, minutes] => is_time(hours, 23) && is_time(minutes, 59),
        [hours, minutes, seconds] => is_time(hours, 23) && is_time(minutes, 59) && is_time(seconds, 59),
        _ => false,
    };
    // Microseconds at most ("Datetime types").
    let fraction_fits =
        !fraction.is_empty() && fraction.len() <= 6 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let zone_fits = match zone.as_bytes() {
        [] => true,
        [b'Z'] => any_time,
        [_, offset @ ..] => {
            matches!(offset.len(), 2 | 4 | 5) && offset.iter().all(|b| b.is_ascii_digit() || *b == b':')
        }
    };
    if clock_fits && fraction_fits && zone_fits { Ok(value.to_owned()) } else { bad() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Kind = Kind::Integer(i64::MIN, i64::MAX, "Long");

    #[test]
    fn values_that_fit() {
        for (value, kind, text) in [
            ("hé", Kind::Varchar(3), Some("hé")),
            ("", Kind::Varchar(3), Some("")),
            ("", LONG, None),
            ("-9223372036854775808", LONG, Some("-9223372036854775808")),
            ("1e300", Kind::Float, Some("1e300")),
            ("1.005", Kind::Numeric(18, 2), Some("1.00")),
            ("-1.5e2", Kind::Numeric(18, 0), Some("-150")),
            ("1e-3", Kind::Numeric(18, 4), Some("0.001")),
            ("12345678901234567890123456789", Kind::Numeric(29, 0), Some("12345678901234567890123456789")),
            ("TRUE", Kind::Boolean, Some("t")),
            ("2024-02-29", Kind::Date, Some("2024-02-29")),
            ("2026-01-02T03:04:05.123456Z", Kind::Timestamp, Some("2026-01-02T03:04:05.123456Z")),
            ("2026-01-02 03:04:05+02", Kind::Timestamp, Some("2026-01-02 03:04:05+02")),
        ] {
            assert_eq!(convert(value, kind, true), Ok(text.map(str::to_owned)), "{value}");
        }
    }

    #[test]
    fn values_that_do_not() {
        for (value, kind, any_time, code) in [
            ("héo", Kind::Varchar(3), true, 1204),
            ("a\0", Kind::Varchar(9), true, 1220),
            ("é", Kind::Char(9), true, 1220),
            ("12x", LONG, true, 1207),
            ("1.0", LONG, true, 1207),
            ("9223372036854775808", LONG, true, 1222),
            ("40000", Kind::Integer(i16::MIN.into(), i16::MAX.into(), "Short"), true, 1222),
            ("NaN", Kind::Float, true, 1208),
            ("1e999", Kind::Float, true, 1208),
            ("123", Kind::Numeric(4, 2), true, 1209),
            ("x", Kind::Numeric(4, 2), true, 1209),
            ("maybe", Kind::Boolean, true, 1210),
            ("2023-02-29", Kind::Date, true, 1205),
            ("2026-01-02T03:04:05Z", Kind::Timestamp, false, 1206),
            ("2026-01-02 25:04:05", Kind::Timestamp, true, 1206),
            ("2026-01-02 03:04:05.1234567", Kind::Timestamp, true, 1206),
        ] {
            assert_eq!(convert(value, kind, any_time).map_err(|misfit| misfit.code), Err(code), "{value}");
        }
    }
}
