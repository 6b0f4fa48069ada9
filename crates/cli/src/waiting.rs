//! Waiting for what was asked for, with a progress bar where it takes long.

use crate::ask::Asked;
use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use tablecast_server::state::{Status, SyncDetail};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Work that takes longer shows its progress.
const LONG: Duration = Duration::from_secs(1);

/// Waits until the syncs have ended, and gives them with everything. Where the service is in this process, this does the
/// work.
pub(crate) async fn for_all(asked: &Asked, ids: &[i64]) -> Result<Vec<SyncDetail>, Failure> {
    match asked {
        Asked::Running(_) => look_until_ended(asked, ids).await,
        Asked::Here { engine, .. } => {
            let work = engine.drain();
            let mut looks = std::pin::pin!(look_until_ended(asked, ids));
            let mut work = std::pin::pin!(work);
            tokio::select! {
                () = &mut work => {}
                ended = &mut looks => {
                    // What it brings along, such as a fill, is done as well.
                    work.await;
                    return ended;
                }
            }
            // All is done that can be done now.
            let details = all(asked, ids).await?;
            match details.iter().find(|detail| !detail.sync.status.is_final()) {
                None => Ok(details),
                Some(left) => Err(Failure::new(
                    format!("{} {} is still {}", left.sync.kind, left.sync.id, left.sync.status),
                    "look at what is said above; `tablecast serve`, or this command again, goes on with it",
                )),
            }
        }
    }
}

async fn all(asked: &Asked, ids: &[i64]) -> Result<Vec<SyncDetail>, Failure> {
    let mut details = Vec::new();
    for &id in ids {
        details.push(asked.sync(id).await?);
    }
    Ok(details)
}

async fn look_until_ended(asked: &Asked, ids: &[i64]) -> Result<Vec<SyncDetail>, Failure> {
    let begin = Instant::now();
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    loop {
        let details = all(asked, ids).await?;
        if details.iter().all(|detail| detail.sync.status.is_final()) {
            bar.finish_and_clear();
            return Ok(details);
        }
        if begin.elapsed() > LONG {
            show(&bar, &details);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(bar: &ProgressBar, details: &[SyncDetail]) {
    if bar.is_hidden() && std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}  {msg}") {
            bar.set_style(style);
        }
    }
    let (mut done, mut total, mut rows) = (0, 0, 0);
    for sync in details.iter().map(|detail| &detail.sync) {
        if let Some(progress) = sync.progress {
            done += progress.done;
            total += progress.total;
        }
        rows += sync.rows;
    }
    let waits = details.iter().filter(|detail| detail.sync.status == Status::Waiting).count();
    let waits = if waits > 0 { format!(", {waits} waiting") } else { String::new() };
    bar.set_length(total);
    bar.set_position(done);
    bar.set_message(format!("{rows} rows{waits}"));
}
