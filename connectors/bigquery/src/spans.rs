//! Spans of time: where to look for rows with the same id, and how many partitions a statement may touch.

use crate::config::Partition;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use std::collections::BTreeSet;
use tablecast_core::{Load, time};

/// Partitions that one statement may change; BigQuery refuses more than 4,000.
const PARTITIONS: usize = 3_900;
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The times of receipt of a load, in µs.
fn received(load: &Load) -> Option<impl Iterator<Item = i64>> {
    let column = load.columns.iter().find(|column| column.name == *"received_at")?;
    let array = load.batch.columns().get(column.values?)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    Some(array.iter().flatten())
}

/// Between which times of receipt rows with the same id are looked for; none is everywhere. Constants, so that
/// BigQuery reads no other partitions.
pub(crate) fn within(load: &Load) -> Option<(i64, i64)> {
    let window = load.window?;
    let (least, greatest) = (received(load)?.min()?, received(load)?.max()?);
    Some((least.saturating_sub(window).max(time::MIN), greatest.saturating_add(window).min(time::MAX)))
}

/// The spans in which the rows of a load are inserted, so that no statement touches too many partitions; one at most
/// where that is no question.
pub(crate) fn inserted(load: &Load, partition: Partition) -> Vec<(i64, i64)> {
    if partition == Partition::None {
        return Vec::new();
    }
    // A month has more days than one: then the spans are shorter than they have to be.
    of_days(received(load).into_iter().flatten().map(day).collect())
}

/// The day of a time, counted from 1970.
pub(crate) fn day(at: i64) -> i64 {
    at.div_euclid(DAY)
}

/// Spans of time over some days, none of which touches too many partitions.
pub(crate) fn of_days(days: BTreeSet<i64>) -> Vec<(i64, i64)> {
    let days: Vec<i64> = days.into_iter().collect();
    days.chunks(PARTITIONS)
        .filter_map(|days| {
            let (first, last) = (days.first()?, days.last()?);
            Some((
                first.saturating_mul(DAY).max(time::MIN),
                last.saturating_mul(DAY).saturating_add(DAY - 1).min(time::MAX),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::{Catalog, Draft, Rules};

    fn load(days: impl Iterator<Item = i64>) -> Load {
        let mut draft = Draft::new(&Rules::default(), &crate::types::DIALECT);
        for (nth, day) in days.enumerate() {
            let at = time::format(day * DAY + 5);
            draft.push_line(
                format!(
                    r#"{{"type":"identify","messageId":"m{nth}","userId":"u","receivedAt":"{at}","timestamp":"{at}"}}"#
                )
                .as_bytes(),
            );
        }
        let plan = draft.plan(&Catalog::default());
        let loads = plan.commits.into_iter().flat_map(|commit| commit.loads);
        loads.into_iter().find(|load| load.table == *"identifies").unwrap()
    }

    #[test]
    fn duplicates_are_looked_for_around_the_staged_rows() {
        let month = 30 * DAY;
        let some = load([100, 102].into_iter());
        assert_eq!(within(&some), Some((100 * DAY + 5 - month, 102 * DAY + 5 + month)));
        let edges = load([time::MIN.div_euclid(DAY), time::MAX.div_euclid(DAY)].into_iter());
        assert_eq!(within(&edges), Some((time::MIN, time::MAX)));
        assert_eq!(within(&Load { window: None, ..some }), None);
    }

    #[test]
    fn many_days_are_inserted_in_spans() {
        assert_eq!(inserted(&load([3, 4].into_iter()), Partition::Day), [(3 * DAY, 5 * DAY - 1)]);
        let many = load((0..4_000).map(|nth| nth * 2 - 4_000));
        let spans = inserted(&many, Partition::Day);
        assert_eq!(spans.len(), 2);
        assert!(spans[0].1 < spans[1].0);
        let rows = |span: &(i64, i64)| received(&many).unwrap().filter(|at| *at >= span.0 && *at <= span.1).count();
        assert_eq!(spans.iter().map(rows).collect::<Vec<_>>(), [3_900, 100]);
        assert!(inserted(&many, Partition::None).is_empty());
    }
}
