//! A name server on loopback for one name, with an IPv4 address and nothing else.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::{Ipv4Addr, UdpSocket};

/// The name that is known.
pub(crate) const NAME: &str = "host.portway.test";

/// Answers until the test's process ends.
pub(crate) struct NameServer {
    address: String,
}

impl NameServer {
    pub(crate) fn start() -> NameServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, asker)) = socket.recv_from(&mut buffer) {
                if let Ok(query) = Message::from_vec(&buffer[..length]) {
                    let reply = reply(&query).to_vec().unwrap();
                    let _ = socket.send_to(&reply, asker);
                }
            }
        });
        NameServer { address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name with a port behind it.
    pub(crate) fn target(port: u16) -> String {
        format!("{NAME}:{port}")
    }
}

fn reply(query: &Message) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&query.queries);
    for question in &query.queries {
        let asked = question.name().to_string();
        if asked.trim_end_matches('.') != NAME {
            reply.metadata.response_code = ResponseCode::NXDomain;
        } else if question.query_type() == RecordType::A {
            let data = RData::A(A(Ipv4Addr::LOCALHOST));
            reply
                .answers
                .push(Record::from_rdata(question.name().clone(), 60, data));
        }
    }
    reply
}
