//! The token of page and API, and what a browser has instead of it: a session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use tablecast::core::Secret;

/// How long a session lasts.
pub(crate) const SESSION: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at once; the one that would end first makes room.
const MOST: usize = 256;

/// A hash of a secret: all that is kept of it, and of one length, so that comparing tells nothing.
type Hash = [u8; 32];

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

fn same(one: &Hash, other: &Hash) -> bool {
    one.ct_eq(other).into()
}

/// Random text that cannot be guessed.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Who may see page and API: whoever has the token, and browsers that showed it.
pub(crate) struct Gate {
    token: Hash,
    sessions: Mutex<HashMap<Hash, Session>>,
}

/// A browser that is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Forms must bring it: another site cannot read it.
    pub(crate) csrf: String,
    ends: Instant,
}

impl Session {
    /// Whether a form is one of this session's own.
    pub(crate) fn sent(&self, csrf: &str) -> bool {
        same(&hash(&self.csrf), &hash(csrf))
    }
}

impl Gate {
    pub(crate) fn new(token: &Secret) -> Gate {
        Gate { token: hash(token.expose()), sessions: Mutex::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has the token. Takes the same time for every wrong one.
    pub(crate) fn opens(&self, given: &str) -> bool {
        same(&self.token, &hash(given))
    }

    /// Begins a session for someone who showed the token: what the cookie holds. None if the system has no random numbers.
    pub(crate) fn begin(&self, now: Instant) -> Option<String> {
        let (id, csrf) = (random()?, random()?);
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.ends > now);
        if sessions.len() >= MOST {
            let first = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id);
            first.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(hash(&id), Session { csrf, ends: now + SESSION });
        Some(id)
    }

    /// The session of a cookie, if it has not ended.
    pub(crate) fn session(&self, id: &str, now: Instant) -> Option<Session> {
        self.sessions().get(&hash(id)).filter(|session| session.ends > now).cloned()
    }

    /// Ends a session.
    pub(crate) fn end(&self, id: &str) {
        self.sessions().remove(&hash(id));
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("sessions", &self.sessions().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let gate = Gate::new(&Secret::new("hush"));
        assert!(gate.opens("hush"));
        for wrong in ["", "hus", "hush ", "Hush", "hush\0"] {
            assert!(!gate.opens(wrong), "{wrong:?}");
        }
        assert!(!format!("{gate:?}").contains("hush"));
    }

    #[test]
    fn sessions_end_by_time_and_by_hand() {
        let (gate, now) = (Gate::new(&Secret::new("hush")), Instant::now());
        let (one, two) = (gate.begin(now).unwrap(), gate.begin(now).unwrap());
        assert_ne!(one, two);
        let session = gate.session(&one, now).unwrap();
        assert!(session.sent(&session.csrf) && !session.sent(""));
        assert!(!gate.session(&two, now).unwrap().sent(&session.csrf), "each session has its own");
        assert!(gate.session(&one, now + SESSION).is_none());
        gate.end(&one);
        assert!(gate.session(&one, now).is_none());
        assert!(gate.session(&two, now).is_some());
    }

    #[test]
    fn sessions_are_bounded() {
        let (gate, now) = (Gate::new(&Secret::new("hush")), Instant::now());
        let first = gate.begin(now).unwrap();
        let later = now + Duration::from_secs(1);
        let others: Vec<String> = (0..MOST).map(|_| gate.begin(later).unwrap()).collect();
        assert!(gate.session(&first, later).is_none());
        assert!(others.iter().all(|id| gate.session(id, later).is_some()));
        gate.begin(now + SESSION + SESSION).unwrap();
        assert_eq!(gate.sessions().len(), 1, "those that ended are gone");
    }
}
