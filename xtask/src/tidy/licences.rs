//! Every dependency's licence is one that `deny.toml` allows. `cargo deny` looks closer where it is installed.

use super::{File, Finding};
use crate::Result;
use xshell::{Shell, cmd};

pub(super) fn check(sh: &Shell, files: &[File]) -> Result<Vec<Finding>> {
    let deny = files
        .iter()
        .find(|file| file.path == "deny.toml")
        .ok_or("deny.toml is missing: it lists the licences that are allowed")?;
    let allowed = allowed(&deny.text);
    let format = "{p}\t{l}";
    let tree =
        cmd!(sh, "cargo tree --workspace --all-features --target all --edges all --prefix none --format {format}")
            .quiet()
            .read()?;
    let mut packages: Vec<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(package, licence)| (package, licence.trim_end_matches(" (*)").trim()))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    Ok(packages
        .iter()
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
        .map(|(package, licence)| {
            let message = format!("{package} is under `{licence}`: drop it, or allow the licence here with the reason");
            Finding::new("deny.toml", 1, message)
        })
        .collect())
}

/// The strings of `allow = […]`.
fn allowed(deny: &str) -> Vec<&str> {
    deny.lines()
        .skip_while(|line| !line.starts_with("allow = ["))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect()
}

/// Whether an SPDX expression can be met with allowed licences. `/` is an old way to write `OR`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &tokens[..];
    let met = any_of(&mut rest, allowed);
    met && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = all_of(rest, allowed);
    while take(rest, "OR") {
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = one(rest, allowed);
    while take(rest, "AND") {
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    if take(rest, "(") {
        return any_of(rest, allowed) & take(rest, ")");
    }
    let Some((licence, tail)) = rest.split_first() else { return false };
    *rest = tail;
    let mut name = (*licence).to_owned();
    if take(rest, "WITH")
        && let Some((exception, tail)) = rest.split_first()
    {
        *rest = tail;
        name = format!("{name} WITH {exception}");
    }
    allowed.contains(&name.as_str())
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, tail)) if *first == word => {
            *rest = tail;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = allowed(
            "[licenses]\nallow = [\n    # for x\n    \"MIT\", # why\n    \"Unicode-3.0\",\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n",
        );
        assert_eq!(allowed, ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]);
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0", "Apache-2.0", "MIT MIT"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
