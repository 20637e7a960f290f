//! The TCP model: what programs can observe of connections over simulated links.

use portway_core::Time;
use portway_sim::{Simulation, WireKind};
use portway_transport::environment::{Environment, ListenAddress, TcpConnect, TcpStream};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

async fn read_some(stream: &dyn TcpStream) -> io::Result<Vec<u8>> {
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

async fn read_to_end(stream: &dyn TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some = read_some(stream).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

async fn write_all(stream: &dyn TcpStream, mut bytes: &[u8]) -> io::Result<()> {
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

fn address_of(environment: &portway_sim::SimEnvironment, port: u16) -> SocketAddr {
    SocketAddr::new(environment.addresses()[0], port)
}

#[test]
fn connect_takes_a_round_trip_and_bytes_arrive_in_order() {
    let sim = Simulation::new(1);
    let (client, server) = (sim.host("client"), sim.host("server"));
    sim.link("client", "server")
        .set_delay(Duration::from_millis(30));
    let remote = address_of(&server, 443);
    let listener = server.tcp_listen(ListenAddress::on(remote)).unwrap();
    let payload: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let expected = payload.clone();
    sim.block_on(async {
        let stream = client.tcp_connect(TcpConnect::to(remote)).await.unwrap();
        assert_eq!(client.now(), Time::from_origin(Duration::from_millis(60)));
        client.spawn(Box::pin(async move {
            write_all(&*stream, &payload).await.unwrap();
            stream.shutdown_write().unwrap();
            assert_eq!(read_to_end(&*stream).await.unwrap(), b"");
        }));
        let accepted = poll_fn(|context| listener.poll_accept(context))
            .await
            .unwrap();
        assert_eq!(read_to_end(&*accepted).await.unwrap(), expected);
    });
    drop(listener);
    sim.run_until_idle();
    assert_eq!((sim.tasks_alive(), sim.sockets_open()), (0, 0));
}

#[test]
fn closed_port_refuses_after_a_round_trip() {
    let sim = Simulation::new(1);
    let (client, server) = (sim.host("client"), sim.host("server"));
    let remote = address_of(&server, 80);
    let error = sim
        .block_on(client.tcp_connect(TcpConnect::to(remote)))
        .err()
        .unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(sim.now(), Time::from_origin(Duration::from_millis(20)));
    let kinds: Vec<_> = sim.wire_log().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [WireKind::Syn, WireKind::Rst]);
}
