//! One TLS connection as a byte layer.
//!
//! ```text
//! Handshaking ──complete──▶ Ready ──close_notify──▶ PeerClosed
//!      └──────────any error────┴────────────────────────▶ Failed
//! ```
//!
//! A server that has received early data is ready before its handshake is complete: it reads that,
//! and may answer.
//!
//! Invariant: bytes leave `wire` only when TLS has consumed them. The one exception is a handshake
//! message that arrives in several records after the handshake: its records are held here until it
//! is whole, because rustls keeps positions in the buffer that it was given.

use super::classify::{self, Role};
use super::early::Early;
use super::engine::TlsLimits;
use super::key_share;
use super::observed::{Observed, Refusal};
use super::protection;
use super::record;
use super::step::{self, Next, Records, Task};
use crate::layer::{ByteLayer, LayerStatus, Sealed};
use bytes::{Buf, Bytes, BytesMut};
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, Origin};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};
use rustls_pki_types::ServerName;
use std::sync::Arc;

/// TLS over any byte carrier; made by [`TlsEngine`](super::TlsEngine).
pub struct TlsLayer {
    connection: Connection,
    status: LayerStatus,
    is_alpn_demanded: bool,
    is_closed: bool,
    /// The server has asked for a certificate (client only).
    is_certificate_requested: bool,
    /// Decrypted and not yet read. Empty and without memory while the layer is idle.
    plaintext: BytesMut,
    /// Records of a handshake message that is not whole.
    held: BytesMut,
    handshake: Option<Box<Handshake>>,
    early: Option<Box<Early>>,
    server_name: Option<Box<str>>,
    failure: Option<Box<Failure>>,
}

enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What is needed only until the handshake is complete.
struct Handshake {
    observed: Observed,
    consumed_bytes: usize,
    limits: TlsLimits,
}

impl TlsLayer {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: &[Vec<u8>],
        limits: TlsLimits,
    ) -> Result<Self, Failure> {
        let server_name = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        let connection = UnbufferedClientConnection::new_with_alpn(config, name, alpn.to_vec())
            .map_err(|error| classify::configuration(&error))?;
        let connection = Connection::Client(Box::new(connection));
        let mut layer = TlsLayer::new(connection, !alpn.is_empty(), limits);
        layer.server_name = server_name;
        Ok(layer)
    }

    pub(super) fn server(
        config: Arc<ServerConfig>,
        is_alpn_demanded: bool,
        limits: TlsLimits,
    ) -> Result<Self, Failure> {
        let connection = UnbufferedServerConnection::new(config)
            .map_err(|error| classify::configuration(&error))?;
        let connection = Connection::Server(Box::new(connection));
        Ok(TlsLayer::new(connection, is_alpn_demanded, limits))
    }

    /// The same with data that leaves before the handshake is complete, as far as a ticket allows.
    pub(super) fn with_early_data(mut self, data: Bytes) -> Self {
        self.early = Some(Box::new(Early::leaving(data)));
        self
    }

    /// What of a client's early data has not left, when the server has taken the rest. `None`
    /// before the end of the handshake, when nothing has left, and when the server has refused it:
    /// then all of it must be sent again.
    pub fn early_rest(&self) -> Option<Bytes> {
        self.early.as_ref()?.rest()
    }

    /// The same for clients that need not name an application protocol.
    pub(super) fn with_optional_alpn(mut self) -> Self {
        self.is_alpn_demanded = false;
        if let Some(handshake) = &mut self.handshake {
            handshake.observed.may_lack_alpn = true;
        }
        self
    }

    fn new(connection: Connection, is_alpn_demanded: bool, limits: TlsLimits) -> Self {
        TlsLayer {
            connection,
            status: LayerStatus::Handshaking,
            is_alpn_demanded,
            is_closed: false,
            is_certificate_requested: false,
            plaintext: BytesMut::new(),
            held: BytesMut::new(),
            handshake: Some(Box::new(Handshake {
                observed: Observed::default(),
                consumed_bytes: 0,
                limits,
            })),
            early: None,
            server_name: None,
            failure: None,
        }
    }

    fn common(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(connection) => connection,
            Connection::Server(connection) => connection,
        }
    }

    fn role(&self) -> Role {
        match self.connection {
            Connection::Client(_) => Role::Client,
            Connection::Server(_) => Role::Server,
        }
    }

    /// Lets rustls take one step and says how much of `wire` it has consumed.
    fn step(&mut self, wire: &mut [u8], task: Task<'_>, out: &mut impl Records) -> (usize, Next) {
        let into = (&mut self.plaintext, &mut self.early);
        match &mut self.connection {
            Connection::Client(c) => step::take(c.process_tls_records(wire), task, into, out),
            Connection::Server(c) => step::take(c.process_tls_records(wire), task, into, out),
        }
    }

    /// Steps until rustls waits for input. Says how many bytes were consumed.
    fn drive(&mut self, wire: &mut BytesMut, out: &mut BytesMut) -> Result<usize, Error> {
        let mut total = 0;
        loop {
            let (consumed, next) = self.step(wire, Task::Receive, out);
            wire.advance(consumed);
            total += consumed;
            match next {
                Next::Again => {}
                Next::Wait => return Ok(total),
                Next::PeerClosed => self.status = LayerStatus::PeerClosed,
                Next::Failed(error) => return Err(error),
                Next::Exhausted => return Err(Error::EncryptError),
            }
        }
    }

    /// Drives the handshake; callbacks find what they may note.
    fn drive_handshake(&mut self, wire: &mut BytesMut, out: &mut BytesMut) -> Result<(), Failure> {
        let Some(mut handshake) = self.handshake.take() else {
            return Ok(());
        };
        if handshake.consumed_bytes == 0 && !record::may_be_tls(wire) {
            return Err(self.fail(classify::not_tls(wire)));
        }
        let mut observed = std::mem::take(&mut handshake.observed);
        let start = out.len();
        let result = observed.during(|| self.drive(wire, out));
        if let Some(refusal) = observed.refusal.take() {
            return Err(self.refuse(refusal, start, out));
        }
        match result {
            Ok(consumed) => handshake.consumed_bytes += consumed,
            Err(error) => {
                self.flush_alert(wire, out);
                if handshake.consumed_bytes == 0 && out.len() == start {
                    // RFC 8446 §6.2: rustls fails silently at a first message that is too long.
                    if !matches!(error, Error::AlertReceived(_)) {
                        let alert = AlertDescription::DecodeError;
                        out.extend_from_slice(&record::plain_alert(alert));
                    }
                }
                let failure = classify::connection(&error, self.role(), &observed, false);
                return Err(self.fail(failure));
            }
        }
        if self.common().is_handshaking() {
            let bytes_max = handshake.limits.handshake_bytes_max;
            if handshake.consumed_bytes + wire.len() > bytes_max {
                return Err(self.fail(classify::handshake_too_long(bytes_max)));
            }
            if matches!(&self.early, Some(early) if early.has_arrived()) {
                self.on_early_data(&observed);
            }
            handshake.observed = observed;
            self.handshake = Some(handshake);
            return Ok(());
        }
        if let Some(early) = &mut self.early {
            early.on_handshake_complete(&out[start..]);
        }
        self.on_handshake_complete(observed, out)
    }

    /// A server has early data, which only a client has that it knows: everything is settled but
    /// that its client is there.
    fn on_early_data(&mut self, observed: &Observed) {
        let may_speak = !self.is_alpn_demanded || self.common().alpn_protocol().is_some();
        if may_speak && self.status == LayerStatus::Handshaking {
            self.status = LayerStatus::Ready;
            self.server_name = observed.server_name.as_deref().map(Into::into);
        }
    }

    /// Ends the handshake for a reason of our own. What rustls has appended since `start` is not
    /// sent: it speaks of another reason or of none.
    fn refuse(&mut self, refusal: Refusal, start: usize, out: &mut BytesMut) -> Failure {
        out.truncate(start);
        // A server chooses and signs before its first flight, and TLS 1.2 encrypts only what comes
        // last. A client of TLS 1.3 could say nothing that is not encrypted.
        let is_tls12 = self.common().protocol_version() == Some(ProtocolVersion::TLSv1_2);
        if self.role() == Role::Server || is_tls12 {
            out.extend_from_slice(&record::plain_alert(refusal.alert));
        }
        self.fail(refusal.failure)
    }

    fn on_handshake_complete(
        &mut self,
        observed: Observed,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        if self.status == LayerStatus::Handshaking {
            self.status = LayerStatus::Ready;
        }
        if self.is_alpn_demanded && self.common().alpn_protocol().is_none() {
            // The server ignored the offer. rustls offers no way to send an alert of our choice.
            self.close(out);
            let failure = classify::alpn_missing(self.role());
            return Err(self.fail(failure));
        }
        if self.role() == Role::Server {
            self.server_name = observed.server_name.map(String::into_boxed_str);
        } else if observed.is_certificate_requested {
            // A server of TLS 1.3 refuses a client's certificate after the client is complete.
            self.is_certificate_requested = true;
        }
        Ok(())
    }

    /// Keeps the records of a handshake message that is not whole yet, see the invariant.
    fn hold_partial_message(&mut self, wire: &mut BytesMut) {
        if self.status == LayerStatus::Ready && record::starts_with_whole_record(wire) {
            self.held = wire.split();
        }
    }

    /// Appends the alert that rustls has queued before it failed.
    fn flush_alert(&mut self, wire: &mut BytesMut, out: &mut BytesMut) {
        // rustls hands out what it has queued before it looks at `wire`.
        while self.common().wants_write() {
            let (consumed, next) = self.step(wire, Task::Receive, out);
            wire.advance(consumed);
            if matches!(next, Next::Failed(_)) {
                break;
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> Failure {
        self.status = LayerStatus::Failed;
        self.handshake = None;
        self.failure = Some(Box::new(failure.clone()));
        failure
    }

    fn usable(&self) -> Result<(), Failure> {
        match (&self.failure, self.status) {
            (Some(failure), _) => Err((**failure).clone()),
            (None, LayerStatus::Handshaking) => Err(Failure::new(
                Origin::Local,
                FailureKind::InvalidRequest,
                "the TLS handshake is not complete",
            )),
            _ if self.is_closed => Err(Failure::new(
                Origin::Local,
                FailureKind::InvalidRequest,
                "the sending direction is closed",
            )),
            _ => Ok(()),
        }
    }

    /// Encrypts `plaintext` to the end of `out`.
    fn encrypt(&mut self, plaintext: &[u8], out: &mut impl Records) -> Result<(), Failure> {
        self.send(Task::Encrypt(plaintext), out)
    }

    fn send(&mut self, task: Task<'_>, out: &mut impl Records) -> Result<(), Failure> {
        loop {
            match self.step_with_held(task, out) {
                Next::Again => {}
                Next::Wait => return Ok(()),
                Next::PeerClosed => self.status = LayerStatus::PeerClosed,
                Next::Exhausted => return Err(self.fail(classify::keys_exhausted())),
                Next::Failed(error) => {
                    let failure = self.classified(&error);
                    return Err(self.fail(failure));
                }
            }
        }
    }

    /// A step for something to be sent, over what is held.
    fn step_with_held(&mut self, task: Task<'_>, out: &mut impl Records) -> Next {
        if self.held.is_empty() {
            return self.step(&mut [], task, out).1;
        }
        let mut held = std::mem::take(&mut self.held);
        let (consumed, next) = self.step(&mut held, task, out);
        held.advance(consumed);
        self.held = held;
        next
    }

    /// A failure after the handshake.
    fn classified(&self, error: &Error) -> Failure {
        let observed = Observed {
            is_certificate_requested: self.is_certificate_requested,
            ..Observed::default()
        };
        classify::connection(error, self.role(), &observed, true)
    }

    /// Encrypts slices, in as few records as possible.
    fn write_records(
        &mut self,
        plaintext: &[&[u8]],
        out: &mut impl Records,
    ) -> Result<(), Failure> {
        self.usable()?;
        let total: usize = plaintext.iter().map(|slice| slice.len()).sum();
        match plaintext {
            _ if total == 0 => Ok(()),
            [one] => self.encrypt(one, out),
            many if total <= GATHERED_ON_STACK_MAX => {
                let mut record = [0; GATHERED_ON_STACK_MAX];
                let mut end = 0;
                for slice in many {
                    record[end..end + slice.len()].copy_from_slice(slice);
                    end += slice.len();
                }
                self.encrypt(&record[..end], out)
            }
            many => self.encrypt_gathered(many, total, out),
        }
    }

    /// Encrypts several slices as if they were one, in as few records as possible.
    fn encrypt_gathered(
        &mut self,
        slices: &[&[u8]],
        total: usize,
        out: &mut impl Records,
    ) -> Result<(), Failure> {
        let mut record = Vec::with_capacity(total.min(record::FRAGMENT_BYTES_MAX));
        for (index, slice) in slices.iter().enumerate() {
            let mut rest = *slice;
            let is_last = index + 1 == slices.len();
            while !rest.is_empty() {
                let may_go = is_last || rest.len() >= record::FRAGMENT_BYTES_MAX;
                if record.is_empty() && may_go {
                    let whole = match is_last {
                        true => rest.len(),
                        false => rest.len() - rest.len() % record::FRAGMENT_BYTES_MAX,
                    };
                    self.encrypt(&rest[..whole], out)?;
                    rest = &rest[whole..];
                    continue;
                }
                // What does not fill a record of its own goes along, and the others whole.
                let room = record::FRAGMENT_BYTES_MAX - record.len();
                let taken = match rest.len() % record::FRAGMENT_BYTES_MAX {
                    odd if is_last && rest.len() > room && odd <= room => odd,
                    _ => rest.len().min(room),
                };
                record.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                let is_full = record.len() == record::FRAGMENT_BYTES_MAX;
                if is_full || (is_last && !rest.is_empty()) {
                    self.encrypt(&record, out)?;
                    record.clear();
                }
            }
        }
        if record.is_empty() {
            return Ok(());
        }
        self.encrypt(&record, out)
    }
}

impl ByteLayer for TlsLayer {
    fn on_wire(&mut self, wire: &mut BytesMut, out: &mut BytesMut) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err((**failure).clone());
        }
        if !self.held.is_empty() {
            self.held.extend_from_slice(wire);
            *wire = std::mem::take(&mut self.held);
        }
        if self.handshake.is_some() {
            self.drive_handshake(wire, out)?;
        } else {
            self.plaintext.reserve(record::plaintext_bytes_max(wire));
            if let Err(error) = self.drive(wire, out) {
                self.flush_alert(wire, out);
                let failure = self.classified(&error);
                return Err(self.fail(failure));
            }
            if self.plaintext.is_empty() {
                // The records carried no data, so their room is not kept for it.
                self.plaintext = BytesMut::new();
            }
        }
        self.hold_partial_message(wire);
        Ok(())
    }

    fn on_wire_into(
        &mut self,
        wire: &mut BytesMut,
        plaintext: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<(), Failure> {
        if !self.plaintext.is_empty() {
            plaintext.extend_from_slice(&self.plaintext);
        }
        // Records are decrypted straight behind what is there already.
        self.plaintext = std::mem::take(plaintext);
        let outcome = self.on_wire(wire, out);
        *plaintext = std::mem::take(&mut self.plaintext);
        outcome
    }

    fn start(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err((**failure).clone());
        }
        self.drive_handshake(&mut BytesMut::new(), out)
    }

    fn read(&mut self, max: usize) -> Option<Bytes> {
        if self.plaintext.is_empty() || max == 0 {
            return None;
        }
        Some(if max >= self.plaintext.len() {
            std::mem::take(&mut self.plaintext).freeze()
        } else {
            self.plaintext.split_to(max).freeze()
        })
    }

    fn write(&mut self, plaintext: &[&[u8]], out: &mut BytesMut) -> Result<(), Failure> {
        self.write_records(plaintext, out)
    }

    fn seal(&mut self, plaintext: &[&[u8]], out: &mut Sealed) -> Result<(), Failure> {
        self.write_records(plaintext, out)
    }

    fn close(&mut self, out: &mut BytesMut) {
        // RFC 8446 §6.1: nothing follows our close_notify. Before the handshake is complete there
        // is no sending direction to end.
        if self.usable().is_ok() {
            // A failure is remembered and reported by the next call that can report it.
            let _ = self.send(Task::CloseNotify, out);
            self.is_closed = true;
        }
    }

    fn on_end(&mut self) -> Result<(), Failure> {
        match (&self.failure, self.status) {
            (Some(failure), _) => Err((**failure).clone()),
            (None, LayerStatus::PeerClosed) => Ok(()),
            (None, status) => {
                let failure = classify::cut(status == LayerStatus::Ready);
                Err(self.fail(failure))
            }
        }
    }

    fn on_waiting(&mut self) {
        if let Connection::Client(_) = self.connection {
            key_share::restock();
        }
    }

    fn status(&self) -> LayerStatus {
        self.status
    }

    fn take_is_early_data(&mut self) -> bool {
        let early = self.early.as_mut();
        early.is_some_and(|early| early.take_is_untold())
    }

    fn is_early_data_accepted(&self) -> Option<bool> {
        self.early.as_ref()?.is_accepted()
    }

    fn protection(&self) -> Option<Protection> {
        let (common, name) = (self.common(), self.server_name.as_deref());
        match self.status {
            LayerStatus::Ready if self.handshake.is_some() => {
                protection::describe_now(common, name)
            }
            _ => protection::describe(common, name),
        }
    }
}

/// Messages up to this size that come in parts are joined without an allocation.
const GATHERED_ON_STACK_MAX: usize = 2048;
