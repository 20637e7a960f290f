//! The other side of the comparison: tokio with tokio-util's codec, and tokio-rustls.

use crate::carrier::{Carrier, Credentials, HOST};
use crate::workload::{Messenger, serve};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// A byte stream with tokio-util's codec of lengths in four bytes.
pub type Codec<S> = Framed<S, LengthDelimitedCodec>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Messenger for Codec<S> {
    async fn send(&mut self, message: Bytes) {
        SinkExt::send(self, message)
            .await
            .expect("the peer is there");
    }

    async fn receive(&mut self) -> Option<Bytes> {
        // A client that is dropped says no goodbye; that is its end all the same.
        let message = StreamExt::next(self).await?.ok()?;
        Some(message.freeze())
    }
}

/// A client over either carrier.
pub enum Client {
    /// TCP.
    Tcp(Codec<TcpStream>),
    /// TLS.
    Tls(Box<Codec<client::TlsStream<TcpStream>>>),
}

impl Messenger for Client {
    async fn send(&mut self, message: Bytes) {
        match self {
            Client::Tcp(codec) => Messenger::send(codec, message).await,
            Client::Tls(codec) => Messenger::send(&mut **codec, message).await,
        }
    }

    async fn receive(&mut self) -> Option<Bytes> {
        match self {
            Client::Tcp(codec) => codec.receive().await,
            Client::Tls(codec) => codec.receive().await,
        }
    }
}

/// Opens a TCP connection as portway does: without Nagle's algorithm.
pub async fn connect_tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the listener");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Opens a TLS connection.
pub async fn connect_tls(
    address: SocketAddr,
    connector: &TlsConnector,
) -> client::TlsStream<TcpStream> {
    let stream = connect_tcp(address).await;
    let name = ServerName::try_from(HOST).expect("a DNS name");
    connector
        .connect(name, stream)
        .await
        .expect("the handshake with our own server")
}

/// Opens a connection with the codec.
pub async fn connect(address: SocketAddr, carrier: Carrier, credentials: &Credentials) -> Client {
    match carrier {
        Carrier::Tcp => Client::Tcp(codec(connect_tcp(address).await)),
        Carrier::Tls => {
            let connector = TlsConnector::from(credentials.client());
            let stream = connect_tls(address, &connector).await;
            Client::Tls(Box::new(codec(stream)))
        }
    }
}

/// Accepts and serves connections for as long as the listener works.
pub async fn accept_all(listener: TcpListener, carrier: Carrier, credentials: Arc<Credentials>) {
    let acceptor = TlsAcceptor::from(credentials.server());
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP socket");
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match carrier {
                Carrier::Tcp => serve(codec(stream)).await,
                Carrier::Tls => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(codec(stream)).await;
                    }
                }
            }
        });
    }
}

/// A server over either carrier.
pub enum Server {
    /// TCP.
    Tcp(Codec<TcpStream>),
    /// TLS.
    Tls(Box<Codec<server::TlsStream<TcpStream>>>),
}

impl Messenger for Server {
    async fn send(&mut self, message: Bytes) {
        match self {
            Server::Tcp(codec) => Messenger::send(codec, message).await,
            Server::Tls(codec) => Messenger::send(&mut **codec, message).await,
        }
    }

    async fn receive(&mut self) -> Option<Bytes> {
        match self {
            Server::Tcp(codec) => codec.receive().await,
            Server::Tls(codec) => codec.receive().await,
        }
    }
}

/// Accepts one connection with the codec.
pub async fn accept(listener: &TcpListener, carrier: Carrier, credentials: &Credentials) -> Server {
    let (stream, _) = listener.accept().await.expect("a client that comes");
    stream.set_nodelay(true).expect("a TCP socket");
    match carrier {
        Carrier::Tcp => Server::Tcp(codec(stream)),
        Carrier::Tls => {
            let acceptor = TlsAcceptor::from(credentials.server());
            let stream = acceptor.accept(stream).await;
            Server::Tls(Box::new(codec(stream.expect("our own client"))))
        }
    }
}

fn codec<S: AsyncRead + AsyncWrite>(stream: S) -> Codec<S> {
    Framed::new(stream, LengthDelimitedCodec::new())
}
