//! Datagrams of HTTP (RFC 9297), back and forth beside an extended CONNECT.
//!
//! ```text
//! h3_datagram --listen ADDR:PORT --cert FILE --key FILE      gives datagrams back
//! h3_datagram URL [--count N] [--ca FILE] [--insecure]       sends N and counts what comes back
//! ```
//!
//! Datagrams may be lost, so that the client waits for each one for a second at most.

use http::uri::Authority;
use http::{Method, Request, Response, Uri};
use portway::h3::{ClientConnection, Code, Options, Protocol, ServerConnection, Tunnel};
use portway::quic::{Connection, Connector, Listener};
use portway::security::Trust;
use portway::{Security, load_certificates, load_identity};
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    match Arguments::parse(std::env::args().skip(1))? {
        Arguments::Serve { listen, cert, key } => {
            let identity = load_identity(&cert, &key)?;
            let security = Security::tls().with_identity(identity).with_alpn(["h3"]);
            let listener = Listener::bind(listen, security)?;
            println!("listening {}", listener.local_address());
            while let Some(accepted) = listener.accept().await {
                match accepted {
                    Ok(connection) => drop(tokio::spawn(serve(connection))),
                    Err(error) => eprintln!("{}: {}", error.remote, error.cause),
                }
            }
            Ok(())
        }
        Arguments::Ask { url, count, trust } => ask(&url, count, trust).await,
    }
}

/// Both ends offer datagrams; the server offers extended CONNECT, too.
fn options() -> Options {
    let mut options = Options::default();
    options.http.datagrams.rfc9297 = true;
    options.http.extended_connect = true;
    options
}

async fn serve(connection: Connection) {
    let Ok(server) = ServerConnection::new(&connection, &options()) else {
        return;
    };
    while let Ok(Some(incoming)) = server.accept().await {
        tokio::spawn(async move {
            let protocol = incoming.request.extensions().get::<Protocol>();
            let is_known = protocol.is_some_and(|protocol| protocol.as_str() == PROTOCOL);
            let status = if is_known { 200 } else { 501 };
            let response = Response::builder().status(status).body(())?;
            let send = incoming.responder.send_response(response)?;
            if !is_known {
                return Ok(send.finish()?);
            }
            let mut tunnel = Tunnel::new(incoming.request.into_body(), send);
            let datagrams = tunnel.datagrams();
            loop {
                let mut end = [0];
                tokio::select! {
                    datagram = datagrams.receive() => match datagram {
                        Some(datagram) => datagrams.send(&datagram.payload)?,
                        None => break,
                    },
                    // Nothing is to come on the stream but its end.
                    ended = tunnel.read(&mut end) => if ended? == 0 { break },
                }
            }
            Ok::<(), Failure>(())
        });
    }
}

async fn ask(url: &Uri, count: u32, trust: Trust) -> Result<(), Failure> {
    let authority = url.authority().ok_or(USAGE)?;
    let client = connect(authority, trust).await?;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(url)
        .extension(Protocol::new(PROTOCOL).expect("a token"))
        .body(())?;
    let tunnel = client.connect(request).await?.into_body();
    let datagrams = tunnel.datagrams();
    let mut came = 0;
    for number in 0..count {
        datagrams.send(&number.to_be_bytes())?;
        let answer = tokio::time::timeout(Duration::from_secs(1), datagrams.receive());
        came += match answer.await {
            Ok(Some(datagram)) => u32::from(datagram.payload[..] == number.to_be_bytes()),
            Ok(None) => break,
            Err(_) => 0,
        };
    }
    let max = datagrams.payload_max(0).unwrap_or(0);
    println!("{came} of {count} came back; a datagram can have {max} bytes");
    drop(tunnel);
    client.close(Code::H3_NO_ERROR, "done");
    client.quic().closed().await;
    Ok(())
}

async fn connect(authority: &Authority, trust: Trust) -> Result<ClientConnection, Failure> {
    let security = Security::tls().with_trust(trust).with_alpn(["h3"]);
    let name = authority.host().trim_matches(['[', ']']);
    let connector = Connector::new(security).server_name(name);
    let port = authority.port_u16().unwrap_or(443);
    let address = tokio::net::lookup_host((name, port)).await?.next();
    let connection = connector
        .connect(address.ok_or("the name has no address")?)
        .await?;
    Ok(ClientConnection::new(&connection, &options())?)
}

enum Arguments {
    Serve {
        listen: SocketAddr,
        cert: PathBuf,
        key: PathBuf,
    },
    Ask {
        url: Uri,
        count: u32,
        trust: Trust,
    },
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut listen, mut cert, mut key) = (None, None, None);
        let (mut url, mut count, mut trust) = (None, 10, Trust::Platform);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--listen" => listen = Some(value()?.parse()?),
                "--cert" => cert = Some(value()?.into()),
                "--key" => key = Some(value()?.into()),
                "--count" => count = value()?.parse()?,
                "--ca" => trust = Trust::Roots(load_certificates(Path::new(&value()?))?.into()),
                "--insecure" => trust = Trust::DangerousAnyone,
                word => url = Some(word.parse()?),
            }
        }
        match (listen, cert, key, url) {
            (Some(listen), Some(cert), Some(key), None) => {
                Ok(Arguments::Serve { listen, cert, key })
            }
            (None, None, None, Some(url)) => Ok(Arguments::Ask { url, count, trust }),
            _ => Err(USAGE.into()),
        }
    }
}

const USAGE: &str = "usage: h3_datagram --listen ADDR:PORT --cert FILE --key FILE, or
       h3_datagram URL [--count N] [--ca FILE] [--insecure]";
/// What the extended CONNECT asks for: datagrams come back as they went.
const PROTOCOL: &str = "portway-datagram-echo";
