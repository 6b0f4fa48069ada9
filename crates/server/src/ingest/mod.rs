//! Calls in: Segment's HTTP tracking API, as its SDKs speak it. What is answered with 200 is on disk.
//!
//! The pure part reads a body and says what of it is spooled or what its sender is told; around it are a router, which can be
//! merged into another, and an accept loop that bounds connections, times and memory.

mod answer;
mod body;
mod gzip;
mod http;
mod ids;
mod json;
mod key;
mod listener;
mod receive;
#[cfg(test)]
mod tests;
mod timed;

pub(crate) use answer::Refusal;
pub use body::{MAX_BATCH, MAX_CALL, MAX_CALLS, Route};
pub use http::router;
pub use key::{Keys, fingerprint};
pub(crate) use key::{basic, bearer};
pub use listener::{Limits, Peer, serve};
pub(crate) use receive::{Held, receive};

use crate::metrics::{Metrics, space};
use crate::spool::{Kind, NewRecord, Spool, SpoolError};
use body::{Body, Given};
use ids::Remembered;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ids that are remembered for each space: about 130 MB when there are so many.
const MOST_IDS: usize = 4_000_000;
/// Bytes of bodies that are held at once, over all connections.
const MOST_BODIES: usize = 64 << 20;
/// Keys that nobody knows, of which the last are shown.
const UNKNOWN_KEYS: usize = 20;
/// How long ids are remembered.
const REMEMBER: i64 = 24 * 3600 * 1_000_000;

/// What an operator decides about what comes in.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may send calls, and into which space.
    pub keys: Keys,
    /// Whether wrong calls and keys are answered with 400, 401 and 403.
    pub strict: bool,
}

/// A write key that nobody knows, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// Tells it from another one.
    pub fingerprint: String,
    /// Requests that came with it.
    pub requests: u64,
    /// When the last one came, in µs since 1970.
    pub last: i64,
}

/// Where one space's calls go.
#[derive(Debug)]
struct Door {
    spool: Spool,
    ids: Mutex<Remembered>,
}

/// Takes calls. Share it by `Arc`.
#[derive(Debug)]
pub struct Ingest {
    settings: RwLock<Arc<Settings>>,
    doors: RwLock<BTreeMap<String, Arc<Door>>>,
    unknown: Mutex<Vec<UnknownKey>>,
    metrics: Arc<Metrics>,
    /// Bytes of bodies that are held.
    bodies: AtomicUsize,
    seed: RandomState,
    made: AtomicU64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Calls that are durable now.
    pub taken: u64,
    /// Calls that were taken before.
    pub duplicates: u64,
    /// Calls that were too many for their batch: durable, as discards.
    pub surplus: u64,
}

impl Ingest {
    /// Takes calls into the spools of these spaces. Reads the last day of each, for the ids.
    pub fn new(settings: Settings, spools: BTreeMap<String, Spool>, metrics: Arc<Metrics>) -> Self {
        let ingest = Ingest {
            settings: RwLock::default(),
            doors: RwLock::default(),
            unknown: Mutex::default(),
            metrics,
            bodies: AtomicUsize::new(0),
            seed: RandomState::new(),
            made: AtomicU64::new(0),
        };
        ingest.update(settings, spools);
        ingest
    }

    /// Goes on with other settings; requests that are being answered keep those they began with.
    pub fn update(&self, settings: Settings, spools: BTreeMap<String, Spool>) {
        let mut doors: BTreeMap<String, Arc<Door>> = self.doors.read().unwrap_or_else(PoisonError::into_inner).clone();
        doors.retain(|name, _| spools.contains_key(name));
        for (name, spool) in spools {
            doors.entry(name).or_insert_with(|| Arc::new(Door::open(spool)));
        }
        *self.doors.write().unwrap_or_else(PoisonError::into_inner) = doors;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// The space of a write key.
    pub fn space_of(&self, key: &str) -> Option<String> {
        self.settings().keys.space(key).map(str::to_owned)
    }

    /// Keys that came and that nobody knows, the latest last.
    pub fn unknown_keys(&self) -> Vec<UnknownKey> {
        lock(&self.unknown).clone()
    }

    /// Ids that are remembered, over all spaces.
    pub fn remembered(&self) -> usize {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.values().map(|door| lock(&door.ids).len()).sum()
    }

    /// Takes a call or a batch body that came from inside, such as from `POST /v1/computations`, into a space.
    pub async fn take(&self, space: &str, body: &[u8]) -> Result<Taken, SpoolError> {
        let Some(door) = self.door(space) else { return Err(SpoolError::Broken) };
        // Whoever calls this has made the body.
        let Ok(body) = Body::read(Route::Batch, body) else { return Err(SpoolError::TooLong) };
        self.spool(&door, space, &body, None).await
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn door(&self, space: &str) -> Option<Arc<Door>> {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).get(space).cloned()
    }

    /// Takes a request; `bytes` are inflated already.
    async fn request(
        &self,
        route: Route,
        authorization: Option<&[u8]>,
        bytes: &[u8],
        ip: Option<IpAddr>,
    ) -> Result<Taken, Refusal> {
        let settings = self.settings();
        let body = Body::read(route, bytes)?;
        let from_header = authorization.and_then(key::basic);
        let from_body = body.write_key();
        let keys = [from_header.as_deref(), from_body.as_deref()];
        let Some(name) = keys.into_iter().flatten().find_map(|key| settings.keys.space(key)) else {
            return self.stranger(keys.into_iter().flatten().next(), settings.strict);
        };
        if settings.strict {
            body.check()?;
        }
        let Some(door) = self.door(name) else {
            return Err(Refusal::later("unavailable", "the space is not open yet; try again"));
        };
        let taken = self.spool(&door, name, &body, ip).await.map_err(|error| {
            tracing::error!(space = name, %error, remedy = error.remedy(), "calls were not taken");
            match error {
                SpoolError::TooLong => Refusal::too_large(route.limit()),
                SpoolError::Full(_) => Refusal::later("disk_full", "the disk is full; nothing was kept, try again"),
                SpoolError::Busy => Refusal::later("overloaded", "too much waits to be written; try again"),
                _ => Refusal::later("unavailable", "the disk failed; nothing was kept, try again"),
            }
        })?;
        self.metrics.ingest.bytes.get_or_create(&space(name)).inc_by(bytes.len() as u64);
        Ok(taken)
    }

    async fn spool(&self, door: &Door, name: &str, body: &Body<'_>, ip: Option<IpAddr>) -> Result<Taken, SpoolError> {
        let last = door.spool.stamp(now(), u32::try_from(body.count()).unwrap_or(u32::MAX));
        // Not locked as a whole: a large batch holds up no other.
        let known = |id| lock(&door.ids).has(id);
        let stamped = body.stamp(&mut Given { new_id: &mut || self.new_id(), last, ip, known: &known });
        let taken = Taken { taken: stamped.taken, duplicates: stamped.duplicates, surplus: stamped.too_many };
        let record = |kind, payload| NewRecord { received_at: last, kind, payload };
        let records: Vec<NewRecord> = [
            stamped.calls.map(|payload| record(Kind::Call, payload)),
            stamped.surplus.map(|payload| record(Kind::Surplus, payload)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !records.is_empty() {
            door.spool.append_all(records).await?;
            // Only what is durable is remembered: who was refused must be able to come again.
            lock(&door.ids).add(last, stamped.ids);
        }
        let metrics = &self.metrics.ingest;
        for (family, count) in
            [(&metrics.events, taken.taken), (&metrics.duplicates, taken.duplicates), (&metrics.surplus, taken.surplus)]
        {
            if count > 0 {
                family.get_or_create(&space(name)).inc_by(count);
            }
        }
        Ok(taken)
    }

    /// A request with a key that nobody knows, or without one: counted and shown, in both modes.
    fn stranger(&self, key: Option<&str>, strict: bool) -> Result<Taken, Refusal> {
        let (code, status, message) = match key {
            None => (
                "no_write_key",
                401,
                "send a write key, in the body as `writeKey` or as the user of Basic authentication",
            ),
            Some(_) => {
                ("unknown_source", 403, "no source has this write key; add it to a [[source]] of the configuration")
            }
        };
        if let Some(key) = key {
            let fingerprint = fingerprint(key);
            let mut unknown = lock(&self.unknown);
            let at = unknown.iter().position(|known| known.fingerprint == fingerprint);
            let mut entry = match at {
                Some(at) => unknown.remove(at),
                None => {
                    tracing::warn!(fingerprint, "calls came with a write key that no source has; they are not kept");
                    UnknownKey { fingerprint, requests: 0, last: 0 }
                }
            };
            entry.requests += 1;
            entry.last = now();
            unknown.push(entry);
            if unknown.len() > UNKNOWN_KEYS {
                unknown.remove(0);
            }
        }
        if strict {
            return Err(Refusal { status, code, message: message.to_owned(), retry_after: None });
        }
        self.metrics.ingest.refuse(code);
        Ok(Taken::default())
    }

    /// An id that no other call has.
    fn new_id(&self) -> String {
        let nth = self.made.fetch_add(1, Ordering::Relaxed);
        // The seed comes from the operating system, and is another one in every process.
        let half = |salt: u8| self.seed.hash_one((salt, nth, now()));
        format!("api-{:016x}{:016x}", half(0), half(1))
    }
}

impl Door {
    fn open(spool: Spool) -> Self {
        let mut ids = Remembered::new(MOST_IDS);
        let (_, end) = spool.bounds();
        let from = spool.offset_at(now().saturating_sub(REMEMBER));
        if let Ok(mut reader) = spool.read(from, end) {
            loop {
                match reader.next() {
                    // What was too many was not taken, and may come again.
                    Ok(Some(record)) if record.kind == Kind::Surplus => {}
                    Ok(Some(record)) => ids.add(record.received_at, body::ids_of(record.payload)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, remedy = error.remedy(), "ids are not remembered from here on");
                        if reader.skip_damage().is_err() {
                            break;
                        }
                    }
                }
            }
        }
        Door { spool, ids: Mutex::new(ids) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now, in µs since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
