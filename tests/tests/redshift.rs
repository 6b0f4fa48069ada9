//! Redshift by its emulator: the behaviour suite and the laws over the wire in both isolation levels and through the
//! Data API, then what can go wrong on the way, and configurations that cannot work.
//!
//! `cargo xtask test --engine redshift` starts the emulator, or `cargo xtask emulators up redshift` beside `cargo test`.

mod support;

#[path = "redshift/bad.rs"]
mod bad;
#[path = "redshift/faults.rs"]
mod faults;
#[path = "redshift/harness.rs"]
mod harness;
#[path = "redshift/schema.rs"]
mod schema;
#[path = "redshift/stage.rs"]
mod stage;

use harness::{DATA, Emulator, SERIALIZABLE, WIRE};

mod wire {
    use super::*;
    tablecast_testkit::suite_tests!(Emulator::at(WIRE));
    tablecast_testkit::law_tests!(Emulator::at(WIRE));
}

mod serializable {
    use super::*;
    tablecast_testkit::suite_tests!(Emulator::at(SERIALIZABLE));
    tablecast_testkit::law_tests!(Emulator::at(SERIALIZABLE));
}

mod data_api {
    use super::*;
    tablecast_testkit::suite_tests!(Emulator::at(DATA));
    tablecast_testkit::law_tests!(Emulator::at(DATA));
}

fn the_data_files_have_the_cells_of_sqlite(variable: &'static str) {
    harness::run(support::same_cells_as_sqlite(&Emulator::at(variable))).expect("the same cells");
}

#[test]
fn the_service_keeps_it_as_it_keeps_sqlite() {
    for way in [WIRE, DATA] {
        let emulator = Emulator::at(way);
        let uri = emulator.uri_with(&[]);
        harness::run(support::same_cells_by_the_service(&emulator, &uri)).expect("the same cells");
    }
}

#[test]
fn the_data_files_over_the_wire() {
    the_data_files_have_the_cells_of_sqlite(WIRE);
}

#[test]
fn the_data_files_through_the_data_api() {
    the_data_files_have_the_cells_of_sqlite(DATA);
}
