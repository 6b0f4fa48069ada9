//! What all sessions share: databases, users, buckets, roles.

use crate::backend::Backend;
use crate::fault::Faults;
use crate::gate::{Names, text};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use tokio::sync::Mutex;

/// New clusters and workgroups have SNAPSHOT isolation ("Isolation levels in Amazon Redshift").
pub(crate) const SNAPSHOT: &str = "dev";
/// Databases of older clusters have SERIALIZABLE isolation.
pub(crate) const SERIALIZABLE: &str = "serializable";

/// May create schemas in both databases.
pub(crate) const OWNER: User = User { name: "tablecast", password: "Tablecast-1" };
/// May connect, and create nothing.
pub(crate) const READER: User = User { name: "reader", password: "Reader-1" };

/// Where the bucket is that loads are staged in.
pub(crate) const REGION: &str = "us-east-1";
/// The bucket that loads are staged in.
pub(crate) const BUCKET: &str = "tablecast-stage";
/// A bucket in another region, which COPY reaches with `REGION 'eu-west-1'` only.
pub(crate) const FAR_BUCKET: &str = "tablecast-far";
pub(crate) const FAR_REGION: &str = "eu-west-1";
/// A bucket that may be written to, but that no role of the cluster may read.
pub(crate) const CLOSED_BUCKET: &str = "tablecast-closed";
/// The role that is attached and is the default.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/tablecast";

/// The serverless workgroup and the provisioned cluster, which are the same here.
pub(crate) const WORKGROUP: &str = "workgroup";
pub(crate) const CLUSTER: &str = "cluster";

/// The keys of the one who stages and calls the Data API.
pub(crate) const ACCESS_KEY: &str = "AKIAIOSFODNN7TABLECAST";
pub(crate) const SECRET_KEY: &str = "tablecast/emulator/secret/key";

/// Someone who may log in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) password: &'static str,
}

/// All who may log in.
pub(crate) const USERS: [User; 2] = [OWNER, READER];

/// A database, and a connection as its superuser.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) names: Names,
    admin: Mutex<Backend>,
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct World {
    /// Where PostgreSQL listens.
    pub(crate) socket: PathBuf,
    /// The folder whose folders are the buckets.
    pub(crate) buckets: PathBuf,
    pub(crate) faults: Faults,
    databases: BTreeMap<&'static str, Database>,
}

const BOOTSTRAP: &str = include_str!("sql/bootstrap.sql");

impl World {
    /// Makes users and databases.
    pub(crate) async fn create(socket: PathBuf, buckets: PathBuf) -> io::Result<Self> {
        let (mut admin, _) = Backend::connect(&socket, "postgres", "postgres", None).await?;
        for user in USERS {
            admin.must(&format!("CREATE ROLE {} LOGIN", user.name)).await?;
        }
        let mut databases = BTreeMap::new();
        for (name, isolation) in [(SNAPSHOT, "repeatable read"), (SERIALIZABLE, "serializable")] {
            admin.must(&format!("CREATE DATABASE {name} OWNER {}", OWNER.name)).await?;
            for (setting, value) in [
                ("default_transaction_isolation", isolation),
                ("timezone", "UTC"),
                // "extra_float_digits" is 0 on Redshift: floats are answered in 15 digits.
                ("extra_float_digits", "0"),
                ("search_path", "\"$user\", public"),
            ] {
                let value = if setting == "search_path" { value.to_owned() } else { text(value) };
                admin.must(&format!("ALTER DATABASE {name} SET {setting} TO {value}")).await?;
            }
            let (mut inside, _) = Backend::connect(&socket, "postgres", name, None).await?;
            inside.must(BOOTSTRAP).await?;
            databases.insert(name, Database { names: Names::default(), admin: Mutex::new(inside) });
        }
        Ok(Self { socket, buckets, faults: Faults::default(), databases })
    }

    pub(crate) fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(name)
    }
}

impl Database {
    /// Runs SQL as the superuser, outside any session, so that it stays when the session rolls back.
    pub(crate) async fn must(&self, sql: &str) -> io::Result<Vec<Vec<Option<String>>>> {
        self.admin.lock().await.must(sql).await
    }

    /// Tells the database the long names that were seen for the first time.
    pub(crate) async fn learn_names(&self) -> io::Result<()> {
        for (short, long) in self.names.take_fresh() {
            let sql =
                format!("INSERT INTO rs_emu.names VALUES ({}, {}) ON CONFLICT DO NOTHING", text(&short), text(&long));
            self.must(&sql).await?;
        }
        Ok(())
    }
}
