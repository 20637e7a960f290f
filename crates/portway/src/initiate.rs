//! Active open (RFC 9622 §7.1): plan, race, hand over.

use crate::connection::{Connection, Establishing};
use crate::error::EstablishmentError;
use crate::open::{Opened, early_message, open};
use crate::preconnection::Preconnection;
use portway_core::message::Message;
use portway_core::property::Action;
use portway_core::race::Event;
use portway_transport::context::Context;
use portway_transport::driver::{Observer, RaceRequest, Record, run_race};
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

/// An active open that has not started. Await it, or refine it first.
#[must_use = "nothing happens until it is awaited"]
pub struct Initiate {
    preconnection: Preconnection,
    timeout: Option<Duration>,
    first_message: Option<Message>,
    record: Record,
    on_event: Option<EventSink>,
}

type EventSink = Box<dyn FnMut(&Event) + Send>;

impl Initiate {
    pub(crate) fn new(preconnection: Preconnection) -> Self {
        Initiate {
            preconnection,
            timeout: None,
            first_message: None,
            record: Record::No,
            on_event: None,
        }
    }

    /// Gives up after `timeout`, with every attempt so far in the error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// `InitiateWithSend` (RFC 9622 §9.2.5): sends `message` as soon as the connection is ready.
    /// A failure of the whole is the error of establishment only.
    ///
    /// A message that is marked safelyReplayable and has no lifetime leaves with the first packets
    /// of QUIC, or with the first flight of TLS over TCP, when a ticket of an earlier connection
    /// allows early data and `zeroRttMsg` is not avoided. It can then be replayed by an attacker,
    /// and several attempts of a race may each deliver it. A server that takes no early data gets
    /// it after the handshake.
    pub fn first_message(mut self, message: impl Into<Message>) -> Self {
        self.first_message = Some(message.into());
        self
    }

    /// Keeps everything that went into the race and came out, for [`Connection::take_recording`].
    pub fn record(mut self) -> Self {
        self.record = Record::Yes;
        self
    }

    /// Sees every decision of the race as it is made.
    pub fn on_event(mut self, sink: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(sink));
        self
    }

    /// Connects in a task of its own and returns at once.
    ///
    /// # Errors
    /// The request cannot be planned.
    pub fn background(self) -> Result<Connection, EstablishmentError> {
        let prepared = self.prepare()?;
        let connection = prepared.connection.clone();
        let environment = prepared.context.environment().clone();
        let establishing = connection.establishing();
        environment.spawn(Box::pin(prepared.run_unless_dropped(establishing)));
        Ok(connection)
    }

    fn prepare(self) -> Result<Prepared, EstablishmentError> {
        let context = self.preconnection.context_or_default();
        let opening = self
            .preconnection
            .opening(&context)
            .map_err(EstablishmentError::Plan)?;
        let terms = match (self.record, &self.on_event) {
            (Record::No, None) => opening.terms(&context, self.timeout),
            (record, _) => opening.terms_in_full(&context, self.timeout, record),
        };
        let request = RaceRequest {
            terms,
            paths: opening,
        };
        let connection = Connection::of(&context, &self.preconnection, Action::Initiate);
        let first = self.first_message.as_ref();
        let early = first.and_then(|message| early_message(&self.preconnection.needs, message));
        if let Some(message) = self.first_message {
            connection
                .enqueue_first(message)
                .map_err(|error| EstablishmentError::Failed(error.failure()))?;
        }
        Ok(Prepared {
            context,
            preconnection: self.preconnection,
            request,
            connection,
            early,
            on_event: self.on_event,
        })
    }
}

impl IntoFuture for Initiate {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let prepared = self.prepare()?;
            let connection = prepared.connection.clone();
            prepared.run().await?;
            Ok(connection)
        })
    }
}

struct Prepared {
    context: Context,
    preconnection: Preconnection,
    request: RaceRequest,
    connection: Connection,
    /// The first message when it may leave as early data.
    early: Option<Message>,
    on_event: Option<EventSink>,
}

impl Prepared {
    async fn run(self) -> Result<(), EstablishmentError> {
        let establishing = self.connection.establishing();
        let Prepared {
            context,
            preconnection,
            request,
            connection,
            early,
            on_event,
        } = self;
        drop(connection);
        let dial = (preconnection, early);
        match race(&context, dial, request, on_event, &establishing).await {
            Ok(()) => Ok(()),
            Err(error) => {
                establishing.fail(error.failure(), error.report().cloned());
                Err(error)
            }
        }
    }

    async fn run_unless_dropped(self, establishing: Establishing) {
        tokio::select! {
            () = establishing.abandoned() => {}
            // The failure is told through the connection's state and events.
            _ = self.run() => {}
        }
    }
}

async fn race(
    context: &Context,
    (preconnection, early): (Preconnection, Option<Message>),
    request: RaceRequest,
    on_event: Option<EventSink>,
    establishing: &Establishing,
) -> Result<(), EstablishmentError> {
    let dial = |leaf, progress| {
        let (context, preconnection) = (context.clone(), preconnection.clone());
        // Not kept in each attempt's future where there is none.
        let early = early.clone().map(Box::new);
        Box::pin(async move { open(&context, &preconnection, leaf, &progress, early).await }) as _
    };
    let spectators = Spectators {
        on_event,
        establishing,
    };
    let outcome = run_race::<Opened, _, _>(context.environment(), request, dial, spectators).await;
    match outcome {
        Ok(winner) => {
            context.learn(|history| winner.account.teach(history));
            establishing.finish(winner.established, winner.account, winner.recording);
            Ok(())
        }
        Err(lost) => {
            context.learn(|history| {
                history.rtts.extend(&lost.learned.rtts);
                history.used.extend(&lost.learned.used);
            });
            Err(EstablishmentError::Race {
                failure: lost.failure,
                report: lost.report,
                recording: lost.recording,
            })
        }
    }
}

/// Whoever sees the decisions of a race: the caller's own sink, and the connection's events.
struct Spectators<'a> {
    on_event: Option<EventSink>,
    establishing: &'a Establishing,
}

impl Observer for Spectators<'_> {
    fn is_attentive(&self) -> bool {
        self.on_event.is_some() || self.establishing.has_listeners()
    }

    fn on_event(&mut self, event: &Event) {
        if let Some(sink) = &mut self.on_event {
            sink(event);
        }
        self.establishing.tell(event);
    }
}
