//! Two simulated hosts with a QUIC endpoint each, and HTTP/3 between them.

use bytes::Bytes;
use http::{Request, Response};
use portway_core::Time;
use portway_core::security::{Identity, TlsParameters, Trust};
use portway_http::h3::{
    ClientConnection, Incoming, Options, ReceiveBody, SendBodyError, ServerConnection,
};
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions, ServerConfig, ServerCrypto,
    TransportOptions,
};
use portway_transport::tls::{EarlyData, TlsEngine, self_signed};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const NAME: &str = "server.example";

/// What the two ends are made with.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) client: Options,
    pub(crate) server: Options,
    pub(crate) client_quic: TransportOptions,
    pub(crate) server_quic: TransportOptions,
    /// Whether the server allows early data, and the client offers it when it resumes.
    pub(crate) has_early_data: bool,
}

/// Both ends and what is between them.
pub(crate) struct Net {
    pub(crate) sim: Simulation,
    setup: Setup,
    host: Arc<SimEnvironment>,
    client: Endpoint,
    server: Endpoint,
    /// A server of the same name at another port, with ticket keys of its own.
    other: Endpoint,
    config: ClientConfig,
    remote: SocketAddr,
}

impl Net {
    fn with(setup: Setup) -> Net {
        let sim = Simulation::new(1);
        let (near, far) = (sim.host("client"), sim.host("server"));
        near.set_addresses(&[ip("10.0.0.1")]);
        far.set_addresses(&[ip("10.0.0.2")]);
        sim.set_time_limit(Time::ZERO + Duration::from_secs(3600));
        let remote = SocketAddr::new(ip("10.0.0.2"), 443);
        let early_data = match setup.has_early_data {
            true => EarlyData::Allowed,
            false => EarlyData::Refused,
        };
        let (server, client) = crypto(remote, early_data);
        let (other, _) = crypto(remote, early_data);
        let [server, other] = [server, other].map(|crypto| {
            let mut config = ServerConfig::new(crypto);
            config.transport = setup.server_quic.clone();
            config
        });
        let mut config = ClientConfig::new(client);
        config.transport = setup.client_quic.clone();
        let options = EndpointOptions::default();
        let bind = |environment: Arc<dyn Environment>, local, server| {
            Endpoint::bind(environment, UdpBind::on(local), &options, server).expect("a socket")
        };
        let local = SocketAddr::new(ip("10.0.0.1"), 0);
        Net {
            client: bind(near.clone(), local, None),
            server: bind(far.clone(), remote, Some(server)),
            other: bind(far, SocketAddr::new(remote.ip(), 444), Some(other)),
            host: near,
            setup,
            config,
            remote,
            sim,
        }
    }

    /// A QUIC connection, as both ends have it.
    pub(crate) async fn quic(&self) -> (Connection, Connection) {
        self.quic_to(&self.server, self.remote).await
    }

    /// The same with the other server.
    pub(crate) async fn quic_to_other(&self) -> (Connection, Connection) {
        let remote = SocketAddr::new(self.remote.ip(), 444);
        self.quic_to(&self.other, remote).await
    }

    async fn quic_to(&self, server: &Endpoint, remote: SocketAddr) -> (Connection, Connection) {
        let connecting = self.client.connect(&self.config, remote, NAME);
        let connection = connecting.expect("an address").await.expect("a server");
        let accepted = server.accept().await.expect("it is open");
        (connection, accepted.expect("the handshake"))
    }

    /// The client's end over a connection.
    pub(crate) fn client_over(&self, connection: &Connection) -> ClientConnection {
        ClientConnection::new(connection, &self.setup.client).expect("a client")
    }

    /// The server's end over a connection.
    pub(crate) fn server_over(&self, connection: &Connection) -> ServerConnection {
        ServerConnection::new(connection, &self.setup.server).expect("a server")
    }

    /// An HTTP/3 connection, as both ends have it.
    pub(crate) async fn pair(&self) -> (ClientConnection, ServerConnection) {
        let (client, server) = self.quic().await;
        (self.client_over(&client), self.server_over(&server))
    }

    /// Lets virtual time pass.
    pub(crate) async fn sleep(&self, time: Duration) {
        let mut timer = self.host.timer();
        timer.reset(Some(self.host.now() + time));
        std::future::poll_fn(|context| timer.poll_expired(context)).await;
    }

    /// Runs a task beside the test.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.host.spawn(Box::pin(task));
    }

    /// Answers everything with what came, until the connection ends.
    pub(crate) fn echo(&self, server: ServerConnection) -> Arc<ServerConnection> {
        let server = Arc::new(server);
        self.spawn(echo(Arc::clone(&server), Arc::clone(&self.host)));
        server
    }

    /// Runs a test to its end; nothing of it may stay.
    pub(crate) fn run<F: Future<Output = ()>>(setup: Setup, test: impl FnOnce(Rc<Net>) -> F) {
        let net = Rc::new(Net::with(setup));
        net.sim.block_on(test(Rc::clone(&net)));
        net.client.close(0.into(), b"");
        net.server.close(0.into(), b"");
        net.other.close(0.into(), b"");
        net.sim.block_on(async {
            net.client.wait_idle().await;
            net.server.wait_idle().await;
            net.other.wait_idle().await;
        });
        net.sim.run_for(Duration::from_millis(1));
        let net = Rc::into_inner(net).expect("no task of the test is left");
        let Net {
            sim,
            client,
            server,
            other,
            host,
            ..
        } = net;
        drop((client, server, other, host));
        sim.run_for(Duration::from_millis(1));
        assert_eq!(sim.tasks_alive(), 0, "tasks");
        assert_eq!(sim.sockets_open(), 0, "sockets");
    }
}

fn crypto(remote: SocketAddr, early_data: EarlyData) -> (ServerCrypto, ClientCrypto) {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| self_signed(&[NAME.to_owned()]).expect("a key").into());
    let engine = TlsEngine::new();
    let alpn = [b"h3".to_vec()];
    let ours = TlsParameters::default().with_identity(Arc::clone(identity));
    let server = engine.quic_server(&ours, &alpn, early_data);
    let pin = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
    let theirs = TlsParameters::default().with_trust(pin);
    let address = remote.ip();
    let client = engine.quic_client(&theirs, Some(NAME), address, &alpn, early_data);
    let server = ServerCrypto::new(server.expect("an identity"));
    (server, ClientCrypto::new(client.expect("a pin")))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A request for a path.
pub(crate) fn get(path: &str) -> Request<Bytes> {
    let uri = format!("https://{NAME}{path}");
    Request::get(uri).body(Bytes::new()).expect("a request")
}

/// A request whose content follows.
pub(crate) fn post(path: &str) -> Request<()> {
    let uri = format!("https://{NAME}{path}");
    Request::post(uri).body(()).expect("a request")
}

/// A response with this content.
pub(crate) fn ok(content: &'static str) -> Response<Bytes> {
    Response::new(Bytes::from_static(content.as_bytes()))
}

/// A response whose content follows.
pub(crate) fn ok_begun() -> Response<()> {
    Response::new(())
}

/// Fetches a path and gives the content.
pub(crate) async fn fetch(client: &ClientConnection, path: &str) -> Bytes {
    let response = client.send(get(path)).await.expect("sent");
    let response = response.response().await.expect("answered");
    whole(response.into_body()).await
}

/// All of a body.
pub(crate) async fn whole(body: ReceiveBody) -> Bytes {
    body.read_all(1 << 30).await.expect("whole").0
}

/// Answers everything with what came, until the connection ends.
async fn echo(server: Arc<ServerConnection>, host: Arc<SimEnvironment>) {
    while let Ok(Some(Incoming { request, responder })) = server.accept().await {
        let answer = Box::pin(async move {
            let Ok(send) = responder.send_response(ok_begun()) else {
                return;
            };
            match send.send_body(request.into_body()).await {
                Ok(()) | Err(SendBodyError::Stream(_) | SendBodyError::Body(_)) => {}
                Err(_) => unreachable!("there are two kinds"),
            }
        });
        host.spawn(answer);
    }
}

/// Content of so many bytes.
pub(crate) fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect()
}
