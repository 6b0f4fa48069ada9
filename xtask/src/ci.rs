//! `cargo xtask ci`: what must hold before a change lands, quick checks first.

use crate::{Result, has_cargo_command, section, test, tidy};
use xshell::{Shell, cmd};

/// Crates that must stay out of the planner, which has no I/O of its own.
const NOT_IN_CORE: [&str; 6] = ["tokio", "reqwest", "hyper", "rustls", "openssl", "native-tls"];

pub(crate) fn run(sh: &Shell, without_tests: bool) -> Result {
    section("format");
    cmd!(sh, "cargo fmt --all --check").run().map_err(|_| "run `cargo fmt --all`")?;

    section("house rules");
    cmd!(sh, "cargo metadata --locked --no-deps --format-version 1")
        .ignore_stdout()
        .run()
        .map_err(|_| "Cargo.lock is behind the manifests: run `cargo check` and commit it")?;
    tidy::run(sh)?;
    planner_is_pure(sh)?;

    section("clippy");
    cmd!(sh, "cargo clippy --workspace --all-targets --all-features -- -D warnings").run()?;

    section("documentation");
    {
        let _deny = sh.push_env("RUSTDOCFLAGS", "-D warnings");
        cmd!(sh, "cargo doc --workspace --all-features --no-deps").run()?;
    }

    section("each feature alone");
    let facade = sh.read_file("crates/tablecast/Cargo.toml")?;
    // The empty one is the facade without any warehouse.
    for feature in std::iter::once("").chain(tidy::features(&facade)) {
        cmd!(sh, "cargo clippy -p tablecast --no-default-features --features {feature} -- -D warnings").run()?;
    }
    cmd!(sh, "cargo clippy -p tablecast-core --no-default-features -- -D warnings").run()?;
    cmd!(sh, "cargo clippy -p tablecast-cli --no-default-features -- -D warnings").run()?;

    section("the fuzz targets");
    cmd!(sh, "cargo fmt --manifest-path fuzz/Cargo.toml --check")
        .run()
        .map_err(|_| "run `cargo fmt --manifest-path fuzz/Cargo.toml`")?;
    cmd!(sh, "cargo check --manifest-path fuzz/Cargo.toml --target-dir target").run()?;

    section("dependencies");
    if has_cargo_command(sh, "deny") {
        cmd!(sh, "cargo deny --all-features check --hide-inclusion-graph bans licenses sources").run()?;
    } else {
        println!(
            "cargo-deny is not installed (`cargo install cargo-deny --locked`); tidy has checked licences and sources"
        );
    }

    if without_tests {
        return Ok(());
    }
    let _soak = sh.push_env("TABLECAST_SOAK_SECS", "60");
    test::run(sh, None)
}

/// Who embeds the planner alone gets no runtime and no network.
fn planner_is_pure(sh: &Shell) -> Result {
    let format = "{p}";
    let tree = cmd!(sh, "cargo tree -p tablecast-core --all-features -e normal,build --prefix none --format {format}")
        .quiet()
        .read()?;
    let found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| NOT_IN_CORE.contains(name) || name.starts_with("rustls-") || name.starts_with("openssl-"))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("tablecast-core depends on {}: move that I/O into a connector or the facade", found.join(", ")).into())
}
