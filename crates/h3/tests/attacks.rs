//! Known attacks against memory: whatever a peer does, what a connection holds stays within its
//! limits. The allocator counts what each thread holds; nothing but the connection is there.
#![allow(unsafe_code, reason = "an allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use portway_h3::datagram::Profiles;
use portway_h3::error::Code;
use portway_h3::message::Protocol;
use portway_h3::{
    Action, Config, Connection, Direction, Event, Finish, Incoming, Role, SendError, StreamId,
    Written, varint,
};
use support::{GET, OK, POST, bidi, frame, get, headers, response, section};

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was held at most while `act` ran, and what stayed, both beyond what was held before.
fn held(act: impl FnOnce()) -> (usize, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    act();
    let peak = (PEAK.get() - before) as usize;
    (peak, usize::try_from(LIVE.get() - before).unwrap_or(0))
}

/// A connection whose peer is an attacker, and a transport that takes everything.
struct Victim {
    connection: Connection,
    now: Duration,
    takes: bool,
}

impl Victim {
    fn new(role: Role, config: Config) -> Self {
        Self::with_settings(role, config, &[0x04, 0x00])
    }

    /// The attacker opens its control stream by `settings`.
    fn with_settings(role: Role, config: Config, settings: &[u8]) -> Self {
        let mut victim = Self {
            connection: Connection::new(role, config),
            now: Duration::ZERO,
            takes: true,
        };
        for index in 0..3 {
            let id = StreamId::nth(role, Direction::Unidirectional, index).expect("in range");
            victim.connection.on_unidirectional_opened(id);
        }
        let control = [&[0x00], settings].concat();
        victim.get(victim.uni(0), control.into(), false);
        while victim.connection.poll_event().is_some() {}
        victim
    }

    fn server(config: Config) -> Self {
        Self::new(Role::Server, config)
    }

    /// A unidirectional stream of the attacker.
    fn uni(&self, index: u64) -> StreamId {
        let attacker = match self.connection.role() {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        StreamId::nth(attacker, Direction::Unidirectional, index).expect("in range")
    }

    /// Gets bytes of a stream as far as it wants them; whether it wanted all.
    fn get(&mut self, stream: StreamId, bytes: Bytes, fin: bool) -> bool {
        let wants = self.connection.wants_read(stream);
        if wants {
            self.connection.on_stream_data(stream, bytes, fin);
        }
        self.work();
        wants
    }

    /// Time passes, so that no glitch is counted for long.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.connection.set_time(self.now);
        self.work();
    }

    /// Does what a transport does.
    fn work(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            if let Action::Datagram(_) = action {}
        }
        while self.takes
            && let Some(transmit) = self.connection.poll_transmit()
        {
            let (stream, fin) = (transmit.stream, transmit.fin);
            let bytes = transmit.chunks.iter().map(Bytes::len).sum();
            transmit.chunks.iter_mut().for_each(Bytes::clear);
            let is_blocked = false;
            let written = Written {
                bytes,
                fin,
                is_blocked,
            };
            self.connection.on_transmitted(stream, written);
        }
    }

    /// An application that reads and drops, and answers nothing.
    fn drop_all(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            if let Event::Request(stream) = event {
                while self.connection.receive(stream).is_some() {}
                self.connection.release(stream);
            }
        }
        self.work();
    }

    #[track_caller]
    fn assert_open(&self) {
        assert_eq!(self.connection.error(), None);
    }

    #[track_caller]
    fn assert_closed(&self, code: Code) {
        assert_eq!(self.connection.error().map(|error| error.code), Some(code));
    }
}

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;

/// Fields and bytes without a bound that matters, so that nothing else stops an attack.
fn wide() -> Config {
    let mut config = Config::default();
    config.limits.field_section_bytes = 4 << 20;
    config.limits.fields = 1 << 20;
    config
}

/// Fills the table with one entry of 4,000 bytes.
fn fill_table(victim: &mut Victim) {
    let mut instructions = vec![0x02, 0x3f, 0xe1, 0x1f, 0x41, b'x', 0x7f, 0xa1, 0x1e];
    instructions.extend([b'v'; 4000]);
    let encoder = victim.uni(1);
    victim.get(encoder, instructions.into(), false);
    victim.assert_open();
}

/// A section with a prefix for one entry, the lines, and that entry over and over.
fn expanding(lines: &[(&str, &str)], count: usize) -> Vec<u8> {
    let mut encoded = section(lines);
    encoded[..2].copy_from_slice(&[0x02, 0x00]);
    encoded.extend(std::iter::repeat_n(0x80, count));
    encoded
}

#[test]
fn qpack_expansion_in_headers_is_refused_early() {
    let mut victim = Victim::server(Config::default());
    fill_table(&mut victim);
    let bomb = Bytes::from(frame(1, &expanding(&GET, 16_000)));
    let (peak, _) = held(|| {
        victim.get(bidi(0), bomb, false);
    });
    println!("peak {peak}");
    // 64 MB uncompressed.
    assert!(peak < 64 * KIB, "{peak}");
    victim.assert_open();
    assert_eq!(victim.connection.poll_event(), None, "nobody gets it");
}

#[test]
fn qpack_expansion_in_trailers_is_refused_early() {
    let mut victim = Victim::server(Config::default());
    fill_table(&mut victim);
    victim.get(bidi(0), headers(&POST).into(), false);
    let bomb = Bytes::from(frame(1, &expanding(&[], 16_000)));
    let (peak, _) = held(|| {
        victim.get(bidi(0), bomb, false);
    });
    println!("peak {peak}");
    assert!(peak < 64 * KIB, "{peak}");
    victim.assert_open();
    victim.connection.receive(bidi(0));
    let failed = victim.connection.receive(bidi(0)).expect("an end");
    assert_eq!(failed.expect_err("too large").code, Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn qpack_expansion_in_pushes_is_refused_early() {
    let mut config = Config::default();
    config.pushes = 10;
    let mut victim = Victim::new(Role::Client, config);
    fill_table(&mut victim);
    let send = |victim: &mut Victim, index| {
        let request = victim
            .connection
            .send_request(bidi(index), &get("/"), Finish::Now);
        request.expect("a request");
        victim.work();
    };
    send(&mut victim, 0);
    let promise = [&[0][..], &expanding(&GET, 16_000)].concat();
    let bomb = Bytes::from(frame(5, &promise));
    let (peak, _) = held(|| {
        victim.get(bidi(0), bomb, false);
    });
    println!("peak {peak}");
    assert!(peak < 64 * KIB, "{peak}");
    let failed = victim.connection.receive(bidi(0)).expect("an end");
    assert_eq!(failed.expect_err("too large").code, Code::H3_EXCESSIVE_LOAD);
    // The response of a push is bounded too.
    send(&mut victim, 1);
    victim.get(
        bidi(1),
        frame(5, &[&[1][..], &section(&GET)].concat()).into(),
        false,
    );
    let push = victim.uni(2);
    let bomb = [&[0x01, 0x01][..], &frame(1, &expanding(&OK, 16_000))].concat();
    let (peak, _) = held(|| {
        victim.get(push, bomb.into(), false);
    });
    assert!(peak < 64 * KIB, "{peak}");
    let failed = victim.connection.receive(push).expect("an end");
    assert_eq!(failed.expect_err("too large").code, Code::H3_EXCESSIVE_LOAD);
    victim.assert_open();
}

#[test]
fn forty_thousand_indexed_fields_hold_no_more_than_they_are_declared_to() {
    let mut encoded = section(&GET);
    encoded.extend(std::iter::repeat_n([0xff, 0x00], 40_000).flatten());
    let bomb = Bytes::from(frame(1, &encoded));
    for config in [Config::default(), wide()] {
        let bound = config.limits.field_section_bytes;
        let mut victim = Victim::server(config);
        let bomb = bomb.clone();
        let (peak, kept) = held(|| {
            victim.get(bidi(0), bomb, false);
            victim.drop_all();
        });
        println!("bound {bound}, peak {peak}, kept {kept}");
        assert!(peak < 4 * bound + 64 * KIB, "{peak}");
        assert!(kept < 64 * KIB, "{kept}");
        victim.assert_open();
        assert_eq!(victim.connection.in_flight(), 0);
    }
}

#[test]
fn cookie_crumb_floods_are_counted_as_fields_and_joined_in_one_go() {
    let crumbs = |count| std::iter::repeat_n(("cookie", "abcdefgh"), count);
    let lines: Vec<(&str, &str)> = GET.into_iter().chain(crumbs(20_000)).collect();
    let flood = Bytes::from(headers(&lines));
    for (config, bound) in [(Config::default(), 64 * KIB), (wide(), 8 << 20)] {
        let mut victim = Victim::server(config);
        let flood = flood.clone();
        let (peak, _) = held(|| {
            victim.get(bidi(0), flood, true);
            victim.drop_all();
        });
        println!("peak {peak}");
        assert!(peak < bound, "{peak}");
        victim.assert_open();
    }
    // What is within the limits is one field.
    let lines: Vec<(&str, &str)> = GET.into_iter().chain(crumbs(100)).collect();
    let mut victim = Victim::server(Config::default());
    victim.get(bidi(0), headers(&lines).into(), true);
    let Some(Ok(Incoming::Request(head))) = victim.connection.receive(bidi(0)) else {
        panic!("a request");
    };
    assert_eq!(head.headers.len(), 1);
    assert_eq!(head.headers["cookie"].len(), 100 * 10 - 2);
}

/// A section of `len` bytes that needs the first entry, which never comes.
fn blocked(len: usize) -> Bytes {
    let mut encoded = vec![0x02, 0x00];
    encoded.resize(len, 0x80);
    frame(1, &encoded).into()
}

#[test]
fn blocked_streams_hold_their_sections_and_no_more() {
    let mut victim = Victim::server(Config::default());
    let section = blocked(16 * KIB);
    let (peak, _) = held(|| {
        for index in 0..16 {
            victim.get(bidi(index), section.clone(), false);
            victim.assert_open();
        }
        victim.get(bidi(16), section.clone(), false);
    });
    println!("peak {peak}");
    assert!(peak < 16 * 17 * KIB + 16 * 2 * KIB, "{peak}");
    victim.assert_closed(Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn streams_cancelled_while_blocked_leave_nothing() {
    let mut victim = Victim::server(Config::default());
    let section = blocked(16 * KIB);
    let round = |victim: &mut Victim, from: u64| {
        for index in from..from + 100 {
            victim.get(bidi(index), section.clone(), false);
            victim
                .connection
                .on_reset(bidi(index), Code::H3_REQUEST_CANCELLED);
            victim.wait(SECOND);
            victim.assert_open();
        }
    };
    round(&mut victim, 0);
    let (peak, kept) = held(|| round(&mut victim, 100));
    println!("peak {peak}, kept {kept}");
    assert!(peak < 40 * KIB, "{peak}");
    assert!(kept < KIB, "{kept}");
    assert_eq!(victim.connection.in_flight(), 0);
}

#[test]
fn a_reference_to_an_evicted_entry_closes_the_connection() {
    let insert = |letter: u8| {
        let mut instruction = vec![0x41, letter, 0x7f, 0xa1, 0x1e];
        instruction.extend([letter; 4000]);
        instruction
    };
    let start = vec![0x02, 0x3f, 0xe1, 0x1f];
    // The second entry evicts the first.
    let mut victim = Victim::server(Config::default());
    let encoder = victim.uni(1);
    let both = [start.clone(), insert(b'a'), insert(b'b')].concat();
    victim.get(encoder, both.clone().into(), false);
    victim.get(bidi(0), frame(1, &[0x02, 0x00, 0x80]).into(), false);
    victim.assert_closed(Code::QPACK_DECOMPRESSION_FAILED);
    // The same while a section waits for the first.
    let mut victim = Victim::server(Config::default());
    victim.get(bidi(0), frame(1, &[0x02, 0x00, 0x80]).into(), false);
    victim.get(encoder, both.into(), false);
    victim.assert_closed(Code::QPACK_DECOMPRESSION_FAILED);
    // And by an instruction that refers to what is gone.
    let mut victim = Victim::server(Config::default());
    let duplicate = [start, insert(b'a'), insert(b'b'), vec![0x01]].concat();
    victim.get(encoder, duplicate.into(), false);
    victim.assert_closed(Code::QPACK_ENCODER_STREAM_ERROR);
}

#[test]
fn a_peer_that_acknowledges_nothing_gets_responses_without_the_table() {
    // A large table and many blocked streams would be all ours to use.
    let settings = frame(
        4,
        &[0x01, 0x80, 0x01, 0x00, 0x00, 0x07, 0x80, 0x01, 0x00, 0x00],
    );
    let mut victim = Victim::with_settings(Role::Server, Config::default(), &settings);
    let request = Bytes::from(headers(&GET));
    let value = "x".repeat(200);
    let respond = |victim: &mut Victim, from: u64| {
        for index in from..from + 2000 {
            victim.get(bidi(index), request.clone(), true);
            let number = index.to_string();
            let mut head = response(200, &[("x-number", &number), ("x-long", &value)]);
            head.headers
                .insert("x-other", number.parse().expect("a value"));
            let sent = victim
                .connection
                .send_response(bidi(index), &head, Finish::Now);
            sent.expect("a response");
            victim.work();
            victim.drop_all();
        }
    };
    respond(&mut victim, 0);
    let (_, kept) = held(|| respond(&mut victim, 2000));
    println!("kept {kept}");
    assert!(kept < KIB, "{kept}");
    victim.assert_open();
}

#[test]
fn open_and_reset_floods_leave_nothing() {
    let mut victim = Victim::server(Config::default());
    let request = Bytes::from(headers(&GET));
    let round = |victim: &mut Victim, from: u64| {
        for index in from..from + 1000 {
            victim.get(bidi(index), request.clone(), false);
            victim
                .connection
                .on_reset(bidi(index), Code::H3_REQUEST_CANCELLED);
            victim.drop_all();
            victim.wait(SECOND);
        }
    };
    round(&mut victim, 0);
    let (peak, kept) = held(|| round(&mut victim, 1000));
    println!("peak {peak}, kept {kept}");
    assert!(peak < 8 * KIB && kept < KIB, "{peak}, {kept}");
    victim.assert_open();
    assert_eq!(victim.connection.in_flight(), 0);
}

#[test]
fn floods_on_the_control_stream_hold_nothing_however_slow() {
    let mut priority = Vec::new();
    varint::encode(bidi(50).value(), &mut priority);
    priority.extend(b"u=1, i");
    for (name, flood) in [
        ("GREASE", frame(0x21, &[7; 1000])),
        ("PRIORITY_UPDATE", frame(0xf0700, &priority)),
        ("MAX_PUSH_ID", frame(0x0d, &[5])),
        ("GOAWAY", frame(0x07, &[0])),
    ] {
        let mut victim = Victim::server(Config::default());
        let control = victim.uni(0);
        let flood = Bytes::from(flood);
        let round = |victim: &mut Victim| {
            for _ in 0..2000 {
                victim.get(control, flood.clone(), false);
                while victim.connection.poll_event().is_some() {}
                victim.wait(SECOND);
            }
        };
        round(&mut victim);
        let (peak, kept) = held(|| round(&mut victim));
        println!("{name}: peak {peak}, kept {kept}");
        assert!(peak < 4 * KIB && kept < KIB, "{name}: {peak}, {kept}");
        victim.assert_open();
    }
}

#[test]
fn a_settings_flood_is_refused_by_its_length_or_its_number() {
    let flood = |pairs: u64| {
        let mut payload = Vec::new();
        for n in 0..pairs {
            varint::encode(varint::reserved(n as u32), &mut payload);
            varint::encode(n, &mut payload);
        }
        frame(4, &payload)
    };
    for pairs in [65, 200, 100_000] {
        let flood = flood(pairs);
        let mut closed = None;
        let (peak, _) = held(|| {
            let victim = Victim::with_settings(Role::Server, Config::default(), &flood);
            closed = victim.connection.error();
        });
        // The test's own copy of the flood is held too.
        assert!(peak < 16 * KIB + 2 * flood.len(), "{peak}");
        assert_eq!(
            closed.map(|error| error.code),
            Some(Code::H3_EXCESSIVE_LOAD)
        );
    }
}

/// The start of a frame that never ends.
fn endless(ty: u64) -> Vec<u8> {
    let mut wire = Vec::new();
    varint::encode(ty, &mut wire);
    varint::encode(1 << 40, &mut wire);
    wire
}

#[test]
fn an_unknown_frame_of_a_terabyte_is_skipped_on_every_kind_of_stream() {
    let mut config = Config::default();
    config.pushes = 1;
    let zeros = Bytes::from(vec![0; 64 * KIB]);
    let mut streams = Vec::new();
    for role in [Role::Server, Role::Client] {
        let mut victim = Victim::new(role, config.clone());
        if role == Role::Client {
            let sent = victim
                .connection
                .send_request(bidi(0), &get("/"), Finish::Now);
            sent.expect("a request");
            let push = victim.uni(1);
            victim.get(push, Bytes::from_static(&[0x01, 0x00]), false);
            streams.push(push);
        }
        streams.extend([bidi(0), victim.uni(0)]);
        for stream in streams.drain(..) {
            victim.get(stream, endless(0x21).into(), false);
            let (peak, _) = held(|| {
                for _ in 0..1000 {
                    assert!(victim.get(stream, zeros.clone(), false), "it is read");
                }
            });
            println!("{role:?} {stream:?}: peak {peak}");
            assert!(peak < KIB, "{peak}");
        }
        victim.assert_open();
    }
}

#[test]
fn headers_that_never_end_hold_at_most_a_section_each_and_not_for_ever() {
    let mut victim = Victim::server(Config::default());
    let mut start = Vec::new();
    varint::encode(1, &mut start);
    varint::encode(16 * KIB as u64, &mut start);
    let start = Bytes::from(start);
    let piece = Bytes::from_static(&[0; 128]);
    let (peak, kept) = held(|| {
        for index in 0..100 {
            victim.get(bidi(index), start.clone(), false);
            for _ in 0..127 {
                victim.get(bidi(index), piece.clone(), false);
            }
        }
        assert_eq!(victim.connection.in_flight(), 100);
        victim.wait(31 * SECOND);
        assert_eq!(victim.connection.in_flight(), 0);
        // What they took is kept for a moment, as for any requests.
        victim.wait(SECOND);
    });
    println!("peak {peak}, kept {kept}");
    assert!(peak < 100 * 18 * KIB, "{peak}");
    assert!(kept < 32 * KIB, "{kept}");
    // Interim responses without end are the same for a client.
    let mut victim = Victim::new(Role::Client, Config::default());
    let sent = victim
        .connection
        .send_request(bidi(0), &get("/"), Finish::Now);
    sent.expect("a request");
    let interim = Bytes::from(headers(&[(":status", "103"), ("link", &"x".repeat(1000))]));
    let (peak, _) = held(|| {
        for _ in 0..1000 {
            victim.get(bidi(0), interim.clone(), false);
        }
    });
    assert!(peak < 32 * KIB, "{peak}");
    victim.assert_open();
}

#[test]
fn a_stalled_reader_of_a_large_response_holds_its_buffer_and_no_more() {
    let mut victim = Victim::server(Config::default());
    victim.get(bidi(0), headers(&GET).into(), true);
    let head = response(200, &[]);
    let sent = victim
        .connection
        .send_response(bidi(0), &head, Finish::Later);
    sent.expect("a response");
    victim.takes = false;
    let (peak, _) = held(|| {
        let mut taken = 0;
        for _ in 0..10_000 {
            let content = Bytes::from(vec![7; 16 * KIB]);
            match victim.connection.send_data(bidi(0), content, Finish::Later) {
                Ok(()) => taken += 1,
                Err(error) => assert_eq!(error, SendError::WouldBlock),
            }
        }
        assert_eq!(taken, 4);
    });
    println!("peak {peak}");
    assert!(peak < 100 * KIB, "{peak}");
}

#[test]
fn tiny_pieces_of_content_are_not_free() {
    let mut victim = Victim::server(Config::default());
    victim.get(bidi(0), headers(&POST).into(), false);
    let tiny = frame(0, b"x");
    let packet = Bytes::from(tiny.repeat(20_000));
    let mut sent = 0;
    let (peak, _) = held(|| {
        while victim.get(bidi(0), packet.clone(), false) {
            sent += 20_000;
            assert!(sent < 1_000_000, "it is read without end");
        }
    });
    println!("peak {peak} after {sent}");
    assert!(peak < 160 * KIB, "{peak}");
    victim
        .connection
        .receive(bidi(0))
        .expect("the request")
        .expect("no failure");
    let mut got = 0;
    while let Some(Ok(Incoming::Data(bytes))) = victim.connection.receive(bidi(0)) {
        got += bytes.len();
    }
    assert_eq!(got, sent, "nothing is lost");
}

/// A server with datagrams, and a request that takes them.
fn session() -> Victim {
    let mut config = Config::default();
    config.datagrams = Profiles::rfc9297();
    config.extended_connect = true;
    let settings = frame(4, &[0x33, 0x01]);
    let mut victim = Victim::with_settings(Role::Server, config, &settings);
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    victim.get(bidi(0), headers(&connect).into(), false);
    let Some(Ok(Incoming::Request(head))) = victim.connection.receive(bidi(0)) else {
        panic!("a request");
    };
    assert_eq!(head.protocol, Protocol::new("connect-udp"));
    victim
}

#[test]
fn datagrams_for_unknown_and_closed_streams_are_bounded_or_dropped() {
    let datagram = |index: u64| {
        let mut datagram = Vec::new();
        varint::encode(index, &mut datagram);
        datagram.resize(1200, 7);
        datagram
    };
    let mut victim = session();
    let (peak, _) = held(|| {
        for index in 1..20_000 {
            victim.connection.on_datagram(datagram(index).into());
        }
    });
    println!("unknown: peak {peak}");
    assert!(peak < 32 * KIB, "{peak}");
    let mut victim = session();
    victim.connection.release(bidi(0));
    victim.drop_all();
    assert_eq!(victim.connection.in_flight(), 0);
    let (peak, kept) = held(|| {
        for _ in 0..20_000 {
            victim.connection.on_datagram(datagram(0).into());
        }
    });
    println!("closed: peak {peak}, kept {kept}");
    assert!(peak < 4 * KIB && kept == 0, "{peak}, {kept}");
    victim.assert_open();
}

#[test]
fn zero_length_datagrams_in_a_loop_hold_a_bounded_number() {
    let mut victim = session();
    let empty = Bytes::from_static(&[0x00]);
    let (peak, _) = held(|| {
        for _ in 0..100_000 {
            victim.connection.on_datagram(empty.clone());
        }
    });
    println!("peak {peak}");
    assert!(peak < 16 * KIB, "{peak}");
    let kept = std::iter::from_fn(|| victim.connection.receive_datagram(bidi(0))).count();
    assert_eq!(kept, 64);
    // A datagram without any byte names no stream.
    victim.connection.on_datagram(Bytes::new());
    victim.assert_closed(Code::H3_DATAGRAM_ERROR);
}

#[test]
fn an_endless_encoder_stream_holds_one_table() {
    let mut victim = Victim::server(Config::default());
    let encoder = victim.uni(1);
    victim.get(
        encoder,
        Bytes::from_static(&[0x02, 0x3f, 0xe1, 0x1f]),
        false,
    );
    let insert = Bytes::from(
        [&[0x43][..], b"x-a", &[0x05], b"value"]
            .concat()
            .repeat(100),
    );
    let (peak, _) = held(|| {
        for _ in 0..1000 {
            victim.get(encoder, insert.clone(), false);
        }
    });
    println!("peak {peak}");
    assert!(peak < 64 * KIB, "{peak}");
    victim.assert_open();
}

#[test]
fn push_streams_that_nobody_promised_are_bounded_and_given_up() {
    let mut config = Config::default();
    config.pushes = 1000;
    let mut victim = Victim::new(Role::Client, config);
    let round = |victim: &mut Victim, from: u64| {
        for push_id in from..from + 50 {
            let mut wire = vec![0x01];
            varint::encode(push_id, &mut wire);
            let stream = victim.uni(10 + push_id);
            victim.get(stream, wire.into(), false);
        }
        assert_eq!(victim.connection.in_flight(), 50);
        victim.wait(11 * SECOND);
        assert_eq!(victim.connection.in_flight(), 0);
    };
    round(&mut victim, 0);
    let (peak, kept) = held(|| round(&mut victim, 50));
    println!("peak {peak}, kept {kept}");
    assert!(peak < 64 * KIB && kept < KIB, "{peak}, {kept}");
    victim.assert_open();
}

#[test]
fn ten_thousand_hostile_connections_leave_memory_where_it_was() {
    let pieces: Vec<Bytes> = [
        headers(&GET),
        headers(&POST)[..7].to_vec(),
        frame(0, b"content"),
        frame(0x21, &[0; 100]),
        frame(5, &[0, 0, 0]),
        frame(7, &[0]),
        frame(0x0d, &[3]),
        frame(0xf0700, b"\x10u=1"),
        blocked(100).to_vec(),
        endless(0x00),
        endless(0x21),
        vec![0x02, 0x3f, 0xe1, 0x1f, 0x41, b'x', 0x01, b'y'],
        vec![0x03, 0x80],
        vec![0xff; 40],
    ]
    .map(Bytes::from)
    .to_vec();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % below
    };
    let mut largest = 0;
    let (_, kept) = held(|| {
        for _ in 0..10_000 {
            let before = LIVE.get();
            let mut victim = Victim::server(Config::default());
            for _ in 0..12 {
                let stream = match draw(2) {
                    0 => bidi(draw(4) as u64),
                    _ => victim.uni(draw(4) as u64),
                };
                let piece = pieces[draw(pieces.len())].clone();
                victim.get(stream, piece, draw(8) == 0);
            }
            largest = largest.max(LIVE.get() - before);
        }
    });
    println!("largest {largest}, kept {kept}");
    assert!(largest < 32 * KIB as isize, "{largest}");
    assert_eq!(kept, 0);
}
