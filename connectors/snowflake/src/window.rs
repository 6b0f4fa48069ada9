//! Where to look for rows with the same id.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use tablecast_core::{Load, time};

/// Between which times of receipt rows with the same id are looked for, in µs; none is everywhere. Constants, so that
/// Snowflake leaves out the partitions beside.
pub(crate) fn within(load: &Load) -> Option<(i64, i64)> {
    let window = load.window?;
    let column = load.columns.iter().find(|column| column.name == *"received_at")?;
    let array = load.batch.columns().get(column.values?)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let (least, greatest) = (array.iter().flatten().min()?, array.iter().flatten().max()?);
    Some((least.saturating_sub(window).max(time::MIN), greatest.saturating_add(window).min(time::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tablecast_core::{Catalog, Draft, Rules};

    #[test]
    fn rows_are_looked_for_around_the_times_of_a_load() {
        let mut draft = Draft::new(&Rules::default(), &crate::DIALECT);
        for (id, at) in [("a", "2026-01-05T00:00:00Z"), ("b", "0001-01-02T00:00:00Z")] {
            let line = format!(r#"{{"type":"identify","messageId":"{id}","userId":"u","receivedAt":"{at}"}}"#);
            draft.push_line(line.as_bytes());
        }
        let mut plan = draft.plan(&Catalog::default());
        let load = plan.commits[0].loads.iter_mut().find(|load| load.table == *"identifies").unwrap();
        load.window = None;
        assert_eq!(within(load), None);
        load.window = Some(i64::MAX);
        assert_eq!(within(load), Some((time::MIN, time::MAX)));
        load.window = Some(1_000_000);
        let (from, to) = within(load).unwrap();
        assert!(from >= time::MIN && time::format(to) == "2026-01-05T00:00:01.000000Z", "{from} {to}");
    }
}
