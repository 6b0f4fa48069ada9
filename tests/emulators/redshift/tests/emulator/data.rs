//! The Data API and S3 as boto3 sees them.

use crate::support::emulator;
use std::process::Command;

/// Runs `tests/data_api.py`, which asserts for itself.
#[test]
fn boto3_drives_the_data_api_and_s3() {
    let python = std::env::var("TABLECAST_REDSHIFT_PYTHON")
        .expect("TABLECAST_REDSHIFT_PYTHON names a Python with boto3: run `cargo xtask test --engine redshift`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data_api.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script);
    for name in ["WIRE", "DATA", "CONTROL"] {
        command.env(format!("TABLECAST_REDSHIFT_{name}"), emulator().variable(name));
    }
    // Whatever AWS configuration there is on this machine is none of the test's business.
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    let output = command.output().expect("Python runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}
