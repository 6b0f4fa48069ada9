//! The SQL of the service's own state.

/// How the file is kept: readers beside the writer, and on disk before a step is said to be done.
pub(super) const PRAGMAS: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
";

pub(super) const VERSION: &str = "SELECT user_version FROM pragma_user_version";

pub(super) const SCHEMA: &str = "
BEGIN IMMEDIATE;
CREATE TABLE positions (
  warehouse TEXT NOT NULL, space TEXT NOT NULL,
  cursor INTEGER NOT NULL,  -- everything before is in the warehouse
  tried INTEGER NOT NULL DEFAULT 0,  -- nothing at or after it was ever sent there
  turned_back INTEGER NOT NULL DEFAULT 0,  -- 1: since the last sync the spool has lost what was before the cursor
  schema TEXT,              -- fixed by the first sync
  address TEXT,             -- of the last sync, without secrets
  PRIMARY KEY (warehouse, space)
) STRICT;
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY,
  warehouse TEXT NOT NULL, space TEXT NOT NULL,
  kind TEXT NOT NULL, name TEXT NOT NULL,
  since INTEGER NOT NULL,   -- the first offset that may lack it
  until INTEGER             -- where it was switched on again; none while it is off
) STRICT;
CREATE INDEX gaps_of ON gaps (warehouse, space);
CREATE TABLE switches (
  warehouse TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, switched_at INTEGER NOT NULL,
  PRIMARY KEY (warehouse, kind, name)
) STRICT;
CREATE TABLE syncs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  warehouse TEXT NOT NULL, space TEXT NOT NULL, schema TEXT NOT NULL,
  kind TEXT NOT NULL, status TEXT NOT NULL,
  started_at INTEGER NOT NULL, ended_at INTEGER,
  preparation_ms INTEGER, loading_ms INTEGER,
  rows INTEGER NOT NULL DEFAULT 0, discards INTEGER NOT NULL DEFAULT 0,
  begins INTEGER, reached INTEGER, ends INTEGER,
  next_at INTEGER,
  notice_count INTEGER NOT NULL DEFAULT 0,
  notices TEXT NOT NULL DEFAULT '[]', changes TEXT NOT NULL DEFAULT '[]',
  trouble TEXT, request TEXT
) STRICT;
CREATE INDEX syncs_of ON syncs (warehouse, space, id);
CREATE INDEX syncs_open ON syncs (status) WHERE status IN ('waiting', 'running');
CREATE TABLE sync_tables (
  sync INTEGER NOT NULL REFERENCES syncs (id) ON DELETE CASCADE, name TEXT NOT NULL,
  received INTEGER NOT NULL, loaded INTEGER NOT NULL, duplicates INTEGER NOT NULL,
  filtered INTEGER NOT NULL, discarded INTEGER NOT NULL,
  PRIMARY KEY (sync, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE sync_reasons (
  sync INTEGER NOT NULL REFERENCES syncs (id) ON DELETE CASCADE,
  table_name TEXT NOT NULL, reason TEXT NOT NULL, discards INTEGER NOT NULL,
  PRIMARY KEY (sync, table_name, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE known (
  warehouse TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (warehouse, kind, name)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
";

// positions

pub(super) const ENROLL: &str =
    "INSERT INTO positions (warehouse, space, cursor) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
pub(super) const POSITION: &str =
    "SELECT cursor, schema, address, tried, turned_back FROM positions WHERE warehouse = ?1 AND space = ?2";
pub(super) const SETTLE: &str = "UPDATE positions SET cursor = ?3, schema = coalesce(schema, ?4), address = ?5, tried = max(tried, ?6), \
     turned_back = 0 WHERE warehouse = ?1 AND space = ?2";
pub(super) const MOVE: &str = "UPDATE positions SET cursor = max(cursor, ?3) WHERE warehouse = ?1 AND space = ?2";

// a spool that has become shorter

pub(super) const FARTHEST: &str = "SELECT max(cursor, tried) FROM positions WHERE space = ?1 ORDER BY 1 DESC LIMIT 1";
pub(super) const BEYOND: &str = "SELECT warehouse FROM positions WHERE space = ?1 AND cursor > ?2";
pub(super) const TURN_BACK: [&str; 4] = [
    "UPDATE positions SET cursor = min(cursor, ?2), tried = min(tried, ?2), turned_back = turned_back OR cursor > ?2 \
     WHERE space = ?1",
    "UPDATE gaps SET since = min(since, ?2), until = min(until, ?2) WHERE space = ?1",
    "DELETE FROM gaps WHERE space = ?1 AND since >= until AND ?2 = ?2",
    "UPDATE syncs SET begins = min(begins, ?2), reached = min(reached, ?2), ends = min(ends, ?2) \
     WHERE space = ?1 AND status = 'waiting'",
];

// gaps

pub(super) const GAPS: &str =
    "SELECT id, kind, name, since, until FROM gaps WHERE warehouse = ?1 AND space = ?2 ORDER BY id";
pub(super) const OPEN_GAP: &str = "INSERT INTO gaps (warehouse, space, kind, name, since) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const CLOSE_GAP: &str = "UPDATE gaps SET until = ?2 WHERE id = ?1";
pub(super) const SHRINK_GAP: &str = "UPDATE gaps SET since = max(since, ?2) WHERE id = ?1";
pub(super) const WIDEN_GAP: &str = "UPDATE gaps SET since = min(since, ?2) WHERE id = ?1";
pub(super) const DROP_GAP: &str = "DELETE FROM gaps WHERE id = ?1";

// switches

pub(super) const SWITCHES: &str = "SELECT kind, name FROM switches WHERE warehouse = ?1";
pub(super) const SWITCH_OFF: &str =
    "INSERT INTO switches (warehouse, kind, name, switched_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
pub(super) const SWITCH_ON: &str = "DELETE FROM switches WHERE warehouse = ?1 AND kind = ?2 AND name = ?3";

// history

pub(super) const INSERT_SYNC: &str = "
INSERT INTO syncs (warehouse, space, schema, kind, status, started_at, begins, reached, ends, request)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)";
pub(super) const START_SYNC: &str = "
UPDATE syncs SET status = 'running', started_at = CASE WHEN preparation_ms IS NULL THEN ?2 ELSE started_at END, schema = ?3, begins = coalesce(begins, ?4),
  reached = coalesce(reached, ?4), ends = ?5 WHERE id = ?1";
pub(super) const SKIP_SYNC: &str = "
INSERT INTO syncs (warehouse, space, schema, kind, status, started_at, ended_at, next_at, notice_count, notices)
VALUES (?1, ?2, ?3, 'sync', 'skipped', ?4, ?4, ?5, 1, ?6)";
pub(super) const COUNT_SYNC: &str = "
UPDATE syncs SET rows = rows + ?2, discards = discards + ?3, reached = ?4, notices = ?5, notice_count = ?6, changes = ?7
WHERE id = ?1";
pub(super) const COUNT_TABLE: &str = "
INSERT INTO sync_tables (sync, name, received, loaded, duplicates, filtered, discarded)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET received = received + excluded.received, loaded = loaded + excluded.loaded,
  duplicates = duplicates + excluded.duplicates, filtered = filtered + excluded.filtered,
  discarded = discarded + excluded.discarded";
pub(super) const END_SYNC: &str = "
UPDATE syncs SET status = ?2, ended_at = ?3, preparation_ms = coalesce(preparation_ms, 0) + ?4,
  loading_ms = coalesce(loading_ms, 0) + ?5, next_at = ?6, notices = ?7, notice_count = ?8, trouble = ?9 WHERE id = ?1";
pub(super) const REST_SYNC: &str = "
UPDATE syncs SET status = 'waiting', preparation_ms = coalesce(preparation_ms, 0) + ?2,
  loading_ms = coalesce(loading_ms, 0) + ?3, trouble = ?4 WHERE id = ?1";
pub(super) const INTERRUPT: &str = "
UPDATE syncs SET status = CASE WHEN rows + discards > 0 THEN 'partial' ELSE 'failure' END, ended_at = ?1, trouble = ?2
WHERE status = 'running' AND kind <> 'backfill'";
pub(super) const INTERRUPT_UNIT: &str = "
UPDATE syncs SET status = CASE WHEN rows + discards > 0 THEN 'partial' ELSE 'failure' END, ended_at = ?3, trouble = ?4
WHERE status = 'running' AND kind = 'sync' AND warehouse = ?1 AND space = ?2";
pub(super) const RESUME: &str = "UPDATE syncs SET status = 'waiting' WHERE status = 'running' AND kind = 'backfill'";
pub(super) const ABANDON: &str =
    "UPDATE syncs SET status = 'failure', ended_at = ?2, trouble = ?3 WHERE id = ?1 AND status = 'waiting'";
pub(super) const PRUNE: &str = "DELETE FROM syncs WHERE started_at < ?1 AND status NOT IN ('waiting', 'running')";

const COLUMNS: &str = "id, warehouse, space, schema, kind, status, started_at, ended_at, preparation_ms, loading_ms, rows, \
  discards, begins, reached, ends, next_at, notice_count, trouble, request";

/// Rows of the history, newest first; `wanted` is a condition in SQL.
pub(super) fn syncs(wanted: &str) -> String {
    format!("SELECT {COLUMNS} FROM syncs WHERE {wanted} ORDER BY id DESC LIMIT ?1")
}

pub(super) const BY_PLACE: &str =
    "(?2 IS NULL OR warehouse = ?2) AND (?3 IS NULL OR space = ?3) AND (?4 IS NULL OR id < ?4)";
pub(super) const BY_ID: &str = "id = ?2";
pub(super) const LAST_RUN: &str =
    "warehouse = ?2 AND space = ?3 AND kind = 'sync' AND status IN ('running', 'success', 'partial', 'failure')";
pub(super) const WAITING: &str = "status = 'waiting' AND warehouse = ?2";

pub(super) const UNFINISHED: &str = "
SELECT coalesce(reached, 0) FROM syncs WHERE status IN ('waiting', 'running') AND kind = ?1 AND warehouse = ?2
  AND space = ?3";
pub(super) const FORGET_SCHEMAS: &str = "UPDATE positions SET schema = NULL WHERE warehouse = ?1";

pub(super) const SPAN: &str = "SELECT coalesce(begins, 0), coalesce(ends, 0) FROM syncs WHERE id = ?1";
pub(super) const COUNT_REASON: &str = "
INSERT INTO sync_reasons (sync, table_name, reason, discards) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET discards = discards + excluded.discards";
pub(super) const REASONS: &str =
    "SELECT table_name, reason, discards FROM sync_reasons WHERE sync = ?1 ORDER BY reason, table_name";
pub(super) const KNOW: &str = "
INSERT INTO known (warehouse, kind, name) SELECT warehouse, ?2, ?3 FROM syncs WHERE id = ?1 ON CONFLICT DO NOTHING";
pub(super) const KNOWN: &str = "SELECT kind, name FROM known WHERE warehouse = ?1 ORDER BY kind, name";

pub(super) const DETAIL: &str = "SELECT notices, changes FROM syncs WHERE id = ?1";
pub(super) const TABLES: &str = "
SELECT name, received, loaded, duplicates, filtered, discarded FROM sync_tables WHERE sync = ?1 ORDER BY name";
