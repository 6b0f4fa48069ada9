//! The wire side: TLS, log-in, and statements one by one, with faults between them.

use crate::engine::{Engine, Reply};
use crate::fault::{Effect, Fault};
use crate::frame::{self, Frame};
use crate::gate::Refusal;
use crate::world::{USERS, World};
use md5::{Digest, Md5};
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const PROTOCOL: u32 = 196_608;
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

type Client = BufReader<TlsStream<TcpStream>>;

/// Takes connections until the program ends.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>) {
    let mut session = 0;
    while let Ok((stream, _)) = listener.accept().await {
        session += 1;
        let (tls, world) = (tls.clone(), Arc::clone(&world));
        tokio::spawn(async move {
            // A client that goes away mid-sentence is nothing to report.
            let _ = connection(stream, tls, world, session).await;
        });
    }
}

async fn connection(mut stream: TcpStream, tls: TlsAcceptor, world: Arc<World>, session: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let body = frame::read_body(&mut stream).await?;
        match code(&body) {
            GSS => stream.write_all(b"N").await?,
            TLS => {
                stream.write_all(b"S").await?;
                let mut client = BufReader::new(tls.accept(stream).await?);
                let body = frame::read_body(&mut client).await?;
                return match code(&body) {
                    CANCEL => cancel(&world, &body).await,
                    _ => log_in(client, &body, world, session).await,
                };
            }
            CANCEL => return cancel(&world, &body).await,
            _ => {
                // New clusters have require_ssl on ("Configuring security options for connections").
                let message = "no pg_hba.conf entry for host \"127.0.0.1\", SSL off";
                let mut out = Vec::new();
                Frame::report(b'E', "FATAL", "28000", message, None).write(&mut out);
                return stream.write_all(&out).await;
            }
        }
    }
}

fn code(body: &[u8]) -> u32 {
    body.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A request to cancel goes to PostgreSQL as it is: its keys are what the client was given.
async fn cancel(world: &World, body: &[u8]) -> io::Result<()> {
    let mut out = Vec::new();
    frame::put_len(&mut out, body.len());
    out.extend_from_slice(body);
    UnixStream::connect(&world.socket).await?.write_all(&out).await
}

async fn send(client: &mut Client, frames: &[Frame]) -> io::Result<()> {
    let mut out = Vec::new();
    for frame in frames {
        frame.write(&mut out);
    }
    client.write_all(&out).await?;
    client.flush().await
}

async fn log_in(mut client: Client, body: &[u8], world: Arc<World>, session: u64) -> io::Result<()> {
    let parameters: Vec<&str> =
        std::str::from_utf8(body.get(4..).unwrap_or_default()).unwrap_or_default().split('\0').collect();
    let parameters: Vec<(&str, &str)> = parameters.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let find = |wanted: &str| parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let user = find("user").unwrap_or_default();
    let refused = match code(body) {
        PROTOCOL => unknown_parameter(&parameters),
        _ => Some(("0A000", "rsemu: only protocol 3.0 is spoken".to_owned())),
    };
    if let Some((code, message)) = refused {
        return send(&mut client, &[Frame::report(b'E', "FATAL", code, &message, None)]).await;
    }
    if !is_known(&mut client, user, session).await? {
        let message = format!("password authentication failed for user \"{user}\"");
        return send(&mut client, &[Frame::report(b'E', "FATAL", "28000", &message, None)]).await;
    }
    let database = find("database").unwrap_or(user);
    let (engine, frames) = Engine::open(&world, user, database, find("application_name")).await?;
    send(&mut client, &frames).await?;
    match engine {
        Some(engine) => Session { client, engine, id: session }.run().await,
        None => Ok(()),
    }
}

/// What drivers of Redshift send when they connect.
const PARAMETERS: [&str; 12] = [
    "",
    "_pq_.client_protocol_version",
    "application_name",
    "client_encoding",
    "client_protocol_version",
    "database",
    "datestyle",
    "driver_version",
    "extra_float_digits",
    "os_version",
    "plugin_name",
    "user",
];

fn unknown_parameter(parameters: &[(&str, &str)]) -> Option<(&'static str, String)> {
    for (name, value) in parameters {
        if !PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Some(("22023", format!("rsemu: the startup parameter {name} is not on the allow-list")));
        }
        // As told in github.com/launchbadge/sqlx pull request 1774.
        if *name == "extra_float_digits" && value.parse::<i32>().is_ok_and(|digits| digits > 2) {
            let message = format!("{value} is outside the valid range for parameter \"{name}\" (-15 .. 2)");
            return Some(("22023", message));
        }
    }
    None
}

/// Asks for the password, as Redshift does by default: its MD5.
async fn is_known(client: &mut Client, user: &str, session: u64) -> io::Result<bool> {
    let salt = session.to_be_bytes();
    let salt = &salt[4..];
    let mut ask = 5_u32.to_be_bytes().to_vec();
    ask.extend_from_slice(salt);
    send(client, &[Frame::new(b'R', ask)]).await?;
    let Some(answer) = frame::read(client).await?.filter(|frame| frame.kind == b'p') else { return Ok(false) };
    let Some(known) = USERS.iter().find(|known| known.name == user) else { return Ok(false) };
    let inner = hex_md5(&[known.password.as_bytes(), user.as_bytes()]);
    let expected = format!("md5{}", hex_md5(&[inner.as_bytes(), salt]));
    Ok(answer.text_at(0).is_some_and(|(given, _)| given == expected))
}

fn hex_md5(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Session {
    client: Client,
    engine: Engine,
    id: u64,
}

/// What faults make of a statement.
enum Met {
    /// It runs, and then the connection is lost or not.
    Runs {
        lost: bool,
    },
    Refused(Refusal),
    /// The connection is lost at once.
    Lost,
}

impl Session {
    /// Answers until the client goes away.
    async fn run(mut self) -> io::Result<()> {
        let mut pending: Vec<Frame> = Vec::new();
        while let Some(frame) = frame::read(&mut self.client).await? {
            let sql = match frame.kind {
                b'Q' => frame.text_at(0).map(|(sql, _)| sql).unwrap_or_default(),
                b'S' => {
                    pending.push(frame);
                    self.extended(std::mem::take(&mut pending)).await?;
                    continue;
                }
                b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => {
                    pending.push(frame);
                    continue;
                }
                b'X' => return Ok(()),
                // What is left of a COPY that was refused.
                b'd' | b'c' | b'f' => continue,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of another protocol")),
            };
            let met = self.meet(&sql).await;
            let reply = match &met {
                Met::Lost => return Ok(()),
                Met::Refused(refusal) => self.engine.refuse(refusal).await?,
                Met::Runs { .. } => self.engine.simple(&sql).await?,
            };
            self.answer(&met, &reply).await?;
        }
        Ok(())
    }

    async fn extended(&mut self, frames: Vec<Frame>) -> io::Result<()> {
        let sql = frames
            .iter()
            .filter(|frame| frame.kind == b'P')
            .filter_map(|frame| Some(frame.text_at(frame.text_at(0)?.1)?.0))
            .collect::<Vec<_>>()
            .join("\n");
        let met = self.meet(&sql).await;
        let reply = match &met {
            Met::Lost => return Err(lost()),
            Met::Refused(refusal) => self.engine.refuse(refusal).await?,
            Met::Runs { .. } => self.engine.extended(&frames).await?,
        };
        self.answer(&met, &reply).await
    }

    async fn answer(&mut self, met: &Met, reply: &Reply) -> io::Result<()> {
        match met {
            Met::Runs { lost: true } | Met::Lost => Err(lost()),
            _ => send(&mut self.client, reply).await,
        }
    }

    async fn meet(&self, sql: &str) -> Met {
        let mut met = Met::Runs { lost: false };
        for fault in self.engine.world.faults.statement(self.id, sql) {
            match fault.does {
                Effect::DropBefore => return Met::Lost,
                Effect::DropAfter => met = Met::Runs { lost: true },
                Effect::Refuse => met = Met::Refused(refusal(&fault)),
                Effect::Delay => tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await,
                Effect::Throttle | Effect::Busy | Effect::Abort => {}
            }
        }
        met
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "lost, as was asked for")
}

/// What a fault answers instead of running the statement.
pub(crate) fn refusal(fault: &Fault) -> Refusal {
    let code = if fault.code.is_empty() { "XX000".to_owned() } else { fault.code.clone() };
    Refusal { detail: fault.detail.clone(), ..Refusal::new(code, fault.message.clone()) }
}
