//! What the service counts, for Prometheus. One registry, which every part of the service adds its own to.

use crate::spool::Group;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Labels: names, which are few, with values, which must be few too.
pub type Labels = Vec<(&'static str, String)>;

/// Histograms with labels.
pub type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Times from 100 µs to 26 s.
fn times() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.000_1, 4.0, 10))
}

/// Numbers from 1 to 8,192.
fn numbers() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(1.0, 2.0, 14))
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// What comes in.
    pub ingest: IngestMetrics,
    /// What is kept on disk.
    pub spool: SpoolMetrics,
}

/// What comes in.
#[derive(Debug)]
pub struct IngestMetrics {
    /// Calls that are durable, by space.
    pub events: Family<Labels, Counter>,
    /// Bytes of bodies that are durable, before stamping and after decompression, by space.
    pub bytes: Family<Labels, Counter>,
    /// Calls that were taken before, by space.
    pub duplicates: Family<Labels, Counter>,
    /// Calls beyond what a batch may have, by space.
    pub surplus: Family<Labels, Counter>,
    /// Requests that were not taken, by reason.
    pub refused: Family<Labels, Counter>,
    /// From the first byte of a request's body to its answer, in seconds.
    pub seconds: Histogram,
    /// Connections that are open.
    pub connections: Gauge,
}

/// What is kept on disk.
#[derive(Debug)]
pub struct SpoolMetrics {
    /// Groups that were written and synced, by outcome.
    pub groups: Family<Labels, Counter>,
    /// Records in a group.
    pub group_records: Histogram,
    /// Bytes that were written, with headers.
    pub bytes: Counter,
    /// Writing a group, in seconds.
    pub write_seconds: Histogram,
    /// Syncing a group, in seconds.
    pub sync_seconds: Histogram,
    /// Bytes in the spool, by space; set when they are read.
    pub held: Family<Labels, Gauge>,
    /// Segments of the spool, by space; set when they are read.
    pub segments: Family<Labels, Gauge>,
    /// Bytes that wait to be synced, by space; set when they are read.
    pub waiting: Family<Labels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// A new registry with what this crate counts.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tablecast");
        let ingest = IngestMetrics::register(&mut registry);
        let spool = SpoolMetrics::register(&mut registry);
        Metrics { registry: Mutex::new(registry), ingest, spool }
    }

    /// Lets another part of the service add what it counts.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        text
    }

    /// The content type of [`text`](Metrics::text).
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

/// The label of a space.
pub fn space(name: &str) -> Labels {
    vec![("space", name.to_owned())]
}

impl IngestMetrics {
    fn register(registry: &mut Registry) -> Self {
        let own = IngestMetrics {
            events: Family::default(),
            bytes: Family::default(),
            duplicates: Family::default(),
            surplus: Family::default(),
            refused: Family::default(),
            seconds: times(),
            connections: Gauge::default(),
        };
        registry.register("events", "Calls taken, by space", own.events.clone());
        registry.register("event_bytes", "Bytes of bodies taken, by space", own.bytes.clone());
        registry.register("duplicates", "Calls that were taken before, by space", own.duplicates.clone());
        registry.register("surplus", "Calls beyond what a batch may have, by space", own.surplus.clone());
        registry.register("refused", "Requests not taken, by reason", own.refused.clone());
        registry.register("ingest_seconds", "From a request's body to its answer", own.seconds.clone());
        registry.register("connections", "Connections that are open", own.connections.clone());
        own
    }

    /// Counts a request that was not taken.
    pub fn refuse(&self, reason: &str) {
        self.refused.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }
}

impl SpoolMetrics {
    fn register(registry: &mut Registry) -> Self {
        let own = SpoolMetrics {
            groups: Family::default(),
            group_records: numbers(),
            bytes: Counter::default(),
            write_seconds: times(),
            sync_seconds: times(),
            held: Family::default(),
            segments: Family::default(),
            waiting: Family::default(),
        };
        registry.register("spool_groups", "Groups written and synced, by outcome", own.groups.clone());
        registry.register("spool_group_records", "Records in a group", own.group_records.clone());
        registry.register("spool_written_bytes", "Bytes written", own.bytes.clone());
        registry.register("spool_write_seconds", "Writing a group", own.write_seconds.clone());
        registry.register("spool_sync_seconds", "Syncing a group", own.sync_seconds.clone());
        registry.register("spool_bytes", "Bytes kept, by space", own.held.clone());
        registry.register("spool_segments", "Segments kept, by space", own.segments.clone());
        registry.register("spool_waiting_bytes", "Bytes that wait to be synced, by space", own.waiting.clone());
        own
    }

    /// Counts a group: what [`SpoolOptions::on_group`](crate::spool::SpoolOptions::on_group) is for.
    pub fn group(&self, group: &Group) {
        let outcome = if group.ok { "durable" } else { "failed" };
        self.groups.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
        if group.ok {
            self.group_records.observe(u32::try_from(group.records).map_or(f64::MAX, f64::from));
            self.bytes.inc_by(group.bytes as u64);
            self.write_seconds.observe(group.wrote.as_secs_f64());
            self.sync_seconds.observe(group.synced.as_secs_f64());
        }
    }

    /// Notes how much a spool holds.
    pub fn look(&self, name: &str, spool: &crate::spool::Spool) {
        let wide = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let (first, end) = spool.bounds();
        self.held.get_or_create(&space(name)).set(i64::try_from(end - first).unwrap_or(i64::MAX));
        self.segments.get_or_create(&space(name)).set(wide(spool.segments()));
        self.waiting.get_or_create(&space(name)).set(wide(spool.waiting()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_counted_can_be_read() {
        let metrics = Metrics::new();
        metrics.ingest.events.get_or_create(&space("default")).inc_by(3);
        metrics.ingest.refuse("invalid_json");
        let group = Group { records: 2, bytes: 99, wrote: Duration::ZERO, synced: Duration::from_millis(2), ok: true };
        metrics.spool.group(&group);
        let text = metrics.text();
        for line in [
            "tablecast_events_total{space=\"default\"} 3",
            "tablecast_refused_total{reason=\"invalid_json\"} 1",
            "tablecast_spool_groups_total{outcome=\"durable\"} 1",
            "tablecast_spool_written_bytes_total 99",
            "tablecast_spool_sync_seconds_count 1",
        ] {
            assert!(text.lines().any(|own| own == line), "no `{line}` in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
