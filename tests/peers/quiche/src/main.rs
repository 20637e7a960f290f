//! A QUIC peer that a test drives: quiche, commands on standard input, what happens on output.
//!
//! It says and takes what `tests/interop/quic/peer.py` does, but what quiche cannot do: it starts
//! no key update, and tells of none. Invariant: every line that it says was true when it was said.

mod arguments;
mod link;

use arguments::{Arguments, Role};
use link::{Link, say};
use quiche::{Connection, ConnectionId, Header};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UdpSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::of_process()?;
    let mut driver = Driver::new(arguments)?;
    if driver.arguments.role == Role::Server {
        driver.listen().await?;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut buffer = vec![0; 65_536];
    loop {
        driver.flush().await;
        let (timeout, socket) = (driver.timeout(), driver.socket.clone());
        let received = async {
            match &socket {
                Some(socket) => socket.recv_from(&mut buffer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = received => match received {
                Ok((len, from)) => driver.receive(&mut buffer[..len], from).await?,
                Err(error) => say(format!("failed {error}")),
            },
            line = lines.next_line() => match line? {
                Some(line) if line.trim() == "exit" => return Ok(()),
                Some(line) => {
                    if let Err(error) = driver.obey(&line).await {
                        say(format!("failed {error}"));
                    }
                }
                None => return Ok(()),
            },
            () = tokio::time::sleep(timeout) => driver.expire(),
        }
    }
}

/// The process: its connections and what they share.
struct Driver {
    arguments: Arguments,
    /// One for all connections, since it has the keys of the tickets.
    config: quiche::Config,
    random: SystemRandom,
    socket: Option<Rc<UdpSocket>>,
    local: SocketAddr,
    links: Vec<Link>,
    /// Which connection has an identifier.
    identifiers: HashMap<Vec<u8>, usize>,
    session: Option<Vec<u8>>,
}

impl Driver {
    fn new(arguments: Arguments) -> quiche::Result<Driver> {
        let config = arguments.config()?;
        Ok(Driver {
            local: SocketAddr::new(arguments.host, 0),
            arguments,
            config,
            random: SystemRandom::new(),
            socket: None,
            links: Vec::new(),
            identifiers: HashMap::new(),
            session: None,
        })
    }

    async fn listen(&mut self) -> io::Result<()> {
        let at = SocketAddr::new(self.arguments.host, self.arguments.port);
        let socket = UdpSocket::bind(at).await?;
        self.local = socket.local_addr()?;
        self.socket = Some(Rc::new(socket));
        say(format!("LISTEN {}", self.local));
        Ok(())
    }

    fn identifier(&self) -> Vec<u8> {
        let mut identifier = vec![0; ID_BYTES];
        self.random.fill(&mut identifier).expect("randomness");
        identifier
    }

    async fn connect(&mut self, is_early: bool) -> Result<(), Box<dyn std::error::Error>> {
        let socket = UdpSocket::bind(self.arguments.local()).await?;
        self.local = socket.local_addr()?;
        self.socket = Some(Rc::new(socket));
        let identifier = self.identifier();
        let id = ConnectionId::from_ref(&identifier);
        let remote = SocketAddr::new(self.arguments.host, self.arguments.port);
        let name = Some(self.arguments.name.as_str());
        let mut proto = quiche::connect(name, &id, self.local, remote, &mut self.config)?;
        if let Some(session) = &self.session {
            proto.set_session(session)?;
        }
        self.links.clear();
        let mut link = Link::new(proto, false);
        if is_early {
            // The keys for early data come with the first packet.
            self.send(&mut link).await;
            let id = link.open(false);
            link.write(id, b"early".to_vec(), true);
        }
        self.links.push(link);
        Ok(())
    }

    /// A datagram has come.
    async fn receive(&mut self, datagram: &mut [u8], from: SocketAddr) -> io::Result<()> {
        let index = match self.arguments.role {
            Role::Client => Some(self.links.len().saturating_sub(1)),
            Role::Server => self.find(datagram, from).await?,
        };
        let Some(link) = index.and_then(|index| self.links.get_mut(index)) else {
            return Ok(());
        };
        if !link.receive(datagram, from, self.local) {
            // The client comes again with the same identifiers, which are another connection's.
            self.identifiers.retain(|_, other| Some(*other) != index);
            return Ok(());
        }
        link.look(self.arguments.mode);
        if self.arguments.role == Role::Client
            && let Some(session) = link.proto.session()
            && self.session.as_deref() != Some(session)
        {
            self.session = Some(session.to_vec());
            say("ticket 1".to_owned());
        }
        let identifiers = link.spare_identifiers(&self.random);
        for identifier in identifiers {
            self.identifiers
                .insert(identifier, index.expect("it was found"));
        }
        Ok(())
    }

    /// The connection of a datagram, which may be a new one.
    async fn find(&mut self, datagram: &mut [u8], from: SocketAddr) -> io::Result<Option<usize>> {
        let Ok(header) = Header::from_slice(datagram, ID_BYTES) else {
            return Ok(None);
        };
        if let Some(index) = self.identifiers.get(header.dcid.as_ref()) {
            return Ok(Some(*index));
        }
        if header.ty != quiche::Type::Initial || !quiche::version_is_supported(header.version) {
            return Ok(None);
        }
        let token = header.token.clone().unwrap_or_default();
        let mut original = None;
        let mut identifier = self.identifier();
        if self.arguments.retry {
            let expected = [b"retry".as_slice(), from.to_string().as_bytes()].concat();
            match token.strip_prefix(expected.as_slice()) {
                Some(first) => {
                    original = Some(first.to_vec());
                    identifier = header.dcid.to_vec();
                }
                None => {
                    let token = [&expected, header.dcid.as_ref()].concat();
                    let mut answer = [0; 1500];
                    let new = ConnectionId::from_ref(&identifier);
                    let len = quiche::retry(
                        &header.scid,
                        &header.dcid,
                        &new,
                        &token,
                        header.version,
                        &mut answer,
                    );
                    if let (Ok(len), Some(socket)) = (len, &self.socket) {
                        socket.send_to(&answer[..len], from).await?;
                    }
                    return Ok(None);
                }
            }
        }
        let original = original.as_deref().map(ConnectionId::from_ref);
        let id = ConnectionId::from_ref(&identifier);
        let (local, config) = (self.local, &mut self.config);
        let proto = match quiche::accept(&id, original.as_ref(), local, from, config) {
            Ok(proto) => proto,
            Err(error) => {
                say(format!("failed {error}"));
                return Ok(None);
            }
        };
        let index = self.links.len();
        self.identifiers.insert(identifier, index);
        self.identifiers.insert(header.dcid.to_vec(), index);
        self.links.push(Link::new(proto, true));
        Ok(Some(index))
    }

    async fn send(&self, link: &mut Link) {
        let mut packet = [0; 1500];
        while let Ok((len, to)) = link.proto.send(&mut packet) {
            if let Some(socket) = &self.socket {
                let _ = socket.send_to(&packet[..len], to.to).await;
            }
        }
    }

    async fn flush(&mut self) {
        let mut links = std::mem::take(&mut self.links);
        for link in &mut links {
            link.write_more();
            self.send(link).await;
        }
        self.links = links;
    }

    fn timeout(&self) -> Duration {
        let timeouts = self.links.iter().filter_map(|link| link.proto.timeout());
        timeouts.min().unwrap_or(Duration::from_secs(3600))
    }

    fn expire(&mut self) {
        for link in &mut self.links {
            if link.proto.timeout() == Some(Duration::ZERO) {
                link.proto.on_timeout();
            }
        }
    }

    async fn obey(&mut self, line: &str) -> Result<(), Box<dyn std::error::Error>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => return Ok(()),
            ["connect"] => return self.connect(false).await,
            ["connect", "early"] => return self.connect(true).await,
            ["rebind"] => {
                // As behind a NAT: quiche does not learn of it.
                let socket = UdpSocket::bind(self.arguments.local()).await?;
                self.socket = Some(Rc::new(socket));
            }
            _ => {}
        }
        let link = self.links.last_mut().ok_or("there is no connection")?;
        link.obey(&words)
    }
}

/// The addresses of a connection's packets.
fn path(from: SocketAddr, to: SocketAddr) -> quiche::RecvInfo {
    quiche::RecvInfo { from, to }
}

/// Whether the peer's handshake is known to be over.
fn is_ready(proto: &Connection) -> bool {
    proto.is_established() || proto.is_in_early_data()
}

const ID_BYTES: usize = 16;
