//! Looking at everything that a load needs: login, virtual warehouse, rights, stage. It leaves nothing behind but a stage.

use crate::client::{Session, nonce};
use crate::error::Fault;
use crate::{Snowflake, schema, sql};
use tablecast_core::{Error, ErrorKind, Finding, Ident, Result};

/// What a load would trip over, and what is as it should be.
pub(crate) async fn check(opened: Result<Snowflake>) -> Vec<Finding> {
    let snowflake = match opened {
        Ok(snowflake) => snowflake,
        Err(error) => return vec![Finding::bad("configuration", &error)],
    };
    let mut findings = vec![Finding::good("configuration", snowflake.client.describe())];
    match snowflake.session().await {
        Ok(mut session) => {
            look(&snowflake, &mut session, &mut findings).await;
            session.close().await;
        }
        Err(error) => findings.push(Finding::bad("connect", &error)),
    }
    if findings.iter().any(|finding| !finding.ok) {
        findings.push(Finding {
            what: "set-up".into(),
            ok: false,
            detail: "something of it is missing; what is there already may be left out".into(),
            remedy: Some(format!(
                "as ACCOUNTADMIN (or SECURITYADMIN and SYSADMIN) run:\n{}",
                snowflake.client.set_up()
            )),
        });
    }
    findings
}

async fn look(snowflake: &Snowflake, session: &mut Session, findings: &mut Vec<Finding>) {
    let mut note = |what: &str, looked: Result<String>| {
        let good = looked.is_ok();
        findings.push(match looked {
            Ok(detail) => Finding::good(what, detail),
            Err(error) => Finding::bad(what, &error),
        });
        good
    };
    note("connect", who(session).await);
    note("warehouse", warehouse(snowflake, session).await);
    let there = session.query(&snowflake.writer().schema_there(), &[]).await.map(|rows| !rows.is_empty());
    let rights = match there {
        Ok(true) => rights(snowflake, session).await,
        Ok(false) => makes_schemas(snowflake, session).await,
        Err(fault) => Err(fault.into()),
    };
    if note("schema", rights) {
        note("tables", tables(snowflake, session).await);
    }
}

/// The role, as a grant names it.
fn role(snowflake: &Snowflake) -> &str {
    snowflake.options().role.as_deref().unwrap_or("the user's role")
}

/// The first row of a statement, as text.
async fn first(session: &mut Session, statement: &str) -> Result<Vec<String>, Fault> {
    let rows = session.query(statement, &[]).await?;
    Ok(rows.into_iter().next().unwrap_or_default().into_iter().flatten().collect())
}

async fn who(session: &mut Session) -> Result<String> {
    Ok(format!("as {}", first(session, sql::WHO).await?.join(" with the role ")))
}

async fn warehouse(snowflake: &Snowflake, session: &mut Session) -> Result<String> {
    match first(session, sql::WHICH_WAREHOUSE).await?.into_iter().next() {
        Some(name) if !name.is_empty() => Ok(format!("{name} runs the statements")),
        _ => Err(match &snowflake.options().warehouse {
            Some(name) => {
                Error::new(ErrorKind::Permission, "the virtual warehouse is not there, or the role may not use it")
                    .with("warehouse", name)
                    .fix(format!("GRANT USAGE ON WAREHOUSE {name} TO ROLE {}", role(snowflake)))
            }
            None => Error::new(ErrorKind::Config, "no virtual warehouse runs the statements")
                .fix("name one in the URI, as warehouse=NAME, or give the user a default one"),
        }),
    }
}

/// Whether rows can be staged and copied in the schema that is there.
async fn rights(snowflake: &Snowflake, session: &mut Session) -> Result<String> {
    match snowflake.try_stage(session).await {
        Ok(()) => Ok("is there; rows can be staged and tables made in it".into()),
        Err(error) if error.kind() == ErrorKind::Permission => {
            let grant = snowflake.writer().grant_schema(snowflake.client.database(), role(snowflake));
            Err(error.with("schema", &snowflake.schema).fix(grant))
        }
        Err(error) => Err(error),
    }
}

/// Whether the schema can be made, tried with one that is dropped again: whoever makes a schema may do all in it.
async fn makes_schemas(snowflake: &Snowflake, session: &mut Session) -> Result<String> {
    let scratch: Ident = format!("_tablecast_check_{}", nonce()).as_str().into();
    let tried = snowflake.with_schema(scratch);
    let made = session.exec(&tried.writer().create_schema()).await.map_err(Error::from);
    if let Err(error) = made {
        if error.kind() != ErrorKind::Permission {
            return Err(error);
        }
        let database = snowflake.writer().sql.quote(snowflake.client.database());
        return Err(Error::new(ErrorKind::Permission, "the schema is not there, and the role may not make it")
            .with("schema", &snowflake.schema)
            .fix(format!("GRANT USAGE, CREATE SCHEMA ON DATABASE {database} TO ROLE {}", role(snowflake)))
            .because(error));
    }
    let staged = tried.try_stage(session).await;
    let _ = session.exec(&tried.writer().drop_schema()).await;
    staged.map(|()| "will be made by the first load; rows can be staged".into())
}

async fn tables(snowflake: &Snowflake, session: &mut Session) -> Result<String> {
    let writer = snowflake.writer();
    let rows = session.query(&writer.tables(), &[]).await?;
    let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    let names: Vec<Ident> = names
        .filter_map(|name| writer.unfolded(&name))
        .filter(|name| !name.as_str().starts_with(sql::STAGE_PREFIX))
        .collect();
    let catalog = schema::describe(snowflake, session, &names).await?;
    Ok(format!("{} tables, schema version {}", catalog.tables.len(), catalog.version))
}
