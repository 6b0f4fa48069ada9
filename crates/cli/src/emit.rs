//! `emit`: changes of audiences and traits, to the service that runs.

use crate::args::service::EmitArgs;
use crate::ask::{self, Remote};
use crate::failure::{Exit, Failure};
use crate::output;
use hyper::Method;
use serde_json::{Value, json};
use std::io::BufRead;
use tablecast_server::service::DataLock;

/// Changes that are posted at once.
const GROUP: usize = 500;

pub(crate) async fn emit(args: &EmitArgs) -> Result<Exit, Failure> {
    let config = ask::config(&args.service)?;
    if !DataLock::is_taken(&config.data) {
        return Err(Failure::new("no service runs that could take changes", "start it: tablecast serve"));
    }
    let remote = Remote::new(&config, &args.service)?;
    let path = match &args.space {
        Some(space) => format!("/v1/computations?space={}", ask::escaped(space)),
        None => "/v1/computations".to_owned(),
    };
    let mut sum = Sum::default();
    if args.key == "-" {
        let mut group: Vec<String> = Vec::new();
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(Failure::from_io)?;
            if !line.trim().is_empty() {
                group.push(line);
            }
            if group.len() == GROUP {
                sum.post(&remote, &path, &std::mem::take(&mut group)).await?;
            }
        }
        if !group.is_empty() {
            sum.post(&remote, &path, &group).await?;
        }
    } else {
        sum.post(&remote, &path, &[change(args)?]).await?;
    }
    if args.json {
        output::print_json(&json!({"changes": sum.changes, "calls": sum.calls, "duplicates": sum.duplicates}))?;
    } else {
        let known = if sum.duplicates > 0 { format!(", {} of them known", sum.duplicates) } else { String::new() };
        let (changes, calls) = (output::count(sum.changes, "change"), output::count(sum.calls, "call"));
        output::print(&format!(
            "{changes}, {calls} sent{known}\nnext: the tables have them after the next sync: tablecast sync now\n"
        ))?;
    }
    Ok(Exit::Done)
}

#[derive(Debug, Default)]
struct Sum {
    changes: u64,
    calls: u64,
    duplicates: u64,
}

impl Sum {
    async fn post(&mut self, remote: &Remote, path: &str, changes: &[String]) -> Result<(), Failure> {
        let body = format!("[{}]", changes.join(","));
        let answer: Value = remote.ask(Method::POST, path, body).await?;
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.changes += changes.len() as u64;
        self.calls += number("calls");
        self.duplicates += number("duplicates");
        Ok(())
    }
}

/// The change of the command line.
fn change(args: &EmitArgs) -> Result<String, Failure> {
    let Some(value) = &args.value else {
        return Err(Failure::usage(
            "the change has no value",
            "write it behind the key: tablecast emit KEY VALUE --user ID",
        ));
    };
    if args.user.is_none() && args.anonymous.is_none() {
        return Err(Failure::usage("the change belongs to nobody", "say whose it is by --user or --anonymous"));
    }
    // Numbers stay as written.
    let value = match serde_json::from_str::<&serde_json::value::RawValue>(value) {
        Ok(_) => value.trim().to_owned(),
        Err(_) => Value::from(value.as_str()).to_string(),
    };
    let mut text = format!("{{\"computation\":{},\"value\":{value}", Value::from(args.key.as_str()));
    for (name, given) in
        [("userId", &args.user), ("anonymousId", &args.anonymous), ("email", &args.email), ("id", &args.id)]
    {
        if let Some(given) = given {
            text.push_str(&format!(",\"{name}\":{}", Value::from(given.as_str())));
        }
    }
    text.push('}');
    Ok(text)
}
