//! A name server for one name, with answers that take a moment as they do out there.
//!
//! Invariant: it answers what it is asked and nothing else; names beyond its zone do not exist.

use crate::error::CommandError;
use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::svcb::{Alpn, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, HTTPS, SVCB};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use portway::Context;
use portway_transport::environment::{UdpBind, UdpSocket};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What the name server knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone {
    pub(super) name: &'static str,
    /// The application protocol that the HTTPS records name.
    pub(super) protocol: &'static str,
    /// The port of the preferred HTTPS record.
    pub(super) port: u16,
    /// The port of the other one.
    pub(super) backup_port: u16,
}

/// Starts the server and gives its address. It runs until the runtime ends.
pub(super) fn start(context: &Context, zone: Zone) -> Result<SocketAddr, CommandError> {
    let any_port = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let socket = context
        .environment()
        .udp_bind(UdpBind::on(any_port))
        .map_err(|error| CommandError::failed(format!("no name server: {error}")))?;
    let address = socket.local_address();
    tokio::spawn(serve(socket, zone));
    Ok(address)
}

async fn serve(socket: Arc<dyn UdpSocket>, zone: Zone) {
    let mut buffer = vec![0; QUERY_BYTES_MAX];
    loop {
        let received = match socket.try_receive(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if poll_fn(|context| socket.poll_readable(context))
                    .await
                    .is_err()
                {
                    return;
                }
                continue;
            }
            // Whatever one asker did, the next one deserves an answer.
            Err(_) => continue,
        };
        let Ok(query) = Message::from_vec(&buffer[..received.len]) else {
            continue;
        };
        let Ok((reply, delay)) = zone.reply(&query) else {
            continue;
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // A lost answer is asked for again, as on any network.
            let _ = socket.try_send(&reply, Some(received.remote));
        });
    }
}

impl Zone {
    /// The answer to a query, and how long it takes.
    fn reply(&self, query: &Message) -> Result<(Vec<u8>, Duration), ProtoError> {
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = query.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.authoritative = true;
        reply.queries.clone_from(&query.queries);
        let own = Name::from_str(self.name)?;
        let mut delay = Duration::ZERO;
        for question in &query.queries {
            let mut asked = question.name().clone();
            asked.set_fqdn(own.is_fqdn());
            if asked != own {
                reply.metadata.response_code = ResponseCode::NXDomain;
                continue;
            }
            let kind = question.query_type();
            delay = delay_of(kind);
            let data = self.records(kind)?.into_iter();
            let owner = question.name();
            reply
                .answers
                .extend(data.map(|data| Record::from_rdata(owner.clone(), TTL, data)));
        }
        Ok((reply.to_vec()?, delay))
    }

    fn records(&self, kind: RecordType) -> Result<Vec<RData>, ProtoError> {
        Ok(match kind {
            RecordType::A => vec![RData::A(A(Ipv4Addr::LOCALHOST))],
            RecordType::AAAA => vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))],
            RecordType::HTTPS => vec![
                self.service(1, self.port),
                self.service(2, self.backup_port),
            ],
            _ => Vec::new(),
        })
    }

    /// An HTTPS record that speaks of its own name.
    fn service(&self, priority: u16, port: u16) -> RData {
        let protocols = Alpn(vec![self.protocol.to_owned()]);
        let parameters = vec![
            (SvcParamKey::Alpn, SvcParamValue::Alpn(protocols)),
            (SvcParamKey::NoDefaultAlpn, SvcParamValue::NoDefaultAlpn),
            (SvcParamKey::Port, SvcParamValue::Port(port)),
        ];
        RData::HTTPS(HTTPS(SVCB::new(priority, Name::root(), parameters)))
    }
}

/// The IPv4 addresses come first here, which a hasty client would jump at.
fn delay_of(kind: RecordType) -> Duration {
    Duration::from_millis(match kind {
        RecordType::A => 8,
        RecordType::HTTPS => 16,
        RecordType::AAAA => 24,
        _ => 0,
    })
}

const QUERY_BYTES_MAX: usize = 4096;
const TTL: u32 = 60;
