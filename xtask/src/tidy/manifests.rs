//! Rules for manifests: who may depend on whom, what every crate inherits, where dependencies come from.

use super::{File, Finding};

/// The arrows: what a crate may depend on within the workspace, its tests aside. There are no others.
fn may_depend(path: &str) -> Option<&'static [&'static str]> {
    const ALL: &[&str] = &["tablecast*"];
    Some(match path {
        "crates/core/Cargo.toml" | "xtask/Cargo.toml" => &[],
        "crates/testkit/Cargo.toml" => &["tablecast-core"],
        "crates/tablecast/Cargo.toml" => &["tablecast-core", "connectors"],
        "crates/server/Cargo.toml" => &["tablecast"],
        "crates/cli/Cargo.toml" => &["tablecast", "tablecast-server"],
        "tests/stranger/Cargo.toml" => &["tablecast-core", "tablecast-testkit"],
        path if path.starts_with("connectors/") => &["tablecast-core"],
        path if path.starts_with("tests/") || path.starts_with("fuzz/") => ALL,
        _ => return None,
    })
}

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    let connectors: Vec<String> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("connectors/")?.split('/').next())
        .map(|name| format!("tablecast-{name}"))
        .collect();
    for file in files {
        match file.name() {
            "Cargo.lock" => lock(file, findings),
            "Cargo.toml" if file.path == "Cargo.toml" => root(file, findings),
            "Cargo.toml" => {
                arrows(file, &connectors, findings);
                inherits(file, files, findings);
            }
            _ => {}
        }
    }
}

/// The sections of a manifest, each with its lines and their numbers.
fn sections(text: &str) -> Vec<(&str, Vec<(usize, &str)>)> {
    let mut sections = vec![("", Vec::new())];
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name, Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut()
            && !line.is_empty()
            && !line.starts_with('#')
        {
            lines.push((number + 1, line));
        }
    }
    sections
}

/// The features that a manifest names.
pub(crate) fn features(text: &str) -> Vec<&str> {
    sections(text)
        .into_iter()
        .filter(|(name, _)| *name == "features")
        .flat_map(|(_, lines)| lines)
        .map(|(_, line)| key(line))
        .collect()
}

fn key(line: &str) -> &str {
    line.split([' ', '.', '=']).next().unwrap_or_default().trim_matches('"')
}

fn arrows(file: &File, connectors: &[String], findings: &mut Vec<Finding>) {
    let Some(allowed) = may_depend(&file.path) else {
        findings.push(Finding::new(
            &file.path,
            1,
            "a new crate: say in xtask/src/tidy/manifests.rs what it may depend on",
        ));
        return;
    };
    let own_name =
        file.text.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default().trim_matches('"');
    for (section, lines) in sections(&file.text) {
        let tests = section.ends_with("dev-dependencies");
        if !section.ends_with("dependencies") {
            continue;
        }
        for (number, line) in lines {
            let name = key(line);
            // A crate's own tests may depend on the crate itself, with more features.
            if !name.starts_with("tablecast") || (tests && name == own_name) {
                continue;
            }
            let is_connector = connectors.iter().any(|connector| connector == name);
            let fine = allowed
                .iter()
                .any(|may| *may == name || *may == "tablecast*" || (*may == "connectors" && is_connector))
                || (tests && (name == "tablecast-testkit" || name == "tablecast-core"));
            if !fine {
                let message = format!(
                    "{name} is no arrow of this crate (docs/architecture.md, \"Rooms\"): turn the dependency round or remove it"
                );
                findings.push(Finding::new(&file.path, number, message));
            }
            if line.contains("path =") && !file.path.starts_with("fuzz/") {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("write `{name}.workspace = true`, so that its version is said once"),
                ));
            }
        }
    }
}

fn inherits(file: &File, files: &[File], findings: &mut Vec<Finding>) {
    let sections = sections(&file.text);
    let has = |section: &str, wanted: &str| {
        sections.iter().any(|(name, lines)| {
            *name == section && lines.iter().any(|(_, line)| line.replace(' ', "").starts_with(wanted))
        })
    };
    if !file.path.starts_with("fuzz/") && !has("lints", "workspace=true") {
        findings.push(Finding::new(&file.path, 1, "inherit the lints: `[lints]` with `workspace = true`"));
    }
    if has("package", "publish=false") {
        return;
    }
    for wanted in ["description=", "license.workspace=true", "readme="] {
        if !has("package", wanted) {
            let message = format!("a published crate needs `{}` (or `publish = false`)", wanted.trim_end_matches('='));
            findings.push(Finding::new(&file.path, 1, message));
        }
    }
    let readme = file.path.replace("Cargo.toml", "README.md");
    if !files.iter().any(|other| other.path == readme) {
        findings.push(Finding::new(&file.path, 1, format!("write {readme}: it is the crate's first page")));
    }
}

fn root(file: &File, findings: &mut Vec<Finding>) {
    for (section, lines) in sections(&file.text) {
        if section != "workspace.dependencies" {
            continue;
        }
        for (number, line) in lines {
            if line.contains("path =") && !line.contains("version =") {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "give the path dependency a version too, or it cannot be published",
                ));
            }
            if line.contains("git =") {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    "take the dependency from crates.io: a git one cannot be published",
                ));
            }
        }
    }
}

fn lock(file: &File, findings: &mut Vec<Finding>) {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    for (number, line) in file.text.lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = ")
            && source.trim_matches('"') != CRATES_IO
        {
            findings.push(Finding::new(&file.path, number + 1, "lock dependencies against crates.io only"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\npublish = false\n\n[dependencies]\ntablecast-core.workspace = true\n\n[lints]\nworkspace = true\n";

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(found("connectors/x/Cargo.toml", GOOD), [""; 0]);
        let wrong = GOOD.replace("tablecast-core", "tablecast");
        assert_eq!(found("connectors/x/Cargo.toml", &wrong).len(), 1);
        let tests = wrong.replace("[dependencies]", "[dev-dependencies]").replace("tablecast.", "tablecast-testkit.");
        assert_eq!(found("connectors/x/Cargo.toml", &tests), [""; 0]);
        assert_eq!(
            found("connectors/x/Cargo.toml", &tests.replace("-testkit", "-x").replace("\"x\"", "\"tablecast-x\"")),
            [""; 0]
        );
        assert_eq!(found("crates/core/Cargo.toml", GOOD).len(), 1);
        assert_eq!(found("crates/new/Cargo.toml", GOOD).len(), 1);
    }

    #[test]
    fn crates_inherit_and_describe_themselves() {
        assert_eq!(found("connectors/x/Cargo.toml", &GOOD.replace("[lints]\nworkspace = true\n", "")).len(), 1);
        assert_eq!(found("connectors/x/Cargo.toml", &GOOD.replace("publish = false\n", "")).len(), 4);
        let by_path =
            GOOD.replace("tablecast-core.workspace = true", "tablecast-core = { path = \"../../crates/core\" }");
        assert_eq!(found("connectors/x/Cargo.toml", &by_path).len(), 1);
    }

    #[test]
    fn features_are_read() {
        assert_eq!(features("[features]\n# why\na = []\nb = [\"a\"]\n\n[dependencies]\nc = \"1\"\n"), ["a", "b"]);
    }

    #[test]
    fn dependencies_have_versions_and_come_from_crates_io() {
        let root = "[workspace.dependencies]\na = { path = \"a\", version = \"1\" }\n";
        assert_eq!(found("Cargo.toml", root), [""; 0]);
        assert_eq!(found("Cargo.toml", &root.replace(", version = \"1\"", "")).len(), 1);
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(found("Cargo.lock", lock), [""; 0]);
        assert_eq!(found("Cargo.lock", "source = \"git+https://example.org/x\"\n").len(), 1);
    }
}
