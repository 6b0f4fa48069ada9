//! Whole inputs into a warehouse, cut by cut.

use super::file::Input;
use super::lines::Line;
use crate::clock;
use crate::report::Report;
use crate::write::write;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tablecast_core::{Draft, Error, Result, Rules, Warehouse};

/// Longest time that a call of a stream waits for its cut, looked at with every line.
const STREAM_CUT: Duration = Duration::from_secs(10);
/// Lines between two reports of progress.
const STRIDE: u64 = 1_000;

/// How reading an input ended.
#[derive(Debug)]
pub enum Ended {
    /// All of it was taken.
    Done,
    /// The stop flag was set; [`Loader::durable`] says how far it got.
    Stopped,
    /// It could not be read to its end. What could be read is durable.
    Broken(Error),
}

/// A place in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The input's name.
    pub input: String,
    /// The last line, from 1.
    pub line: u64,
}

/// How far a load is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// The input that is being read.
    pub input: &'p Input,
    /// Lines read in all inputs.
    pub lines: u64,
    /// Commits made.
    pub commits: usize,
}

type Callback<'a> = Box<dyn FnMut(Progress<'_>) + Send + 'a>;

/// Loads inputs into a warehouse, cut by cut, in bounded memory; inputs share cuts, so that many small files are few commits.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tablecast::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let uri = format!("sqlite:{}", dir.path().display());
/// use tablecast::{Rules, input::{Input, Loader}};
///
/// let rules = Rules::default();
/// let warehouse = tablecast::open(&uri, &rules).await?;
/// let calls = br#"{"type":"identify","messageId":"m1","userId":"u1","traits":{"vip":true}}"#;
///
/// let mut loader = Loader::new(&*warehouse, &rules);
/// loader.read(&mut Input::stream("calls", Box::new(&calls[..]))?).await?;
/// let report = loader.finish().await?;
/// assert_eq!(report.tables["users"].loaded, 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub struct Loader<'a> {
    warehouse: &'a dyn Warehouse,
    draft: Draft,
    report: Report,
    stop: Option<&'a AtomicBool>,
    progress: Option<Callback<'a>>,
    lines: u64,
    read: Option<Position>,
    durable: Option<Position>,
    first_of_cut: Option<Instant>,
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("lines", &self.lines).field("durable", &self.durable).finish_non_exhaustive()
    }
}

impl<'a> Loader<'a> {
    /// Into a warehouse, by rules.
    pub fn new(warehouse: &'a dyn Warehouse, rules: &Rules) -> Self {
        Loader {
            draft: Draft::new(rules, warehouse.dialect()),
            warehouse,
            report: Report::default(),
            stop: None,
            progress: None,
            lines: 0,
            read: None,
            durable: None,
            first_of_cut: None,
        }
    }

    /// Stops between two lines once the flag is set; a commit that runs is finished first.
    #[must_use]
    pub fn stop_when(mut self, flag: &'a AtomicBool) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Calls back every thousand lines and after every commit.
    #[must_use]
    pub fn on_progress(mut self, callback: impl FnMut(Progress<'_>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(callback));
        self
    }

    /// Takes all calls of an input. Whole cuts are committed as they fill; the last is by [`finish`](Loader::finish).
    ///
    /// Errors are the warehouse's. They leave what [`durable`](Loader::durable) says in the warehouse;
    /// load the same inputs again to go on.
    pub async fn read(&mut self, input: &mut Input) -> Result<Ended> {
        loop {
            if self.stopped() {
                // What was read of a stream cannot be read again.
                if input.stream {
                    self.cut(input).await?;
                }
                return Ok(Ended::Stopped);
            }
            match input.lines.next() {
                Ok(None) => {
                    self.note(input);
                    return Ok(Ended::Done);
                }
                Ok(Some(line)) => {
                    if input.stream {
                        input.origin.tick(clock::now());
                    }
                    match line {
                        Line::Whole(bytes) => self.draft.push_line_from(&mut input.origin, bytes),
                        Line::Oversized { head, bytes, sha256 } => {
                            self.draft.push_oversized(&mut input.origin, head, bytes, sha256);
                        }
                    }
                }
                Err(error) => {
                    self.cut(input).await?;
                    return Ok(Ended::Broken(input.broken(error)));
                }
            }
            self.lines += 1;
            if self.draft.is_full() || (input.stream && self.overdue()) {
                self.cut(input).await?;
            } else if self.lines.is_multiple_of(STRIDE) {
                self.tell(input);
            }
        }
    }

    /// Commits what is left, and says what was done since the beginning.
    ///
    /// Leave it out after a stop: what was not committed by then is read again the next time.
    pub async fn finish(&mut self) -> Result<Report> {
        self.commit().await?;
        Ok(std::mem::take(&mut self.report))
    }

    /// What was done so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Up to where everything is in the warehouse; nothing yet if `None`.
    pub fn durable(&self) -> Option<&Position> {
        self.durable.as_ref()
    }

    fn stopped(&self) -> bool {
        self.stop.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn overdue(&mut self) -> bool {
        self.first_of_cut.get_or_insert_with(Instant::now).elapsed() > STREAM_CUT
    }

    fn note(&mut self, input: &Input) {
        self.read = Some(Position { input: input.name.clone(), line: input.lines.number() });
    }

    async fn cut(&mut self, input: &Input) -> Result<()> {
        self.note(input);
        self.commit().await?;
        self.tell(input);
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        if !self.draft.is_empty() {
            let report = write(self.warehouse, &self.draft).await?;
            self.report.extend(report);
            self.draft.clear();
        }
        self.first_of_cut = None;
        self.durable.clone_from(&self.read);
        Ok(())
    }

    fn tell(&mut self, input: &Input) {
        if let Some(callback) = &mut self.progress {
            callback(Progress { input, lines: self.lines, commits: self.report.commits.len() });
        }
    }
}
