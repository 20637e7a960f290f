//! The command line, which is that of the scripted peer.
//!
//! Invariant: what is not understood ends the process.

use std::net::{IpAddr, SocketAddr};

/// Which end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What is done without a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What comes is returned.
    Echo,
    /// Each stream is answered with as many bytes as its first eight say.
    Perf,
    Script,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) role: Role,
    pub(crate) mode: Mode,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    /// The address that a client sends from.
    local: Option<IpAddr>,
    pub(crate) name: String,
    pub(crate) retry: bool,
    datagrams: bool,
    window: u64,
    idle_seconds: u64,
    cert: String,
    key: String,
    ca: String,
}

impl Arguments {
    pub(crate) fn of_process() -> Result<Arguments, String> {
        let mut words = std::env::args().skip(1);
        let role = match words.next().as_deref() {
            Some("client") => Role::Client,
            Some("server") => Role::Server,
            _ => return Err("the first argument is `client` or `server`".to_owned()),
        };
        let mut all = Arguments {
            role,
            mode: Mode::Script,
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            name: "localhost".to_owned(),
            retry: false,
            datagrams: false,
            window: 1 << 20,
            idle_seconds: 30,
            local: None,
            cert: String::new(),
            key: String::new(),
            ca: String::new(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--mode" => {
                    all.mode = match value()?.as_str() {
                        "echo" => Mode::Echo,
                        "perf" => Mode::Perf,
                        _ => Mode::Script,
                    }
                }
                "--host" => all.host = value()?.parse().map_err(|_| "no address")?,
                "--port" => all.port = value()?.parse().map_err(|_| "no port")?,
                "--window" => all.window = value()?.parse().map_err(|_| "no number")?,
                "--name" => all.name = value()?,
                "--cert" => all.cert = value()?,
                "--key" => all.key = value()?,
                "--ca" => all.ca = value()?,
                "--idle" => all.idle_seconds = value()?.parse().map_err(|_| "no number")?,
                "--local" => all.local = Some(value()?.parse().map_err(|_| "no address")?),
                "--retry" => all.retry = true,
                "--datagrams" => all.datagrams = true,
                _ => return Err(format!("{word} is not understood")),
            }
        }
        Ok(all)
    }

    /// Where a client's sockets are bound.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local.unwrap_or(self.host), 0)
    }

    /// What its connections have in common.
    pub(crate) fn config(&self) -> quiche::Result<quiche::Config> {
        let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION)?;
        config.set_application_protos(&[b"portway"])?;
        match self.role {
            Role::Server => {
                config.load_cert_chain_from_pem_file(&self.cert)?;
                config.load_priv_key_from_pem_file(&self.key)?;
            }
            Role::Client => {
                config.load_verify_locations_from_file(&self.ca)?;
                config.verify_peer(true);
            }
        }
        config.set_max_idle_timeout(self.idle_seconds * 1000);
        config.set_max_recv_udp_payload_size(1500);
        config.set_max_send_udp_payload_size(1350);
        config.set_initial_max_data(self.window);
        config.set_initial_max_stream_data_bidi_local(self.window);
        config.set_initial_max_stream_data_bidi_remote(self.window);
        config.set_initial_max_stream_data_uni(self.window);
        config.set_initial_max_streams_bidi(100);
        config.set_initial_max_streams_uni(100);
        // Also how many addresses of its peer a server follows to.
        config.set_active_connection_id_limit(16);
        config.enable_early_data();
        if self.datagrams {
            config.enable_dgram(true, 100, 100);
        }
        Ok(config)
    }
}
