//! S3: `s3s-fs` on a folder. Signatures are checked.

use crate::world::{ACCESS_KEY, BUCKET, CLOSED_BUCKET, FAR_BUCKET, FAR_REGION, SECRET_KEY};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// The buckets, and what answers for them.
#[derive(Clone)]
pub(crate) struct Storage {
    folder: PathBuf,
    service: S3Service,
}

/// Makes the buckets.
pub(crate) fn create(folder: &Path) -> io::Result<Storage> {
    for bucket in [BUCKET, FAR_BUCKET, CLOSED_BUCKET] {
        std::fs::create_dir_all(folder.join(bucket))?;
    }
    let files = FileSystem::new(folder).map_err(|error| io::Error::other(format!("S3 did not start: {error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Ok(Storage { folder: folder.to_owned(), service: builder.build() })
}

/// Serves until the program ends.
pub(crate) async fn serve(listener: TcpListener, storage: Storage) {
    while let Ok((stream, _)) = listener.accept().await {
        let storage = storage.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let storage = storage.clone();
            async move {
                match storage.refuse(request.uri().path(), request.headers()) {
                    Some(refusal) => Ok(refusal),
                    None => storage.service.call(request.map(s3s::Body::from)).await,
                }
            }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

impl Storage {
    /// What S3 says of a bucket that is not there, or elsewhere; `s3s-fs` has one region and makes what is missing.
    fn refuse(&self, path: &str, headers: &HeaderMap) -> Option<Response<s3s::Body>> {
        let bucket = path.trim_start_matches('/').split('/').next().filter(|bucket| !bucket.is_empty())?;
        if !self.folder.join(bucket).is_dir() {
            return Some(error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist"));
        }
        let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if bucket == FAR_BUCKET && !signed.contains(&format!("/{FAR_REGION}/s3/")) {
            let message = "The bucket you are attempting to access must be addressed using the specified endpoint. \
                           Please send all future requests to this endpoint.";
            let mut redirect = error(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect", message);
            redirect.headers_mut().insert("x-amz-bucket-region", HeaderValue::from_static(FAR_REGION));
            return Some(redirect);
        }
        None
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<s3s::Body> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = Response::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
    response
}
