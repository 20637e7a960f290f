//! Requests on fresh streams of QUIC, without HTTP, by an application of tokio-quiche's.
//!
//! Invariant: what could not be written yet is written first when there is room.

use crate::Asks;
use crate::ends::{Certificate, bind, connect};
use futures_util::StreamExt;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_quiche::quic::{HandshakeInfo, QuicheConnection};
use tokio_quiche::quiche::Error;
use tokio_quiche::{ApplicationOverQuic, QuicResult};

/// A connection.
#[derive(Clone)]
pub(crate) struct Client(UnboundedSender<Waits>);

/// Who waits for the length of an answer.
type Waits = oneshot::Sender<usize>;

impl Asks for Client {
    const ANSWER: usize = ANSWER.len();

    async fn start(certificate: Certificate) -> SocketAddr {
        let (address, mut connections) = bind(&certificate, ALPN).await;
        tokio::spawn(async move {
            while let Some(connection) = connections.next().await {
                let connection = connection.expect("our own client");
                connection.start(Answering::default());
            }
        });
        address
    }

    async fn connect(server: SocketAddr) -> Client {
        let (sender, requests) = unbounded_channel();
        let asking = Asking {
            is_open: false,
            next: 0,
            requests,
            unsent: VecDeque::new(),
            waiting: HashMap::new(),
        };
        connect(server, ALPN, asking).await;
        Client(sender)
    }

    async fn ask(&self) -> usize {
        let (waits, answer) = oneshot::channel();
        self.0.send(waits).expect("it is open");
        answer.await.expect("an answer")
    }
}

/// A client: each of its tasks asks by a channel.
struct Asking {
    is_open: bool,
    next: u64,
    requests: UnboundedReceiver<Waits>,
    unsent: Unsent,
    waiting: HashMap<u64, (usize, Waits)>,
}

impl ApplicationOverQuic for Asking {
    fn on_conn_established(
        &mut self,
        _: &mut QuicheConnection,
        _: &HandshakeInfo,
    ) -> QuicResult<()> {
        self.is_open = true;
        Ok(())
    }

    fn should_act(&self) -> bool {
        self.is_open
    }

    async fn wait_for_data(&mut self, _: &mut QuicheConnection) -> QuicResult<()> {
        match self.requests.recv().await {
            Some(waits) => self.ask(waits),
            None => std::future::pending().await,
        }
        Ok(())
    }

    fn process_reads(&mut self, quiche: &mut QuicheConnection) -> QuicResult<()> {
        for stream in quiche.readable() {
            let (len, is_end) = drain(quiche, stream)?;
            let Some((count, _)) = self.waiting.get_mut(&stream) else {
                continue;
            };
            *count += len;
            if is_end && let Some((count, waits)) = self.waiting.remove(&stream) {
                waits.send(count).expect("nobody stops waiting");
            }
        }
        Ok(())
    }

    fn process_writes(&mut self, quiche: &mut QuicheConnection) -> QuicResult<()> {
        while let Ok(waits) = self.requests.try_recv() {
            self.ask(waits);
        }
        write(quiche, &mut self.unsent, REQUEST)
    }
}

impl Asking {
    fn ask(&mut self, waits: Waits) {
        self.waiting.insert(self.next, (0, waits));
        self.unsent.push_back((self.next, 0));
        self.next += 4;
    }
}

/// A server, which answers where it reads the end of a request.
#[derive(Default)]
struct Answering {
    is_open: bool,
    unsent: Unsent,
}

impl ApplicationOverQuic for Answering {
    fn on_conn_established(
        &mut self,
        _: &mut QuicheConnection,
        _: &HandshakeInfo,
    ) -> QuicResult<()> {
        self.is_open = true;
        Ok(())
    }

    fn should_act(&self) -> bool {
        self.is_open
    }

    async fn wait_for_data(&mut self, _: &mut QuicheConnection) -> QuicResult<()> {
        std::future::pending().await
    }

    fn process_reads(&mut self, quiche: &mut QuicheConnection) -> QuicResult<()> {
        for stream in quiche.readable() {
            if drain(quiche, stream)?.1 {
                self.unsent.push_back((stream, 0));
            }
        }
        Ok(())
    }

    fn process_writes(&mut self, quiche: &mut QuicheConnection) -> QuicResult<()> {
        write(quiche, &mut self.unsent, ANSWER)
    }
}

/// Reads what there is of a stream: how much it was, and whether that is its end.
fn drain(quiche: &mut QuicheConnection, stream: u64) -> QuicResult<(usize, bool)> {
    let (mut buffer, mut count) = ([0; 2048], 0);
    loop {
        match quiche.stream_recv(stream, &mut buffer) {
            Ok((len, is_end)) => {
                count += len;
                if is_end {
                    return Ok((count, true));
                }
            }
            Err(Error::Done) => return Ok((count, false)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The streams that a message is still to be written to, with what is written of it.
type Unsent = VecDeque<(u64, usize)>;

/// Writes what there is room for.
fn write(quiche: &mut QuicheConnection, unsent: &mut Unsent, message: &[u8]) -> QuicResult<()> {
    while let Some((stream, written)) = unsent.front_mut() {
        match quiche.stream_send(*stream, &message[*written..], true) {
            Ok(len) => *written += len,
            Err(Error::Done | Error::StreamLimit) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if *written < message.len() {
            return Ok(());
        }
        unsent.pop_front();
    }
    Ok(())
}

const ALPN: &[u8] = b"bench";
/// As long as those that the other stacks send.
static REQUEST: &[u8] = &[7; 100];
static ANSWER: &[u8] = &[7; 1000];
