//! The behaviour suite and the laws on the stranger's warehouse, and what only a shelf can get wrong.

use async_trait::async_trait;
use std::fs;
use std::sync::Arc;
use tablecast_core::{ErrorKind, Ident, Result, Uri, Warehouse};
use tablecast_stranger::{CONNECTOR, Stranger};
use tablecast_testkit::{Harness, Opened, block_on};

/// A folder of its own for each test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }
}

#[async_trait]
impl Harness for Folder {
    async fn open(&self, schema: &Ident) -> Result<Opened> {
        let stranger = Arc::new(Stranger::new(self.0.path(), schema));
        Ok(Opened { warehouse: stranger.clone(), probe: stranger })
    }
}

tablecast_testkit::suite_tests!(Folder::new());
tablecast_testkit::law_tests!(Folder::new());

fn opened(text: &str) -> Result<Arc<dyn Warehouse>> {
    let uri = Uri::parse(text)?;
    block_on((CONNECTOR.open)(&uri, &"personas_default".into()))
}

#[test]
fn the_uri_is_checked_offline() {
    assert!(opened("shelf:./folder").is_ok());
    assert!(!fs::exists("./folder").expect("a readable folder"), "opening creates nothing");
    for wrong in ["shelf:", "shelf:./folder?color=red"] {
        assert_eq!(opened(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
    }
}

#[test]
fn a_damaged_file_is_an_error_that_says_so() {
    let folder = Folder::new();
    let uri = format!("shelf:{}", folder.0.path().display());
    fs::write(folder.0.path().join("personas_default.json"), b"{\"tables\":").expect("a writable folder");
    let warehouse = opened(&uri).expect("opening reads nothing");
    let error = block_on(warehouse.describe(&[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let findings = block_on((CONNECTOR.check)(&Uri::parse(&uri).expect("a URI"), &"personas_default".into()));
    assert!(findings.iter().any(|finding| !finding.ok && finding.remedy.is_some()), "{findings:?}");
}

#[test]
fn a_file_half_written_by_a_killed_process_is_nothing() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("personas_default.next"), b"{\"tab").expect("a writable folder");
    let warehouse = opened(&format!("shelf:{}", folder.0.path().display())).expect("opening reads nothing");
    assert!(block_on(warehouse.describe(&[])).expect("an empty schema").tables.is_empty());
    block_on(warehouse.apply(&[])).expect("the leftover is overwritten");
}
