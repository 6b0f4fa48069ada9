//! Looking at everything that a load needs: connection, rights, stage and role. It leaves nothing behind.

use crate::client::{Session, nonce};
use crate::{Redshift, schema, sql};
use tablecast_core::{Error, ErrorKind, Finding, Ident, Result, Uri};

/// What a load would trip over, and what is as it should be.
pub(crate) async fn check(uri: &Uri, schema: &Ident) -> Vec<Finding> {
    let redshift = match Redshift::open(uri, schema).await {
        Ok(redshift) => redshift,
        Err(error) => return vec![Finding::bad("configuration", &error)],
    };
    let mut findings = Vec::new();
    let mut look = |what: &str, looked: Result<String>| {
        findings.push(match looked {
            Ok(detail) => Finding::good(what, detail),
            Err(error) => Finding::bad(what, &error),
        });
    };
    look("configuration", Ok(format!("{uri} by way of {}", redshift.store.place())));

    // The stage can be looked at without the database, and the other way round.
    let tried = redshift.store.try_write(schema.as_str()).await;
    let mut session = match connect(&redshift).await {
        Ok((session, detail)) => {
            look("connect", Ok(detail));
            Some(session)
        }
        Err(error) => {
            look("connect", Err(error));
            None
        }
    };
    if let Some(session) = &mut session {
        look("schema", rights(session, schema).await);
    }
    match tried {
        Err(error) => look("stage", Err(error)),
        Ok(tried) => {
            // An error leaves the connection inside a transaction, so this has one of its own.
            let read = match &session {
                Some(_) => Some(read(&redshift, &redshift.store.try_read(&tried)).await),
                None => None,
            };
            look(
                "stage",
                redshift.store.try_delete(tried).await.map(|()| "can be written and deleted from".to_owned()),
            );
            if let Some(read) = read {
                look("role", read.map(|()| "Redshift can read the stage".to_owned()));
            }
        }
    }
    if let Some(session) = &mut session {
        look("tables", tables(session, schema).await);
        match schema::nearly_full(session, schema).await {
            Ok(tables) if tables.is_empty() => {}
            Ok(tables) => findings.push(Finding {
                what: "columns".into(),
                ok: true,
                detail: tables.into_iter().collect::<Vec<_>>().join(", "),
                remedy: Some("switch columns off before the limit is reached: values beyond it go to _discards".into()),
            }),
            Err(error) => findings.push(Finding::bad("columns", &error)),
        }
    }
    findings
}

async fn connect(redshift: &Redshift) -> Result<(Session, String)> {
    let mut session = redshift.client.session().await?;
    let rows = session.query(sql::WHO).await?;
    let who: Vec<String> = rows.into_iter().flatten().flatten().collect();
    Ok((session, format!("as {}", who.join(" in database "))))
}

async fn read(redshift: &Redshift, statements: &[String]) -> Result<()> {
    redshift.client.session().await?.transaction(&nonce(), statements).await
}

/// Whether tables can be made, in a schema that is there or in one that can be made.
async fn rights(session: &mut Session, schema: &Ident) -> Result<String> {
    let there = !session.query(&sql::schema_there(schema)).await?.is_empty();
    let asked = if there { sql::may_create_table(schema) } else { sql::MAY_CREATE_SCHEMA.to_owned() };
    let rows = session.query(&asked).await?;
    let may = rows.into_iter().flatten().flatten().next().is_some_and(|answer| answer == "true");
    match (may, there) {
        (true, true) => Ok("is there, and tables can be made in it".into()),
        (true, false) => Ok("will be made by the first load".into()),
        (false, true) => Err(Error::new(ErrorKind::Permission, "the user may not make tables in the schema")
            .with("schema", schema)
            .fix(format!("as its owner run: {}", sql::grant_schema(schema)))),
        (false, false) => Err(Error::new(ErrorKind::Permission, "the schema is not there, and the user may not make it")
            .with("schema", schema)
            .fix("as an administrator run: GRANT CREATE ON DATABASE … TO the user, or make the schema and give it to the user")),
    }
}

async fn tables(session: &mut Session, schema: &Ident) -> Result<String> {
    let rows = session.query(&sql::tables(schema)).await?;
    let names: Vec<Ident> =
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).map(Ident::new).collect();
    let names: Vec<Ident> = names.into_iter().filter(|name| !name.as_str().starts_with(sql::STAGE_PREFIX)).collect();
    let catalog = schema::describe(session, schema, &names).await?;
    Ok(format!("{} tables, schema version {}", catalog.tables.len(), catalog.version))
}
