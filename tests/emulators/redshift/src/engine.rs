//! One session: statements go through the gate to PostgreSQL, and its answers come back in Redshift's words.

use crate::backend::Backend;
use crate::frame::Frame;
use crate::gate::{self, Action, Refusal, Statement};
use crate::load;
use crate::world::{Database, World};
use std::io;
use std::sync::Arc;

/// A session of one user in one database.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) backend: Backend,
    pub(crate) world: Arc<World>,
    pub(crate) user: String,
    pub(crate) database: String,
    /// The process behind, as `pg_backend_pid()` gives it.
    pub(crate) process: u32,
    /// `I` idle, `T` within a transaction, `E` within one that failed.
    status: u8,
    /// The last COPY: its number and how many rows it loaded.
    pub(crate) last_copy: (i64, u64),
}

/// All that is answered to one query, `ReadyForQuery` last.
pub(crate) type Reply = Vec<Frame>;

impl Engine {
    /// Opens a session. Gives what PostgreSQL said first; if that ends in an error there is no session.
    pub(crate) async fn open(
        world: &Arc<World>,
        user: &str,
        database: &str,
        application: Option<&str>,
    ) -> io::Result<(Option<Self>, Vec<Frame>)> {
        if world.database(database).is_none() {
            let message = format!("database \"{database}\" does not exist");
            return Ok((None, vec![Frame::report(b'E', "FATAL", "3D000", &message, None)]));
        }
        let (backend, frames) = Backend::connect(&world.socket, user, database, application).await?;
        if frames.last().is_some_and(|frame| frame.kind == b'E') {
            return Ok((None, frames));
        }
        let process = frames
            .iter()
            .find(|frame| frame.kind == b'K')
            .and_then(|frame| frame.body.first_chunk::<4>())
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let frames = frames.into_iter().filter_map(parameter).collect();
        let engine = Self {
            backend,
            world: Arc::clone(world),
            user: user.to_owned(),
            database: database.to_owned(),
            process,
            status: b'I',
            last_copy: (-1, 0),
        };
        Ok((Some(engine), frames))
    }

    pub(crate) fn in_block(&self) -> bool {
        self.status != b'I'
    }

    pub(crate) fn home(&self) -> io::Result<&Database> {
        self.world.database(&self.database).ok_or_else(|| io::Error::other("a session without a database"))
    }

    /// Runs one query of the simple protocol.
    pub(crate) async fn simple(&mut self, sql: &str) -> io::Result<Reply> {
        let in_block = self.in_block();
        let action = gate::translate(sql, in_block, &self.home()?.names);
        self.home()?.learn_names().await?;
        match action {
            Ok(Action::Empty) => self.run(&Statement::default()).await,
            Ok(Action::Run(statement)) => self.run(&statement).await,
            Ok(Action::Copy(copy)) => match load::run(self, &copy).await? {
                Ok(reply) => Ok(reply),
                Err(load::Stop::Refused(refusal)) => self.refuse(&refusal).await,
                Err(load::Stop::Postgres(frames)) => {
                    frames.into_iter().map(|frame| self.answer(frame, None)).collect::<io::Result<Reply>>()
                }
            },
            Err(refusal) => self.refuse(&refusal).await,
        }
    }

    /// Lets PostgreSQL raise the refusal itself, so that the transaction's state is right.
    pub(crate) async fn refuse(&mut self, refusal: &Refusal) -> io::Result<Reply> {
        self.run(&Statement { sql: refusal.as_sql(), ..Statement::default() }).await
    }

    async fn run(&mut self, statement: &Statement) -> io::Result<Reply> {
        let (id, loaded) = self.last_copy;
        let mut sql = statement
            .sql
            .replace("rs_emu.pg_last_copy_id ( )", &format!("({id})::bigint"))
            .replace("rs_emu.pg_last_copy_count ( )", &format!("({loaded})::bigint"));
        if let Some(then) = &statement.then {
            sql = format!("{sql}; {then}");
        }
        self.backend.send(&Frame::query(&sql)).await?;
        let mut reply = Reply::new();
        loop {
            let frame = self.backend.read().await?;
            let (last, done) = (frame.kind == b'Z', frame.kind == b'C');
            // What runs behind the statement is nothing to the client, unless it fails.
            let silent = statement.then.is_some() && done && reply.iter().any(|frame: &Frame| frame.kind == b'C');
            let frame = self.answer(frame, statement.tag)?;
            if !silent {
                reply.push(frame);
            }
            if last {
                return Ok(reply);
            }
        }
    }

    /// Loads rows, in PostgreSQL's text format with line ends in front, into the session's transaction.
    pub(crate) async fn copy_in(&mut self, sql: &str, rows: &[u8], notice: &str) -> io::Result<Reply> {
        const CHUNK: usize = 64 << 10;
        self.backend.send(&Frame::query(sql)).await?;
        let mut reply = Reply::new();
        loop {
            let frame = self.backend.read().await?;
            match frame.kind {
                b'G' => {
                    for chunk in rows.get(1..).unwrap_or_default().chunks(CHUNK) {
                        self.backend.send(&Frame::new(b'd', chunk)).await?;
                    }
                    self.backend.send(&Frame::new(b'c', [])).await?;
                }
                b'C' => {
                    reply.push(Frame::report(b'N', "INFO", "00000", notice, None));
                    reply.push(Frame::texts(b'C', &["COPY"]));
                }
                kind => {
                    reply.push(self.answer(frame, None)?);
                    if kind == b'Z' {
                        return Ok(reply);
                    }
                }
            }
        }
    }

    /// Runs the messages of the extended protocol up to and with `Sync`.
    pub(crate) async fn extended(&mut self, frames: &[Frame]) -> io::Result<Reply> {
        let mut out = Vec::new();
        for frame in frames {
            let parsed = if frame.kind == b'P' { self.parse(frame) } else { Ok(frame.clone()) };
            match parsed {
                // Flush asks for answers before Sync; they come with it.
                Ok(frame) if frame.kind != b'H' => frame.write(&mut out),
                Ok(_) => {}
                Err(refusal) => return self.refuse(&refusal).await,
            }
        }
        self.home()?.learn_names().await?;
        self.backend.write(&out).await?;
        let mut reply = Reply::new();
        loop {
            let frame = self.backend.read().await?;
            let last = frame.kind == b'Z';
            reply.push(self.answer(frame, None)?);
            if last {
                return Ok(reply);
            }
        }
    }

    fn parse(&self, frame: &Frame) -> Result<Frame, Refusal> {
        let broken = || Refusal::new("08P01", "rsemu: a Parse message that cannot be read");
        let (name, at) = frame.text_at(0).ok_or_else(broken)?;
        let (sql, at) = frame.text_at(at).ok_or_else(broken)?;
        let home = self.home().map_err(|_| broken())?;
        let sql = match gate::translate(&sql, self.in_block(), &home.names)? {
            Action::Empty => String::new(),
            Action::Run(Statement { sql, then: None, tag: None }) => sql,
            _ => return Err(Refusal::new("0A000", "rsemu: this statement goes by the simple protocol only")),
        };
        let mut parsed = Frame::texts(b'P', &[&name, &sql]);
        parsed.body.extend_from_slice(frame.body.get(at..).unwrap_or_default());
        Ok(parsed)
    }

    /// A message of PostgreSQL as Redshift would write it.
    fn answer(&mut self, frame: Frame, tag: Option<&str>) -> io::Result<Frame> {
        Ok(match frame.kind {
            b'Z' => {
                self.status = frame.body.first().copied().unwrap_or(b'I');
                frame
            }
            b'C' => match tag {
                Some(tag) => Frame::texts(b'C', &[tag]),
                None => frame,
            },
            b'E' | b'N' => self.report(&frame)?,
            b'T' => self.row_description(&frame)?,
            _ => frame,
        })
    }

    fn report(&self, frame: &Frame) -> io::Result<Frame> {
        let fields = frame.fields();
        let code = fields.iter().find(|(key, _)| *key == b'C').map(|(_, code)| code.as_str());
        if code == Some("40001") {
            // As quoted in github.com/aws/aws-sdk-pandas issue 665, and "Troubleshooting serializable isolation errors".
            let detail = format!(
                "Serializable isolation violation on table - 100001, transactions forming the cycle are: 1001, 1002 (pid:{})",
                self.process
            );
            return Ok(Frame::report(frame.kind, "ERROR", "XX000", "1023", Some(&detail)));
        }
        let names = &self.home()?.names;
        let known = |key: u8| b"SVCMDHPt".contains(&key);
        let fields: Vec<(u8, String)> = fields
            .into_iter()
            .filter(|(key, _)| known(*key))
            .map(|(key, value)| (key, names.restore(&value)))
            .collect();
        Ok(Frame::from_fields(frame.kind, &fields))
    }

    /// Gives columns their long names back.
    fn row_description(&self, frame: &Frame) -> io::Result<Frame> {
        let names = &self.home()?.names;
        let mut body = frame.body.get(..2).unwrap_or_default().to_vec();
        let mut at = 2;
        while let Some((name, behind)) = frame.text_at(at) {
            body.extend_from_slice(names.long(&name).as_bytes());
            body.push(0);
            at = behind + 18;
            body.extend_from_slice(frame.body.get(behind..at).unwrap_or_default());
        }
        Ok(Frame::new(b'T', body))
    }
}

/// What a client is told of the server when it connects; Redshift says it is PostgreSQL 8.0.2.
fn parameter(frame: Frame) -> Option<Frame> {
    if frame.kind != b'S' {
        return Some(frame);
    }
    let (name, _) = frame.text_at(0)?;
    match name.as_str() {
        "server_version" => Some(Frame::texts(b'S', &["server_version", "8.0.2"])),
        "server_encoding" => Some(Frame::texts(b'S', &["server_encoding", "UNICODE"])),
        "client_encoding" => Some(Frame::texts(b'S', &["client_encoding", "UTF8"])),
        // Redshift has these instead of PostgreSQL's newer ones.
        "is_superuser" => Some(Frame::texts(b'S', &["padb_version", "1.0.emulator"])),
        "application_name" => Some(Frame::texts(b'S', &["max_varchar_size", "65535"])),
        "DateStyle" | "TimeZone" | "integer_datetimes" | "session_authorization" => Some(frame),
        _ => None,
    }
}
