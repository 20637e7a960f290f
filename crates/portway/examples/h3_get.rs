//! Fetches URLs over HTTP/3, those of a host over one connection: `cargo run --package portway
//! --example h3_get -- URL... [--parallel N] [--ca FILE] [--insecure]`.
//!
//! Bodies go to standard output in the order of the URLs; what else there is to say of the
//! responses goes to standard error.

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode, Uri};
use portway::h3::{ClientConnection, Options};
use portway::quic::Connector;
use portway::security::Trust;
use portway::{Security, load_certificates};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tokio::task::JoinHandle;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("h3_get: {error}");
            ExitCode::from(2)
        }
    }
}

/// Fetches everything; whether all responses were successes.
async fn run() -> Result<bool, Failure> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let security = Security::tls()
        .with_trust(arguments.trust)
        .with_alpn(["h3"]);
    let mut connections: HashMap<Authority, ClientConnection> = HashMap::new();
    let mut running: VecDeque<JoinHandle<Result<Fetched, Failure>>> = VecDeque::new();
    let mut is_all_well = true;
    for url in arguments.urls {
        let authority = url.authority().ok_or(USAGE)?.clone();
        let connection = match connections.get(&authority) {
            Some(connection) => connection.clone(),
            None => {
                let connection = connect(&security, &authority).await?;
                connections.insert(authority, connection.clone());
                connection
            }
        };
        if running.len() == arguments.parallel
            && let Some(first) = running.pop_front()
        {
            is_all_well &= first.await??.show()?;
        }
        running.push_back(tokio::spawn(fetch(connection, url)));
    }
    for fetched in running {
        is_all_well &= fetched.await??.show()?;
    }
    for connection in connections.values() {
        connection.close(portway::h3::Code::H3_NO_ERROR, "done");
    }
    for connection in connections.values() {
        connection.quic().closed().await;
    }
    Ok(is_all_well)
}

/// Connects to the first address that answers.
async fn connect(security: &Security, authority: &Authority) -> Result<ClientConnection, Failure> {
    let name = authority.host().trim_matches(['[', ']']);
    let connector = Connector::new(security.clone()).server_name(name);
    let port = authority.port_u16().unwrap_or(443);
    let mut last: Option<Failure> = None;
    for address in tokio::net::lookup_host((name, port)).await? {
        match connector.connect(address).await {
            Ok(connection) => {
                let seed = u64::from(port);
                let options = Options::default().with_grease(seed);
                return Ok(ClientConnection::new(&connection, &options)?);
            }
            Err(failure) => last = Some(failure.into()),
        }
    }
    Err(last.unwrap_or_else(|| "the name has no address".into()))
}

/// A response.
struct Fetched {
    url: Uri,
    interim: Vec<StatusCode>,
    status: StatusCode,
    headers: HeaderMap,
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn fetch(connection: ClientConnection, url: Uri) -> Result<Fetched, Failure> {
    let request = Request::get(url.clone()).body(Bytes::new())?;
    let mut pending = connection.send(request).await?;
    let mut interim = Vec::new();
    while let Some(head) = pending.interim().await? {
        interim.push(head.status());
    }
    let (head, mut body) = pending.response().await?.into_parts();
    let (mut content, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Fetched {
        url,
        interim,
        status: head.status,
        headers: head.headers,
        content,
        trailers,
    })
}

impl Fetched {
    /// Prints it; whether it was a success.
    fn show(self) -> Result<bool, Failure> {
        for status in &self.interim {
            eprintln!("{}: {status}", self.url);
        }
        eprintln!(
            "{}: {}, {} bytes",
            self.url,
            self.status,
            self.content.len()
        );
        for (kind, fields) in [
            ("", Some(&self.headers)),
            ("trailer ", self.trailers.as_ref()),
        ] {
            for (name, value) in fields.into_iter().flatten() {
                eprintln!(
                    "  {kind}{name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                );
            }
        }
        std::io::stdout().write_all(&self.content)?;
        Ok(self.status.is_success())
    }
}

struct Arguments {
    urls: Vec<Uri>,
    parallel: usize,
    trust: Trust,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = Arguments {
            urls: Vec::new(),
            parallel: 1,
            trust: Trust::Platform,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--parallel" => arguments.parallel = words.next().ok_or(USAGE)?.parse()?,
                "--ca" => {
                    let path = words.next().ok_or(USAGE)?;
                    let roots = load_certificates(Path::new(&path))?;
                    arguments.trust = Trust::Roots(roots.into());
                }
                "--insecure" => arguments.trust = Trust::DangerousAnyone,
                url => arguments.urls.push(url.parse()?),
            }
        }
        match arguments.urls.is_empty() || arguments.parallel == 0 {
            true => Err(USAGE.into()),
            false => Ok(arguments),
        }
    }
}

const USAGE: &str = "usage: h3_get URL... [--parallel N] [--ca FILE] [--insecure]";
