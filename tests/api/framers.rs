//! Framers over real streams: stacked, with a handshake, prepending another, hostile input.

use crate::support::{listen, pair};
use bytes::{Buf, BytesMut};
use portway::framer::{
    Control, Deframed, Delimited, Demand, Framer, LengthPrefixed, Outgoing, Progress,
};
use portway::{Failure, FailureKind, Origin, Preconnection, ReceiveError, Security};
use portway_core::send_queue::WireBuffer;
use std::io::Write;

/// Both sides greet with a byte; then it puts a length prefix above itself and steps aside.
#[derive(Clone)]
struct Greeting {
    byte: u8,
}

impl Framer for Greeting {
    fn start(&mut self, control: &mut Control<'_>) -> Result<Progress, Failure> {
        control.out.put_slice(&[self.byte]);
        Ok(Progress::NeedsInput)
    }

    fn on_handshake(
        &mut self,
        input: &mut BytesMut,
        control: &mut Control<'_>,
    ) -> Result<Progress, Failure> {
        match input.first() {
            None => Ok(Progress::NeedsInput),
            Some(byte) if *byte == self.byte => {
                input.advance(1);
                control.prepend(LengthPrefixed::u16());
                control.start_passthrough();
                Ok(Progress::Ready)
            }
            Some(other) => Err(Failure::new(
                Origin::Framing,
                FailureKind::ProtocolViolation,
                format!("the greeting is {other} and not {}", self.byte),
            )),
        }
    }

    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        out.put_chunks(part.data);
        Ok(())
    }

    fn deframe(&mut self, _: &mut BytesMut, _: Demand) -> Result<Deframed, Failure> {
        Ok(Deframed::Passthrough)
    }
}

fn greeting(byte: u8) -> Preconnection {
    Preconnection::new(Security::disabled()).framer(Greeting { byte })
}

#[tokio::test]
async fn a_framers_handshake_comes_before_ready_and_may_prepend_another() {
    let (client, server) = pair(&greeting(5), &greeting(5)).await;
    client
        .send("framed by the prepended one")
        .await
        .expect("accepted");
    let message = server.receive().await.expect("a message");
    assert_eq!(&message[..], b"framed by the prepended one");
    assert!(message.is_complete());
}

#[tokio::test]
async fn a_framer_that_refuses_its_peer_fails_the_attempt() {
    let (_listener, address) = listen(&greeting(1)).await;
    let client = greeting(2).remote(portway::RemoteEndpoint::from(address));
    let error = client.initiate().await.expect_err("another greeting");
    assert_eq!(error.kind(), FailureKind::ProtocolViolation);
    assert!(
        error
            .report()
            .expect("a race")
            .to_string()
            .contains("greeting"),
        "{error}"
    );
}

#[tokio::test]
async fn the_last_framer_added_runs_first_outbound() {
    let stacked = Preconnection::new(Security::disabled())
        .framer(LengthPrefixed::u16())
        .framer(Delimited::lf());
    let (mut listener, address) = listen(&stacked).await;
    let mut peer = std::net::TcpStream::connect(address).expect("connected");
    // The length prefix is nearest to the wire, the line inside it.
    peer.write_all(b"\x00\x06hello\n").expect("written");
    let server = listener.accept().await.expect("a peer");
    assert_eq!(&server.receive().await.expect("a message")[..], b"hello");
}

#[tokio::test]
async fn a_frame_that_claims_2_to_the_40_bytes_fails_at_once() {
    let preconnection = Preconnection::new(Security::disabled()).framer(LengthPrefixed::u64());
    let (mut listener, address) = listen(&preconnection).await;
    let mut peer = std::net::TcpStream::connect(address).expect("connected");
    peer.write_all(&(1u64 << 40).to_be_bytes())
        .expect("written");
    let server = listener.accept().await.expect("a peer");
    let error = server.receive().await.expect_err("too long");
    assert!(matches!(error, ReceiveError::Framer(_)), "{error}");
    assert!(error.to_string().contains("1099511627776"), "{error}");
    assert_eq!(error.kind(), FailureKind::LimitReached);
}

#[tokio::test]
async fn half_a_frame_then_the_end_is_told_after_what_came_before() {
    let preconnection = Preconnection::new(Security::disabled()).framer(LengthPrefixed::u8());
    let (mut listener, address) = listen(&preconnection).await;
    let mut peer = std::net::TcpStream::connect(address).expect("connected");
    peer.write_all(b"\x02ok\x05hal").expect("written");
    drop(peer);
    let server = listener.accept().await.expect("a peer");
    assert_eq!(&server.receive().await.expect("a message")[..], b"ok");
    let error = server.receive().await.expect_err("half a frame");
    assert!(error.to_string().contains("3 of 5"), "{error}");
}
