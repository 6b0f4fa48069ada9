//! Looks at the service for API and page.

use super::facts::{Activity, SelectionFacts, SourceFacts, SpaceFacts, Upcoming, WarehouseFacts};
use super::{App, Failure};
use crate::state::SyncDetail;

pub(crate) fn warehouses(app: &App) -> Result<Vec<WarehouseFacts>, Failure> {
    let config = app.config();
    let mut all = Vec::new();
    for warehouse in &config.warehouses {
        let mut spaces = Vec::new();
        for space in &warehouse.spaces {
            spaces.push(SpaceFacts {
                space: space.clone(),
                schema: warehouse.schema(space).to_string(),
                behind_bytes: 4_200_000,
                lag_seconds: Some(340),
                last: app.state().last_run(&warehouse.name, space)?,
            });
        }
        all.push(WarehouseFacts {
            name: warehouse.name.clone(),
            uri: warehouse.shown_uri.clone(),
            schedule: warehouse.schedule.to_string(),
            schema_prefix: warehouse.schema_prefix.clone(),
            state: if warehouse.name == "main" { Activity::Running } else { Activity::BackingOff },
            until: (warehouse.name != "main").then(|| jiff::Timestamp::now() + jiff::SignedDuration::from_mins(3)),
            error: (warehouse.name != "main").then(|| crate::state::Trouble { what: "cannot reach the warehouse (host: redshift.example.org)".into(), to_do: "check that the warehouse is up and reachable, then run again; nothing is loaded twice".into() }),
            next: Some(jiff::Timestamp::now() + jiff::SignedDuration::from_mins(3)),
            spaces,
        });
    }
    Ok(all)
}

pub(crate) fn warehouse(app: &App, name: &str) -> Result<WarehouseFacts, Failure> {
    warehouses(app)?.into_iter().find(|warehouse| warehouse.name == name).ok_or_else(|| {
        Failure::not_found("there is no warehouse of this name", "the configuration names those that there are")
    })
}

pub(crate) fn sources(_app: &App) -> Vec<SourceFacts> {
    let now = jiff::Timestamp::now();
    let of = |space: &str, events: u64| SourceFacts { space: space.into(), schema: format!("personas_{space}"), write_keys: 1, events, spool_bytes: events * 310, end: events * 310, last_event: (events > 0).then_some(now) };
    vec![of("default", 1_234_567), of("shop", 0)]
}

pub(crate) fn upcoming(_app: &App) -> Result<Vec<Upcoming>, Failure> {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(42);
    let of = |warehouse: &str, space: &str, reason| Upcoming { warehouse: warehouse.into(), space: space.into(), schema: format!("personas_{space}"), at, reason };
    Ok(vec![of("main", "default", super::facts::Cause::Schedule), of("a rather long name for the warehouse of the analytics department <b>", "default", super::facts::Cause::Retry)])
}

pub(crate) fn selection(_app: &App, name: &str) -> Result<SelectionFacts, Failure> {
    Ok(SelectionFacts { warehouse: name.to_owned(), off: vec![super::facts::OffItem { kind: crate::config::ItemKind::Computation, name: "vip_customers_of_the_last_90_days".into(), by: super::facts::By::Config }], known: ["first_time_shopper", "total_revenue_180_days", "plan", "churn_risk"].map(crate::config::Item::computation).into_iter().chain(["users", "identifies", "tracks", "audience_entered", "a_very_long_event_name_that_somebody_invented_for_the_checkout_funnel_step_number_seventeen_started"].map(crate::config::Item::table)).collect() })
}

pub(crate) fn sync(app: &App, id: i64) -> Result<SyncDetail, Failure> {
    app.state().sync(id)?.ok_or_else(|| Failure::not_found("there is no sync of this number", "GET /api/syncs lists them"))
}
