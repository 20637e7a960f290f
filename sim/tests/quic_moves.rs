//! Peers that move at bad moments: packets on the way to the old address, timeouts that are due,
//! a new address that turns out to be nobody's.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use bytes::Bytes;
use portway_sim::{Alteration, Altered, SimEnvironment};
use portway_transport::environment::{BoxFuture, Environment, UdpBind};
use portway_transport::quic::{Connection, Endpoint, EndpointOptions, PathEvent, PathEvents};
use quic_support::{NAME, World, either_readable, exchange, join};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Whether the threads of a host have time, and who waits until they have.
#[derive(Clone, Default)]
struct Busy(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Busy {
    fn begin(&self) {
        self.0.lock().unwrap().0 = true;
    }

    fn end(&self) {
        let waiting = {
            let mut state = self.0.lock().unwrap();
            state.0 = false;
            std::mem::take(&mut state.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn is_on(&self, context: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            state.1.push(context.waker().clone());
        }
        state.0
    }
}

/// A host whose tasks do not run while it is busy; packets come and time passes meanwhile.
struct BusyHost {
    host: Arc<SimEnvironment>,
    busy: Busy,
}

impl Alteration for BusyHost {
    type Inner = SimEnvironment;

    fn inner(&self) -> &SimEnvironment {
        &self.host
    }

    fn spawn(&self, mut task: BoxFuture<()>) {
        let busy = self.busy.clone();
        self.host.spawn(Box::pin(poll_fn(move |context| {
            match busy.is_on(context) {
                true => Poll::Pending,
                false => task.as_mut().poll(context),
            }
        })));
    }
}

/// A server that can be busy.
fn busy_server(world: &World) -> (Endpoint, Busy) {
    let busy = Busy::default();
    let host = BusyHost {
        host: Arc::clone(&world.server),
        busy: busy.clone(),
    };
    let bind = UdpBind::on(SocketAddr::new(world.server.addresses()[0], 443));
    let (options, config) = (EndpointOptions::default(), world.server_config());
    let server = Endpoint::bind(Arc::new(Altered(host)), bind, &options, Some(config));
    (server.unwrap(), busy)
}

/// A connection that has come to rest.
async fn settled(world: &World, server: &Endpoint, remote: SocketAddr) -> (Connection, Connection) {
    let client = world.client();
    let connecting = client.connect(&world.client_config(), remote, NAME);
    let (ours, theirs) = join(connecting.unwrap(), server.accept()).await;
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
    exchange(&ours, &theirs, 1_000).await;
    wait(world, Duration::from_secs(1)).await;
    (ours, theirs)
}

async fn wait(world: &World, span: Duration) {
    let mut timer = world.middle.timer();
    timer.reset(Some(world.sim.now() + span));
    poll_fn(|context| timer.poll_expired(context)).await;
}

/// What was told of addresses so far.
async fn addresses(events: &mut PathEvents, count: usize) -> Vec<PathEvent> {
    let mut told = Vec::new();
    while told.len() < count {
        match events.next().await.unwrap() {
            PathEvent::MtuChanged { .. } => {}
            event => told.push(event),
        }
    }
    told
}

/// Sends what the peer has to acknowledge, and does not wait for that.
async fn say(connection: &Connection, bytes: Vec<u8>) {
    let mut send = connection.open_uni().await.unwrap();
    send.write_and_finish(Bytes::from(bytes)).await.unwrap();
}

async fn hear(connection: &Connection) -> Vec<u8> {
    let mut receive = connection.accept_uni().await.unwrap();
    receive.read_to_end(100_000).await.unwrap()
}

#[test]
fn a_move_that_is_noticed_together_with_a_timeout_of_the_old_path_ends_nothing() {
    let world = World::new(70);
    let nat = world.sim.nat("203.0.113.1".parse().unwrap(), &["client"]);
    let (server, busy) = busy_server(&world);
    world.sim.block_on(async {
        let (ours, theirs) = settled(&world, &server, server.local_address()).await;
        let before = theirs.remote_address();
        let mut events = theirs.path_events();
        nat.rebind();
        // Goes to the address that is nobody's any more, so that its timeout comes.
        say(&theirs, vec![1; 100]).await;
        wait(&world, Duration::from_millis(1)).await;
        busy.begin();
        say(&ours, vec![2; 100]).await;
        wait(&world, Duration::from_secs(1)).await;
        assert_eq!(theirs.remote_address(), before);
        busy.end();
        assert_eq!(hear(&theirs).await, [2; 100]);
        let after = theirs.remote_address();
        let moved = PathEvent::PeerMoved {
            from: before,
            to: after,
        };
        let validated = PathEvent::AddressValidated { remote: after };
        assert_eq!(addresses(&mut events, 2).await, [moved, validated]);
        assert!(theirs.path().is_validated);
        assert_eq!(hear(&ours).await, [1; 100]);
        exchange(&ours, &theirs, 100_000).await;
        assert_eq!((ours.error(), theirs.error()), (None, None));
    });
}

/// What somebody in the middle does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Middle {
    Passes,
    /// So many packets of the client come from another address, and nothing passes then.
    Steals(usize),
    /// So many packets of the client come from another address, and then they come from the first
    /// one again; the client gets nothing.
    Strays(usize),
}

#[test]
fn a_move_to_an_address_that_never_answers_is_taken_back_and_ends_nothing() {
    let world = World::new(71);
    let server = world.server(world.server_config());
    let (middle, front) = pass(&world, server.local_address());
    world.sim.block_on(async {
        let (ours, theirs) = settled(&world, &server, front).await;
        let before = theirs.remote_address();
        let mut events = theirs.path_events();
        // So much that what may be sent to the address in return lasts until it is given up.
        middle.does(Middle::Steals(6));
        say(&ours, vec![2; 10_000]).await;
        wait(&world, Duration::from_millis(100)).await;
        let stolen = theirs.remote_address();
        assert!(!theirs.path().is_validated);
        let moved = PathEvent::PeerMoved {
            from: before,
            to: stolen,
        };
        assert_eq!(addresses(&mut events, 1).await, [moved]);
        // Its timeout comes when the address is given up already.
        say(&theirs, vec![1; 100]).await;
        wait(&world, Duration::from_secs(5)).await;
        let taken_back = PathEvent::MoveTakenBack {
            from: stolen,
            to: before,
        };
        assert_eq!(addresses(&mut events, 1).await, [taken_back]);
        let path = theirs.path();
        assert_eq!((path.remote, path.moves_taken_back), (before, 1));
        assert!(path.is_validated);
        middle.does(Middle::Passes);
        assert_eq!(hear(&theirs).await, [2; 10_000]);
        assert_eq!(hear(&ours).await, [1; 100]);
        exchange(&ours, &theirs, 100_000).await;
        assert_eq!((ours.error(), theirs.error()), (None, None));
    });
}

#[test]
fn a_peer_that_comes_back_and_then_never_answers_gets_again_what_was_sent_meanwhile() {
    let world = World::new(72);
    let server = world.server(world.server_config());
    let (middle, front) = pass(&world, server.local_address());
    world.sim.block_on(async {
        let (ours, theirs) = settled(&world, &server, front).await;
        let before = theirs.remote_address();
        let mut events = theirs.path_events();
        middle.does(Middle::Steals(6));
        say(&ours, vec![2; 1_000]).await;
        wait(&world, Duration::from_millis(30)).await;
        let stolen = theirs.remote_address();
        let moved = |from, to| PathEvent::PeerMoved { from, to };
        assert_eq!(addresses(&mut events, 1).await, [moved(before, stolen)]);
        // So much that what may be sent there in return lasts until the path is given up.
        middle.does(Middle::Strays(0));
        say(&ours, vec![3; 9_000]).await;
        assert_eq!(addresses(&mut events, 1).await, [moved(stolen, before)]);
        let path = theirs.path();
        assert_eq!((path.remote, path.moves_taken_back), (before, 0));
        assert!(!path.is_validated);
        // Its second timeout comes when the path is given up already.
        wait(&world, Duration::from_millis(10)).await;
        say(&theirs, vec![1; 100]).await;
        // The protocol gives the path up, but not the address.
        wait(&world, Duration::from_secs(5)).await;
        let path = theirs.path();
        assert_eq!((path.remote, path.moves_taken_back), (before, 0));
        assert!(path.is_validated);
        middle.does(Middle::Passes);
        // Before anything else is sent that the client would have to acknowledge.
        assert_eq!(hear(&ours).await, [1; 100]);
        let mut heard = [hear(&theirs).await, hear(&theirs).await];
        heard.sort();
        assert_eq!(heard, [vec![2; 1_000], vec![3; 9_000]]);
        exchange(&ours, &theirs, 100_000).await;
        assert_eq!((ours.error(), theirs.error()), (None, None));
    });
}

#[test]
fn a_move_there_and_back_that_is_noticed_together_with_a_timeout_ends_nothing() {
    let world = World::new(73);
    let (server, busy) = busy_server(&world);
    let (middle, front) = pass(&world, server.local_address());
    world.sim.block_on(async {
        let (ours, theirs) = settled(&world, &server, front).await;
        let before = theirs.remote_address();
        middle.does(Middle::Strays(2));
        // Does not arrive, so that its timeout comes.
        say(&theirs, vec![1; 100]).await;
        wait(&world, Duration::from_millis(1)).await;
        busy.begin();
        say(&ours, vec![2; 10_000]).await;
        wait(&world, Duration::from_secs(1)).await;
        assert!(theirs.path().is_validated);
        busy.end();
        wait(&world, Duration::from_millis(1)).await;
        // It is another path to the same address, which was not shown yet.
        assert_eq!(theirs.remote_address(), before);
        assert!(!theirs.path().is_validated);
        middle.does(Middle::Passes);
        assert_eq!(hear(&ours).await, [1; 100]);
        assert_eq!(hear(&theirs).await, [2; 10_000]);
        exchange(&ours, &theirs, 100_000).await;
        assert!(theirs.path().is_validated);
        assert_eq!((ours.error(), theirs.error()), (None, None));
    });
}

/// Who tells the middle what to do.
struct Order(Arc<Mutex<Middle>>);

impl Order {
    fn does(&self, what: Middle) {
        *self.0.lock().unwrap() = what;
    }
}

/// Passes datagrams between the client, to which it is the server, and the server, until it is told
/// something else; gives where the client finds it.
fn pass(world: &World, server: SocketAddr) -> (Order, SocketAddr) {
    let what = Arc::new(Mutex::new(Middle::Passes));
    let order = Order(Arc::clone(&what));
    let address = SocketAddr::new(world.middle.addresses()[0], 443);
    let front = world.middle.udp_bind(UdpBind::on(address)).unwrap();
    let [back, thief] = [(); 2].map(|()| world.middle.udp_bind(UdpBind::to(server)).unwrap());
    world.middle.spawn(Box::pin(async move {
        let mut client = None;
        let mut buffer = vec![0; 65_536];
        loop {
            either_readable(&*front, &*back).await;
            while let Ok(received) = front.try_receive(&mut buffer) {
                client = Some(received.remote);
                let mut what = what.lock().unwrap();
                let socket = match &mut *what {
                    Middle::Passes | Middle::Strays(0) => &back,
                    Middle::Steals(0) => continue,
                    Middle::Steals(more) | Middle::Strays(more) => {
                        *more -= 1;
                        &thief
                    }
                };
                socket.try_send(&buffer[..received.len], None).unwrap();
            }
            while let Ok(received) = back.try_receive(&mut buffer) {
                if *what.lock().unwrap() == Middle::Passes {
                    front.try_send(&buffer[..received.len], client).unwrap();
                }
            }
        }
    }));
    (order, address)
}
