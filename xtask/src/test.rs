//! `cargo xtask test`: every test there is, each once; and `bless`, which rewrites the golden plans.

use crate::emulators::{self, Running};
use crate::{Result, browser, has_cargo_command, readme, sdks, section};
use xshell::{PushEnv, Shell, cmd};

/// Runs everything, or what concerns one warehouse.
///
/// The workspace comes last, so that the output ends with the test runner's own closing lines.
pub(crate) fn run(sh: &Shell, engine: Option<&str>) -> Result {
    match engine {
        Some(engine) => one_engine(sh, engine),
        None => everything(sh),
    }
}

fn everything(sh: &Shell) -> Result {
    // Features unify in a workspace build; what a newcomer builds first has only the default ones.
    section("the command line, built alone");
    runner(sh, &["--package", "tablecast-cli"])?;
    section("the commands of the README");
    readme::run(sh)?;
    section("the example that embeds");
    let dir = sh.create_temp_dir()?;
    let manifest = sh.current_dir().join("Cargo.toml");
    {
        let _dir = sh.push_dir(dir.path());
        cmd!(sh, "cargo run --quiet --manifest-path {manifest} --package tablecast --features sqlite --example embed")
            .run()?;
    }
    section("the examples in the documentation");
    cmd!(sh, "cargo test --doc --workspace --all-features").run()?;
    let running = emulators::start(sh, &[])?;
    let _variables = variables(sh, &running);
    let _browser = browser::variables(sh)?;
    let _sdks = sdks::variables(sh)?;
    section("the workspace");
    runner(sh, &["--workspace", "--exclude", "tablecast-cli", "--all-features"])
}

fn one_engine(sh: &Shell, engine: &str) -> Result {
    let mut engines = vec!["memory".to_owned(), "service".to_owned()];
    for entry in sh.read_dir("connectors")? {
        engines.extend(entry.file_name().and_then(|name| name.to_str()).map(str::to_owned));
    }
    if !engines.iter().any(|known| known == engine) {
        return Err(format!("there is no warehouse `{engine}`; there are: {}", engines.join(", ")).into());
    }
    if engine == "service" {
        let _sdks = sdks::variables(sh)?;
        let _browser = browser::variables(sh)?;
        section("the service's own tests");
        runner(sh, &["--package", "tablecast-server"])?;
        section("the service as Segment's SDKs, browsers and crashes see it");
        return runner(sh, &["--package", "tablecast-service-tests"]);
    }
    if engine == "memory" {
        return runner(sh, &["--package", "tablecast-core", "--package", "tablecast-testkit", "--all-features"]);
    }
    if !sh.path_exists(format!("tests/tests/{engine}.rs")) {
        return Err(format!("write tests/tests/{engine}.rs: it runs the behaviour suite on {engine}").into());
    }
    let running = if emulators::is_known(engine) { emulators::start(sh, &[engine.to_owned()])? } else { Vec::new() };
    let _variables = variables(sh, &running);
    if sh.path_exists(format!("tests/emulators/{engine}/Cargo.toml")) {
        section("the emulator's own tests");
        runner(sh, &["--package", &format!("tablecast-{engine}-emulator")])?;
    }
    section("the connector's own tests");
    runner(sh, &["--package", &format!("tablecast-{engine}"), "--all-features"])?;
    section("the behaviour suite and the laws");
    runner(sh, &["--package", "tablecast-tests", "--test", engine])
}

/// Gives the emulators' variables to the commands that follow.
pub(crate) fn variables<'a>(sh: &'a Shell, running: &[Running]) -> Vec<PushEnv<'a>> {
    running.iter().flat_map(|emulator| &emulator.variables).map(|(name, value)| sh.push_env(name, value)).collect()
}

/// Runs tests by nextest where it is installed, else by cargo.
fn runner(sh: &Shell, args: &[&str]) -> Result {
    let run = if has_cargo_command(sh, "nextest") {
        // One more than there are processors: tests of emulated warehouses wait for half of their time.
        let threads = std::thread::available_parallelism().map_or(2, |processors| processors.get() + 1).to_string();
        cmd!(sh, "cargo nextest run --no-fail-fast --test-threads {threads} {args...}")
    } else {
        // Without the examples of the documentation, which have a run of their own.
        let all = (!args.contains(&"--test")).then_some("--tests");
        cmd!(sh, "cargo test --no-fail-fast {all...} {args...}")
    };
    run.run().map_err(|_| "tests failed; they are named above".into())
}

/// Rewrites the golden plans.
pub(crate) fn bless(sh: &Shell) -> Result {
    let _bless = sh.push_env("TABLECAST_BLESS", "1");
    cmd!(sh, "cargo test --package tablecast-tests --all-features --test golden").run()?;
    cmd!(sh, "git status --short tests/golden").run()?;
    Ok(())
}
