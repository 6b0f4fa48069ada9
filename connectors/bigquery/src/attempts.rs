//! Jobs that come one after the other: their ids end in a number, and each begins after the one before has failed.
//! Whoever asks for a number that is taken waits for the job that has it.

use crate::client::Client;
use crate::error::Fault;

/// The attempts at one thing.
pub(crate) struct Attempts<'a> {
    client: &'a Client,
    location: &'a str,
    key: String,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(client: &'a Client, location: &'a str, key: String) -> Attempts<'a> {
        Attempts { client, location, key }
    }

    /// The job's id of an attempt.
    pub(crate) fn id(&self, attempt: u32) -> String {
        format!("{}_a{attempt}", self.key)
    }

    /// The number of the newest attempt that there is. Since no number is left out, halving finds it.
    pub(crate) async fn newest(&self) -> Result<Option<u32>, Fault> {
        let is_there =
            async |attempt| Ok::<_, Fault>(self.client.job(&self.id(attempt), self.location).await?.is_some());
        if !is_there(0).await? {
            return Ok(None);
        }
        let (mut there, mut missing) = (0, 1);
        while is_there(missing).await? {
            (there, missing) = (missing, missing * 2);
        }
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            if is_there(middle).await? { there = middle } else { missing = middle }
        }
        Ok(Some(there))
    }

    /// The number after the newest attempt, once that has ended.
    pub(crate) async fn free(&self) -> Result<u32, Fault> {
        match self.newest().await? {
            None => Ok(0),
            Some(newest) => self.client.ended(&self.id(newest), self.location).await.map(|_| newest + 1),
        }
    }
}
