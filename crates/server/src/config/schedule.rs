//! When syncs begin: after an interval, or at hours of the day in a time zone.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};
use std::collections::BTreeSet;
use std::fmt;

/// When syncs begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again after this long.
    Every(SignedDuration),
    /// At full hours of the day.
    At {
        /// 0 to 23.
        hours: BTreeSet<i8>,
        /// Whose hours they are.
        zone: TimeZone,
    },
}

impl Schedule {
    /// The first beginning after a moment.
    ///
    /// An hour that a day skips, as clocks go forward, is the moment after the gap; one that it has twice counts once, the first time.
    pub fn after(&self, moment: Timestamp) -> Timestamp {
        match self {
            Schedule::Every(interval) => moment.checked_add(*interval).unwrap_or(Timestamp::MAX),
            Schedule::At { hours, zone } => {
                let today = zone.to_datetime(moment).date();
                // Two days always have one; the third is for a zone that skips a whole day.
                let days = (0..=3).filter_map(|days| today.checked_add(days.days()).ok());
                let slots = days.flat_map(|day| hours.iter().map(move |&hour| day.at(hour, 0, 0, 0)));
                let slots = slots.filter_map(|slot| zone.to_timestamp(slot).ok());
                slots.filter(|slot| *slot > moment).min().unwrap_or(Timestamp::MAX)
            }
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Every(SignedDuration::from_hours(1))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Every(interval) => write!(f, "every {}", duration_text(*interval)),
            Schedule::At { hours, zone } => {
                let hours: Vec<String> = hours.iter().map(|hour| format!("{hour}:00")).collect();
                write!(f, "at {} ({})", hours.join(", "), zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}

/// `1 hour`, `30 days`, `90 seconds`; a day has 24 hours.
pub(crate) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.trim().parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

/// A duration in its largest whole unit.
pub(crate) fn duration_text(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) =
        units.into_iter().find(|(size, _)| seconds % size == 0 && seconds >= *size).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &[i8], zone: &str) -> Schedule {
        Schedule::At { hours: hours.iter().copied().collect(), zone: TimeZone::get(zone).unwrap() }
    }

    /// The slots of a schedule from a moment on.
    fn slots(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
        let mut moment: Timestamp = from.parse().unwrap();
        let next = || {
            moment = schedule.after(moment);
            moment.to_string()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn an_interval_and_hours_of_the_day() {
        let hourly = Schedule::default();
        assert_eq!(slots(&hourly, "2026-01-01T00:57:00Z", 2), ["2026-01-01T01:57:00Z", "2026-01-01T02:57:00Z"]);
        let twice = at(&[0, 18], "America/New_York");
        assert_eq!(
            slots(&twice, "2026-01-01T05:00:00Z", 3),
            ["2026-01-01T23:00:00Z", "2026-01-02T05:00:00Z", "2026-01-02T23:00:00Z"],
            "a slot that is now was the last one"
        );
        assert_eq!(twice.to_string(), "at 0:00, 18:00 (America/New_York)");
        assert_eq!(hourly.to_string(), "every 1 hour");
    }

    #[test]
    fn an_hour_that_is_skipped_is_the_moment_after_the_gap() {
        let two = at(&[2], "Europe/Berlin");
        assert_eq!(
            slots(&two, "2026-03-28T00:00:00Z", 3),
            ["2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]
        );
        let both = at(&[2, 3], "Europe/Berlin");
        assert_eq!(
            slots(&both, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            "two and three o'clock are the same moment on that day"
        );
    }

    #[test]
    fn an_hour_that_comes_twice_counts_once() {
        let two = at(&[2], "Europe/Berlin");
        assert_eq!(slots(&two, "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"]);
        assert_eq!(slots(&two, "2026-10-25T00:30:00Z", 1), ["2026-10-26T01:00:00Z"], "between the two");
    }

    #[test]
    fn durations_are_read_and_said() {
        for (text, seconds, said) in [
            ("1 hour", 3_600, "1 hour"),
            ("90 seconds", 90, "90 seconds"),
            ("30 days", 2_592_000, "30 days"),
            ("2 weeks", 1_209_600, "14 days"),
            ("1h 30m", 5_400, "90 minutes"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!((duration.as_secs(), duration_text(duration).as_str()), (seconds, said), "{text}");
        }
        assert_eq!(parse_duration("often"), None);
        assert_eq!(parse_duration("1 month"), None, "of which month?");
    }
}
