//! A stream of calls into a warehouse, in memory that is bounded by bytes.

use crate::clock;
use crate::report::Report;
use crate::write::write;
use futures_util::future::{Either, select};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Draft, Error, ErrorKind, Origin, Result, Rules, Warehouse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

/// What a call costs on top of its bytes.
const OVERHEAD: usize = 128;
/// What is kept of a call that is too long to be taken whole.
const HEAD: usize = 60_000;

/// How a [`Pipeline`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// How calls become tables, and by how many events and bytes a cut is made.
    pub rules: Rules,
    /// The source's name, as the ledger has it.
    pub source: String,
    /// Bytes of calls that were sent and are not durable yet; sending waits for room. At half of it a cut is made,
    /// so that the other half can fill while the commit runs. The tables made of them take about as much again.
    /// At least 128 KiB, at most 4 GiB.
    pub memory: usize,
    /// Longest time that a call waits for its cut.
    pub cut_after: Duration,
}

impl Default for Options {
    /// The default rules, 64 MiB, ten seconds.
    fn default() -> Self {
        Options {
            rules: Rules::default(),
            source: "stream".into(),
            memory: 64 << 20,
            cut_after: Duration::from_secs(10),
        }
    }
}

/// The sending end of a stream into a warehouse. Clones send into the same stream.
///
/// Nothing happens unless the work that comes with it is polled: spawn it. When the last clone is dropped,
/// the work commits what is left and ends with the report since the last flush, or the error.
///
/// A commit that fails loses nothing: its calls stay, and it is tried again at the next flush, or after
/// [`Options::cut_after`]. While it fails and memory is full, [`send`](Pipeline::send) answers the error.
#[derive(Clone, Debug)]
pub struct Pipeline {
    inbox: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    longest: usize,
    trouble: watch::Receiver<Option<Trouble>>,
}

#[derive(Debug)]
enum Message {
    Call { bytes: Vec<u8>, cost: OwnedSemaphorePermit },
    Oversized { head: Vec<u8>, bytes: u64, sha256: [u8; 32], cost: OwnedSemaphorePermit },
    Flush(oneshot::Sender<Result<Report>>),
}

/// What is told of an error more than once.
#[derive(Clone, Debug)]
struct Trouble {
    kind: ErrorKind,
    temporary: bool,
    message: String,
    remedy: String,
}

impl Trouble {
    fn of(error: &Error) -> Self {
        Trouble {
            kind: error.kind(),
            temporary: error.is_temporary(),
            message: error.to_string(),
            remedy: error.remedy().to_owned(),
        }
    }

    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone()).fix(self.remedy.clone());
        if self.temporary { error.temporary() } else { error }
    }
}

impl Pipeline {
    /// A stream into a warehouse, and the work that must be spawned for it to flow.
    ///
    /// The work needs a tokio runtime with time enabled.
    pub fn new(
        warehouse: Arc<dyn Warehouse>,
        options: Options,
    ) -> (Pipeline, impl Future<Output = Result<Report>> + Send + 'static) {
        let memory = u32::try_from(options.memory).unwrap_or(u32::MAX).max(128 << 10);
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let (inbox, calls) = mpsc::unbounded_channel();
        let (tell, trouble) = watch::channel(None);
        let work = Work {
            draft: Draft::new(&options.rules, warehouse.dialect()),
            origin: Origin::stream(options.source, clock::seed()),
            warehouse,
            calls,
            held: None,
            half: memory / 2,
            cut_after: options.cut_after,
            due: None,
            report: Report::default(),
            trouble: tell,
        };
        let pipeline = Pipeline {
            inbox,
            room: Arc::new(Semaphore::new(memory)),
            longest: (memory / 2 - OVERHEAD).min(16 << 20),
            trouble,
        };
        (pipeline, work.run())
    }

    /// Sends one call, or a batch body, as JSON; waits while memory is full.
    ///
    /// What is wrong with the call never makes an error. `Ok` means taken, not durable: see [`flush`](Pipeline::flush).
    /// An error means that the call was not taken, because commits fail and there is no more room, or the work has ended.
    pub async fn send(&self, call: impl Into<Vec<u8>>) -> Result<()> {
        let mut bytes: Vec<u8> = call.into();
        let message = if bytes.len() <= self.longest {
            let cost = self.room_for(bytes.len()).await?;
            Message::Call { bytes, cost }
        } else {
            let sha256 = Sha256::digest(&bytes).into();
            let length = bytes.len() as u64;
            bytes.truncate(HEAD.min(self.longest));
            bytes.shrink_to_fit();
            let cost = self.room_for(bytes.len()).await?;
            Message::Oversized { head: bytes, bytes: length, sha256, cost }
        };
        self.inbox.send(message).map_err(|_| ended())
    }

    /// Sends every row of an Arrow batch as one call.
    #[cfg(feature = "arrow")]
    pub async fn send_batch(&self, batch: &arrow_array::RecordBatch) -> Result<()> {
        for lines in crate::input::json_lines(batch) {
            for line in lines?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.send(line).await?;
            }
        }
        Ok(())
    }

    /// Waits until everything that was sent before is durable, and says what was done since the last flush.
    pub async fn flush(&self) -> Result<Report> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Flush(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Room that belongs to a call until it is durable.
    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let cost = u32::try_from(bytes + OVERHEAD).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(cost) {
            return Ok(permit);
        }
        let mut trouble = self.trouble.clone();
        let room = pin!(Arc::clone(&self.room).acquire_many_owned(cost));
        let failing = pin!(trouble.wait_for(Option::is_some));
        match select(room, failing).await {
            Either::Left((permit, _)) => permit.map_err(|_| ended()),
            Either::Right((Ok(trouble), _)) => Err(trouble.as_ref().map_or_else(ended, Trouble::error)),
            Either::Right((Err(_), _)) => Err(ended()),
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Internal, "the pipeline's work has ended or was dropped")
        .fix("spawn the work and keep it running; its own result says why it ended")
}

/// The receiving end: one draft at a time.
struct Work {
    warehouse: Arc<dyn Warehouse>,
    calls: mpsc::UnboundedReceiver<Message>,
    draft: Draft,
    origin: Origin,
    /// The room of the draft's calls.
    held: Option<OwnedSemaphorePermit>,
    half: usize,
    cut_after: Duration,
    /// When to cut next, if something waits for it.
    due: Option<Instant>,
    report: Report,
    trouble: watch::Sender<Option<Trouble>>,
}

impl Work {
    async fn run(mut self) -> Result<Report> {
        loop {
            let message = match self.due {
                None => self.calls.recv().await,
                Some(due) => match tokio::time::timeout_at(due, self.calls.recv()).await {
                    Ok(message) => message,
                    Err(_) => {
                        self.cut_and_tell().await;
                        continue;
                    }
                },
            };
            match message {
                Some(Message::Call { bytes, cost }) => {
                    self.origin.tick(clock::now());
                    self.draft.push_line_from(&mut self.origin, &bytes);
                    drop(bytes);
                    self.taken(cost).await;
                }
                Some(Message::Oversized { head, bytes, sha256, cost }) => {
                    self.origin.tick(clock::now());
                    self.draft.push_oversized(&mut self.origin, &head, bytes, sha256);
                    drop(head);
                    self.taken(cost).await;
                }
                Some(Message::Flush(reply)) => {
                    let outcome = self.cut().await;
                    // Whoever asked may have gone; then the report waits for the next one.
                    if let Err(Ok(unread)) = reply.send(outcome.map(|()| std::mem::take(&mut self.report))) {
                        self.report = unread;
                    }
                }
                None => return self.cut().await.map(|()| self.report),
            }
        }
    }

    async fn taken(&mut self, cost: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(cost),
            None => self.held = Some(cost),
        }
        self.due.get_or_insert_with(|| Instant::now() + self.cut_after);
        let half_full = self.held.as_ref().is_some_and(|held| held.num_permits() >= self.half);
        // While commits fail, only the clock and a flush try again.
        if (half_full || self.draft.is_full()) && self.trouble.borrow().is_none() {
            self.cut_and_tell().await;
        }
    }

    /// A cut that nobody waits for: its error is known to `send` and `flush`.
    async fn cut_and_tell(&mut self) {
        if let Err(error) = self.cut().await {
            tracing::warn!(target: "tablecast", kind = ?error.kind(), %error, "the commit failed and will be tried again");
        }
    }

    /// Makes the draft durable; if that fails, keeps it and its room.
    async fn cut(&mut self) -> Result<()> {
        if !self.draft.is_empty() {
            match write(&*self.warehouse, &self.draft).await {
                Ok(report) => self.report.extend(report),
                Err(error) => {
                    self.due = Some(Instant::now() + self.cut_after);
                    self.trouble.send_replace(Some(Trouble::of(&error)));
                    return Err(error);
                }
            }
            self.draft.clear();
        }
        self.trouble.send_replace(None);
        self.due = None;
        self.held = None;
        Ok(())
    }
}
