//! Which objects a COPY reads: who may, where they are, and how Redshift words it when they are not there.

use crate::gate::{Auth, Copy, Refusal};
use crate::world::{CLOSED_BUCKET, FAR_BUCKET, FAR_REGION, REGION, ROLE, World};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// An object that is to be loaded.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) url: String,
    pub(super) path: PathBuf,
}

impl Object {
    /// As quoted in github.com/awslabs/aws-lambda-redshift-loader issue 73.
    pub(super) fn is_missing(&self) -> Refusal {
        s3("The specified key does not exist.", 404, "NoSuchKey", &format!("S3 key being read : {}", self.url))
    }

    pub(super) fn is_not_gzip(&self) -> Refusal {
        Refusal::new("XX000", format!("rsemu: {} is not GZIP", self.url))
    }
}

/// An error of S3, in the words that Redshift gives it.
fn s3(message: &str, status: u16, error: &str, context: &str) -> Refusal {
    let message =
        format!("S3ServiceException:{message},Status {status},Error {error},Rid EMULATOR,ExtRid EMULATOR,CanRetry 1");
    internal(&message, context)
}

/// An error with the block of details that Redshift puts behind its own (same thread).
fn internal(message: &str, context: &str) -> Refusal {
    let line = "-----------------------------------------------";
    let detail = format!(
        "\n  {line}\n  error:  {message}\n  code:      8001\n  context:   {context}\n  query:     0\n  location:  emulator\n  process:   padbmaster [pid=0]\n  {line}\n"
    );
    Refusal { detail: Some(detail), ..Refusal::new("XX000", message) }
}

#[derive(Deserialize)]
struct Manifest {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    url: String,
    /// "Using a manifest to specify data files": false by default, and then a missing file is passed over.
    #[serde(default)]
    mandatory: bool,
}

/// The objects in the order in which they are loaded.
pub(super) fn objects(world: &World, user: &str, copy: &Copy) -> Result<Vec<Object>, Refusal> {
    roles(user, &copy.auth)?;
    let (bucket, key) = split(&copy.from)?;
    reach(world, bucket, key, copy)?;
    if !copy.manifest {
        return prefix(world, bucket, key);
    }
    if key.is_empty() {
        return Err(no_full_path(&copy.from));
    }
    let manifest = Object { url: copy.from.clone(), path: path(world, bucket, key)? };
    let text = std::fs::read(&manifest.path).map_err(|_| {
        // As shown in github.com/databricks/spark-redshift issue 136.
        let missing = manifest.is_missing();
        Refusal { message: format!("Problem reading manifest file - {}", missing.message), ..missing }
    })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Refusal::new("XX000", format!("rsemu: the manifest {} is not valid: {error}", copy.from)))?;
    let mut objects = Vec::new();
    for Entry { url, mandatory } in manifest.entries {
        let (bucket, key) = split(&url)?;
        reach(world, bucket, key, copy)?;
        let object = Object { path: path(world, bucket, key)?, url };
        if object.path.is_file() {
            objects.push(object);
        } else if mandatory {
            return Err(object.is_missing());
        }
    }
    Ok(objects)
}

/// "Authorizing COPY … operations using IAM roles": the role must be attached to the cluster.
fn roles(user: &str, auth: &Auth) -> Result<(), Refusal> {
    let Auth::Role(chain) = auth else { return Ok(()) };
    match chain.split(',').find(|role| role.trim() != ROLE) {
        // As quoted in github.com/fullstorydev/hauser issue 10.
        Some(role) => Err(Refusal::new(
            "XX000",
            format!(
                "User arn:aws:redshift:{REGION}:123456789012:dbuser:emulator/{user} is not authorized to assume IAM Role {role}"
            ),
        )),
        None => Ok(()),
    }
}

/// Whether the bucket is there, in this region, and open.
fn reach(world: &World, bucket: &str, key: &str, copy: &Copy) -> Result<(), Refusal> {
    let context = format!("Listing bucket={bucket} prefix={key}");
    if !world.buckets.join(bucket).is_dir() {
        return Err(s3("The specified bucket does not exist", 404, "NoSuchBucket", &context));
    }
    let home = if bucket == FAR_BUCKET { FAR_REGION } else { REGION };
    if copy.region.as_deref().unwrap_or(REGION) != home {
        // As quoted in github.com/awslabs/amazon-redshift-utils issue 70, and "Amazon S3: troubleshooting 301".
        return Err(s3(
            "The bucket you are attempting to access must be addressed using the specified endpoint. \
             Please send all future requests to this endpoint.",
            301,
            "PermanentRedirect",
            &context,
        ));
    }
    if bucket == CLOSED_BUCKET {
        // As told in github.com/PostHog/posthog pull request 61603: a manifest that may not be read is no full path.
        return Err(if copy.manifest {
            no_full_path(&copy.from)
        } else {
            s3("Access Denied", 403, "AccessDenied", &context)
        });
    }
    Ok(())
}

fn no_full_path(url: &str) -> Refusal {
    internal("COPY with MANIFEST parameter requires full path of an S3 object.", url)
}

fn split(url: &str) -> Result<(&str, &str), Refusal> {
    let rest = url
        .strip_prefix("s3://")
        .ok_or_else(|| Refusal::new("XX000", format!("rsemu: {url} in the manifest does not begin with s3://")))?;
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

fn path(world: &World, bucket: &str, key: &str) -> Result<PathBuf, Refusal> {
    if key.split('/').any(|part| part == "..") {
        return Err(Refusal::new("XX000", "rsemu: a key with `..` is not emulated"));
    }
    Ok(world.buckets.join(bucket).join(key))
}

/// "COPY from Amazon S3": what is named is the beginning of keys, not one key.
fn prefix(world: &World, bucket: &str, prefix: &str) -> Result<Vec<Object>, Refusal> {
    let root = world.buckets.join(bucket);
    let mut keys = Vec::new();
    walk(&root, &root, &mut keys);
    keys.retain(|key| key.starts_with(prefix));
    keys.sort();
    if keys.is_empty() {
        return Err(internal(
            &format!("The specified S3 prefix '{prefix}' does not exist"),
            &format!("Listing bucket={bucket} prefix={prefix}"),
        ));
    }
    Ok(keys.into_iter().map(|key| Object { url: format!("s3://{bucket}/{key}"), path: root.join(&key) }).collect())
}

fn walk(root: &Path, folder: &Path, keys: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, keys);
        } else if let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            keys.push(key.to_owned());
        }
    }
}
