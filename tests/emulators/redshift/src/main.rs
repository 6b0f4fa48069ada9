//! A stand-in for Amazon Redshift: a dialect gate in front of PostgreSQL, a Data API front door, and S3.
//!
//! Prints one `NAME=VALUE` line per variable that tests need, then `ready`, and ends when its standard input closes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a launcher speaks to who started it")]

mod backend;
mod control;
mod data;
mod engine;
mod fault;
mod frame;
mod gate;
mod http;
mod load;
mod postgres;
mod storage;
mod tls;
mod wire;
mod world;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use world::{ACCESS_KEY, BUCKET, OWNER, REGION, ROLE, SECRET_KEY, SERIALIZABLE, SNAPSHOT, WORKGROUP, World};

/// Long expressions nest deeply, in the gate too.
const STACK: usize = 32 << 20;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let run = runtime.and_then(|runtime| {
        let run = runtime.block_on(run());
        // Who waits on standard input waits for ever.
        runtime.shutdown_background();
        run
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redshift emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix("tablecast-redshift-").tempdir()?;
    let server = postgres::Postgres::start(folder.path())?;
    let buckets = folder.path().join("s3");
    let s3 = storage::create(&buckets)?;
    let ca = folder.path().join("ca.pem");
    let tls = tls::acceptor(&ca)?;
    let world = Arc::new(World::create(server.socket().to_owned(), buckets).await?);

    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let (wire, data, storage, control) = (bind().await?, bind().await?, bind().await?, bind().await?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let (wire_port, data_port, storage_port, control_port) =
        (port(&wire)?, port(&data)?, port(&storage)?, port(&control)?);
    tokio::spawn(wire::serve(wire, tls, Arc::clone(&world)));
    tokio::spawn(storage::serve(storage, s3));
    tokio::spawn(http::serve(control, Arc::clone(&world), control::answer));
    tokio::spawn(http::serve(data, Arc::new(data::Api::new(Arc::clone(&world))), data::answer));

    let stage = format!(
        "stage=s3://{BUCKET}/stage&stage_endpoint=http://127.0.0.1:{storage_port}&stage_region={REGION}\
         &stage_key={ACCESS_KEY}&stage_secret={SECRET_KEY}"
    );
    for (variable, database) in [("WIRE", SNAPSHOT), ("SERIALIZABLE", SERIALIZABLE)] {
        println!(
            "TABLECAST_REDSHIFT_{variable}=redshift://{}@127.0.0.1:{wire_port}/{database}?password={}&ca={}&{stage}&iam_role=default",
            OWNER.name,
            OWNER.password,
            ca.display(),
        );
    }
    println!(
        "TABLECAST_REDSHIFT_DATA=redshift-data://{WORKGROUP}/{SNAPSHOT}?region={REGION}&endpoint=http://127.0.0.1:{data_port}\
         &access_key={ACCESS_KEY}&secret_key={SECRET_KEY}&{stage}&iam_role={ROLE}"
    );
    println!("TABLECAST_REDSHIFT_CONTROL=http://127.0.0.1:{control_port}");
    println!("ready");

    until_told().await
}

/// Waits until standard input closes, or a signal says to end.
async fn until_told() -> io::Result<()> {
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 256];
    loop {
        tokio::select! {
            read = input.read(&mut ignored) => if read? == 0 { return Ok(()) },
            _ = ended.recv() => return Ok(()),
            interrupted = tokio::signal::ctrl_c() => return interrupted,
        }
    }
}
