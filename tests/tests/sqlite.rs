//! The behaviour suite and the laws on the embedded warehouse, each test in a folder of its own.

mod support;

use async_trait::async_trait;
use std::sync::Arc;
use tablecast_core::{Ident, Result};
use tablecast_sqlite::{Options, Sqlite, Synchronous};
use tablecast_testkit::{Harness, Opened};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }
}

#[async_trait]
impl Harness for Folder {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        // No test takes the machine's power away, so none waits for its disk.
        let options = Options { synchronous: Synchronous::Off, ..Options::default() };
        let sqlite = Arc::new(Sqlite::open(self.0.path(), schema, options)?);
        Ok(Opened { warehouse: sqlite.clone(), probe: sqlite })
    }
}

tablecast_testkit::suite_tests!(Folder::new());
tablecast_testkit::law_tests!(Folder::new());

#[test]
fn the_model_makes_the_same_of_the_data_files() {
    tablecast_testkit::block_on(support::same_cells_as_sqlite(&tablecast_testkit::Model::new()))
        .expect("the same cells");
}

#[test]
fn the_service_keeps_three_schemas_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = Folder::new();
    let uri = format!("sqlite:{}", folder.0.path().display());
    runtime.block_on(support::same_cells_by_the_service(&folder, &uri)).expect("the same cells");
}
