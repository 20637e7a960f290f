//! Our own HTTP/3 on loopback.

use super::server::Made;
use bytes::Bytes;
use http::Response;
use portway_core::security::{Identity, TlsParameters};
use portway_http::h3::{Incoming, Options, ServerConnection};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    Endpoint, EndpointOptions, ServerConfig, ServerCrypto, TransportOptions,
};
use portway_transport::real;
use portway_transport::tls::{EarlyData, TlsEngine};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

type Handler = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub(crate) struct Http3Server {
    pub(crate) address: SocketAddr,
    endpoint: Endpoint,
    connections: Arc<Mutex<Vec<Arc<ServerConnection>>>>,
}

impl Http3Server {
    /// Serves on this address, whose port may be zero.
    pub(crate) fn start<F, R>(made: &Made, address: SocketAddr, handler: F) -> Http3Server
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Http3Server::start_with(made, address, TransportOptions::default(), handler)
    }

    pub(crate) fn start_with<F, R>(
        made: &Made,
        address: SocketAddr,
        transport: TransportOptions,
        handler: F,
    ) -> Http3Server
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let environment = Arc::new(RealEnvironment::new(real::Config::default()));
        Http3Server::start_in(environment, made, address, transport, handler)
    }

    /// Serves on a host.
    pub(crate) fn start_in<F, R>(
        environment: Arc<dyn Environment>,
        made: &Made,
        address: SocketAddr,
        transport: TransportOptions,
        handler: F,
    ) -> Http3Server
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let identity = Identity::new(vec![made.certificate.clone()], made.key());
        let parameters = TlsParameters::default().with_identity(identity);
        let tls = TlsEngine::new().quic_server(&parameters, &[b"h3".to_vec()], EarlyData::Refused);
        let mut config = ServerConfig::new(ServerCrypto::new(tls.expect("an identity")));
        config.transport = transport;
        let bind = UdpBind::on(address);
        let options = EndpointOptions::default();
        let endpoint = Endpoint::bind(environment.clone(), bind, &options, Some(config));
        let endpoint = endpoint.expect("the port is free");
        let server = Http3Server {
            address: endpoint.local_address(),
            endpoint: endpoint.clone(),
            connections: Arc::default(),
        };
        let connections = server.connections.clone();
        let handler: Handler = Arc::new(move |incoming| Box::pin(handler(incoming)));
        let host = environment.clone();
        environment.spawn(Box::pin(async move {
            while let Some(accepted) = endpoint.accept().await {
                let Ok(quic) = accepted else { continue };
                let connection = ServerConnection::new(&quic, &Options::default());
                let connection = Arc::new(connection.expect("nothing runs there"));
                let mut all = connections.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(connection.clone());
                drop(all);
                let (handler, near) = (handler.clone(), host.clone());
                host.spawn(Box::pin(async move {
                    while let Ok(Some(incoming)) = connection.accept().await {
                        near.spawn(handler(incoming));
                    }
                }));
            }
        }));
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The connections that were accepted, closed ones included.
    pub(crate) fn connections(&self) -> Vec<Arc<ServerConnection>> {
        let all = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }
}

impl Drop for Http3Server {
    fn drop(&mut self) {
        self.endpoint.close(0.into(), b"");
    }
}

/// Answers with these words.
pub(crate) fn say(incoming: Incoming, words: &'static str) {
    let response = Response::new(Bytes::from_static(words.as_bytes()));
    // Whether the client still wants it is the client's to say.
    let _ = incoming.responder.send(response);
}
