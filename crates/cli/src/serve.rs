//! `serve`: the service, with a log and a few lines on how to begin.

use crate::args::service::ServeArgs;
use crate::ask;
use crate::failure::{Exit, Failure};
use std::fmt::Write;
use std::io::IsTerminal;
use tablecast_server::service::{self, reach};
use tablecast_server::sync::Settings;
use tablecast_server::{Config, Service};
use tracing::Level;

pub(crate) async fn serve(args: &ServeArgs) -> Result<Exit, Failure> {
    let config = ask::config(&args.service)?;
    log(&args.log, &args.level);
    let path = args.service.config.clone();
    let place = path.display().to_string();
    let service = Service::start(config, Some(path), Settings::default())
        .await
        .map_err(|problems| ask::wrong(problems, &place))?;
    say(&welcome(&service));
    service.run().await.map_err(Failure::from_io)?;
    Ok(Exit::Done)
}

/// The log, on standard error.
fn log(form: &str, level: &str) {
    let level: Level = level.parse().unwrap_or(Level::INFO);
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    if form == "json" {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

#[expect(clippy::print_stderr, reason = "how to begin, beside the log")]
fn say(text: &str) {
    eprint!("{text}");
}

/// Where everything is, and what to do first.
fn welcome(service: &Service) -> String {
    let config = service.config();
    let mut at = service.address();
    at.set_ip(if at.ip().is_unspecified() { reach(config).ip() } else { at.ip() });
    let mut text = format!("Tablecast takes calls at http://{at}/v1 and shows syncs at http://{at}/\n");
    for source in &config.sources {
        let keys = source.write_keys.len();
        let keys = if keys == 1 { "1 write key".to_owned() } else { format!("{keys} write keys") };
        let _ = writeln!(text, "  space {}: {keys}", source.space);
    }
    for warehouse in &config.warehouses {
        let _ = writeln!(text, "  warehouse {}: {}, {}", warehouse.name, warehouse.shown_uri, warehouse.schedule);
    }
    if config.warehouses.is_empty() {
        text.push_str("  no warehouse: calls wait in the spool until a [[warehouse]] is configured\n");
    }
    let _ = writeln!(text, "  {}", token_hint(config));
    text.push_str("  end it with Ctrl-C\n");
    text
}

/// How to open the page.
fn token_hint(config: &Config) -> String {
    match service::made_token(config) {
        Some(path) => format!("the page's token is in {}", path.display()),
        None => "the page's token is the configuration's".to_owned(),
    }
}
