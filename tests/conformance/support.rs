//! Two simulated hosts with a context each, identities, and words for what a race did.
#![allow(
    clippy::unwrap_used,
    reason = "a test's support that fails is a failed test"
)]

use bytes::{Buf, Bytes, BytesMut};
use portway::framer::{
    Control, Deframed, Demand, Framer, FramerFactory, Outgoing, Progress, from_fn,
};
use portway::race::{Event, EventKind, Report};
use portway::security::Identity;
use portway::{
    Connection, Context, EstablishmentError, Failure, FailureKind, LengthPrefixed, Listener,
    LocalEndpoint, Origin, Preconnection, RemoteEndpoint, Security, Time,
};
use portway_core::race::AttemptOutcome;
use portway_core::send_queue::WireBuffer;
pub(crate) use portway_sim::seeds;
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::environment::Environment;
use portway_transport::tls::self_signed;
use std::future::{Future, IntoFuture, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

/// The name of the server, in DNS and in its certificate.
pub(crate) const NAME: &str = "server.example";
pub(crate) const PORT: u16 = 443;
pub(crate) const V6: &str = "2001:db8::2";
pub(crate) const V4: &str = "198.18.0.2";

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn at(milliseconds: u64) -> Time {
    Time::ZERO + ms(milliseconds)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The identity of [`NAME`]; made once, as making keys takes time.
pub(crate) fn identity() -> Arc<Identity> {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    IDENTITY
        .get_or_init(|| Arc::new(self_signed(&[NAME.to_owned()]).unwrap()))
        .clone()
}

pub(crate) fn server_tls() -> Security {
    Security::tls().with_identity(identity())
}

pub(crate) fn client_tls() -> Security {
    Security::tls().with_roots([identity().chain[0].clone()])
}

/// A simulated network with a client and a server.
pub(crate) struct Net {
    pub(crate) sim: Simulation,
    pub(crate) client: Arc<SimEnvironment>,
    pub(crate) server: Arc<SimEnvironment>,
    pub(crate) at_client: Context,
    pub(crate) at_server: Context,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Net {
        let sim = Simulation::new(seed);
        let client = sim.host("client");
        let server = sim.host("server");
        Net {
            at_client: Context::new(client.clone()),
            at_server: Context::new(server.clone()),
            sim,
            client,
            server,
        }
    }

    /// A network whose client resolves [`NAME`] to the server's two addresses.
    pub(crate) fn named(seed: u64) -> Net {
        let net = Net::new(seed);
        net.client.dns().zone(NAME, &[V6, V4]);
        net
    }

    /// What the client needs, with length-prefixed messages, to reach the server by its name.
    pub(crate) fn to_server(&self, security: Security) -> Preconnection {
        Preconnection::new(security)
            .context(&self.at_client)
            .remote(RemoteEndpoint::host_name(NAME).port(PORT))
            .framer(LengthPrefixed::u32())
    }

    /// What the server needs to listen.
    pub(crate) fn for_server(&self, security: Security) -> Preconnection {
        Preconnection::new(security)
            .context(&self.at_server)
            .local(LocalEndpoint::any().port(PORT))
            .framer(LengthPrefixed::u32())
    }

    pub(crate) fn listen(&self, security: Security) -> Listener {
        self.listen_with(&self.for_server(security))
    }

    pub(crate) fn listen_with(&self, preconnection: &Preconnection) -> Listener {
        self.sim
            .block_on(preconnection.listen())
            .expect("a listener")
    }

    /// Runs an active open to its end and tells what it did.
    pub(crate) fn race(&self, preconnection: &Preconnection) -> Raced {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let initiate = preconnection
            .initiate()
            .on_event(move |event: &Event| sink.lock().unwrap().push(event.clone()));
        let outcome = self.sim.block_on(initiate.into_future());
        let events = std::mem::take(&mut *events.lock().unwrap());
        Raced { outcome, events }
    }

    /// Polls `future` at most `polls` times within two seconds, then drops it.
    pub(crate) fn cut<F: Future>(&self, polls: usize, future: F) -> Option<F::Output> {
        let span = portway_transport::listen::sleep(&self.at_client, ms(2000));
        self.sim.block_on(async {
            tokio::select! {
                biased;
                output = polled(polls, future) => output,
                () = span => None,
            }
        })
    }

    /// Runs `future` in a task of its own, so that nothing but its own wakers wakes it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.client.spawn(Box::pin(async move {
            let _ = sender.send(future.await);
        }));
        receiver
    }

    /// A connected pair, the client's side first.
    pub(crate) fn connect(
        &self,
        to: &Preconnection,
        listener: &mut Listener,
    ) -> (Connection, Connection) {
        let initiated = to.initiate().into_future();
        let (client, server) = self
            .sim
            .block_on(async { tokio::join!(initiated, listener.accept()) });
        (client.expect("connected"), server.expect("accepted"))
    }
}

/// What an active open did.
pub(crate) struct Raced {
    pub(crate) outcome: Result<Connection, EstablishmentError>,
    pub(crate) events: Vec<Event>,
}

impl Raced {
    pub(crate) fn connection(&self) -> &Connection {
        self.outcome.as_ref().expect("a connection")
    }

    pub(crate) fn error(&self) -> &EstablishmentError {
        self.outcome.as_ref().expect_err("no connection")
    }

    pub(crate) fn report(&self) -> Report {
        match &self.outcome {
            Ok(connection) => connection.report().expect("a report"),
            Err(error) => error.report().expect("a report").clone(),
        }
    }

    /// One line for each attempt: when it started in milliseconds, where to, what came of it.
    pub(crate) fn story(&self) -> Vec<String> {
        story(&self.report())
    }

    /// When the first event for which `wanted` holds happened.
    pub(crate) fn when(&self, wanted: impl Fn(&EventKind) -> bool) -> Option<Time> {
        let event = self.events.iter().find(|event| wanted(&event.kind));
        event.map(|event| event.at)
    }

    /// The place of the first such event among all of them.
    pub(crate) fn place(&self, wanted: impl Fn(&EventKind) -> bool) -> usize {
        let place = self.events.iter().position(|event| wanted(&event.kind));
        place.unwrap_or_else(|| panic!("no such event among {:#?}", self.events))
    }
}

pub(crate) fn story(report: &Report) -> Vec<String> {
    let attempts = report.attempts.iter();
    attempts
        .map(|attempt| {
            let started = attempt.started.saturating_since(report.started).as_millis();
            let outcome = match &attempt.outcome {
                AttemptOutcome::Succeeded => "won".to_owned(),
                AttemptOutcome::Failed(failure) => format!("failed: {:?}", failure.kind),
                AttemptOutcome::Cancelled(_) => "cancelled".to_owned(),
                other => format!("{other:?}"),
            };
            let leaf = &attempt.leaf;
            format!("{started} {} {} {outcome}", leaf.stack, leaf.remote)
        })
        .collect()
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Polls `future` at most `polls` times, then drops it.
pub(crate) async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // A future that is not woken any more must not keep the test from dropping it.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A framer whose two sides greet each other before any message.
pub(crate) fn greeting() -> impl FramerFactory {
    from_fn(|| Greeting { heard: 0 })
}

struct Greeting {
    heard: usize,
}

const HELLO: &[u8] = b"EHLO";

impl Framer for Greeting {
    fn start(&mut self, control: &mut Control<'_>) -> Result<Progress, Failure> {
        control.out.put_bytes(Bytes::from_static(HELLO));
        control.start_passthrough();
        Ok(Progress::NeedsInput)
    }

    fn on_handshake(
        &mut self,
        input: &mut BytesMut,
        _: &mut Control<'_>,
    ) -> Result<Progress, Failure> {
        let heard = input.len().min(HELLO.len() - self.heard);
        if input[..heard] != HELLO[self.heard..self.heard + heard] {
            return Err(Failure::new(
                Origin::Framing,
                FailureKind::ProtocolViolation,
                "the peer does not greet",
            ));
        }
        input.advance(heard);
        self.heard += heard;
        Ok(match self.heard == HELLO.len() {
            true => Progress::Ready,
            false => Progress::NeedsInput,
        })
    }

    fn frame(&mut self, _: Outgoing<'_>, _: &mut WireBuffer) -> Result<(), Failure> {
        unreachable!("it steps aside")
    }

    fn deframe(&mut self, _: &mut BytesMut, _: Demand) -> Result<Deframed, Failure> {
        Ok(Deframed::Passthrough)
    }
}
