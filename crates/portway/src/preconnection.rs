//! Preconnections (RFC 9622 §6): what a connection needs, stated before there is one.
//!
//! Invariant: a value type. An action takes a snapshot, so one Preconnection serves many actions
//! and later changes do not reach back.

use crate::candidates;
use crate::connection::Connection;
use crate::error::EstablishmentError;
use crate::initiate::Initiate;
use crate::listener::{ListenLimits, Listener};
use crate::opening::{LatestOpening, Opening};
use crate::options::tcp_options;
use crate::resolve::{self, Resolved};
use portway_core::framer::{FramerFactory, Framers};
use portway_core::message::MessageContext;
use portway_core::path::Path;
use portway_core::plan::{Action, Plan, PlanError, PlanRequest};
use portway_core::property::{ConnectionProperties, MessageProperties, TransportProperties};
use portway_core::race::Report;
use portway_core::{LocalEndpoint, RemoteEndpoint, SecurityParameters};
use portway_transport::context::Context;
use portway_transport::environment::TcpOptions;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a connection needs: endpoints, properties, security and framers.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use portway::{LengthPrefixed, Preconnection, RemoteEndpoint, Security, TransportProperties};
///
/// let connection = Preconnection::new(Security::tls())
///     .remote(RemoteEndpoint::host_name("example.com").service("https"))
///     .properties(TransportProperties::reliable_message())
///     .framer(LengthPrefixed::u32())
///     .initiate()
///     .await?;
/// connection.send("hello").await?;
/// let reply = connection.receive().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Preconnection {
    pub(crate) needs: Arc<Needs>,
}

/// What was stated, shared by the actions and connections that come of it.
#[derive(Clone)]
pub(crate) struct Needs {
    context: Option<Context>,
    pub(crate) locals: Vec<LocalEndpoint>,
    pub(crate) remotes: Vec<RemoteEndpoint>,
    /// Shared with the connections that come of it.
    pub(crate) properties: Arc<TransportProperties>,
    pub(crate) security: SecurityParameters,
    pub(crate) framers: Framers,
    pub(crate) message_defaults: MessageProperties,
    pub(crate) limits: Arc<ConnectionLimits>,
    pub(crate) listen_limits: ListenLimits,
    derived: Derived,
}

/// What follows from the needs, kept because many connections come of one Preconnection. Needs
/// that are changed start without.
#[derive(Default)]
struct Derived {
    opening: LatestOpening,
    active: OnceLock<Arc<Defaults>>,
    passive: OnceLock<Arc<Defaults>>,
}

impl Clone for Derived {
    fn clone(&self) -> Self {
        Derived::default()
    }
}

/// What every connection starts with.
pub(crate) struct Defaults {
    /// The connection properties.
    pub(crate) properties: ConnectionProperties,
    /// The same as options of a TCP socket.
    pub(crate) options: TcpOptions,
    /// The context of a message that states nothing itself.
    pub(crate) message: MessageContext,
    /// Whether such a message may be sent without a further look at its context.
    pub(crate) is_message_ordinary: bool,
}

/// Bounds of what one connection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Bytes of accepted messages that are not sent yet; `send` waits beyond it. 1 MiB.
    pub send_queue_bytes: usize,
    /// Messages that are not sent yet; `send` waits beyond it. 1024.
    pub send_queue_messages: usize,
    /// The longest message that `receive` assembles. 16 MiB.
    pub receive_message_bytes: usize,
    /// A connection that was closed or dropped is given up when its peer takes nothing of what is
    /// left for this time; a close that `connTimeout` bounds ends by that instead. 60 s.
    pub linger: Duration,
    /// An upgrade of a live connection to TLS that takes longer fails. 10 s.
    pub handshake_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            send_queue_bytes: 1024 * 1024,
            send_queue_messages: 1024,
            receive_message_bytes: 16 * 1024 * 1024,
            linger: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl Preconnection {
    /// A Preconnection with this protection. There is no insecure default.
    pub fn new(security: SecurityParameters) -> Self {
        Preconnection {
            needs: Arc::new(Needs {
                context: None,
                locals: Vec::new(),
                remotes: Vec::new(),
                properties: Arc::default(),
                security,
                framers: Framers::default(),
                message_defaults: MessageProperties::default(),
                limits: Arc::default(),
                listen_limits: ListenLimits::default(),
                derived: Derived::default(),
            }),
        }
    }

    fn needs_mut(&mut self) -> &mut Needs {
        let needs = Arc::make_mut(&mut self.needs);
        needs.derived = Derived::default();
        needs
    }

    /// Uses `context` instead of the process-wide one.
    #[must_use]
    pub fn context(mut self, context: &Context) -> Self {
        self.needs_mut().context = Some(context.clone());
        self
    }

    /// Adds a remote endpoint; several are equivalent candidates.
    #[must_use]
    pub fn remote(mut self, endpoint: impl Into<RemoteEndpoint>) -> Self {
        self.needs_mut().remotes.push(endpoint.into());
        self
    }

    /// Adds a local endpoint; several are equivalent candidates.
    #[must_use]
    pub fn local(mut self, endpoint: impl Into<LocalEndpoint>) -> Self {
        self.needs_mut().locals.push(endpoint.into());
        self
    }

    /// Replaces the transport properties.
    #[must_use]
    pub fn properties(mut self, properties: TransportProperties) -> Self {
        self.needs_mut().properties = Arc::new(properties);
        self
    }

    /// Adds a framer. The last one added runs first outbound (RFC 9622 §9.1.2).
    #[must_use]
    pub fn framer(mut self, framer: impl FramerFactory + 'static) -> Self {
        self.needs_mut().framers.push(framer);
        self
    }

    /// Sets the properties that messages have unless they state their own (RFC 9622 §9.1.3).
    #[must_use]
    pub fn message_defaults(mut self, defaults: MessageProperties) -> Self {
        self.needs_mut().message_defaults = defaults;
        self
    }

    /// Sets the bounds of connections.
    #[must_use]
    pub fn limits(mut self, limits: ConnectionLimits) -> Self {
        self.needs_mut().limits = Arc::new(limits);
        self
    }

    /// Sets the bounds of listeners.
    #[must_use]
    pub fn listen_limits(mut self, limits: ListenLimits) -> Self {
        self.needs_mut().listen_limits = limits;
        self
    }

    /// The synchronous check: which stacks and paths are in or out, and why. Its `Display` is
    /// what `portway explain` prints. Nothing is sent.
    ///
    /// # Errors
    /// The request contradicts itself or no stack satisfies it.
    pub fn plan(&self, action: Action) -> Result<Plan, PlanError> {
        let context = self.context_or_default();
        self.plan_in(&context, action)
    }

    /// Resolves the remote endpoints and gives the candidate tree that a race would start from,
    /// without an attempt. The tree is that of the moment: a race starts before all answers are
    /// there.
    ///
    /// Cancel safety: dropping the future abandons the queries.
    ///
    /// # Errors
    /// The request cannot be planned. Names that cannot be resolved are part of the report.
    pub async fn candidate_tree(&self) -> Result<Report, EstablishmentError> {
        candidates::candidate_tree(&self.context_or_default(), self).await
    }

    pub(crate) fn plan_in(&self, context: &Context, action: Action) -> Result<Plan, PlanError> {
        let paths = context.environment().paths();
        self.needs.plan_over(context, action, paths)
    }

    /// The plan of an active open, with its race.
    pub(crate) fn opening(&self, context: &Context) -> Result<Arc<Opening>, PlanError> {
        self.needs.derived.opening.get(&self.needs, context)
    }

    /// Starts to connect when the returned value is awaited.
    ///
    /// Cancel safety: dropping it, or the future that it becomes, cancels the race.
    pub fn initiate(&self) -> Initiate {
        Initiate::new(self.clone())
    }

    /// Connects in a task of its own and returns at once. Messages may be sent meanwhile; they
    /// leave when the connection is ready. Dropping the last handle cancels the race.
    ///
    /// # Errors
    /// The request cannot be planned.
    pub fn background(&self) -> Result<Connection, EstablishmentError> {
        self.initiate().background()
    }

    /// Opens a listener for all eligible stacks on the same port.
    ///
    /// # Errors
    /// The request cannot be planned, or a socket cannot be opened.
    pub async fn listen(&self) -> Result<Listener, EstablishmentError> {
        Listener::open(self)
    }

    /// Resolves the endpoints ahead of an action (RFC 9622 §7.3): the remote host names to the
    /// addresses, ports and stacks that a race would go to, HTTPS and SRV records included, the
    /// local endpoints to the addresses of this host's interfaces.
    ///
    /// Cancel safety: dropping the future abandons the queries.
    ///
    /// # Errors
    /// The request cannot be planned, or nothing that it names leads to an address.
    pub async fn resolve(&self) -> Result<Resolved, EstablishmentError> {
        resolve::resolve(&self.context_or_default(), self).await
    }

    pub(crate) fn context_or_default(&self) -> Context {
        let stated = self.needs.context.clone();
        stated.unwrap_or_else(crate::default_context)
    }
}

impl Needs {
    /// The synchronous check over these paths.
    pub(crate) fn plan_over(
        &self,
        context: &Context,
        action: Action,
        paths: Vec<Path>,
    ) -> Result<Plan, PlanError> {
        let mut request = PlanRequest::new(action, self.security.clone());
        request.locals.clone_from(&self.locals);
        request.remotes.clone_from(&self.remotes);
        request.properties = (*self.properties).clone();
        request.stacks = context.stacks().to_vec();
        request.paths = paths;
        request.has_framer = !self.framers.is_empty();
        request.is_safely_replayable = self.message_defaults.is_safely_replayable();
        Plan::new(request)
    }

    /// What a connection that comes of `action` starts with.
    pub(crate) fn defaults(&self, action: Action) -> &Arc<Defaults> {
        let defaults = match action {
            Action::Listen => &self.derived.passive,
            _ => &self.derived.active,
        };
        defaults.get_or_init(|| Arc::new(Defaults::of(self, action)))
    }
}

impl Defaults {
    fn of(needs: &Needs, action: Action) -> Self {
        let message = message_context(&needs.message_defaults, &needs.properties, action);
        let properties = needs.properties.connection_properties();
        Defaults {
            options: tcp_options(&properties),
            properties,
            is_message_ordinary: is_ordinary(&message),
            message,
        }
    }

    /// The same with other properties of messages.
    pub(crate) fn with_message(
        &self,
        stated: &MessageProperties,
        properties: &TransportProperties,
        action: Action,
    ) -> Self {
        let message = message_context(stated, properties, action);
        Defaults {
            is_message_ordinary: is_ordinary(&message),
            message,
            properties: self.properties.clone(),
            options: self.options.clone(),
        }
    }
}

/// What messages have that state nothing: what is stated for all of them, else what follows from
/// the connection.
fn message_context(
    stated: &MessageProperties,
    properties: &TransportProperties,
    action: Action,
) -> MessageContext {
    let mut message = MessageContext::new();
    let stated = stated.or(&properties.message_properties(action));
    if stated != MessageProperties::new() {
        *message.properties_mut() = stated;
    }
    message
}

fn is_ordinary(message: &MessageContext) -> bool {
    !message.is_final() && message.lifetime().is_none()
}

impl std::fmt::Debug for Preconnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preconnection")
            .field("locals", &self.needs.locals)
            .field("remotes", &self.needs.remotes)
            .field("security", &self.needs.security)
            .finish_non_exhaustive()
    }
}
