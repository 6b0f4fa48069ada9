//! Redshift's URIs: where the warehouse and its stage are, and the options of both, checked without a connection.

use serde::Deserialize;
use std::path::PathBuf;
use tablecast_core::{Error, ErrorKind, Ident, Result, Secret, Uri};

/// The schemes, in the order of [`Address`].
pub(crate) const SCHEMES: [&str; 2] = ["redshift", "redshift-data"];

/// The options of both schemes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The password of the database user, for the wire.
    pub password: Option<Secret>,
    /// A PEM file of the only authorities to trust, for the wire; without it those that browsers trust.
    pub ca: Option<PathBuf>,
    /// Queues the work under this query group, for the wire.
    pub query_group: Option<String>,

    /// The region of the Data API; without it `AWS_REGION`.
    pub region: Option<String>,
    /// Where the Data API is, if it is not AWS's own.
    pub endpoint: Option<String>,
    /// The secret of Secrets Manager that the Data API logs in with.
    pub secret_arn: Option<String>,
    /// The database user that the Data API gets temporary credentials for.
    pub db_user: Option<String>,
    /// An AWS access key for the Data API; without it AWS's own chain.
    pub access_key: Option<Secret>,
    /// The secret to that key.
    pub secret_key: Option<Secret>,

    /// `s3://bucket/prefix` for staged files. Required.
    pub stage: Option<String>,
    /// The bucket's region, if it is not the warehouse's.
    pub stage_region: Option<String>,
    /// Where S3 is, if it is not AWS's own.
    pub stage_endpoint: Option<String>,
    /// An AWS access key for the stage; without it the environment's, a web identity or the machine's role.
    pub stage_key: Option<Secret>,
    /// The secret to that key.
    pub stage_secret: Option<Secret>,
    /// The session token to that key, if it is a temporary one.
    pub stage_token: Option<Secret>,
    /// The role with which Redshift reads the stage: `default` or an ARN.
    pub iam_role: String,

    /// How new tables are laid out.
    pub keys: Keys,
    /// How long a statement may take, in seconds, waiting for other writers included.
    pub statement_timeout_s: u32,
    /// How long to wait for a connection, in seconds.
    pub connect_timeout_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            password: None,
            ca: None,
            query_group: None,
            region: None,
            endpoint: None,
            secret_arn: None,
            db_user: None,
            access_key: None,
            secret_key: None,
            stage: None,
            stage_region: None,
            stage_endpoint: None,
            stage_key: None,
            stage_secret: None,
            stage_token: None,
            iam_role: "default".into(),
            keys: Keys::Auto,
            statement_timeout_s: 1_800,
            connect_timeout_s: 15,
        }
    }
}

/// How new tables are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// As Redshift chooses and changes by itself.
    Auto,
    /// `DISTKEY(id)` and `SORTKEY(received_at)`, as Segment makes them.
    Segment,
}

/// Where the warehouse is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A cluster or workgroup that can be reached over the network.
    Wire { user: String, host: String, port: u16, database: String },
    /// One that is reached through the Data API.
    Data { target: Target, database: String },
}

/// What the Data API calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Workgroup(String),
    Cluster(String),
}

/// Where files are staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) bucket: String,
    /// Without slashes at its ends; may be empty.
    pub(crate) prefix: String,
}

const WIRE: &str = "write redshift://USER@HOST:5439/DATABASE?password=env:NAME&stage=s3://BUCKET/PREFIX";
const DATA: &str = "write redshift-data://WORKGROUP/DATABASE?region=REGION&stage=s3://BUCKET/PREFIX, \
                    or redshift-data://cluster:CLUSTER/DATABASE?db_user=USER&…";

fn wrong(what: &str, remedy: &str) -> Error {
    Error::new(ErrorKind::Config, what).fix(remedy)
}

/// The address that a URI names.
pub(crate) fn address(uri: &Uri) -> Result<Address> {
    let data = uri.scheme() == SCHEMES[1];
    let form = if data { DATA } else { WIRE };
    let body = uri.body().strip_prefix("//").ok_or_else(|| wrong("the warehouse URI has no address", form))?;
    let (server, database) = body.rsplit_once('/').ok_or_else(|| wrong("the warehouse URI names no database", form))?;
    let database = decoded(database, form)?;
    if database.is_empty() {
        return Err(wrong("the warehouse URI names no database", form));
    }
    if data {
        if server.contains('@') {
            return Err(wrong("the Data API takes no user in the address", "give the user as the option db_user=NAME"));
        }
        let (cluster, name) = match server.strip_prefix("cluster:") {
            Some(name) => (true, name),
            None => (false, server),
        };
        let well_formed = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !well_formed {
            return Err(wrong("the warehouse URI names no workgroup or cluster", form));
        }
        let target = if cluster { Target::Cluster(name.into()) } else { Target::Workgroup(name.into()) };
        return Ok(Address::Data { target, database });
    }
    let (user, place) = server.rsplit_once('@').ok_or_else(|| wrong("the warehouse URI names no user", form))?;
    if user.contains(':') {
        return Err(wrong(
            "a password does not belong into the address",
            "give it as the option password=env:NAME or password=file:PATH; write a colon of a user name as %3A",
        ));
    }
    let user = decoded(user, form)?;
    if user.is_empty() {
        return Err(wrong("the warehouse URI names no user", form));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| wrong("the port of the warehouse URI is no number", form))?)
        }
        _ => (place, 5439),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.bytes().any(|byte| byte.is_ascii_whitespace() || byte == b'/') {
        return Err(wrong("the warehouse URI names no host", form));
    }
    Ok(Address::Wire { user, host: host.to_owned(), port, database })
}

/// `%3A` and the like.
fn decoded(text: &str, form: &str) -> Result<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)?.try_into().ok());
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong("the warehouse URI has a % that is no escape", form));
        };
        let (high, low): (u8, u8) = (high, low);
        out.push(high << 4 | low);
    }
    String::from_utf8(out).map_err(|_| wrong("the warehouse URI has escapes that are no UTF-8", form))
}

/// The Data API ends a statement after a day.
const LONGEST_TIMEOUT_S: u32 = 86_400;

impl Options {
    /// The stage, if it is well-formed and everything else is too.
    pub(crate) fn check(&self, address: &Address) -> Result<Stage> {
        let data = matches!(address, Address::Data { .. });
        let only_wire = [
            ("password", self.password.is_some()),
            ("ca", self.ca.is_some()),
            ("query_group", self.query_group.is_some()),
        ];
        let only_data = [
            ("region", self.region.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("secret_arn", self.secret_arn.is_some()),
            ("db_user", self.db_user.is_some()),
            ("access_key", self.access_key.is_some()),
            ("secret_key", self.secret_key.is_some()),
        ];
        let (others, scheme) = if data { (&only_wire[..], SCHEMES[0]) } else { (&only_data[..], SCHEMES[1]) };
        if let Some((option, _)) = others.iter().find(|(_, given)| *given) {
            return Err(wrong("an option belongs to the other scheme", "leave it out, or change the scheme")
                .with("option", option)
                .with("scheme", scheme));
        }
        if self.access_key.is_some() != self.secret_key.is_some() {
            return Err(wrong("access_key and secret_key belong together", "give both, or neither"));
        }
        if self.stage_key.is_some() != self.stage_secret.is_some() {
            return Err(wrong("stage_key and stage_secret belong together", "give both, or neither"));
        }
        if let (Address::Data { target: Target::Workgroup(_), .. }, true) = (address, self.db_user.is_some()) {
            return Err(wrong(
                "a workgroup takes no db_user",
                "leave db_user out: the user is the IAM identity; or give secret_arn",
            ));
        }
        let timeouts = [self.statement_timeout_s, self.connect_timeout_s];
        if timeouts.iter().any(|seconds| !(1..=LONGEST_TIMEOUT_S).contains(seconds)) {
            return Err(wrong(
                "a timeout leaves no time, or more than Redshift knows",
                "give statement_timeout_s and connect_timeout_s from 1 to 86400 (a day)",
            ));
        }
        for (option, value) in [("stage_region", &self.stage_region), ("region", &self.region)] {
            let plain = |text: &String| {
                !text.is_empty()
                    && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            };
            if value.as_ref().is_some_and(|value| !plain(value)) {
                return Err(wrong("a region is no region", "write it as AWS does, for example eu-central-1")
                    .with("option", option));
            }
        }
        let role = |part: &str| {
            part.starts_with("arn:aws")
                && part.contains(":role/")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/_+=.@-".contains(&byte))
        };
        if self.iam_role != "default" && !self.iam_role.split(',').all(role) {
            return Err(wrong(
                "iam_role is neither `default` nor the ARN of a role",
                "write iam_role=default, or iam_role=arn:aws:iam::ACCOUNT:role/NAME",
            ));
        }
        stage(self.stage.as_deref())
    }
}

fn stage(text: Option<&str>) -> Result<Stage> {
    let form = "give stage=s3://BUCKET/PREFIX: a place of your own, in the warehouse's region, for files on their way";
    let text = text.ok_or_else(|| wrong("the warehouse URI names no stage", form))?;
    let rest = text.strip_prefix("s3://").ok_or_else(|| wrong("the stage is no place in S3", form))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(bucket_byte) {
        return Err(wrong("the stage names no bucket", form).with("stage", text));
    }
    let prefix = prefix.trim_matches('/');
    let prefix_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.=".contains(&byte);
    if !prefix.bytes().all(prefix_byte)
        || prefix.contains("//")
        || prefix.split('/').any(|part| part == "." || part == "..")
    {
        return Err(wrong(
            "the stage's prefix has other signs than letters, digits and /-_.=",
            "choose another prefix: it goes into SQL and into a manifest",
        ));
    }
    Ok(Stage { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

/// The name of a schema, if Redshift takes it.
pub(crate) fn schema(schema: &Ident) -> Result<()> {
    let name = schema.as_str();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 127 || !name.bytes().all(plain) {
        return Err(wrong(
            "the schema's name cannot be used",
            "use up to 127 lower-case letters, digits and underscores",
        )
        .with("schema", name));
    }
    Ok(())
}

/// The value of a secret: as written, or where `env:NAME` or `file:PATH` point.
pub(crate) fn reveal(option: &'static str, secret: &Secret) -> Result<String> {
    let text = secret.expose();
    let missing = |what: &str, remedy: String| Error::new(ErrorKind::Config, what).with("option", option).fix(remedy);
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| {
            missing("the environment variable of a secret is not set", format!("set the variable {name}"))
        });
    }
    if let Some(path) = text.strip_prefix("file:") {
        let read = std::fs::read_to_string(path).map_err(|error| {
            missing(
                "the file of a secret cannot be read",
                format!("put the secret into {path} and let this user read it"),
            )
            .because(error)
        })?;
        return Ok(read.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Address, Stage)> {
        let uri = Uri::parse(text)?;
        let (options, address) = (uri.options::<Options>()?, address(&uri)?);
        let stage = options.check(&address)?;
        Ok((address, stage))
    }

    #[test]
    fn addresses_are_read() {
        let stage = "stage=s3://bucket/some/prefix/";
        let wire = |user: &str, host: &str, port, database: &str| Address::Wire {
            user: user.into(),
            host: host.into(),
            port,
            database: database.into(),
        };
        for (uri, address) in [
            ("redshift://me@host.example:5440/dev", wire("me", "host.example", 5440, "dev")),
            ("redshift://IAM%3Ame%40example.org@host/d%65v", wire("IAM:me@example.org", "host", 5439, "dev")),
            ("redshift://me@[::1]:5439/dev", wire("me", "::1", 5439, "dev")),
            ("redshift://me@[::1]/dev", wire("me", "::1", 5439, "dev")),
            (
                "redshift-data://wg-1/dev",
                Address::Data { target: Target::Workgroup("wg-1".into()), database: "dev".into() },
            ),
            (
                "redshift-data://cluster:c1/dev",
                Address::Data { target: Target::Cluster("c1".into()), database: "dev".into() },
            ),
        ] {
            let (read, place) = parsed(&format!("{uri}?{stage}")).unwrap();
            assert_eq!(read, address);
            assert_eq!(place, Stage { bucket: "bucket".into(), prefix: "some/prefix".into() });
        }
    }

    #[test]
    fn what_is_wrong_says_what_to_write() {
        let stage = "stage=s3://bucket/p";
        for uri in [
            "redshift:host/dev?STAGE",
            "redshift://host:5439/dev?STAGE",
            "redshift://me@host:5439?STAGE",
            "redshift://me@host:5439/?STAGE",
            "redshift://me@host:x/dev?STAGE",
            "redshift://@host/dev?STAGE",
            "redshift://me@/dev?STAGE",
            "redshift://me:hush@host/dev?STAGE",
            "redshift://m%zz@host/dev?STAGE",
            "redshift-data://dev?STAGE",
            "redshift-data:///dev?STAGE",
            "redshift-data://cluster:/dev?STAGE",
            "redshift-data://me@wg/dev?STAGE",
            "redshift-data://wg/dev?password=x&STAGE",
            "redshift-data://wg/dev?db_user=x&STAGE",
            "redshift-data://wg/dev?access_key=x&STAGE",
            "redshift://me@host/dev?region=eu-west-1&STAGE",
            "redshift://me@host/dev?color=red&STAGE",
            "redshift://me@host/dev?stage_key=x&STAGE",
            "redshift://me@host/dev?iam_role=admin&STAGE",
            "redshift://me@host/dev?iam_role=arn:aws:iam::1:role/x'y&STAGE",
            "redshift://me@host/dev?stage_region=Frankfurt&STAGE",
            "redshift://me@host/dev?statement_timeout_s=0&STAGE",
            "redshift://me@host/dev?statement_timeout_s=86401&STAGE",
            "redshift://me@host/dev?keys=none&STAGE",
            "redshift://me@host/dev",
            "redshift://me@host/dev?stage=bucket/p",
            "redshift://me@host/dev?stage=s3://B/p",
            "redshift://me@host/dev?stage=s3://bucket/it's",
            "redshift://me@host/dev?stage=s3://bucket/a/../b",
        ] {
            let error = parsed(&uri.replace("STAGE", stage)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{uri}");
            assert!(!error.remedy().is_empty() && !format!("{error:?}").contains("hush"), "{uri}: {error:?}");
        }
    }

    #[test]
    fn secrets_are_looked_up_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        let file = Secret::new(format!("file:{}", path.display()));
        assert_eq!(reveal("password", &file).unwrap(), "hush");
        assert_eq!(reveal("password", &Secret::new("plain")).unwrap(), "plain");
        for missing in ["env:TABLECAST_NO_SUCH_VARIABLE", "file:/no/such/file"] {
            let error = reveal("password", &Secret::new(missing)).unwrap_err();
            assert!(error.kind() == ErrorKind::Config && error.to_string().contains("password"), "{error:?}");
        }
        let options: Options =
            Uri::parse("redshift://me@h/d?password=hush&stage_secret=hush").unwrap().options().unwrap();
        assert!(!format!("{options:?}").contains("hush"));
    }
}
