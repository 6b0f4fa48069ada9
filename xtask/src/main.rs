//! The project's own commands: `cargo xtask test`, `emulators`, `ci`, `tidy`, `bless`, `bench`, `fuzz`.
//!
//! Continuous integration runs these same commands, so that what is green here is green there.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks")]

mod bench;
mod browser;
mod ci;
mod emulators;
mod fuzz;
mod node;
mod packages;
mod postgres;
mod readme;
mod sdks;
mod soak;
mod test;
mod tidy;
mod venv;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use xshell::{Shell, cmd};

/// What every command returns; the error says what to do.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Every command with what it does. Tidy holds the documents to this list.
const COMMANDS: [(&str, &str); 8] = [
    ("test [--engine NAME]", "every test, or those of one warehouse"),
    ("emulators up [NAME…]", "start emulators, and print the variables that tests need"),
    ("ci [--without-tests]", "all that continuous integration checks"),
    ("tidy", "the house rules, as code"),
    ("bless", "rewrite the golden plans; read the diff before you keep it"),
    (
        "bench [SECTION…]",
        "the benchmarks, as ratios of one run: planner, load, memory, service, and when asked for warehouses",
    ),
    ("soak [--minutes N]", "load on the service, with a warehouse that fails one call in five (1 minute)"),
    ("fuzz [TARGET] [--seconds N]", "look for new inputs that break a rule (60 seconds each)"),
];

fn main() -> ExitCode {
    forget_own_package();
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again without what cargo says of its package. Build scripts of dependencies look at these variables, so
/// that a build from here and one by hand would each undo the other's.
fn forget_own_package() {
    let own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let names: Vec<String> = names.filter(|name| own(name)).collect();
    let Some(program) = std::env::current_exe().ok().filter(|_| !names.is_empty()) else { return };
    let mut again = Command::new(program);
    again.args(std::env::args_os().skip(1));
    names.iter().for_each(|name| {
        again.env_remove(name);
    });
    // Comes back only if it could not be started; then it goes on as it is.
    let error = again.exec();
    eprintln!("what cargo says of the package stays in the environment: {error}");
}

fn run(args: Vec<String>) -> Result {
    let sh = Shell::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask stands in no workspace")?;
    sh.change_dir(root);
    let mut args = Args(args);
    let command = args.0.first().cloned().unwrap_or_default();
    if !args.0.is_empty() {
        args.0.remove(0);
    }
    match command.as_str() {
        "test" => {
            let engine = args.option("--engine")?;
            args.end()?;
            test::run(&sh, engine.as_deref())
        }
        "emulators" => {
            if args.word().as_deref() != Some("up") {
                return Err("`cargo xtask emulators up [NAME…]` is the one form".into());
            }
            let mut names = Vec::new();
            while let Some(name) = args.word() {
                names.push(name);
            }
            args.end()?;
            emulators::up(&sh, &names)
        }
        "ci" => {
            let without_tests = args.flag("--without-tests");
            args.end()?;
            ci::run(&sh, without_tests)
        }
        "tidy" => {
            args.end()?;
            tidy::run(&sh)
        }
        "bless" => {
            args.end()?;
            test::bless(&sh)
        }
        "bench" => bench::run(&sh, &args.0),
        "soak" => {
            let minutes = args.option("--minutes")?.unwrap_or_else(|| "1".into());
            args.end()?;
            soak::run(&sh, &minutes)
        }
        "fuzz" => {
            let seconds = args.option("--seconds")?.unwrap_or_else(|| "60".into());
            let target = args.word();
            args.end()?;
            fuzz::run(&sh, target.as_deref(), &seconds)
        }
        "" | "help" | "-h" | "--help" => {
            println!("cargo xtask COMMAND\n");
            for (command, does) in COMMANDS {
                println!("  {command:<28} {does}");
            }
            Ok(())
        }
        other => {
            let known: Vec<&str> = commands().collect();
            Err(format!("there is no command `{other}`; there are: {}", known.join(", ")).into())
        }
    }
}

/// The bare names of the commands.
fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().filter_map(|(command, _)| command.split(' ').next())
}

/// Words of the command line that nobody has taken yet.
struct Args(Vec<String>);

impl Args {
    fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() < before
    }

    fn option(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|arg| arg == name) else { return Ok(None) };
        self.0.remove(at);
        if at == self.0.len() {
            return Err(format!("{name} needs a value").into());
        }
        Ok(Some(self.0.remove(at)))
    }

    fn word(&mut self) -> Option<String> {
        let at = self.0.iter().position(|arg| !arg.starts_with('-'))?;
        Some(self.0.remove(at))
    }

    fn end(self) -> Result {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => Err(format!("`{arg}` is not understood; `cargo xtask help` lists the commands").into()),
        }
    }
}

/// Where cargo builds to.
fn target_dir(sh: &Shell) -> PathBuf {
    let root = sh.current_dir();
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Says which part of a long run begins.
fn section(title: &str) {
    eprintln!("\n== {title}");
}

/// Whether `cargo <name>` is installed.
fn has_cargo_command(sh: &Shell, name: &str) -> bool {
    cmd!(sh, "cargo {name} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}
