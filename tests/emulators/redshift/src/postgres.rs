//! The PostgreSQL behind the emulator: found, started on a Unix socket in a folder of its own, and ended.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The superuser, and the user of the system that runs the server where we are root.
const SUPERUSER: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server until its standard input closes, whatever becomes of the emulator, and removes its folder.
const KEEPER: &str = r#"
"$@" &
read -r _
kill -QUIT "$(head -n 1 "$KEEPER_DATA/postmaster.pid")"
wait
rm -rf "$KEEPER_FOLDER"
"#;

/// A server that runs as long as this value lives.
#[derive(Debug)]
pub(crate) struct Postgres {
    keeper: Child,
    socket: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `folder/pg` and starts it. The folder is removed when the server ends.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; the text says what to do.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let bin = find()?;
        let data = folder.join("pg");
        std::fs::create_dir(&data)?;
        let root = is_root();
        if root {
            // The server's user must get through to its data.
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
            run(Command::new("chown").arg(SUPERUSER).arg(&data))?;
        }
        let program = |name: &str| {
            let path = bin.join(name);
            if !root {
                return (path, Vec::new());
            }
            let words = ["-u", SUPERUSER, "--"].map(Into::into).into_iter().chain([path.into_os_string()]);
            ("runuser".into(), words.collect::<Vec<std::ffi::OsString>>())
        };

        let (initdb, words) = program("initdb");
        // In SQL_ASCII varchar(n) counts bytes, as Redshift does.
        run(Command::new(initdb).args(words).arg("-D").arg(&data).current_dir(folder).args([
            "--username",
            SUPERUSER,
            "--auth=trust",
            "--encoding=SQL_ASCII",
            "--locale=C",
            "--no-sync",
        ]))?;

        let (postgres, words) = program("postgres");
        let log = std::fs::File::create(folder.join("postgres.log"))?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(postgres).args(words).arg("-D").arg(&data).arg("-k").arg(&data);
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "max_connections=200",
            "max_locks_per_transaction=1024",
            "max_pred_locks_per_transaction=1024",
            "log_min_messages=error",
        ] {
            keeper.args(["-c", setting]);
        }
        keeper.current_dir(folder).env("KEEPER_DATA", &data).env("KEEPER_FOLDER", folder);
        // A group of its own: Ctrl-C must reach the emulator only.
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        let keeper = keeper.spawn()?;
        let server = Self { keeper, socket: data.join(".s.PGSQL.5432") };
        server.wait(folder)?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn wait(&self, folder: &Path) -> io::Result<()> {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            if begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.join("postgres.log")).unwrap_or_default();
                return Err(io::Error::other(format!("PostgreSQL did not start within {PATIENCE:?}:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The folder with `initdb` and `postgres`.
fn find() -> io::Result<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    // Debian keeps the server's programs off the PATH, the newest version last.
    let versions = Path::new("/usr/lib/postgresql");
    let mut installed: Vec<(u32, PathBuf)> = std::fs::read_dir(versions)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .collect();
    installed.sort();
    folders.extend(installed.into_iter().rev().map(|(_, path)| path));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file()).ok_or_else(
        || {
            io::Error::other(
                "PostgreSQL's server (initdb, postgres) is not installed: `apt-get install postgresql`, \
                 `dnf install postgresql-server` or `brew install postgresql@15`, or put its folder on the PATH",
            )
        },
    )
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        io::Error::other(format!("{} did not start: {error}", command.get_program().to_string_lossy()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{} failed: {}", command.get_program().to_string_lossy(), said.trim())))
}
