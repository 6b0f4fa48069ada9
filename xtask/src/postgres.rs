//! PostgreSQL's server and `psql`, which the Redshift emulator and its tests run.

use crate::{Result, packages};
use xshell::Shell;

/// Installs PostgreSQL where it is missing and that can be done unasked.
pub(crate) fn install(sh: &Shell) -> Result {
    let advice = "`apt-get install postgresql`, `dnf install postgresql-server postgresql` or `brew install postgresql@15`; \
                  if it is installed, put the folder of `initdb` on the PATH";
    packages::install(sh, "PostgreSQL's server", &["postgresql"], is_installed, advice)
}

fn is_installed() -> bool {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    packages::on_path("initdb").is_some()
        || debian.map(|entry| entry.path().join("bin/initdb")).any(|path| path.is_file())
}
