//! What is forgotten: old segments of the spool that every warehouse has passed, and old rows of the history.

use super::engine::Shared;
use crate::state::Kind;
use tablecast::Result;
use tracing::{error, info, warn};

/// The longest time that rows of the history are kept, in µs.
const HISTORY: i64 = 400 * 86_400_000_000;

/// Removes what nobody needs, of the spools and of the history.
pub(super) fn sweep(shared: &Shared) {
    if let Err(error) = shared.state.prune(shared.now().saturating_sub(HISTORY)) {
        error!(target: "tablecast", %error, to_do = error.remedy(), "old rows of the history stay");
    }
    let config = shared.config();
    let older_than = shared.now().saturating_sub(i64::try_from(config.retention.as_micros()).unwrap_or(i64::MAX));
    for space in config.spaces() {
        let Some(spool) = shared.spools.get(space) else { continue };
        let needed = match needed(shared, space) {
            Ok(needed) => needed,
            Err(error) => {
                error!(target: "tablecast", space, %error, to_do = error.remedy(), "nothing is forgotten");
                continue;
            }
        };
        match spool.forget(needed, older_than) {
            Ok(forgotten) if forgotten.segments > 0 => {
                let (segments, bytes) = (forgotten.segments, forgotten.bytes);
                info!(target: "tablecast", space, segments, bytes, "forgot what is older than the retention");
            }
            Ok(_) => {}
            Err(error) => warn!(target: "tablecast", space, %error, to_do = error.remedy(), "old segments stay"),
        }
        let (first, _) = spool.bounds();
        // A segment goes as a whole, so what is needed of it keeps all of it.
        if needed <= first && spool.time_at(first).is_some_and(|received| received < older_than) {
            warn!(target: "tablecast", space, "the spool keeps calls that are older than the retention: a warehouse lacks them");
        }
    }
}

/// The first offset that a warehouse still needs: for its next sync, for a gap that is about to be filled, for a backfill.
fn needed(shared: &Shared, space: &str) -> Result<u64> {
    let config = shared.config();
    let mut needed = u64::MAX;
    for warehouse in config.warehouses.iter().filter(|warehouse| warehouse.spaces.iter().any(|of| of == space)) {
        let position = shared.state.position(&warehouse.name, space)?;
        needed = needed.min(position.map_or(0, |position| position.cursor));
        let gaps = shared.state.gaps(&warehouse.name, space)?;
        // What is off again is not filled; what it lacks grows from where it was.
        let off = shared.off(warehouse)?;
        let to_fill = gaps.iter().filter(|gap| gap.until.is_some() && !off.0.contains(&gap.item)).map(|gap| gap.since);
        let backfills = shared.state.unfinished(Kind::Backfill, &warehouse.name, space)?;
        needed = to_fill.chain(backfills).fold(needed, u64::min);
    }
    Ok(needed)
}
