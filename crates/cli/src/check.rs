//! `check`: whether a load can work, and what to do if not.

use crate::args::CheckArgs;
use crate::failure::{Exit, Failure};
use crate::output;
use serde_json::json;

pub(crate) async fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let rules = args.target.rules()?;
    let findings = tablecast::check(&args.target.to, &rules).await?;
    let ok = findings.iter().all(|finding| finding.ok);
    if args.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| json!({"what": f.what, "ok": f.ok, "detail": f.detail, "to_do": f.remedy}))
            .collect();
        output::print_json(&json!({"ok": ok, "schema": rules.schema().as_str(), "findings": list}))?;
    } else {
        let mut text = String::new();
        for finding in &findings {
            text.push_str(&format!("{} {}: {}\n", if finding.ok { "✓" } else { "✗" }, finding.what, finding.detail));
            if let Some(remedy) = finding.remedy.as_ref().filter(|_| !finding.ok) {
                text.push_str(&format!("  to do: {remedy}\n"));
            }
        }
        text.push_str(if ok { "a load can work with it\n" } else { "a load would fail\n" });
        output::print(&text)?;
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}
