//! The laws as properties: events from a seed, loaded in some crooked way, must give what the straight way gives.
//!
//! Each law tries seeds until its time is up, two seconds or `TABLECAST_PROPERTY_SECS`. A failure is made smaller
//! and names its seed; `TABLECAST_PROPERTY_SEED` runs that one again.

use crate::cases::once::stubborn;
use crate::dump::{Dump, audit};
use crate::faults::{Call, Fault, Faults, How};
use crate::generate::{Event, Mode, events, quoted};
use crate::harness::{Checked, Failed, Harness, Model};
use crate::load::{Writer, load};
use crate::random::{Random, mark};
use crate::room::Room;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tablecast_core::{BoxFuture, Warehouse};

/// A law: what must hold for any events of its mode.
#[derive(Clone, Copy)]
pub struct Law {
    /// Its name.
    pub name: &'static str,
    /// The events it is about.
    pub mode: Mode,
    /// Checks it for some events; the seed decides everything else.
    pub check: for<'r> fn(&'r dyn Harness, &'r [Event], u64) -> BoxFuture<'r, Checked>,
}

impl std::fmt::Debug for Law {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All laws.
pub fn laws() -> Vec<Law> {
    macro_rules! laws {
        ($($name:ident $mode:ident,)+) => {
            vec![$(Law { name: stringify!($name), mode: Mode::$mode, check: |harness, events, seed| Box::pin($name(harness, events, seed)) }),+]
        };
    }
    laws! {
        any_order Clean,
        any_repetition Clean,
        any_cut Clean,
        two_writers Clean,
        a_crash_at_every_step Clean,
        nothing_is_lost Wild,
    }
}

/// Tries seeds on one law until the time is up.
///
/// # Panics
/// If the law does not hold: with the seed, and the smallest set of its events that was found to break it.
pub fn check(harness: &dyn Harness, name: &str) {
    let Some(law) = laws().into_iter().find(|law| law.name == name) else { panic!("there is no law {name}") };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let given = number("TABLECAST_PROPERTY_SEED");
    let time = Duration::from_secs(number("TABLECAST_PROPERTY_SECS").unwrap_or(2));
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let mut seeds = Random::new(mark(u64::from(std::process::id()), &nanos.to_le_bytes()));
    let start = Instant::now();
    loop {
        let seed = given.unwrap_or_else(|| seeds.bits());
        let count = usize::try_from(1 + Random::new(seed).below(24)).unwrap_or(1);
        let events = events(seed, law.mode, count);
        if let Err(failed) = hold(harness, law, &events, seed) {
            let (events, failed) = smaller(harness, law, events, seed, failed);
            let lines: Vec<_> = events.iter().map(|event| String::from_utf8_lossy(&event.line)).collect();
            panic!(
                "the law {name} does not hold: {failed}\nevents:\n{}\nrun again with TABLECAST_PROPERTY_SEED={seed}",
                lines.join("\n")
            );
        }
        if given.is_some() || start.elapsed() >= time {
            return;
        }
    }
}

fn hold(harness: &dyn Harness, law: Law, events: &[Event], seed: u64) -> Checked {
    let mut held = Err(Failed::new("the harness did not run the law to its end"));
    harness.block_on(Box::pin(async { held = (law.check)(harness, events, seed).await }));
    held
}

/// Leaves out what is not needed to break the law, for ten seconds at most.
fn smaller(
    harness: &dyn Harness,
    law: Law,
    mut events: Vec<Event>,
    seed: u64,
    mut failed: Failed,
) -> (Vec<Event>, Failed) {
    let start = Instant::now();
    let mut size = events.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < events.len() && start.elapsed() < Duration::from_secs(10) {
            let mut fewer = events.clone();
            fewer.drain(at..(at + size).min(events.len()));
            match hold(harness, law, &fewer, seed) {
                Err(still) => (events, failed) = (fewer, still),
                Ok(()) => at += size,
            }
        }
        size /= 2;
    }
    (events, failed)
}

/// Law 1: the order of the events does not show.
pub async fn any_order(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let mut shuffled = events.to_vec();
    shuffled.sort_by_key(|event| mark(seed, &event.line));
    let cuts = cut(&shuffled, seed, 3);
    straight(harness, events).await?.must_equal_after(harness, &cuts, "the order shows").await
}

/// Law 1: repeating events, in one cut or in many, does not show.
pub async fn any_repetition(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let mut cuts = cut(events, seed, 4);
    for round in 0..3 {
        let again = events.iter().filter(|event| mark(seed ^ round, &event.line).is_multiple_of(2)).cloned();
        cuts.push(again.collect());
    }
    cuts.push([events, events].concat());
    straight(harness, events).await?.must_equal_after(harness, &cuts, "a repetition shows").await
}

/// Law 1: where the events are cut into commits does not show.
pub async fn any_cut(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let cuts = cut(events, seed, 1 + seed % 5);
    straight(harness, events).await?.must_equal_after(harness, &cuts, "a cut shows").await
}

/// Law 2: two who load at the same time, each step of one between any two of the other.
pub async fn two_writers(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let room = Room::open(harness).await?;
    let other = room.second().await?;
    let part = |writer: u64| -> Vec<&Vec<u8>> {
        // some events are in both
        events
            .iter()
            .filter(|event| matches!(mark(seed, &event.line) % 3, 2) || mark(seed, &event.line) % 3 == writer)
            .map(|event| &event.line)
            .collect()
    };
    let drafts = [room.draft(&part(0)), room.draft(&part(1))];
    let mut writers = [Writer::new(&*room.opened().warehouse, &drafts[0]), Writer::new(&*other.warehouse, &drafts[1])];
    let mut done = [false, false];
    let mut random = Random::new(seed);
    let mut patience = 100;
    while done != [true, true] {
        let turn = usize::from(random.one_in(2));
        if done[turn] {
            continue;
        }
        match writers[turn].step().await {
            Ok(finished) => done[turn] = finished,
            Err(error) if error.is_temporary() && patience > 0 => patience -= 1,
            Err(error) => return Err(error.into()),
        }
    }
    audit(room.opened()).await?;
    room.dump().await?.must_equal(&straight(harness, events).await?.0, "two writers show")
}

/// Law 2: whichever call fails, before its work or after or in between, loading again gives the same.
pub async fn a_crash_at_every_step(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let cuts = cut(events, seed, 6);
    let should = straight(harness, events).await?.0;
    let counter = {
        let room = Room::open(harness).await?;
        let faults = Faults::new(room.opened().warehouse.clone(), []);
        crashing(&room, &faults, &cuts).await?;
        faults
    };
    let mut random = Random::new(seed);
    for call in [Call::Describe, Call::Apply, Call::Commit] {
        for nth in 1..=counter.calls(call) {
            let ways =
                [How::Reject, How::LoseAnswer, How::Drop { polls: u32::try_from(1 + random.below(9)).unwrap_or(1) }];
            let how = *random.pick(&ways);
            let room = Room::open(harness).await?;
            let faults = Faults::new(room.opened().warehouse.clone(), [Fault { call, nth, how }]);
            crashing(&room, &faults, &cuts).await?;
            audit(room.opened()).await?;
            room.dump().await?.must_equal(&should, &format!("a crash shows: {how:?} at {call:?} {nth}"))?;
        }
    }
    Ok(())
}

/// Law 3 and law 4: whatever the input, no error, and every event is somewhere.
pub async fn nothing_is_lost(harness: &dyn Harness, events: &[Event], seed: u64) -> Checked {
    let room = Room::open(harness).await?;
    for cut in cut(events, seed, 3) {
        room.load(&lines(&cut)).await?;
    }
    audit(room.opened()).await?;
    let (mut found, mut whole) = (BTreeSet::new(), Vec::new());
    for (name, table) in room.dump().await?.tables {
        let column = if name == "_discards" { "event_id" } else { "id" };
        for mut row in table.rows {
            found.extend(row.remove(column));
            // a line that could not be read was kept whole, its id inside
            whole.extend(row.remove("value").filter(|_| row.get("column_name").is_some_and(String::is_empty)));
        }
    }
    let is_somewhere = |id: &String| found.contains(id) || whole.iter().any(|line| line.contains(&quoted(id)));
    match events.iter().filter_map(|event| event.id.as_ref()).find(|id| !is_somewhere(id)) {
        Some(id) => Err(Failed(format!("event {id} is nowhere"))),
        None => Ok(()),
    }
}

/// What the model has after all events in one cut.
struct Straight(Dump);

async fn straight(harness: &dyn Harness, events: &[Event]) -> Checked<Straight> {
    let model = Model::like(Room::open(harness).await?.dialect());
    let room = Room::open(&model).await?;
    room.load(&lines(events)).await?;
    audit(room.opened()).await?;
    Ok(Straight(room.dump().await?))
}

impl Straight {
    async fn must_equal_after(&self, harness: &dyn Harness, cuts: &[Vec<Event>], what: &str) -> Checked {
        let room = Room::open(harness).await?;
        for cut in cuts {
            room.load(&lines(cut)).await?;
        }
        audit(room.opened()).await?;
        room.dump().await?.must_equal(&self.0, what)
    }
}

/// Loads cut by cut as a process would that dies on any error: another one begins the cut anew.
async fn crashing(room: &Room<'_>, faults: &dyn Warehouse, cuts: &[Vec<Event>]) -> Checked {
    for cut in cuts {
        let lines = lines(cut);
        if let Err(error) = load(faults, &room.draft(&lines)).await {
            if !error.is_temporary() {
                return Err(error.into());
            }
            let next = room.second().await?;
            stubborn(&*next.warehouse, &room.draft(&lines)).await?;
        }
    }
    Ok(())
}

fn lines(events: &[Event]) -> Vec<&[u8]> {
    events.iter().map(|event| &*event.line).collect()
}

/// Cuts events into commits of `every` events on average; an event that is left out moves no other cut.
fn cut(events: &[Event], seed: u64, every: u64) -> Vec<Vec<Event>> {
    let mut cuts = vec![Vec::new()];
    for event in events {
        if mark(!seed, &event.line).is_multiple_of(every.max(1)) {
            cuts.push(Vec::new());
        }
        if let Some(last) = cuts.last_mut() {
            last.push(event.clone());
        }
    }
    cuts.retain(|cut| !cut.is_empty());
    cuts
}

/// Makes one `#[test]` per law. The expression makes the [`Harness`]; it is evaluated in each test.
#[macro_export]
macro_rules! law_tests {
    ($harness:expr) => {
        mod laws {
            #[allow(unused_imports)]
            use super::*;
            $crate::law_tests! { @each $harness; any_order any_repetition any_cut two_writers a_crash_at_every_step nothing_is_lost }
        }
    };
    (@each $harness:expr; $($law:ident)+) => {
        $(#[test]
        fn $law() {
            $crate::laws::check(&$harness, stringify!($law));
        })+
    };
}
