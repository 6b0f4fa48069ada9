//! Points in time as µs since 1970 in UTC, years 1 to 9999: strict ISO 8601 in, one fixed form out.

use crate::rules::Timestamps;
use std::fmt::Write;

/// The first µs of year 1.
pub const MIN: i64 = -62_135_596_800_000_000;
/// The last µs of year 9999.
pub const MAX: i64 = 253_402_300_799_999_999;

const DAY: i64 = 86_400_000_000;

/// A string that is a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// µs since 1970.
    pub micros: i64,
    /// Whether digits beyond the microsecond were cut off.
    pub cut: bool,
}

/// Reads a string as the switch says; `None` is text.
///
/// The grammar is `YYYY-MM-DD`, then optionally `T` or a space, `hh:mm`, `:ss`, a fraction after `.` or `,`,
/// and a zone `Z`, `±hh`, `±hhmm` or `±hh:mm`. Without a time it is midnight, without a zone UTC.
///
/// ```
/// use tablecast_core::{rules::Timestamps, time};
/// let at = time::parse("2026-01-31T12:00:00+02:00", Timestamps::Iso8601).unwrap();
/// assert_eq!(time::format(at.micros), "2026-01-31T10:00:00.000000Z");
/// assert!(time::parse("31.1.2026", Timestamps::Iso8601).is_none());
/// ```
pub fn parse(text: &str, mode: Timestamps) -> Option<Parsed> {
    let bytes = text.as_bytes();
    if let Ok(bytes) = bytes.try_into()
        && mode != Timestamps::Off
        && let Some(micros) = usual(bytes)
    {
        return Some(Parsed { micros, cut: false });
    }
    if mode == Timestamps::Off || bytes.len() < 10 || bytes.len() > 64 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = digits(bytes, 0, 4)?;
    let month = digits(bytes, 5, 2)?;
    let day = digits(bytes, 8, 2)?;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let mut micros = days_from_civil(year, month, day) * DAY;
    if bytes.len() == 10 {
        return (mode == Timestamps::Iso8601).then_some(Parsed { micros, cut: false });
    }

    let separator = bytes[10];
    if bytes.len() < 16
        || bytes[13] != b':'
        || !(separator == b'T' || (separator == b' ' && mode == Timestamps::Iso8601))
    {
        return None;
    }
    let hour = digits(bytes, 11, 2)?;
    let minute = digits(bytes, 14, 2)?;
    let mut at = 16;
    let mut second = 0;
    if bytes.get(at) == Some(&b':') {
        second = digits(bytes, at + 1, 2)?;
        at += 3;
    } else if mode == Timestamps::Rfc3339 {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    micros += ((hour * 60 + minute) * 60 + second) * 1_000_000;
    let mut cut = false;
    if at > 16 && matches!(bytes.get(at), Some(b'.' | b',')) {
        let start = at + 1;
        at = start;
        let mut unit = 100_000;
        while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * unit;
            cut |= unit == 0 && *digit != b'0';
            unit /= 10;
            at += 1;
        }
        if at == start {
            return None;
        }
    }
    match &bytes[at..] {
        [b'Z'] => {}
        [] if mode == Timestamps::Iso8601 => {}
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let (hours, minutes) = match zone {
                [_, _] if mode == Timestamps::Iso8601 => (digits(zone, 0, 2)?, 0),
                [_, _, _, _] if mode == Timestamps::Iso8601 => (digits(zone, 0, 2)?, digits(zone, 2, 2)?),
                [_, _, b':', _, _] => (digits(zone, 0, 2)?, digits(zone, 3, 2)?),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000_000;
            micros += if *sign == b'+' { -offset } else { offset };
        }
        _ => return None,
    }
    (MIN..=MAX).contains(&micros).then_some(Parsed { micros, cut })
}

/// `YYYY-MM-DDThh:mm:ss.mmmZ`, as nearly all sources write it; anything unusual is left to the whole grammar.
fn usual(bytes: &[u8; 24]) -> Option<i64> {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let mut digits = [0_i64; 24];
    let mut fits = true;
    for (digit, (byte, shape)) in digits.iter_mut().zip(bytes.iter().zip(SHAPE)) {
        let value = byte.wrapping_sub(*shape);
        fits &= value <= if *shape == b'0' { 9 } else { 0 };
        *digit = i64::from(value);
    }
    let d = digits;
    let (year, month, day) = (d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3], d[5] * 10 + d[6], d[8] * 10 + d[9]);
    let (hour, minute, second) = (d[11] * 10 + d[12], d[14] * 10 + d[15], d[17] * 10 + d[18]);
    let in_range = year > 0 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !fits || !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let milli = d[20] * 100 + d[21] * 10 + d[22];
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(days_from_civil(year, month, day) * DAY + seconds * 1_000_000 + milli * 1_000)
}

/// The one form in which times are written as text: `2026-01-31T23:59:59.000000Z`. Always 27 bytes, so that text order is time order.
pub fn format(micros: i64) -> String {
    let mut out = String::with_capacity(27);
    format_into(&mut out, micros);
    out
}

/// Appends what [`format()`] gives.
pub fn format_into(out: &mut String, micros: i64) {
    let micros = micros.clamp(MIN, MAX);
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY));
    let rest = micros.rem_euclid(DAY);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a String cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z");
}

fn digits(bytes: &[u8], start: usize, count: usize) -> Option<i64> {
    bytes
        .get(start..start + count)?
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iso(text: &str) -> Option<String> {
        parse(text, Timestamps::Iso8601).map(|parsed| format(parsed.micros))
    }

    #[test]
    fn the_strict_grammar() {
        for (text, form) in [
            ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
            ("2026-01-31T10:20", "2026-01-31T10:20:00.000000Z"),
            ("2026-01-31 10:20:30", "2026-01-31T10:20:30.000000Z"),
            ("2026-01-31T10:20:30.5Z", "2026-01-31T10:20:30.500000Z"),
            ("2026-01-31T10:20:30,123456Z", "2026-01-31T10:20:30.123456Z"),
            ("2026-01-31T10:20:30+0130", "2026-01-31T08:50:30.000000Z"),
            ("2026-01-31T10:20:30-01", "2026-01-31T11:20:30.000000Z"),
            ("2026-01-31T23:59:59-23:59", "2026-02-01T23:58:59.000000Z"),
            ("2024-02-29", "2024-02-29T00:00:00.000000Z"),
            ("0001-01-01", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(iso(text).as_deref(), Some(form), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-01",
            "2026-1-1",
            "2026-13-01",
            "2026-02-30",
            "2023-02-29",
            "0000-01-01",
            "10000-01-01",
            "2026-01-31T",
            "2026-01-31T10",
            "2026-01-31T24:00",
            "2026-01-31T10:60",
            "2026-01-31T10:20:60",
            "2026-01-31T10:20:30.",
            "2026-01-31T10:20:30.Z",
            "2026-01-31T10:20Zx",
            "2026-01-31T10:20+1",
            "2026-01-31T10:20+24",
            "2026-01-31 ",
            "2026-01-31x10:20",
            "20260131",
            "2026/01/31",
            "0001-01-01T00:00+01",
            "9999-12-31T23:59-01",
            "２026-01-31",
            "2026-01-31T10:20:30 Z",
            "+2026-01-31",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn modes_and_cut_digits() {
        assert!(parse("2026-01-31", Timestamps::Rfc3339).is_none());
        assert!(parse("2026-01-31T10:20:30", Timestamps::Rfc3339).is_none());
        assert!(parse("2026-01-31T10:20:30+02:00", Timestamps::Rfc3339).is_some());
        assert!(parse("2026-01-31T10:20:30Z", Timestamps::Off).is_none());
        assert!(parse("2026-01-31T10:20:30.1234567Z", Timestamps::Iso8601).unwrap().cut);
        assert!(!parse("2026-01-31T10:20:30.1234560Z", Timestamps::Iso8601).unwrap().cut);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(micros in MIN..=MAX) {
            let text = format(micros);
            prop_assert_eq!(text.len(), 27);
            prop_assert_eq!(parse(&text, Timestamps::Rfc3339), Some(Parsed { micros, cut: false }));
        }

        #[test]
        fn the_usual_form_reads_as_the_whole_grammar_does(micros in MIN..=MAX) {
            let text = format(micros);
            let (milli, long) = (format!("{}Z", &text[..23]), format!("{}000Z", &text[..23]));
            let read = |text: &str| parse(text, Timestamps::Iso8601).unwrap();
            prop_assert_eq!(read(&milli), read(&long));
        }

        #[test]
        fn text_order_is_time_order(a in MIN..=MAX, b in MIN..=MAX) {
            prop_assert_eq!(a.cmp(&b), format(a).cmp(&format(b)));
        }
    }
}
