//! A DNS server for the tests: fixed answers, some of which wait until the test lets them go.
//!
//! Invariant: every question gets one answer; a type without records gets an empty one.

use crate::world::{FAR_V4, World};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::sync::watch;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const HTTPS: u16 = 65;

/// The name that most tests ask for.
pub(crate) const NAME: &str = "host.example";

/// What a server knows.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    records: Vec<Record>,
}

#[derive(Clone)]
struct Record {
    name: String,
    kind: u16,
    data: Vec<u8>,
}

impl Zone {
    fn record(mut self, name: &str, kind: u16, data: Vec<u8>) -> Zone {
        let name = name.to_owned();
        self.records.push(Record { name, kind, data });
        self
    }

    /// Addresses of a name.
    pub(crate) fn addresses(self, name: &str, addresses: &[IpAddr]) -> Zone {
        addresses.iter().fold(self, |zone, address| match address {
            IpAddr::V4(v4) => zone.record(name, A, v4.octets().to_vec()),
            IpAddr::V6(v6) => zone.record(name, AAAA, v6.octets().to_vec()),
        })
    }

    /// An SRV record (RFC 2782).
    pub(crate) fn srv(self, name: &str, priority: u16, port: u16, target: &str) -> Zone {
        let mut data = priority.to_be_bytes().to_vec();
        data.extend([0, 0]);
        data.extend(port.to_be_bytes());
        data.extend(wire_name(target));
        self.record(name, SRV, data)
    }

    /// An HTTPS record (RFC 9460 §2.2) with these parameters, in the order that they are given.
    pub(crate) fn https(
        self,
        name: &str,
        priority: u16,
        target: &str,
        parameters: &[(u16, &[u8])],
    ) -> Zone {
        let mut data = priority.to_be_bytes().to_vec();
        data.extend(wire_name(target));
        for (key, value) in parameters {
            data.extend(key.to_be_bytes());
            data.extend((value.len() as u16).to_be_bytes());
            data.extend(*value);
        }
        self.record(name, HTTPS, data)
    }
}

/// A name as it stands in a message, without compression; `.` is the root.
fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A server that runs in `far`.
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    held: watch::Sender<Vec<u16>>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Names {
    /// Starts a server that knows these addresses of [`NAME`] and holds back the answers to
    /// questions of type `held`.
    pub(crate) fn start(world: &World, addresses: &[IpAddr], held: Option<u16>) -> Names {
        let zone = Zone::default().addresses(NAME, addresses);
        Names::serve(world, zone, held.as_slice())
    }

    /// Starts a server for `zone`, which holds back the answers to questions of these types.
    pub(crate) fn serve(world: &World, zone: Zone, held: &[u16]) -> Names {
        let socket = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("bound");
        let socket = Arc::new(UdpSocket::from_std(socket).expect("a runtime"));
        let (held, holds) = watch::channel(held.to_vec());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let zone = Arc::new(zone);
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
                let question = Question::parse(&buffer[..len]).expect("a question");
                let told = (question.name.clone(), question.kind);
                heard.lock().expect("no panic").push(told);
                let (socket, zone) = (socket.clone(), zone.clone());
                let mut holds = holds.clone();
                tokio::spawn(async move {
                    let is_free = |held: &Vec<u16>| !held.contains(&question.kind);
                    if holds.wait_for(is_free).await.is_ok() {
                        let answer = question.answer(&zone);
                        let _ = socket.send_to(&answer, peer).await;
                    }
                });
            }
        });
        Names {
            address,
            held,
            asked,
        }
    }

    /// Lets the answers go that were held back.
    pub(crate) fn release(&self) {
        self.held.send_replace(Vec::new());
    }

    /// How often a name was asked for records of this type.
    pub(crate) fn questions(&self, name: &str, kind: u16) -> usize {
        let asked = self.asked.lock().expect("no panic");
        let wanted = |asked: &&(String, u16)| asked.0 == name && asked.1 == kind;
        asked.iter().filter(wanted).count()
    }
}

struct Question {
    id: [u8; 2],
    /// Name, type and class as they were sent.
    bytes: Vec<u8>,
    name: String,
    kind: u16,
}

impl Question {
    fn parse(message: &[u8]) -> Option<Question> {
        let mut end = HEADER_LEN;
        let mut labels = Vec::new();
        while *message.get(end)? != 0 {
            let next = end + usize::from(message[end]) + 1;
            let label = message.get(end + 1..next)?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            end = next;
        }
        let bytes = message.get(HEADER_LEN..end + 5)?.to_vec();
        Some(Question {
            id: [message[0], message[1]],
            name: labels.join("."),
            kind: u16::from_be_bytes([message[end + 1], message[end + 2]]),
            bytes,
        })
    }

    fn answer(&self, zone: &Zone) -> Vec<u8> {
        let is_wanted = |record: &&Record| record.name == self.name && record.kind == self.kind;
        let records: Vec<&Record> = zone.records.iter().filter(is_wanted).collect();
        let mut answer = self.id.to_vec();
        // A response without errors, recursion available; one question.
        answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(&self.bytes);
        for record in records {
            // The name of the question, this type, class IN, a minute, the length.
            answer.extend([0xc0, HEADER_LEN as u8]);
            answer.extend(self.kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60]);
            answer.extend((record.data.len() as u16).to_be_bytes());
            answer.extend(&record.data);
        }
        answer
    }
}

const HEADER_LEN: usize = 12;
