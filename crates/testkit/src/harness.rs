//! What a connector hands to the suite: how to open it, how to read it back, and what its emulator cannot do.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use tablecast_core::memory::{self, Memory};
use tablecast_core::testing::Probe;
use tablecast_core::{Dialect, Error, Ident, Result, Warehouse};

/// How the suite reaches a connector.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens a schema. The suite makes up a new name where it wants an empty one; a name it used before
    /// is another handle onto the same tables, as a second process would have it.
    async fn open(&self, schema: &Ident) -> Result<Opened>;

    /// The cases that the warehouse behind this harness is known not to pass, each with the reason.
    /// They run and must fail: a gap that has closed is to be taken off the list.
    fn gaps(&self) -> &[Gap] {
        &[]
    }

    /// Runs a future to its end. A connector that needs a runtime overrides this with the runtime's own.
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        block_on(future);
    }
}

/// One handle onto a schema: the warehouse, and the way to read it back.
#[derive(Clone)]
pub struct Opened {
    /// What is tested.
    pub warehouse: Arc<dyn Warehouse>,
    /// What it is judged by.
    pub probe: Arc<dyn Probe>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?})", self.warehouse)
    }
}

/// A case that cannot pass, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The case's name.
    pub case: &'static str,
    /// Why it cannot pass here.
    pub reason: &'static str,
}

/// The model as a harness: what every other one is compared with.
#[derive(Debug)]
pub struct Model {
    dialect: &'static Dialect,
    schemas: Mutex<BTreeMap<Ident, Memory>>,
}

impl Model {
    /// The model with its own dialect.
    pub fn new() -> Self {
        Model::like(&memory::DIALECT)
    }

    /// The model with the names and limits of another warehouse.
    pub fn like(dialect: &'static Dialect) -> Self {
        Model { dialect, schemas: Mutex::default() }
    }
}

impl Default for Model {
    fn default() -> Self {
        Model::new()
    }
}

#[async_trait]
impl Harness for Model {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = schemas.entry(schema.clone()).or_insert_with(|| Memory::like(self.dialect, 0)).clone();
        Ok(Opened { warehouse: Arc::new(memory.clone()), probe: Arc::new(memory) })
    }
}

/// Why a case or a law does not hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Failed(pub String);

impl Failed {
    /// Something that is not as it should be.
    pub fn new(what: impl Into<String>) -> Self {
        Failed(what.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed(format!("an error that nothing called for: {error:?}"))
    }
}

/// Whether a case or a law holds.
pub type Checked<T = ()> = std::result::Result<T, Failed>;

/// Waits for a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(out) => return out,
            Poll::Pending => thread::park(),
        }
    }
}
