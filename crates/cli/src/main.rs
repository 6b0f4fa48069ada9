//! `tablecast`: Personas calls into warehouse tables, from the command line.

mod args;
mod check;
mod failure;
mod inputs;
mod load;
mod output;
mod preview;
mod show;
mod stop;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::from_io)
        .and_then(|runtime| runtime.block_on(run(cli)));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.tell();
            failure.exit().into()
        }
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Load(args) => load::load(&args).await,
        Command::Plan(args) => load::plan(&args).await,
        Command::Check(args) => check::check(&args).await,
        Command::Show(args) => show::show(&args).await,
        Command::Discards(args) => show::discards(&args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tablecast", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}
