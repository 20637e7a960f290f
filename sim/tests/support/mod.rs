//! What the simulator's tests share: a pair of hosts, and reading and writing to an end.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
#![allow(dead_code, reason = "each test binary uses some of it")]

use portway_core::Time;
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::environment::{
    Environment, ListenAddress, ReceivedDatagram, TcpConnect, TcpListener, TcpStream, UdpSocket,
};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Pair {
    pub(crate) sim: Simulation,
    pub(crate) client: Arc<SimEnvironment>,
    pub(crate) server: Arc<SimEnvironment>,
}

/// Two hosts, 10 ms apart.
pub(crate) fn pair(seed: u64) -> Pair {
    let sim = Simulation::new(seed);
    let (client, server) = (sim.host("client"), sim.host("server"));
    sim.link("client", "server").set_delay(ms(10));
    Pair {
        sim,
        client,
        server,
    }
}

impl Pair {
    pub(crate) fn remote(&self) -> SocketAddr {
        address(&self.server, 443)
    }

    pub(crate) fn listen(&self) -> Box<dyn TcpListener> {
        self.server
            .tcp_listen(ListenAddress::on(self.remote()))
            .unwrap()
    }

    /// Both ends of a connection.
    pub(crate) fn connected(&self) -> (Box<dyn TcpStream>, Box<dyn TcpStream>) {
        let listener = self.listen();
        self.sim.block_on(async {
            let request = TcpConnect::to(self.remote());
            let client = self.client.tcp_connect(request).await.unwrap();
            (client, accept(&*listener).await)
        })
    }

    pub(crate) fn connect_error(&self, remote: SocketAddr) -> io::Error {
        let connect = self.client.tcp_connect(TcpConnect::to(remote));
        self.sim.block_on(connect).err().expect("no connection")
    }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn at(milliseconds: u64) -> Time {
    Time::from_origin(ms(milliseconds))
}

pub(crate) fn address(environment: &SimEnvironment, port: u16) -> SocketAddr {
    SocketAddr::new(environment.addresses()[0], port)
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * n % 251) as u8).collect()
}

pub(crate) async fn sleep(environment: &dyn Environment, span: Duration) {
    let mut timer = environment.timer();
    timer.reset(Some(environment.now() + span));
    poll_fn(|context| timer.poll_expired(context)).await;
}

pub(crate) async fn accept(listener: &dyn TcpListener) -> Box<dyn TcpStream> {
    poll_fn(|context| listener.poll_accept(context))
        .await
        .unwrap()
}

/// What has arrived; empty at the end.
pub(crate) async fn read_some(stream: &dyn TcpStream) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4096];
    loop {
        match stream.try_read(&mut out) {
            Ok(len) => {
                out.truncate(len);
                return Ok(out);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| stream.poll_readable(context)).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

pub(crate) async fn read_to_end(stream: &dyn TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some = read_some(stream).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

pub(crate) async fn write_all(stream: &dyn TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| stream.poll_writable(context)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) async fn receive(socket: &dyn UdpSocket) -> io::Result<(ReceivedDatagram, Vec<u8>)> {
    let mut out = vec![0; 65_536];
    loop {
        match socket.try_receive(&mut out) {
            Ok(received) => {
                out.truncate(received.len);
                return Ok((received, out));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_readable(context)).await?;
            }
            Err(error) => return Err(error),
        }
    }
}
