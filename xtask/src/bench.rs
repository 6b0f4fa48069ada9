//! `cargo xtask bench`: the benchmarks, built for any machine of the kind and again for this very one.

use crate::{Result, emulators, section, test};
use xshell::{Shell, cmd};

pub(crate) fn run(sh: &Shell, sections: &[String]) -> Result {
    let emulated = sections.iter().any(|section| section == "warehouses");
    let running = if emulated { emulators::start(sh, &[])? } else { Vec::new() };
    let variables = test::variables(sh, &running);
    section("default target-cpu");
    once(sh, sections)?;
    drop(variables);

    // What memory a load takes does not depend on the instructions, and the time of an emulator or a disk says nothing of them.
    let sections: Vec<String> = match sections {
        [] => ["planner", "load"].map(str::to_owned).to_vec(),
        chosen => chosen
            .iter()
            .filter(|section| !["memory", "service", "warehouses"].contains(&section.as_str()))
            .cloned()
            .collect(),
    };
    if sections.is_empty() {
        return Ok(());
    }
    section("native target-cpu");
    let _flags = sh.push_env("RUSTFLAGS", "-C target-cpu=native");
    let _target = sh.push_env("CARGO_TARGET_DIR", sh.current_dir().join("target/native"));
    once(sh, &sections)
}

/// The command line is built too: the benchmark of its memory runs it.
fn once(sh: &Shell, sections: &[String]) -> Result {
    cmd!(sh, "cargo build --release --package tablecast-cli").run()?;
    cmd!(sh, "cargo run --release --package tablecast-tests --features bench --bin bench -- {sections...}").run()?;
    Ok(())
}
