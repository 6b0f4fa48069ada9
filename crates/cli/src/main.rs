//! `tablecast`: Personas calls into warehouse tables, from the command line.

mod args;
mod ask;
mod check;
mod emit;
mod failure;
mod inputs;
mod load;
mod output;
mod preview;
mod select;
mod serve;
mod show;
mod stop;
mod syncs;
mod waiting;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut runtime = match cli.command {
        // Many connections, and a thread for each warehouse.
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let outcome = runtime.enable_all().build().map_err(Failure::from_io).and_then(|runtime| {
        let outcome = runtime.block_on(run(cli));
        // A warehouse that does not answer holds up no end; what it was about is taken up the next time.
        runtime.shutdown_background();
        outcome
    });
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
        Command::Serve(args) => serve::serve(&args).await,
        Command::Sync { what } => syncs::sync(&what).await,
        Command::Syncs(args) => syncs::syncs(&args).await,
        Command::Select { what } => select::select(&what).await,
        Command::Backfill(args) => syncs::backfill(&args).await,
        Command::Emit(args) => emit::emit(&args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tablecast", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}
