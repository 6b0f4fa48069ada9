//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, whose corpus the ordinary tests replay.

use crate::{Result, has_cargo_command, section};
use xshell::{Shell, cmd};

pub(crate) fn run(sh: &Shell, target: Option<&str>, seconds: &str) -> Result {
    let mut targets: Vec<String> = sh
        .read_dir("fuzz/fuzz_targets")?
        .iter()
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .collect();
    if let Some(wanted) = target {
        if !targets.iter().any(|known| known == wanted) {
            return Err(format!("there is no fuzz target `{wanted}`; there are: {}", targets.join(", ")).into());
        }
        targets = vec![wanted.to_owned()];
    }
    if seconds.parse::<u32>().is_err() {
        return Err("--seconds needs a whole number".into());
    }
    if !has_cargo_command(sh, "fuzz") {
        return Err("cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`".into());
    }
    // Sanitizers are unstable options of an otherwise stable compiler.
    let _unstable = sh.push_env("RUSTC_BOOTSTRAP", "1");
    for target in targets {
        section(&target);
        // What is found goes beside the corpus, so that only what a person chose is in the repository.
        let found = format!("fuzz/artifacts/found/{target}");
        sh.create_dir(&found)?;
        let seeds = format!("fuzz/corpus/{target}");
        cmd!(sh, "cargo fuzz run {target} {found} {seeds} -- -max_total_time={seconds} -max_len=65536").run()?;
    }
    Ok(())
}
