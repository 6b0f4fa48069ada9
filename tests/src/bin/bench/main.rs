//! The benchmarks: ratios from one run, each side built alike. `cargo xtask bench` runs it.
//!
//! Every section times two things in turn, several times, and prints the median of the ratios of the pairs, so
//! that a machine whose speed drifts does not bend the figure.

mod load;
mod made;
mod memory;
mod planner;
mod service;
mod warehouses;

use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [word, dir] = &wanted[..]
        && word == service::PROCESS
    {
        return service::process(dir.as_ref());
    }
    let on = |name: &str| wanted.is_empty() || wanted.iter().any(|want| want == name);
    let tidy = made::tidy()?;
    if on("planner") {
        planner::against_a_parser("20,000 tidy calls", &tidy);
        planner::against_a_parser("5,000 dirty lines", &made::dirty()?);
        planner::with_more_traits();
        planner::with_more_events();
    }
    if on("load") {
        load::against_bare_inserts(&tidy)?;
        load::with_more_events()?;
    }
    if on("memory") {
        memory::of_large_files()?;
    }
    if on("service") {
        service::against_the_disk()?;
    }
    // Only when asked for: it needs the emulators.
    if wanted.iter().any(|want| want == "warehouses") {
        warehouses::against_sqlite(&tidy)?;
    }
    Ok(())
}

/// How often each pair is timed.
const RUNS: usize = 7;

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Times two sides in turn and prints the ratio `ours / theirs`: median, least and greatest of the pairs.
fn compare(what: &str, bound: &str, runs: usize, mut pair: impl FnMut() -> (Duration, Duration)) {
    pair();
    let mut pairs: Vec<(f64, Duration, Duration)> = (0..runs)
        .map(|_| {
            let (ours, theirs) = pair();
            (ours.as_secs_f64() / theirs.as_secs_f64(), ours, theirs)
        })
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (median, ours, theirs) = pairs[pairs.len() / 2];
    let (least, greatest) = (pairs[0].0, pairs[pairs.len() - 1].0);
    say(&format!("{what:<64} {median:>6.2}x  ({least:.2}-{greatest:.2}, {ours:.1?} / {theirs:.1?})  {bound}"));
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn say(line: &str) {
    println!("{line}");
}
