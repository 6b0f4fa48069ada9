//! Where an answer to a PUT says to upload, and uploading there: S3, Azure, Google Cloud Storage, or a signed address.
//!
//! Nothing that an answer names is ever read from this machine: of the paths in it none is looked at.

use super::cipher::{Material, Sealed, material};
use crate::client::{Client, Waits};
use crate::config::{Cloud, Options, Place, reveal};
use crate::error::{Fault, own};
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, ObjectStore, PutOptions, PutPayload, RetryConfig,
    StaticCredentialProvider,
};
use reqwest::Url;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tablecast_core::{Error, ErrorKind, Result};

/// How long one upload may take.
const UPLOAD: Duration = Duration::from_secs(600);

/// A place to upload one file to.
pub(crate) struct Target {
    to: To,
    pub(crate) material: Option<Material>,
}

enum To {
    Store { cloud: Cloud, store: Box<dyn ObjectStore>, prefix: String },
    Signed(Url),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match &self.to {
            To::Store { store, prefix, .. } => format!("{store}/{prefix}"),
            To::Signed(url) => url.host_str().unwrap_or_default().to_owned(),
        };
        write!(f, "Target({to})")
    }
}

/// How an upload failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Perhaps because the credentials have run out: asking again gives new ones.
    Refused(Error),
    Other(Error),
}

impl Target {
    /// Reads an answer. `local` allows addresses without TLS, which emulators have.
    pub(crate) fn read(answer: &Value, local: bool) -> Result<Target, Fault> {
        let stage = &answer["stageInfo"];
        let material = material(&answer["encryptionMaterial"])?;
        if material.is_none() && stage["isClientSideEncrypted"].as_bool() == Some(true) {
            // Whoever reads the stage would take plain text for a broken cipher.
            return Err(Fault::new(own::UPLOAD, "no encryption material"));
        }
        let text = |key: &str| stage[key].as_str().unwrap_or_default();
        let kind = text("locationType").to_ascii_uppercase();
        let to = match (kind.as_str(), text("presignedUrl")) {
            ("GCS", "") => To::store(Cloud::Gcs, stage, local)?,
            ("GCS", signed) => To::Signed(safe(signed, local)?),
            ("S3", _) => To::store(Cloud::S3, stage, local)?,
            ("AZURE", _) => To::store(Cloud::Azure, stage, local)?,
            // LOCAL_FS would have this program write where the server says.
            (other, _) => return Err(Fault::new(own::UPLOAD, format!("location type {other}"))),
        };
        Ok(Target { to, material })
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, client: &Client, name: &str, sealed: &Sealed) -> Result<(), Failed> {
        match &self.to {
            To::Store { cloud, store, prefix } => {
                let path = Path::parse(format!("{prefix}{name}"))
                    .map_err(|_| Failed::Other(Fault::new(own::UPLOAD, "the path").into()))?;
                put(store.as_ref(), &path, attributes(*cloud, sealed), sealed).await
            }
            To::Signed(url) => {
                let mut waits = Waits::default();
                loop {
                    match send(client, url, sealed).await {
                        Ok(()) => return Ok(()),
                        // The file is the same however often it is written.
                        Err(fault) if fault.is_passing() && waits.again() => waits.wait().await,
                        Err(fault) if matches!(fault.status, 400 | 401 | 403) => {
                            return Err(Failed::Refused(refused(&format!("status {}", fault.status))));
                        }
                        Err(fault) => return Err(Failed::Other(unreachable(fault.status, &fault.code))),
                    }
                }
            }
        }
    }
}

/// Sends a file to a signed address.
async fn send(client: &Client, url: &Url, sealed: &Sealed) -> Result<(), Fault> {
    let mut request = client
        .http
        .put(url.clone())
        .timeout(UPLOAD)
        .header("content-encoding", "")
        .header("x-goog-meta-sfc-digest", &sealed.digest);
    if let Some(envelope) = &sealed.envelope {
        request = request
            .header("x-goog-meta-encryptiondata", envelope.encryption_data())
            .header("x-goog-meta-matdesc", &envelope.description);
    }
    request.body(sealed.body.clone()).send().await?;
    Ok(())
}

impl To {
    fn store(cloud: Cloud, stage: &Value, local: bool) -> Result<To, Fault> {
        let text = |key: &str| stage[key].as_str().filter(|text| !text.is_empty());
        let secret = |key: &str| {
            let value = stage["creds"][key].as_str().filter(|text| !text.is_empty());
            value.map(str::to_owned).ok_or_else(|| Fault::new(own::UPLOAD, format!("no {key}")))
        };
        let location = text("location").ok_or_else(|| Fault::new(own::UPLOAD, "no location"))?;
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let end = text("endPoint");
        // Addresses with a scheme are an emulator's, or Google's regional ones.
        let full = end.filter(|end| end.contains("://")).map(|end| safe(end, local)).transpose()?;
        let plain = full.as_ref().is_some_and(|url| url.scheme() == "http");
        let store = match cloud {
            Cloud::S3 => {
                let region = text("region").unwrap_or("us-east-1");
                let builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_region(region)
                    .with_access_key_id(secret("AWS_KEY_ID")?)
                    .with_secret_access_key(secret("AWS_SECRET_KEY")?)
                    .with_token(secret("AWS_TOKEN").unwrap_or_default())
                    .with_retry(retry())
                    .with_client_options(options(plain));
                let builder = match (full, end) {
                    (Some(url), _) => builder.with_endpoint(trimmed(&url)),
                    (None, Some(end)) => {
                        builder.with_virtual_hosted_style_request(true).with_endpoint(format!("https://{bucket}.{end}"))
                    }
                    (None, None) if region.starts_with("cn-") => {
                        builder.with_endpoint(format!("https://s3.{region}.amazonaws.com.cn"))
                    }
                    (None, None) => builder,
                };
                builder.build().map(|store| Box::new(store) as Box<dyn ObjectStore>)
            }
            Cloud::Azure => {
                let account = text("storageAccount").ok_or_else(|| Fault::new(own::UPLOAD, "no storageAccount"))?;
                let token = secret("AZURE_SAS_TOKEN")?;
                let endpoint = match (full, end) {
                    (Some(url), _) => trimmed(&url),
                    (None, end) => format!("https://{account}.{}", end.unwrap_or("blob.core.windows.net")),
                };
                MicrosoftAzureBuilder::new()
                    .with_account(account)
                    .with_container_name(bucket)
                    .with_endpoint(endpoint)
                    .with_config(AzureConfigKey::SasKey, token.trim_start_matches('?'))
                    .with_retry(retry())
                    .with_client_options(options(plain))
                    .build()
                    .map(|store| Box::new(store) as Box<dyn ObjectStore>)
            }
            Cloud::Gcs => {
                let bearer = secret("GCS_ACCESS_TOKEN")?;
                let builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential { bearer })))
                    .with_retry(retry())
                    .with_client_options(options(plain));
                let host = full.map(|url| trimmed(&url)).or_else(|| end.map(|end| format!("https://{end}")));
                let builder = match host {
                    // The only way to name another address.
                    Some(base) => builder.with_config(
                        GoogleConfigKey::ServiceAccountKey,
                        json!({"gcs_base_url": base, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""})
                            .to_string(),
                    ),
                    None => builder,
                };
                builder.build().map(|store| Box::new(store) as Box<dyn ObjectStore>)
            }
        };
        // What the store says may quote the credentials.
        let store = store.map_err(|_| Fault::new(own::UPLOAD, "the credentials"))?;
        Ok(To::Store { cloud, store, prefix })
    }
}

/// An address that was handed out, if rows may be sent there.
fn safe(text: &str, local: bool) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|_| Fault::new(own::UPLOAD, "the address"))?;
    if url.scheme() == "https" || (local && url.scheme() == "http") {
        Ok(url)
    } else {
        Err(Fault::new(own::UPLOAD, "an address without TLS"))
    }
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn options(plain: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(plain).with_timeout(UPLOAD)
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 5,
        retry_timeout: Duration::from_secs(60),
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
    }
}

/// What stands beside the file: names differ between clouds, and the stores put their own prefix in front.
fn attributes(cloud: Cloud, sealed: &Sealed) -> Attributes {
    let mut out = Attributes::new();
    let mut set = |name: &'static str, value: String| {
        out.insert(Attribute::Metadata(name.into()), value.into());
    };
    set(if cloud == Cloud::Azure { "sfcdigest" } else { "sfc-digest" }, sealed.digest.clone());
    match (&sealed.envelope, cloud) {
        (None, _) => {}
        (Some(envelope), Cloud::S3) => {
            set("x-amz-key", envelope.key.clone());
            set("x-amz-iv", envelope.iv.clone());
            set("x-amz-matdesc", envelope.description.clone());
        }
        (Some(envelope), Cloud::Azure | Cloud::Gcs) => {
            set("encryptiondata", envelope.encryption_data());
            set("matdesc", envelope.description.clone());
        }
    }
    out
}

async fn put(store: &dyn ObjectStore, path: &Path, attributes: Attributes, sealed: &Sealed) -> Result<(), Failed> {
    let put = PutOptions { attributes, ..PutOptions::default() };
    match store.put_opts(path, PutPayload::from(sealed.body.clone()), put).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &object_store::Error) -> Failed {
    use object_store::Error as Store;
    let text = error.to_string();
    let expired = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthenticationFailed", "400 Bad Request"];
    match error {
        Store::Unauthenticated { .. } | Store::PermissionDenied { .. } => Failed::Refused(refused("no access")),
        _ if expired.iter().any(|word| text.contains(word)) => Failed::Refused(refused("no access")),
        _ => Failed::Other(unreachable(0, "")),
    }
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Permission, "the cloud's storage refused a staged file")
        .with("answer", what)
        .fix("see that nothing between this machine and the storage of the account changes requests (a proxy, a firewall), that this machine's clock is right, and that a network policy lets it in")
}

fn unreachable(status: u16, code: &str) -> Error {
    let error = Error::new(ErrorKind::Unavailable, "a staged file could not be uploaded")
        .temporary()
        .fix("let this machine reach the account's storage (SYSTEM$ALLOWLIST() lists its hosts), then run again; nothing is loaded twice");
    match (status, code) {
        (0, "") => error,
        (0, code) => error.with("code", code),
        (status, _) => error.with("status", status),
    }
}

/// The store of a place of the user's own.
pub(crate) fn own_store(place: &Place, given: &Options) -> Result<Arc<dyn ObjectStore>> {
    let wrong = |_| {
        Error::new(ErrorKind::Config, "the stage's options do not go together")
            .fix("check stage_endpoint (an address), stage_region, and the cloud's variables in the environment (AWS_…, AZURE_…, GOOGLE_…)")
    };
    let endpoint = given.stage_endpoint.as_deref();
    let plain = endpoint.is_some_and(|address| address.starts_with("http://"));
    let client = options(plain);
    let store: Arc<dyn ObjectStore> = match place.cloud {
        Cloud::S3 => {
            // A token of the environment belongs to the environment's key, not to one that was given.
            let builder = if given.stage_key.is_some() { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
            let mut builder = builder.with_bucket_name(&place.bucket).with_retry(retry()).with_client_options(client);
            if let Some(region) = &given.stage_region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let (Some(key), Some(secret)) = (&given.stage_key, &given.stage_secret) {
                builder = builder
                    .with_access_key_id(reveal("stage_key", key)?)
                    .with_secret_access_key(reveal("stage_secret", secret)?);
            }
            if let Some(token) = &given.stage_token {
                builder = builder.with_token(reveal("stage_token", token)?);
            }
            Arc::new(builder.build().map_err(wrong)?)
        }
        Cloud::Gcs => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&place.bucket);
            Arc::new(builder.with_retry(retry()).with_client_options(client).build().map_err(wrong)?)
        }
        Cloud::Azure => {
            let builder = MicrosoftAzureBuilder::from_env()
                .with_account(&place.account)
                .with_container_name(&place.bucket)
                .with_retry(retry())
                .with_client_options(client);
            let builder = match endpoint {
                Some(endpoint) => builder.with_endpoint(endpoint.to_owned()),
                None => builder,
            };
            Arc::new(builder.build().map_err(wrong)?)
        }
    };
    Ok(store)
}

/// Writes a file to a place of the user's own.
pub(crate) async fn write(store: &dyn ObjectStore, path: &str, sealed: &Sealed) -> Result<()> {
    put(store, &Path::from(path), Attributes::new(), sealed).await.map_err(|failed| match failed {
        Failed::Refused(_) => Error::new(ErrorKind::Permission, "the stage may not be written")
            .with("path", path)
            .fix("let the cloud identity of this program write below stage=…, and delete there"),
        Failed::Other(error) => error,
    })
}

#[cfg(test)]
mod tests;
