//! Times, durations and numbers as people read them.

use jiff::Timestamp;

/// A moment, for a `time` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// For machines.
    pub(crate) iso: String,
    /// For people.
    pub(crate) text: String,
    /// Seen from now.
    pub(crate) ago: String,
}

impl When {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> When {
        When { text: at.strftime("%-d %b %Y, %H:%M UTC").to_string(), ..When::precise(at, now) }
    }

    /// To the second.
    pub(crate) fn precise(at: Timestamp, now: Timestamp) -> When {
        let text = at.strftime("%-d %b %Y, %H:%M:%S UTC").to_string();
        When { iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), text, ago: ago(at, now) }
    }
}

/// `5 minutes ago`, `in 2 hours`
fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    if seconds.abs() < 5 {
        return "now".to_owned();
    }
    let span = about(seconds.unsigned_abs());
    if seconds < 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// A span in its largest unit, rounded down.
pub(crate) fn about(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How long something took.
pub(crate) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    if ms < 1_000 {
        format!("{ms} ms")
    } else if minutes == 0 {
        format!("{seconds}.{} s", ms % 1_000 / 100)
    } else if hours == 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{hours} h {} min", minutes % 60)
    }
}

/// `1,234,567`
pub(crate) fn number(of: u64) -> String {
    let digits = of.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3 rows`, `1 row`
pub(crate) fn counted(count: u64, of: &str) -> String {
    format!("{} {of}{}", number(count), if count == 1 { "" } else { "s" })
}

/// `12.3 MB`
pub(crate) fn bytes(of: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| of >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", of / size, of % size / (size / 10)),
        None => format!("{of} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let now: Timestamp = "2026-03-05T12:00:00Z".parse().unwrap();
        let at: Timestamp = "2026-03-05T11:57:09.5Z".parse().unwrap();
        let when = When::new(at, now);
        assert_eq!((when.iso.as_str(), when.text.as_str()), ("2026-03-05T11:57:09Z", "5 Mar 2026, 11:57 UTC"));
        assert_eq!(when.ago, "2 minutes ago");
        assert_eq!(When::precise(now, at).text, "5 Mar 2026, 12:00:00 UTC");
        assert_eq!(When::new(now, at).ago, "in 2 minutes");
        assert_eq!(When::new(now, now).ago, "now");
    }

    #[test]
    fn spans_numbers_and_sizes_are_read() {
        let spans = [0, 999, 1_000, 4_250, 59_999, 60_000, 3_599_999, 3_600_000, 90_061_000, -5].map(duration);
        let read = [
            "0 ms",
            "999 ms",
            "1.0 s",
            "4.2 s",
            "59.9 s",
            "1 min 0 s",
            "59 min 59 s",
            "1 h 0 min",
            "25 h 1 min",
            "0 ms",
        ];
        assert_eq!(spans, read);
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 999, 1_000, 1_960_000, 64 << 30].map(bytes), ["0 B", "999 B", "1.0 kB", "1.9 MB", "68.7 GB"]);
        assert_eq!([1, 59, 60, 7_300, 172_800].map(about), ["1 second", "59 seconds", "1 minute", "2 hours", "2 days"]);
        assert_eq!((counted(1, "row"), counted(1_000, "row")), ("1 row".into(), "1,000 rows".into()));
    }
}
