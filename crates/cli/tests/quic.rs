//! The command over QUIC: streams, groups and datagrams.

mod support;

use support::{Listening, run, run_with};

const ANY: &str = "127.0.0.1:0";
const SERVER: [&str; 4] = [ANY, "--self-signed", "--alpn", "chat"];

fn to<'a>(target: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["connect", target, "--insecure", "--alpn", "chat"], rest].concat()
}

#[test]
fn a_named_protocol_is_served_over_tls_and_quic_on_one_port() {
    let listening = Listening::start(&[&SERVER[..], &["--echo"]].concat(), 2);
    let mut stacks = listening.stacks();
    stacks.sort_unstable();
    assert_eq!(stacks, ["quic", "tls"]);
    let payload: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    let run = run_with(&to(&listening.address(), &["-v"]), &payload).expect(0);
    let run = run.says(&["connected quic", "TLS 1.3 TLS_", "alpn chat"]);
    assert!(run.stdout == payload, "{} bytes", run.stdout.len());
}

#[test]
fn a_command_that_ends_tells_its_peer_instead_of_leaving_it_to_its_idle_time() {
    use portway::quic::{ConnectionError, Listener};
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let identity = portway::self_signed(&["localhost".to_owned()]).expect("an identity");
    let security = portway::Security::tls()
        .with_identity(identity)
        .with_alpn(["chat"]);
    let any = ANY.parse().expect("an address");
    let listener = Listener::bind(any, security).expect("a port");
    let target = listener.local_address().to_string();
    let served = runtime.spawn(async move {
        let connection = listener.accept().await.expect("it listens").expect("it");
        let (mut send, mut receive) = connection.accept_bi().await.expect("a stream");
        let question = receive.read_to_end(100).await.expect("all of it");
        send.write_and_finish(question.into()).await.expect("room");
        drop((send, receive));
        connection.closed().await
    });
    let run = run_with(&to(&target, &[]), b"question").expect(0);
    assert_eq!(run.stdout, b"question");
    let end = runtime.block_on(served).expect("no panic");
    assert!(matches!(end, ConnectionError::ClosedByPeer { .. }), "{end}");
}

#[test]
fn siblings_are_streams_that_each_carry_the_input() {
    let only = ["--protocols", "quic", "--echo", "--count", "4"];
    let listening = Listening::start(&[&SERVER[..], &only].concat(), 1);
    let rest = ["--sibling", "3", "-v", "--framer", "line"];
    let run = run_with(&to(&listening.address(), &rest), b"one\ntwo\n").expect(0);
    let mut lines: Vec<&str> = std::str::from_utf8(&run.stdout)
        .expect("text")
        .lines()
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [["one"; 4], ["two"; 4]].concat());
    assert_eq!(
        run.stderr.matches("sibling quic").count(),
        3,
        "{}",
        run.stderr
    );
    let listening = listening.finish(b"").expect(0);
    assert_eq!(listening.stdout, b"");
}

#[test]
fn datagrams_of_quic_come_back() {
    let listening = Listening::start(&[&SERVER[..], &["--datagrams", "--echo"]].concat(), 1);
    assert_eq!(listening.stacks(), ["quic-datagram"]);
    let rest = ["--datagrams", "--replies", "2", "-v"];
    let run = run_with(&to(&listening.address(), &rest), b"one\ntwo\n").expect(0);
    let run = run.says(&["connected quic-datagram"]);
    assert_eq!(run.stdout, b"one\ntwo\n");
}

#[test]
fn quic_without_a_named_protocol_is_a_wrong_argument() {
    let wrong = run(&["listen", ANY, "--self-signed", "--protocols", "quic"]).expect(2);
    wrong.says(&["--protocols quic needs --alpn"]);
    let listening = Listening::start(&[ANY, "--self-signed", "--echo"], 1);
    assert_eq!(listening.stacks(), ["tls"]);
    assert!(
        listening
            .said()
            .contains("quic is out: it needs an application protocol (--alpn)"),
        "{}",
        listening.said()
    );
    run(&["connect", "127.0.0.1:1", "--insecure", "--datagrams"])
        .expect(2)
        .says(&["--datagrams needs --alpn"]);
}

#[test]
fn explain_says_why_quic_is_out_and_that_it_won() {
    let out = run(&["explain", "127.0.0.1", "--port", "1", "--dry-run"]).expect(0);
    let text = out.text();
    let reason = "out: quic: it needs an application protocol (ALPN), and none is named";
    assert!(text.contains(reason), "{text}");
    let listening = Listening::start(&[&SERVER[..], &["--echo"]].concat(), 2);
    let port = listening.port().to_string();
    let arguments = [
        "explain",
        "127.0.0.1",
        "--port",
        &port,
        "--insecure",
        "--alpn",
        "chat",
    ];
    let text = run(&arguments).expect(0).text();
    assert!(text.contains("connected quic 127.0.0.1:"), "{text}");
}

#[test]
fn quic_perf_measures_requests_and_transfers() {
    let mut server =
        support::portway(&["quic-perf", "server", ANY, "--self-signed", "--count", "2"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the command");
    let mut said = std::io::BufReader::new(server.stderr.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
    let address = line
        .trim()
        .strip_prefix("listening quic ")
        .expect("an address");
    let client = ["quic-perf", "client", address, "--insecure"];
    let many = ["--requests", "300", "--parallel", "32", "--download", "100"];
    let text = run(&[&client[..], &many].concat()).expect(0).text();
    assert!(text.contains("300 requests in "), "{text}");
    assert!(text.contains("received 30000 bytes"), "{text}");
    let both = ["--upload", "3000000", "--download", "2000000"];
    let text = run(&[&client[..], &both].concat()).expect(0).text();
    assert!(text.contains("sent 3000000 bytes"), "{text}");
    assert!(text.contains("received 2000000 bytes"), "{text}");
    assert!(server.wait().expect("its end").success());
}
