//! One TLS session of QUIC over rustls.
//!
//! Invariant: rustls runs only while its callbacks can find this session's [`Observed`].

use super::super::classify::{self, Role};
use super::super::observed::Observed;
use super::super::protection;
use super::opening::Opening;
use super::{LAST_FAILURE, QuicHandshake, initial_keys};
use aws_lc_rs::aead;
use portway_core::Failure;
use quinn_proto::crypto::{
    ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{ClientConnection, Connection, KeyChange, Secrets, ServerConnection, Version};
use rustls::{AlertDescription, ClientConfig, Error, ServerConfig};
use rustls_pki_types::ServerName;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// A session of either role.
pub(super) struct QuicSession {
    tls: Connection,
    next: Option<Secrets>,
    is_announced: bool,
    is_certificate_requested: bool,
    server_name: Option<Box<str>>,
    /// Until the handshake is complete.
    observed: Option<Box<Observed>>,
    failure: Option<Box<Failure>>,
    /// Whether a Handshake packet of a client was opened.
    is_client_reached: Arc<AtomicBool>,
}

impl QuicSession {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        version: Version,
        name: ServerName<'static>,
        params: Vec<u8>,
    ) -> Result<Self, Error> {
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        let tls = ClientConnection::new(config, version, name, params)?;
        Ok(QuicSession::new(tls.into(), server_name))
    }

    pub(super) fn server(
        config: Arc<ServerConfig>,
        version: Version,
        params: Vec<u8>,
    ) -> Result<Self, Error> {
        let tls = ServerConnection::new(config, version, params)?;
        Ok(QuicSession::new(tls.into(), None))
    }

    fn new(tls: Connection, server_name: Option<Box<str>>) -> Self {
        QuicSession {
            tls,
            next: None,
            is_announced: false,
            is_certificate_requested: false,
            server_name,
            observed: Some(Box::default()),
            failure: None,
            is_client_reached: Arc::default(),
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.tls, Connection::Client(_))
    }

    /// Ends the session; the peer is told the alert and no more.
    fn fail(&mut self, failure: Failure, alert: Option<AlertDescription>) -> TransportError {
        LAST_FAILURE.set(Some(failure.clone()));
        self.failure.get_or_insert(Box::new(failure));
        let code = match alert {
            Some(alert) => TransportErrorCode::crypto(alert.into()),
            None => TransportErrorCode::PROTOCOL_VIOLATION,
        };
        code.into()
    }

    /// Whether the application protocol, and for a server the client's name, have become known.
    fn is_news(&mut self) -> bool {
        if let Connection::Server(server) = &self.tls
            && self.server_name.is_none()
        {
            self.server_name = server.server_name().map(Into::into);
        }
        let is_known = self.tls.alpn_protocol().is_some() || !self.tls.is_handshaking();
        let is_news = is_known && !self.is_announced;
        self.is_announced |= is_known;
        is_news
    }
}

impl Session for QuicSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        let side = match side {
            Side::Client => rustls::Side::Client,
            Side::Server => rustls::Side::Server,
        };
        boxed(initial_keys(dst_cid, side))
    }

    /// A [`QuicHandshake`], at any time.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let server_name = self.server_name.as_deref();
        let early_protection = match self.tls.is_handshaking() && !self.is_client() {
            true => protection::describe_early(&self.tls, server_name),
            false => None,
        };
        Some(Box::new(QuicHandshake {
            protection: protection::describe(&self.tls, server_name),
            early_protection,
            alpn: self.tls.alpn_protocol().map(<[u8]>::to_vec),
            server_name: server_name.map(str::to_owned),
            failure: self.failure.as_deref().cloned(),
            is_client: self.is_client(),
            is_certificate_requested: self.is_certificate_requested,
            is_client_reached: self.is_client_reached.load(Relaxed),
        }))
    }

    /// A `Vec<CertificateDer<'static>>`.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = self.tls.peer_certificates()?;
        Some(Box::new(chain.to_vec()))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.tls.zero_rtt_keys()?;
        Some((Box::new(keys.header), Box::new(keys.packet)))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        match &self.tls {
            Connection::Client(client) => Some(client.is_early_data_accepted()),
            Connection::Server(_) => None,
        }
    }

    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let mut observed = self.observed.take().unwrap_or_default();
        let result = observed.during(|| self.tls.read_hs(buf));
        self.is_certificate_requested |= observed.is_certificate_requested;
        if let Some(refusal) = observed.refusal.take() {
            return Err(self.fail(refusal.failure, Some(refusal.alert)));
        }
        let was_handshaking = self.tls.is_handshaking();
        if let Err(error) = result {
            let role = role(self.is_client());
            let failure = classify::connection(&error, role, &observed, !was_handshaking);
            return Err(self.fail(failure, self.tls.alert()));
        }
        if was_handshaking {
            self.observed = Some(observed);
        }
        Ok(self.is_news())
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(mut encoded) = self.tls.quic_transport_parameters() else {
            return Ok(None);
        };
        let side = match self.is_client() {
            true => Side::Client,
            false => Side::Server,
        };
        Ok(Some(TransportParameters::read(side, &mut encoded)?))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let keys = match self.tls.write_hs(buf)? {
            KeyChange::Handshake { keys } if !self.is_client() => {
                let mut keys = boxed(keys);
                let reached = Arc::clone(&self.is_client_reached);
                keys.packet.remote = Box::new(Opening::new(keys.packet.remote, reached));
                return Some(keys);
            }
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                keys
            }
        };
        Some(boxed(keys))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        let Some((token, tag)) = payload.split_last_chunk::<RETRY_TAG_LEN>() else {
            return false;
        };
        // The key is public, so the comparison gives nothing away.
        retry_tag(orig_dst_cid, &[header, token]) == *tag
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.tls
            .export_keying_material(output, label, Some(context))
            .map(drop)
            .map_err(|_| ExportKeyingMaterialError)
    }
}

pub(super) fn role(is_client: bool) -> Role {
    match is_client {
        true => Role::Client,
        false => Role::Server,
    }
}

pub(super) fn boxed(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}

/// RFC 9001 §5.8: the tag that ties a Retry packet to the Initial packet that it answers.
pub(super) fn retry_tag(orig_dst_cid: &ConnectionId, packet: &[&[u8]]) -> [u8; RETRY_TAG_LEN] {
    let mut pseudo_packet = vec![orig_dst_cid.len() as u8];
    pseudo_packet.extend_from_slice(orig_dst_cid);
    packet
        .iter()
        .for_each(|part| pseudo_packet.extend_from_slice(part));
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, &RETRY_KEY).expect("the key has 16 bytes");
    let tag = aead::LessSafeKey::new(key)
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(RETRY_NONCE),
            aead::Aad::from(pseudo_packet),
            &mut [],
        )
        .expect("nothing is sealed, so nothing is too long");
    tag.as_ref().try_into().expect("the tag has 16 bytes")
}

const RETRY_TAG_LEN: usize = 16;
/// RFC 9001 §5.8: fixed for version 1 and known to everybody.
const RETRY_KEY: [u8; 16] = 0xbe0c_690b_9f66_575a_1d76_6b54_e368_c84e_u128.to_be_bytes();
const RETRY_NONCE: [u8; 12] = [
    0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb,
];
