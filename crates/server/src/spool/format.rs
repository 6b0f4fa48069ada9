//! The bytes of a segment: a head, then records, each with its checksum. Pure: what disks do to bytes is decided here.
//!
//! A record names how far behind the beginning of its group it stands. A group is written and synced as a whole, and the
//! next begins only then; so a record that cannot be read is a torn tail if only its own group follows, and damage to
//! what was durable if a record of a later group does.

/// Bytes of a segment's head.
pub(crate) const HEAD: usize = 40;
/// Bytes of a record before its payload.
pub(crate) const HEADER: usize = 21;
/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"tcspool\n";
const VERSION: u32 = 1;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A call or a batch body, stamped with ids and times.
    Call,
    /// A batch body of calls that were too many for their batch: they become discards.
    Surplus,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Call => 1,
            Kind::Surplus => 2,
        }
    }

    fn of(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Call),
            2 => Some(Kind::Surplus),
            _ => None,
        }
    }
}

/// What a segment's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first: u64,
    pub(crate) space: u64,
    /// No record of the segment was received before, in µs since 1970.
    pub(crate) since: i64,
}

impl Head {
    pub(crate) fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.space.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.since.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD)?;
        let head = Head { first: u64_at(bytes, 12)?, space: u64_at(bytes, 20)?, since: i64_at(bytes, 28)? };
        (head.bytes() == *bytes).then_some(head)
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: usize,
    pub(crate) received_at: i64,
    /// Bytes between the beginning of the group and the record.
    pub(crate) back: u32,
    pub(crate) kind: Kind,
    checksum: u32,
}

impl Header {
    /// Reads a header that may be one: its checksum is of the payload too.
    pub(crate) fn read(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER)?;
        let length = usize::try_from(u32_at(bytes, 0)?).ok().filter(|length| *length <= MAX_PAYLOAD)?;
        Some(Header {
            length,
            checksum: u32_at(bytes, 4)?,
            received_at: i64_at(bytes, 8)?,
            back: u32_at(bytes, 16)?,
            kind: Kind::of(bytes[20])?,
        })
    }

    /// Bytes of the whole record.
    pub(crate) fn whole(self) -> usize {
        HEADER + self.length
    }

    /// Whether `record`, all its bytes, is what was written at `offset`.
    pub(crate) fn holds(self, offset: u64, record: &[u8]) -> bool {
        record.len() == self.whole() && checksum(offset, record) == self.checksum
    }
}

/// Of a record's place and of everything in it but the checksum itself.
fn checksum(offset: u64, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

/// Puts a record at the end of a group whose first byte is `group` bytes from the log's beginning.
///
/// `payload` has at most [`MAX_PAYLOAD`] bytes, and the group under 4 GiB.
pub(crate) fn push(out: &mut Vec<u8>, start: usize, group: u64, received_at: i64, kind: Kind, payload: &[u8]) {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let at = out.len();
    let back = at - start;
    out.extend_from_slice(&narrow(payload.len()).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&received_at.to_le_bytes());
    out.extend_from_slice(&narrow(back).to_le_bytes());
    out.push(kind.code());
    out.extend_from_slice(payload);
    let checksum = checksum(group + back as u64, &out[at..]);
    out[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// What was found in the bytes of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the last whole record ends, from the log's beginning.
    pub(crate) end: u64,
    /// When the last whole record was received.
    pub(crate) newest: Option<i64>,
    /// Where something durable cannot be read any more.
    pub(crate) damaged: Option<u64>,
}

/// Reads what follows the head of the segment that begins at `first`.
pub(crate) fn scan(first: u64, bytes: &[u8]) -> Found {
    let mut found = Found { end: first, newest: None, damaged: None };
    let mut at = 0;
    while at < bytes.len() {
        let offset = first + at as u64;
        if let Some(header) = record_at(first, bytes, at) {
            found.end = offset + header.whole() as u64;
            found.newest = found.newest.max(Some(header.received_at));
            at += header.whole();
            continue;
        }
        match next_record(first, bytes, at + 1, |begins| begins > offset) {
            Some(next) => {
                found.damaged.get_or_insert(offset);
                at = next;
            }
            None => break,
        }
    }
    found
}

/// The header of the whole record at a place of the bytes.
fn record_at(first: u64, bytes: &[u8], at: usize) -> Option<Header> {
    let header = Header::read(bytes.get(at..)?)?;
    let record = bytes.get(at..at.checked_add(header.whole())?)?;
    let offset = first + at as u64;
    (u64::from(header.back) <= offset - first && header.holds(offset, record)).then_some(header)
}

/// The next place with a whole record whose group begins where `wanted` says.
pub(crate) fn next_record(first: u64, bytes: &[u8], from: usize, wanted: impl Fn(u64) -> bool) -> Option<usize> {
    (from..bytes.len().saturating_sub(HEADER - 1)).find(|at| {
        record_at(first, bytes, *at).is_some_and(|header| wanted(first + *at as u64 - u64::from(header.back)))
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A rule that must hold for any bytes of a disk; the body of a fuzz target. Panics when it is broken.
///
/// The bytes are a script: records are written in groups, then some of what was written is changed. What comes back
/// must be what was written, and what was synced must come back or be named as damaged.
#[doc(hidden)]
pub fn fuzz(script: &[u8]) {
    // Any bytes at all are read without a panic.
    let first = script.first().map_or(0, |byte| u64::from(*byte));
    let wild = scan(first, script);
    assert!(wild.end >= first && wild.end <= first + script.len() as u64);
    let _ = Head::read(script);

    let (mut bytes, mut ends, mut durable) = (Vec::new(), Vec::new(), 0);
    let mut steps = script.iter().copied();
    let mut start = 0;
    while let Some(step) = steps.next() {
        match step {
            0..128 => {
                let length = usize::from(step) * usize::from(steps.next().unwrap_or(1));
                let payload: Vec<u8> = std::iter::repeat_n(steps.next().unwrap_or(b'x'), length).collect();
                let kind = if step % 2 == 0 { Kind::Call } else { Kind::Surplus };
                push(&mut bytes, start, first + start as u64, i64::from(step), kind, &payload);
                ends.push(bytes.len());
            }
            128..192 => {
                start = bytes.len();
                durable = bytes.len();
            }
            _ => break,
        }
    }
    let whole = scan(first, &bytes);
    assert_eq!((whole.end, whole.damaged), (first + bytes.len() as u64, None));

    // A torn tail: some bytes of the group that was not synced changed, then it is cut.
    let mut torn = bytes.clone();
    let tail = torn.len() - durable;
    for _ in 0..steps.next().unwrap_or(0) {
        let at = usize::from(steps.next().unwrap_or(0)) << 8 | usize::from(steps.next().unwrap_or(0));
        if tail > 0 {
            torn[durable + at % tail] ^= steps.next().unwrap_or(1);
        }
    }
    let cut = usize::from(steps.next().unwrap_or(0)) << 8 | usize::from(steps.next().unwrap_or(0));
    torn.truncate(torn.len() - cut % (tail + 1));
    let found = scan(first, &torn);
    let end = usize::try_from(found.end - first).unwrap_or(usize::MAX);
    assert_eq!(found.damaged, None, "a torn tail is no damage");
    assert!(end >= durable, "what was synced is there");
    assert!(end == 0 || ends.contains(&end), "it ends behind a record");
    assert_eq!(torn[..end], bytes[..end], "only what was written comes back");

    // Damage before the last group is named, and lies at or before what changed.
    let last = ends.iter().rposition(|end| *end <= durable).map_or(0, |at| ends[at]);
    if durable > 0 && last == durable && bytes.len() > durable {
        let mut damaged = bytes.clone();
        let at = cut % durable;
        damaged[at] ^= steps.next().unwrap_or(1).max(1);
        let found = scan(first, &damaged);
        assert!(found.damaged.is_some_and(|place| place <= first + at as u64), "damage at {at} is named");
        assert_eq!(found.end, first + bytes.len() as u64, "what follows damage is still there");
    }
}
