//! The stage: a certificate authority, servers, a dead address and a name server.
//!
//! Invariant: everything is on loopback, on ports that the system chose, and ends with the stage.

use super::authority::Authority;
use super::dead_end::DeadEnd;
use super::loopback::LoopbackOnly;
use super::name_server::{self, Zone};
use super::transfer::{self, SentFile};
use crate::error::CommandError;
use portway::{
    Context, LengthPrefixed, Listener, LocalEndpoint, Preconnection, RealConfig, RealEnvironment,
    Security,
};
use portway_transport::real::DnsConfig;
use rustls_pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(super) const NAME: &str = "demo.portway.test";
pub(super) const PROTOCOL: &str = "portway-demo";

pub(super) struct Stage {
    /// What the client's connections share.
    pub(super) context: Context,
    /// Whom the client believes.
    pub(super) root: CertificateDer<'static>,
    pub(super) file: Arc<SentFile>,
    server: SocketAddr,
    backup: SocketAddr,
    name_server: SocketAddr,
    dead_end: DeadEnd,
}

impl Stage {
    pub(super) async fn set_up() -> Result<Stage, CommandError> {
        let authority = Authority::new(NAME)?;
        let file = Arc::new(SentFile::make()?);
        let servers = Context::new(Arc::new(RealEnvironment::new(RealConfig::default())));
        let security = Security::tls()
            .with_identity(authority.identity)
            .with_alpn([PROTOCOL]);
        let (server, dead_end) = server_beside_dead_end(&servers, &security, &file).await?;
        let backup = serve(&servers, &security, &file).await?;
        let zone = Zone {
            name: NAME,
            protocol: PROTOCOL,
            port: server.port(),
            backup_port: backup.port(),
        };
        let name_server = name_server::start(&servers, zone)?;
        let config = RealConfig::default().with_dns(DnsConfig::servers([name_server]));
        let environment = LoopbackOnly::new(RealEnvironment::new(config));
        Ok(Stage {
            context: Context::new(Arc::new(environment)),
            root: authority.root,
            file,
            server,
            backup,
            name_server,
            dead_end,
        })
    }

    /// The stage in plain words.
    pub(super) fn description(&self) -> String {
        format!(
            "- a name server at {}: it knows {NAME} by an IPv6 address, an IPv4 address\n  \
             and two HTTPS records, which name the protocol and the ports\n\
             - a server at {}, and a spare one at {}, over QUIC and TLS with a certificate\n  \
             from an authority that was made a moment ago\n\
             - the IPv6 address leads nowhere: {}\n\
             - a file of {} MiB of random bytes, waiting at the servers",
            self.name_server,
            self.server,
            self.backup,
            self.dead_end,
            self.file.length() / (1024 * 1024),
        )
    }
}

/// A server on a port whose other family leads nowhere.
async fn server_beside_dead_end(
    context: &Context,
    security: &Security,
    file: &Arc<SentFile>,
) -> Result<(SocketAddr, DeadEnd), CommandError> {
    let mut tries = PORT_TRIES;
    loop {
        let listener = listen(context, security).await?;
        let server = address_of(&listener);
        match DeadEnd::at(context, server.port()).await {
            Ok(dead_end) => {
                transfer::serve(listener, file.clone());
                return Ok((server, dead_end));
            }
            // Somebody else has this port on IPv6; the next listener gets another one.
            Err(_) if tries > 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

async fn serve(
    context: &Context,
    security: &Security,
    file: &Arc<SentFile>,
) -> Result<SocketAddr, CommandError> {
    let listener = listen(context, security).await?;
    let address = address_of(&listener);
    transfer::serve(listener, file.clone());
    Ok(address)
}

async fn listen(context: &Context, security: &Security) -> Result<Listener, CommandError> {
    let preconnection = Preconnection::new(security.clone())
        .context(context)
        .local(LocalEndpoint::address(LOOPBACK))
        .framer(LengthPrefixed::u32());
    preconnection
        .listen()
        .await
        .map_err(|error| CommandError::establishment("the server", &error))
}

fn address_of(listener: &Listener) -> SocketAddr {
    SocketAddr::new(LOOPBACK, listener.port())
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT_TRIES: usize = 16;
