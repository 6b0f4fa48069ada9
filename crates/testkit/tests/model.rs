//! The suite and the laws on the model itself: what each case expects is written out, so this is a test of both.

use tablecast_testkit::Model;

tablecast_testkit::suite_tests!(Model::new());
tablecast_testkit::law_tests!(Model::new());
