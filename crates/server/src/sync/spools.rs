//! The spools of all spaces, each opened once.

use crate::spool::{Spool, SpoolError, SpoolOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The spools that are open, by space. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Spools(Arc<Mutex<BTreeMap<String, Spool>>>);

impl Spools {
    /// The spool of a space, if it is open.
    pub fn get(&self, space: &str) -> Option<Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(space).cloned()
    }

    /// The spool of a space, opened if it is not: in the folder `spool/<space>` of the data folder.
    pub fn open(&self, data: &std::path::Path, options: SpoolOptions) -> Result<Spool, SpoolError> {
        let mut spools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spool) = spools.get(&options.space) {
            return Ok(spool.clone());
        }
        let space = options.space.clone();
        let spool = Spool::open(&data.join("spool").join(folder(&space)), options)?;
        spools.insert(space, spool.clone());
        Ok(spool)
    }
}

/// A space as the name of a folder: letters, digits, dashes and dots stay, all else is told by its hash.
fn folder(space: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if space.chars().all(plain) && !space.is_empty() {
        return space.to_owned();
    }
    let kept: String = space.chars().filter(|&c| plain(c)).take(40).collect();
    format!("{kept}.{:016x}", xxhash_rust::xxh3::xxh3_64(space.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_a_folder_of_its_own() {
        assert_eq!(folder("default"), "default");
        let odd: Vec<String> = ["../x", "X", "x ", "", "日本"].map(folder).into();
        assert!(odd.iter().all(|name| !name.contains('/') && !name.starts_with("..")), "{odd:?}");
        assert_eq!(odd.iter().collect::<std::collections::BTreeSet<_>>().len(), odd.len());
    }
}
