//! The time, as the engine is told it.

use jiff::Timestamp;
use std::fmt::Debug;
use std::time::Duration;
use tablecast::core::BoxFuture;

/// What time it is, and waiting for a time. Tests have their own.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in µs since 1970.
    fn now(&self) -> i64;

    /// Comes back at a time, in µs since 1970, or soon after; and soon after the clock was set back before `now`, which is
    /// what it said when the time was planned.
    fn until(&self, now: i64, at: i64) -> BoxFuture<'_, ()>;
}

/// The clock of the system. Needs a tokio runtime with time enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The longest sleep: a clock that is set meanwhile is noticed after it.
const NAP: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        Timestamp::now().as_microsecond()
    }

    fn until(&self, now: i64, at: i64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let is = self.now();
                let left = u64::try_from(at.saturating_sub(is)).unwrap_or(0);
                if left == 0 || is < now {
                    return;
                }
                tokio::time::sleep(Duration::from_micros(left).min(NAP)).await;
            }
        })
    }
}

/// A moment of the engine's clock.
pub(super) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
