//! What is counted of syncs: how many, how long, how much, and how far behind each warehouse is.

use crate::metrics::{Histograms, Labels, Metrics};
use crate::sync::{Control, EndedSync, OnEnd, Spools};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::Arc;

/// The measures of syncs.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    syncs: Family<Labels, Counter>,
    rows: Family<Labels, Counter>,
    discards: Family<Labels, Counter>,
    seconds: Histograms,
    behind_bytes: Family<Labels, Gauge>,
    behind_seconds: Family<Labels, Gauge>,
    failures: Family<Labels, Gauge>,
}

/// Times from 10 ms to 44 min.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 4.0, 10))
}

fn place(warehouse: &str, space: &str) -> Labels {
    vec![("warehouse", warehouse.to_owned()), ("space", space.to_owned())]
}

impl Measures {
    pub(super) fn register(metrics: &Metrics) -> Measures {
        let own = Measures {
            syncs: Family::default(),
            rows: Family::default(),
            discards: Family::default(),
            seconds: Family::new_with_constructor(times),
            behind_bytes: Family::default(),
            behind_seconds: Family::default(),
            failures: Family::default(),
        };
        let mut registry = metrics.registry();
        registry.register("syncs", "Syncs that ended, by warehouse, space, kind and status", own.syncs.clone());
        registry.register("sync_rows", "Rows loaded, by warehouse and space", own.rows.clone());
        registry.register("sync_discards", "Rows of _discards, by warehouse and space", own.discards.clone());
        registry.register("sync_seconds", "From the beginning of a sync to its end", own.seconds.clone());
        registry.register("behind_bytes", "Bytes of the spool that a warehouse lacks", own.behind_bytes.clone());
        registry.register(
            "behind_seconds",
            "Age of the oldest call that a warehouse lacks, 0 if it lacks none",
            own.behind_seconds.clone(),
        );
        registry.register("sync_failures", "Failures in a row, by warehouse and space", own.failures.clone());
        own
    }

    /// What the engine calls at the end of each sync.
    pub(super) fn on_end(&self) -> OnEnd {
        let own = self.clone();
        Arc::new(move |ended: &EndedSync<'_>| {
            let labels = place(ended.warehouse, ended.space);
            own.rows.get_or_create(&labels).inc_by(ended.rows);
            own.discards.get_or_create(&labels).inc_by(ended.discards);
            let kind = ("kind", ended.kind.to_string());
            let mut labels = [labels, vec![kind]].concat();
            own.seconds.get_or_create(&labels).observe(ended.time.as_secs_f64());
            labels.push(("status", ended.status.to_string()));
            own.syncs.get_or_create(&labels).inc();
        })
    }

    /// Looks at what changes by itself, before it is read.
    pub(super) fn look(&self, metrics: &Metrics, control: &Control, spools: &Spools) {
        for space in control.config().spaces() {
            if let Some(spool) = spools.get(space) {
                metrics.spool.look(space, &spool);
            }
        }
        let now = Timestamp::now();
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for unit in control.warehouses().into_iter().flatten().flat_map(|warehouse| warehouse.spaces) {
            let labels = place(&unit.warehouse, &unit.space);
            let age = unit.behind_since.map_or(0, |since| now.duration_since(since).as_secs());
            self.behind_bytes.get_or_create(&labels).set(gauge(unit.behind_bytes));
            self.behind_seconds.get_or_create(&labels).set(age.max(0));
            self.failures.get_or_create(&labels).set(i64::from(unit.failures));
        }
    }
}
