//! The servers at the far end: our own, and those of others, which all give bytes when asked.
//!
//! Invariant: a server ends with its scenario.

use super::scene::Scene;
use super::{patience, patience_of_ngtcp2};
use crate::authority::{Authority, NAME};
use crate::peer::Peer;
use crate::quic::http3::{self, Critical};
use crate::quic::scripted::Script;
use crate::quic::{ALPN, context, pattern};
use portway::quic::{
    AddressValidation, Connection, Connector, Endpoint, EndpointOptions, ReceiveStream, SendStream,
    ServerConfig, StreamError, TransportOptions, server_config,
};
use portway::{Context, Security};
use portway_transport::environment::UdpBind;
use portway_transport::tls::EarlyData;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Who is at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Scripted(Script),
    Ngtcp2,
}

/// What a scenario wants of a server.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    /// It asks for tokens.
    pub(super) retry: bool,
    /// It listens on IPv6.
    pub(super) v6: bool,
    /// It has a certificate of several packets.
    pub(super) large_certificate: bool,
}

/// A running server.
pub(super) struct Server {
    kind: Kind,
    pub(super) address: SocketAddr,
    root: String,
    keeper: Keeper,
}

enum Keeper {
    Ours(#[expect(dead_code, reason = "it ends when it is dropped")] Ours),
    Process(Box<Peer>),
}

impl Server {
    /// Starts one; `None`, after saying why, where its program is not there.
    pub(super) async fn start(
        kind: Kind,
        scene: &Scene,
        authority: &Authority,
        wanted: Wanted,
    ) -> Option<Server> {
        let host = match wanted.v6 {
            true => IpAddr::from(FAR_V6),
            false => IpAddr::from(portway_tests::link::FAR_V4),
        };
        let files = match wanted.large_certificate {
            true => &authority.large,
            false => &authority.server,
        };
        let (root, _) = files.cert.rsplit_once('/').expect("in a directory");
        let text = host.to_string();
        let (keeper, address) = match kind {
            Kind::Ours => {
                let security = Security::tls()
                    .with_identity(files.identity())
                    .with_alpn([ALPN]);
                let validation = match wanted.retry {
                    true => AddressValidation::Always,
                    false => AddressValidation::Never,
                };
                let ours = Ours::start(scene, SocketAddr::new(host, 0), 0, move |context| {
                    let mut config = config(context, &security);
                    config.address_validation = validation;
                    config
                });
                let address = ours.address;
                (Keeper::Ours(ours), address)
            }
            Kind::Scripted(script) => {
                let (program, words) = script.program(&scene.name)?;
                let idle = patience().as_secs().to_string();
                let fixed = ["server", "--mode", "perf", "--window", "4194304"];
                let at = ["--host", &text, "--cert", &files.cert, "--key", &files.key];
                let retry: &[&str] = if wanted.retry { &["--retry"] } else { &[] };
                let arguments = [words, &fixed, &["--idle", &idle], &at, retry].concat();
                let mut peer = scene.start_far(program, &arguments)?;
                let address = peer.address_after("LISTEN ").await;
                (Keeper::Process(Box::new(peer)), address)
            }
            Kind::Ngtcp2 => {
                let retry: &[&str] = if wanted.retry { &["-V"] } else { &[] };
                let [handshake, idle] = &patience_of_ngtcp2();
                let quiet = ["--no-quic-dump", "--no-http-dump"];
                let fixed = [&quiet[..], &[handshake, idle, "-d", root]].concat();
                let at = [&text, "443", &files.key, &files.cert];
                let arguments = [&fixed[..], retry, &at].concat();
                let mut peer = scene.start_far("/usr/sbin/gtlsserver", &arguments)?;
                peer.after("Using document root ").await;
                (Keeper::Process(Box::new(peer)), SocketAddr::new(host, 443))
            }
        };
        Some(Server {
            kind,
            address,
            root: root.to_owned(),
            keeper,
        })
    }

    /// A client of it, with patience.
    pub(super) fn connector(&self, authority: &Authority, context: &Context) -> Connector {
        self.connector_with(self.security(authority), context)
    }

    /// The protection that its clients ask for.
    pub(super) fn security(&self, authority: &Authority) -> portway::security::SecurityParameters {
        let alpn = match self.kind {
            Kind::Ours | Kind::Scripted(_) => ALPN,
            Kind::Ngtcp2 => "h3",
        };
        Security::tls()
            .with_trust(authority.trust())
            .with_alpn([alpn])
    }

    /// As [`Server::connector`], with another protection.
    pub(super) fn connector_with(
        &self,
        security: portway::security::SecurityParameters,
        context: &Context,
    ) -> Connector {
        let mut transport = patient();
        // Who only listens must speak now and then: a server that has seen nothing from behind a
        // new translation may send no more than three times what came, and that may be lost.
        transport.times.keep_alive = Some(Duration::from_secs(1));
        Connector::new(security)
            .context(context)
            .server_name(NAME)
            .transport(transport)
            .early_data()
    }

    /// Prepares what a connection is asked with.
    pub(super) async fn asking<'a>(&'a self, connection: &'a Connection) -> Asking<'a> {
        let critical = match self.kind {
            Kind::Ours | Kind::Scripted(_) => None,
            Kind::Ngtcp2 => Critical::open(connection, 0).await,
        };
        Asking {
            server: self,
            connection,
            _critical: critical,
        }
    }

    /// The output of a program, and whether there is one.
    pub(super) fn process(&mut self) -> Option<&mut Peer> {
        match &mut self.keeper {
            Keeper::Ours(_) => None,
            Keeper::Process(peer) => Some(peer),
        }
    }
}

/// A connection that asks for bytes.
pub(super) struct Asking<'a> {
    server: &'a Server,
    connection: &'a Connection,
    _critical: Option<Critical>,
}

impl Asking<'_> {
    /// Asks for so many bytes, and checks them.
    pub(super) async fn get(&self, count: usize) {
        assert!(self.is_answered(count).await, "early data was rejected");
    }

    /// The same, where it may be rejected early data.
    pub(super) async fn is_answered(&self, count: usize) -> bool {
        let request = match self.server.kind {
            Kind::Ours | Kind::Scripted(_) => (count as u64).to_be_bytes().to_vec(),
            Kind::Ngtcp2 => {
                let file = format!("{}/{count}.bytes", self.server.root);
                if !std::path::Path::new(&file).exists() {
                    std::fs::write(file, pattern(count)).expect("a file");
                }
                http3::request(&format!("/{count}.bytes"))
            }
        };
        let (mut send, mut receive) = self.connection.open_bi().await.expect("opened");
        match send.write_and_finish(request.into()).await {
            Err(StreamError::EarlyDataRejected) => return false,
            written => written.expect("written"),
        }
        let answer = match receive.read_to_end(count + 4096).await {
            Err(StreamError::EarlyDataRejected) => return false,
            answer => answer.expect("an answer"),
        };
        let answer = match self.server.kind {
            Kind::Ours | Kind::Scripted(_) => answer,
            Kind::Ngtcp2 => http3::body(&answer),
        };
        assert!(answer == pattern(count), "{} of {count}", answer.len());
        true
    }
}

/// Our own server, on a thread in the namespace.
pub(super) struct Ours {
    pub(super) address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ours {
    /// Starts it with the configuration that `config` makes.
    pub(super) fn start(
        scene: &Scene,
        local: SocketAddr,
        http_bytes: usize,
        config: impl FnOnce(&Context) -> ServerConfig + Send + 'static,
    ) -> Ours {
        let (end, ended) = oneshot::channel::<()>();
        let (bound, address) = mpsc::channel();
        let thread = scene.far.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let context = context();
                let config = config(&context);
                let environment = context.environment().clone();
                let options = EndpointOptions::default();
                let bind = UdpBind::on(local);
                let endpoint = Endpoint::bind(environment, bind, &options, Some(config));
                let endpoint = endpoint.expect("a port");
                bound.send(endpoint.local_address()).expect("a test");
                tokio::select! {
                    () = accept(&endpoint, http_bytes) => {}
                    _ = ended => {}
                }
            });
        });
        Ours {
            address: address.recv().expect("it listens"),
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What our servers accept with.
pub(super) fn config(
    context: &Context,
    security: &portway::security::SecurityParameters,
) -> ServerConfig {
    let config = server_config(context, security, patient(), EarlyData::Allowed);
    config.expect("a configuration")
}

/// A handshake may take as long as a test.
fn patient() -> TransportOptions {
    let mut transport = TransportOptions::default();
    transport.times.handshake = patience();
    transport.times.idle = Some(patience());
    transport
}

async fn accept(endpoint: &Endpoint, http_bytes: usize) {
    while let Some(accepted) = endpoint.accept().await {
        if let Ok(connection) = accepted {
            tokio::spawn(answer(connection, http_bytes));
        }
    }
}

/// Answers every stream of a connection: eight bytes are a number of bytes that is asked for,
/// HTTP/3 gets `http_bytes`, and everything else comes back.
async fn answer(connection: Connection, http_bytes: usize) {
    let http_bytes = (connection.alpn().as_deref() == Some(b"h3")).then_some(http_bytes);
    let _critical = match http_bytes {
        Some(_) => Critical::open(&connection, 0).await,
        None => None,
    };
    while let Ok((send, receive)) = connection.accept_bi().await {
        tokio::spawn(answer_stream(send, receive, http_bytes));
    }
}

async fn answer_stream(mut send: SendStream, mut receive: ReceiveStream, http: Option<usize>) {
    let Ok(request) = receive.read_to_end(REQUEST_MAX).await else {
        return;
    };
    let answer = match (http, <[u8; 8]>::try_from(&request[..])) {
        (Some(bytes), _) => http3::response(&pattern(bytes)),
        (None, Ok(count)) => pattern(u64::from_be_bytes(count) as usize),
        (None, Err(_)) => request,
    };
    let _ = send.write_and_finish(answer.into()).await;
    let _ = send.writes_closed().await;
}

const REQUEST_MAX: usize = 20_000_000;
pub(super) const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
