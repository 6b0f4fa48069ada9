//! Snowflake by its emulator: the behaviour suite and the laws, then what can go wrong on the way; and by a scripted server,
//! which plays what an emulator cannot: other clouds, slow statements, sessions that end.
//!
//! `cargo xtask test --engine snowflake` starts the emulator, or `cargo xtask emulators up snowflake` beside `cargo test`.

mod support;

#[path = "snowflake/bad.rs"]
mod bad;
#[path = "snowflake/clouds.rs"]
mod clouds;
#[path = "snowflake/faults.rs"]
mod faults;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "snowflake/scripted.rs"]
mod scripted;
#[path = "snowflake/stub.rs"]
mod stub;
#[path = "snowflake/warehouse.rs"]
mod warehouse;

use async_trait::async_trait;
use std::cell::Cell;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tablecast_core::{Ident, Result, Rules, Uri};
use tablecast_snowflake::{Options, Snowflake};
use tablecast_testkit::{Gap, Harness, Opened};

/// A variable of the emulator: of the second one, if there is one, for every other test that runs at the same time.
fn variable(name: &str) -> String {
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<u32>().ok());
    let second = slot.filter(|slot| slot % 2 == 1).and_then(|_| std::env::var(format!("{name}_2")).ok());
    second.or_else(|| std::env::var(name).ok()).unwrap_or_else(|| {
        panic!("{name} is not set; run: cargo xtask emulators up snowflake, or: cargo xtask test --engine snowflake")
    })
}

/// The address of an emulator, with a database of this test's own.
fn address() -> Uri {
    Uri::parse(&uri()).expect("a warehouse URI")
}

fn uri() -> String {
    let mut test = DefaultHasher::new();
    std::thread::current().name().hash(&mut test);
    let database = format!("T_{:x}_{:x}", std::process::id(), test.finish());
    variable("TABLECAST_SNOWFLAKE").replace("/TEST?", &format!("/{database}?"))
}

fn options() -> Options {
    let options: Options = address().options().expect("options as they should be");
    Options { port: PORT.get().or(options.port), ..options }
}

thread_local! {
    /// Where this test's own emulator listens, if it has one.
    static PORT: Cell<Option<u16>> = const { Cell::new(None) };
}

/// An emulator of this test's own, as long as the value lives.
struct Own {
    child: Child,
    /// A file with its user's private key.
    key: String,
}

impl Own {
    /// Started with some arguments. From now on this test's options lead there.
    fn start(arguments: &[&str]) -> Own {
        let mut child = Command::new(variable("TABLECAST_SNOWFLAKE_PYTHON"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/snowflake/serve.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an emulator");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut own = Own { child, key: String::new() };
        for line in lines.take_while(|line| line != "ready") {
            match line.split_once('=') {
                Some(("TABLECAST_SNOWFLAKE", uri)) => {
                    let uri = Uri::parse(uri).expect("a URI");
                    PORT.set(uri.options::<Options>().expect("options").port);
                }
                Some(("TABLECAST_SNOWFLAKE_KEY", key)) => own.key = key.to_owned(),
                _ => {}
            }
        }
        own
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        PORT.set(None);
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn open(schema: &Ident, options: Options) -> Snowflake {
    Snowflake::open(address().body(), schema, options).await.expect("options as they should be")
}

/// Where the emulator listens.
fn endpoint() -> String {
    format!("http://127.0.0.1:{}", options().port.expect("a port"))
}

/// Rules for a schema that is not there.
fn rules(name: &str) -> Rules {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Rules { space: format!("{name}{nanos:x}"), ..Rules::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

struct Emulator;

#[async_trait]
impl Harness for Emulator {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let warehouse = Arc::new(open(schema, options()).await);
        Ok(Opened { warehouse: warehouse.clone(), probe: warehouse })
    }

    fn gaps(&self) -> &[Gap] {
        &[]
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + Send + '_>>) {
        runtime().block_on(future);
    }
}

tablecast_testkit::suite_tests!(Emulator);
tablecast_testkit::law_tests!(Emulator);

#[test]
fn the_data_files_have_the_same_cells_as_in_sqlite() {
    runtime().block_on(support::same_cells_as_sqlite(&Emulator)).expect("the same cells");
}

#[test]
fn the_service_keeps_it_as_it_keeps_sqlite() {
    runtime().block_on(support::same_cells_by_the_service(&Emulator, &uri())).expect("the same cells");
}
