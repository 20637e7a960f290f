//! Name resolution of the real environment, against a name server on loopback that behaves as each
//! test says.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::svcb::{
    Alpn, EchConfigList, IpHint, Mandatory, SvcParamKey, SvcParamValue, Unknown,
};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, HTTPS, SOA, SRV, SVCB};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use portway_core::Failure;
use portway_core::dns::{Answer, AnswerData, Question, RecordKind, ServerRecord};
use portway_core::failure::{FailureKind, Origin};
use portway_transport::RealEnvironment;
use portway_transport::environment::Environment;
use portway_transport::real::{Config, DnsConfig, DnsSource};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A name server that answers each query with the datagrams that `behaviour` gives.
struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    fn start(behaviour: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&buffer[..len]).unwrap();
                for reply in behaviour(&query) {
                    socket.send_to(&reply, peer).await.unwrap();
                }
            }
        });
        NameServer { address, asked }
    }

    /// One that answers every query with `records` and `code`.
    fn answering(code: ResponseCode, records: Vec<Record>) -> Self {
        NameServer::start(move |query| {
            let mut reply = reply_to(query, code);
            reply.answers = records.clone();
            vec![reply.to_vec().unwrap()]
        })
    }

    fn config(&self) -> DnsConfig {
        let mut config = DnsConfig::servers([self.address]);
        config.attempts = Some(1);
        config
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> Result<Answer, Failure> {
        resolve(self.config(), name, kind).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn reply_to(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_available = true;
    reply.metadata.recursion_desired = true;
    reply.queries = query.queries.clone();
    reply
}

async fn resolve(config: DnsConfig, name: &str, kind: RecordKind) -> Result<Answer, Failure> {
    let environment = RealEnvironment::new(Config::default().with_dns(config));
    environment.resolve(question(name, kind)).await
}

fn question(name: &str, kind: RecordKind) -> Question {
    Question {
        name: name.to_owned(),
        kind,
    }
}

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn a(owner: &str, last: u8) -> Record {
    let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
    Record::from_rdata(name(owner), 60, data)
}

fn cname(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 30, RData::CNAME(CNAME(name(target))))
}

fn addresses(answer: &Answer) -> Vec<String> {
    match &answer.data {
        AnswerData::Addresses(list) => list.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?} are no addresses"),
    }
}

#[tokio::test]
async fn addresses_of_both_families_are_found() {
    let six = RData::AAAA(AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)));
    let six = Record::from_rdata(name("one.example."), 60, six);
    let server = NameServer::start(move |query| {
        let mut reply = reply_to(query, ResponseCode::NoError);
        reply.answers = match query.queries[0].query_type() {
            RecordType::A => vec![a("one.example.", 1), a("one.example.", 2)],
            _ => vec![six.clone()],
        };
        vec![reply.to_vec().unwrap()]
    });
    let answer = server.resolve("one.example", RecordKind::A).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(answer.ttl, Duration::from_secs(60));
    let answer = server
        .resolve("ONE.example.", RecordKind::Aaaa)
        .await
        .unwrap();
    assert_eq!(addresses(&answer), ["2001:db8::1"]);
}

#[tokio::test]
async fn every_service_parameter_arrives() {
    let params = vec![
        (
            SvcParamKey::Mandatory,
            SvcParamValue::Mandatory(Mandatory(vec![SvcParamKey::Alpn, SvcParamKey::Port])),
        ),
        (
            SvcParamKey::Alpn,
            SvcParamValue::Alpn(Alpn(vec!["h3".into(), "h2".into()])),
        ),
        (SvcParamKey::NoDefaultAlpn, SvcParamValue::NoDefaultAlpn),
        (SvcParamKey::Port, SvcParamValue::Port(8443)),
        (
            SvcParamKey::Ipv4Hint,
            SvcParamValue::Ipv4Hint(IpHint(vec![A(Ipv4Addr::new(192, 0, 2, 3))])),
        ),
        (
            SvcParamKey::EchConfigList,
            SvcParamValue::EchConfigList(EchConfigList(vec![0, 2, 7, 7])),
        ),
        (
            SvcParamKey::Ipv6Hint,
            SvcParamValue::Ipv6Hint(IpHint(vec![AAAA(Ipv6Addr::LOCALHOST)])),
        ),
        (
            SvcParamKey::Key(65_300),
            SvcParamValue::Unknown(Unknown(vec![1])),
        ),
    ];
    let service = SVCB::new(1, name("svc.example."), params);
    let alias = SVCB::new(0, name("."), Vec::new());
    let server = NameServer::answering(
        ResponseCode::NoError,
        vec![
            Record::from_rdata(name("one.example."), 9, RData::HTTPS(HTTPS(service))),
            Record::from_rdata(name("one.example."), 99, RData::HTTPS(HTTPS(alias))),
        ],
    );
    let answer = server
        .resolve("one.example", RecordKind::Https)
        .await
        .unwrap();
    assert_eq!(answer.ttl, Duration::from_secs(9));
    let AnswerData::Services(services) = answer.data else {
        panic!("no services");
    };
    let found = &services[0];
    assert_eq!((found.priority, found.target.as_str()), (1, "svc.example"));
    assert_eq!(found.mandatory, [1, 3]);
    assert_eq!(found.alpn, [b"h3".to_vec(), b"h2".to_vec()]);
    assert!(found.no_default_alpn);
    assert_eq!(found.port, Some(8443));
    assert_eq!(found.ipv4_hints, [Ipv4Addr::new(192, 0, 2, 3)]);
    assert_eq!(found.ipv6_hints, [Ipv6Addr::LOCALHOST]);
    assert_eq!(found.ech.as_deref(), Some(&[0, 2, 7, 7][..]));
    assert_eq!(found.unknown_keys, [65_300]);
    assert_eq!(
        (services[1].priority, services[1].target.as_str()),
        (0, ".")
    );
}

#[tokio::test]
async fn srv_records_keep_priority_weight_and_port() {
    let data = RData::SRV(SRV::new(1, 2, 3, name("host.example.")));
    let owner = "_imap._tcp.one.example.";
    let server = NameServer::answering(
        ResponseCode::NoError,
        vec![Record::from_rdata(name(owner), 60, data)],
    );
    let answer = server.resolve(owner, RecordKind::Srv).await.unwrap();
    let expected = ServerRecord {
        priority: 1,
        weight: 2,
        port: 3,
        target: "host.example".to_owned(),
    };
    assert_eq!(answer.data, AnswerData::Servers(vec![expected]));
}

#[tokio::test]
async fn aliases_are_followed_within_one_answer_and_across() {
    let server = NameServer::start(|query| {
        let mut reply = reply_to(query, ResponseCode::NoError);
        reply.answers = match query.queries[0].name().to_ascii().as_str() {
            "one.example." => vec![cname("one.example.", "two.example."), a("two.example.", 2)],
            "far.example." => vec![cname("far.example.", "one.example.")],
            _ => vec![a("two.example.", 2)],
        };
        vec![reply.to_vec().unwrap()]
    });
    for asked in ["one.example", "far.example"] {
        let answer = server.resolve(asked, RecordKind::A).await.unwrap();
        assert_eq!(addresses(&answer), ["192.0.2.2"], "{asked}");
        assert_eq!(answer.ttl, Duration::from_secs(30), "{asked}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_found() {
    let server = NameServer::answering(ResponseCode::NXDomain, Vec::new());
    let failure = server
        .resolve("none.example", RecordKind::A)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::NameNotFound);
    assert_eq!((failure.origin, failure.code), (Origin::Dns, Some(3)));
}

#[tokio::test]
async fn absent_data_is_an_empty_answer_with_its_negative_ttl() {
    let server = NameServer::start(|query| {
        let mut reply = reply_to(query, ResponseCode::NoError);
        let soa = SOA::new(name("ns.example."), name("me.example."), 1, 2, 3, 4, 17);
        reply.authorities = vec![Record::from_rdata(name("example."), 99, RData::SOA(soa))];
        vec![reply.to_vec().unwrap()]
    });
    let answer = server
        .resolve("one.example", RecordKind::Https)
        .await
        .unwrap();
    assert_eq!(answer.data, AnswerData::Services(Vec::new()));
    assert_eq!(answer.ttl, Duration::from_secs(17));
}

#[tokio::test]
async fn a_server_that_fails_or_refuses_gives_its_code() {
    for (code, number) in [(ResponseCode::ServFail, 2), (ResponseCode::Refused, 5)] {
        let server = NameServer::answering(code, Vec::new());
        let failure = server
            .resolve("one.example", RecordKind::A)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::ResolverFailed);
        assert_eq!(failure.code, Some(number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_a_failure_within_the_deadline() {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mut config = DnsConfig::servers([address]);
    config.attempts = Some(1);
    let failure = resolve(config, "one.example", RecordKind::A)
        .await
        .unwrap_err();
    // The resolver asks from unconnected sockets, which learn nothing of a refusal.
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_times_out() {
    let server = NameServer::start(|_| Vec::new());
    let mut config = server.config();
    config.try_timeout = Some(Duration::from_secs(1));
    let before = tokio::time::Instant::now();
    let failure = resolve(config, "one.example", RecordKind::A)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
    assert!(before.elapsed() <= Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_whatever_the_tries_would_take() {
    let server = NameServer::start(|_| Vec::new());
    let mut config = server.config();
    config.try_timeout = Some(Duration::from_secs(60));
    config.attempts = Some(50);
    config.deadline = Duration::from_secs(3);
    let before = tokio::time::Instant::now();
    let failure = resolve(config, "one.example", RecordKind::A)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert!(before.elapsed() <= Duration::from_millis(3_010));
}

#[tokio::test]
async fn an_answer_about_another_name_is_not_believed() {
    let server = NameServer::answering(ResponseCode::NoError, vec![a("other.example.", 66)]);
    let result = server.resolve("one.example", RecordKind::A).await;
    if let Ok(answer) = result {
        assert_eq!(addresses(&answer), [""; 0]);
    }
}

#[tokio::test]
async fn a_foreign_record_beside_the_right_one_is_left_out() {
    let server = NameServer::answering(
        ResponseCode::NoError,
        vec![a("other.example.", 66), a("one.example.", 1)],
    );
    let answer = server.resolve("one.example", RecordKind::A).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
}

#[tokio::test]
async fn lies_before_the_answer_do_not_hide_it() {
    let server = NameServer::start(|query| {
        let mut foreign = reply_to(query, ResponseCode::NoError);
        foreign.metadata.id = query.metadata.id.wrapping_add(1);
        foreign.answers = vec![a("one.example.", 66)];
        let mut reply = reply_to(query, ResponseCode::NoError);
        reply.answers = vec![a("one.example.", 1)];
        vec![foreign.to_vec().unwrap(), reply.to_vec().unwrap()]
    });
    let answer = server.resolve("one.example", RecordKind::A).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
}

#[tokio::test]
async fn garbage_is_a_typed_error_within_the_deadline() {
    let server = NameServer::start(|query| {
        let mut garbage = query.metadata.id.to_be_bytes().to_vec();
        garbage.extend([0x81, 0x80, 0xff, 0xff, 0xff, 0xff, 0xc0, 0x0c, 0xc0, 0x0c]);
        vec![garbage]
    });
    let mut config = server.config();
    config.try_timeout = Some(Duration::from_millis(200));
    let failure = resolve(config, "one.example", RecordKind::A)
        .await
        .unwrap_err();
    assert!(
        matches!(
            failure.kind,
            FailureKind::ResolverFailed | FailureKind::TimedOut
        ),
        "{failure}"
    );
}

#[tokio::test]
async fn an_alias_loop_is_a_failure_after_a_limited_number_of_questions() {
    for end in ["one.example.", "two.example."] {
        let server = NameServer::start(move |query| {
            let mut reply = reply_to(query, ResponseCode::NoError);
            reply.answers = match query.queries[0].name().to_ascii().as_str() {
                "one.example." => vec![cname("one.example.", "two.example.")],
                _ => vec![cname("two.example.", end)],
            };
            vec![reply.to_vec().unwrap()]
        });
        let failure = server
            .resolve("one.example", RecordKind::A)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::ResolverFailed);
        assert!(failure.detail.contains("loop"), "{failure}");
        assert!(server.asked() < 20, "asked {} times", server.asked());
    }
}

#[tokio::test]
async fn a_datagram_beyond_what_was_offered_is_a_typed_error() {
    let records: Vec<_> = (0..255)
        .flat_map(|last| [a("a.example.", last), a("b.example.", last)])
        .collect();
    let server = NameServer::answering(ResponseCode::NoError, records);
    let failure = server
        .resolve("a.example", RecordKind::A)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::ResolverFailed);
}

#[tokio::test]
async fn a_huge_answer_is_cut_to_the_limit() {
    let records = (0..60).map(|last| a("a.example.", last)).collect();
    let server = NameServer::answering(ResponseCode::NoError, records);
    let mut config = server.config();
    config.records_max = 10;
    let answer = resolve(config, "a.example", RecordKind::A).await.unwrap();
    assert_eq!(addresses(&answer).len(), 10);
}

#[tokio::test]
async fn answers_are_kept_and_absence_too() {
    let server = NameServer::start(|query| {
        let mut reply = reply_to(query, ResponseCode::NoError);
        match query.queries[0].query_type() {
            RecordType::A => reply.answers = vec![a("one.example.", 1)],
            _ => {
                let soa = SOA::new(name("ns.example."), name("me.example."), 1, 2, 3, 4, 60);
                reply.authorities = vec![Record::from_rdata(name("example."), 60, RData::SOA(soa))];
            }
        }
        vec![reply.to_vec().unwrap()]
    });
    let environment = RealEnvironment::new(Config::default().with_dns(server.config()));
    for _ in 0..3 {
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            environment
                .resolve(question("one.example", kind))
                .await
                .unwrap();
        }
    }
    assert_eq!(server.asked(), 2);
    let other = RealEnvironment::new(Config::default().with_dns(server.config()));
    other
        .resolve(question("one.example", RecordKind::A))
        .await
        .unwrap();
    assert_eq!(server.asked(), 3, "each environment has its own cache");
}

#[tokio::test]
async fn known_names_are_not_asked_for() {
    let server = NameServer::start(|_| panic!("nobody shall be asked"));
    let config = server
        .config()
        .with_host("Fixed.example", ["192.0.2.9".parse().unwrap()]);
    let asked = [
        ("fixed.example.", RecordKind::A, "192.0.2.9"),
        ("localhost", RecordKind::A, "127.0.0.1"),
        ("a.localhost", RecordKind::Aaaa, "::1"),
        ("192.0.2.8", RecordKind::A, "192.0.2.8"),
    ];
    for (name, kind, expected) in asked {
        let answer = resolve(config.clone(), name, kind).await.unwrap();
        assert_eq!(addresses(&answer), [expected]);
    }
    for name in ["fixed.example", "_8443._https.fixed.example"] {
        let answer = resolve(config.clone(), name, RecordKind::Https).await;
        assert_eq!(answer.unwrap().data, AnswerData::Services(Vec::new()));
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_name_that_is_none_is_an_invalid_request() {
    let server = NameServer::answering(ResponseCode::NoError, Vec::new());
    let long = format!("{}.example", "x".repeat(64));
    for name in [long.as_str(), "a..b"] {
        let failure = server.resolve(name, RecordKind::A).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidRequest, "{name}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn only_short_names_are_tried_in_search_domains() {
    let server = NameServer::start(|query| {
        let asked = query.queries[0].name().to_ascii();
        let mut reply = reply_to(query, ResponseCode::NXDomain);
        match asked.as_str() {
            "short.corp.example." => {
                reply.metadata.response_code = ResponseCode::NoError;
                reply.answers = vec![a("short.corp.example.", 1)];
            }
            "short." | "absent.corp.example." | "absent." | "host.example." => {}
            other => panic!("nobody meant {other}"),
        }
        vec![reply.to_vec().unwrap()]
    });
    let mut config = server.config();
    config.search = vec!["corp.example".to_owned()];
    let answer = resolve(config.clone(), "short", RecordKind::A)
        .await
        .unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
    for name in ["short.", "absent", "host.example"] {
        let failure = resolve(config.clone(), name, RecordKind::A)
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::NameNotFound, "{name}");
    }
}

#[tokio::test]
async fn the_systems_resolution_refuses_what_it_cannot_give() {
    let mut config = DnsConfig::default();
    config.source = DnsSource::SystemResolution;
    let failure = resolve(config, "one.example", RecordKind::Https)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
}

#[tokio::test]
async fn the_systems_resolution_answers_by_family() {
    let mut config = DnsConfig::default();
    config.source = DnsSource::SystemResolution;
    // A number in this form is no literal of ours; the system takes it without asking anybody.
    let answer = resolve(config.clone(), "127.1", RecordKind::A)
        .await
        .unwrap();
    assert_eq!(addresses(&answer), ["127.0.0.1"]);
    let answer = resolve(config, "127.1", RecordKind::Aaaa).await.unwrap();
    assert_eq!(addresses(&answer), [""; 0]);
}
