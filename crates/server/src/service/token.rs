//! The token of page and API: the operator's, or one that the service makes for itself.

use crate::config::{Config, Problem, Problems};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use subtle::ConstantTimeEq;
use tablecast::core::Secret;

/// The file of a token that the service made, in the data folder.
pub(super) fn file(config: &Config) -> PathBuf {
    config.data.join("token")
}

/// The token of page and API. Without one in the configuration it is made once and kept in the data folder, in a file
/// that only its owner can read.
pub fn token(config: &Config) -> Result<Secret, Problems> {
    if let Some(token) = &config.token {
        return Ok(token.clone());
    }
    let path = file(config);
    let wrong = |error: std::io::Error| {
        let what = format!("{} cannot be used: {error}", path.display());
        Problems::one(Problem::new("token", what, "set `token` in the configuration, best as env:NAME or file:PATH"))
    };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| wrong(std::io::Error::other(error.to_string())))?;
    let made: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        file.write_all(format!("{made}\n").as_bytes())?;
        file.sync_all()
    };
    write().map_err(wrong)?;
    Ok(Secret::new(made))
}

/// Whether a text is the token; takes the same time wherever they differ.
pub(super) fn is_same(token: &Secret, given: &str) -> bool {
    token.expose().as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("data = \"{}\"\n[[source]]\nspace = \"default\"\nwrite_keys = [\"k\"]\n", dir.path().display());
        let config = Config::parse(&text).unwrap();
        let made = token(&config).unwrap();
        assert_eq!(made.expose().len(), 48);
        assert_eq!(token(&config).unwrap(), made);
        assert_eq!(fs::metadata(file(&config)).unwrap().permissions().mode() & 0o777, 0o600);
        let own = Config::parse(&format!("token = \"hush\"\n{text}")).unwrap();
        assert_eq!(token(&own).unwrap().expose(), "hush");
        assert!(is_same(&token(&own).unwrap(), "hush"));
        assert!(!is_same(&made, "hush") && !is_same(&made, ""));
    }
}
