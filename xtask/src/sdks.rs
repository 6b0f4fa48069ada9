//! Segment's own SDKs, which the tests of the service send calls with.

use crate::{Result, node, section, venv};
use xshell::{PushEnv, Shell};

/// Any Python that the SDK runs on.
const PYTHONS: &[&str] = &["3.13", "3.12", "3.11", "3.10"];

/// Installs the SDKs where they are not yet, and gives the tests the variables that say where.
pub(crate) fn variables(sh: &Shell) -> Result<Vec<PushEnv<'_>>> {
    section("Segment's SDKs");
    let python = venv::python(sh, "tests/service/sdks/python/requirements.txt", PYTHONS)?;
    let node = node::modules(sh, "tests/service/sdks/node")?;
    Ok(vec![sh.push_env("TABLECAST_SDK_PYTHON", python), sh.push_env("TABLECAST_SDK_NODE", node)])
}
