//! A DNS server for the tests: fixed answers, some of which wait until the test lets them go.
//!
//! Invariant: every question gets one answer; a type without records gets an empty one.

use crate::world::{FAR_V4, World};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::watch;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const HTTPS: u16 = 65;

/// The only name that there is.
pub(crate) const NAME: &str = "host.example";

/// A server that runs in `far`.
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    held: watch::Sender<Option<u16>>,
}

impl Names {
    /// Starts a server that knows these addresses of [`NAME`] and holds back the answers to
    /// questions of type `held`.
    pub(crate) fn start(world: &World, addresses: &[IpAddr], held: Option<u16>) -> Names {
        let socket = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("bound");
        let socket = Arc::new(UdpSocket::from_std(socket).expect("a runtime"));
        let (held, holds) = watch::channel(held);
        let addresses: Arc<[IpAddr]> = addresses.into();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
                let question = Question::parse(&buffer[..len]).expect("a question");
                let (socket, addresses) = (socket.clone(), addresses.clone());
                let mut holds = holds.clone();
                tokio::spawn(async move {
                    let is_free = |held: &Option<u16>| *held != Some(question.kind);
                    if holds.wait_for(is_free).await.is_ok() {
                        let answer = question.answer(&addresses);
                        let _ = socket.send_to(&answer, peer).await;
                    }
                });
            }
        });
        Names { address, held }
    }

    /// Lets the answers go that were held back.
    pub(crate) fn release(&self) {
        self.held.send_replace(None);
    }
}

struct Question {
    id: [u8; 2],
    /// Name, type and class as they were sent.
    bytes: Vec<u8>,
    kind: u16,
}

impl Question {
    fn parse(message: &[u8]) -> Option<Question> {
        let mut end = HEADER_LEN;
        while *message.get(end)? != 0 {
            end += usize::from(message[end]) + 1;
        }
        let bytes = message.get(HEADER_LEN..end + 5)?.to_vec();
        Some(Question {
            id: [message[0], message[1]],
            kind: u16::from_be_bytes([message[end + 1], message[end + 2]]),
            bytes,
        })
    }

    fn answer(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (self.kind, address) {
                (A, IpAddr::V4(v4)) => Some(Ipv4Addr::octets(v4).to_vec()),
                (AAAA, IpAddr::V6(v6)) => Some(Ipv6Addr::octets(v6).to_vec()),
                _ => None,
            })
            .collect();
        let mut answer = self.id.to_vec();
        // A response without errors, recursion available; one question.
        answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(&self.bytes);
        for record in records {
            // The name of the question, this type, class IN, a minute, the length.
            answer.extend([0xc0, HEADER_LEN as u8]);
            answer.extend(self.kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
            answer.extend(record);
        }
        answer
    }
}

const HEADER_LEN: usize = 12;
