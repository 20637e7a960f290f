//! The secrets of HTTP's connections in the file that `SSLKEYLOGFILE` names: those of the client
//! and of the server for the same connections, and those that curl writes.
//!
//! Invariant: each end is a process of its own, since its environment names the file.

use axum::Router;
use axum::routing::get;
use portway_core::SecurityParameters;
use portway_core::security::Identity;
use portway_http::Client;
use portway_http::pool::Version;
use portway_http::server::Server;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[test]
fn client_and_server_log_the_same_secrets_over_tcp_and_over_quic() {
    if play() {
        return;
    }
    for version in ["1", "2", "3"] {
        let place = Place::new(version);
        let server = Far::start(&place);
        let mut client = place.ours("client", &server.port, version);
        let mut client = client.env("SSLKEYLOGFILE", place.file("near")).spawn();
        let status = client.as_mut().expect("this program").wait();
        assert!(status.expect("it runs").success());
        server.end();
        agree(&place);
    }
}

#[test]
fn a_server_logs_the_secrets_that_curl_does() {
    if play() {
        return;
    }
    for version in ["--http1.1", "--http2"] {
        let place = Place::new(version.trim_start_matches('-'));
        let server = Far::start(&place);
        let url = format!("https://localhost:{}/", server.port);
        let root = place.file("certificate");
        let got = Command::new("curl")
            .args(["-sS", version, "--noproxy", "*", "--cacert"])
            .arg(&root)
            .arg(url)
            .env("SSLKEYLOGFILE", place.file("near"))
            .output();
        let Ok(got) = got else {
            println!("skipped: there is no curl");
            return;
        };
        assert_eq!(got.stdout, b"answer", "{got:?}");
        server.end();
        agree(&place);
    }
}

/// Both files have the same secrets of one connection of TLS 1.3.
fn agree(place: &Place) {
    let [near, far] = ["near", "far"].map(|name| {
        let text = std::fs::read_to_string(place.file(name)).expect("a key log");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let known = |line: &&str| LABELS.contains(&line.split(' ').next().unwrap_or_default());
        let lines: BTreeSet<_> = lines.filter(known).map(str::to_lowercase).collect();
        lines
    });
    assert_eq!(near, far);
    let fields = |line: &String| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let lines: Vec<_> = near.iter().map(fields).collect();
    assert_eq!(lines.len(), LABELS.len(), "{lines:?}");
    for line in &lines {
        let [_, random, secret] = &line[..] else {
            panic!("not of NSS: {line:?}");
        };
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(random.len() == 64 && is_hex(random), "{line:?}");
        assert!(secret.len() >= 64 && is_hex(secret), "{line:?}");
        assert_eq!(*random, lines[0][1], "of one connection");
    }
}

const LABELS: [&str; 4] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
];

/// A directory with a certificate, which is gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("key-log-{}-{name}", std::process::id());
        let place = Place(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        std::fs::create_dir_all(&place.0).expect("a directory");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(place.file("certificate"), made.cert.pem()).expect("a file");
        let key = made.signing_key.serialize_pem();
        std::fs::write(place.file("key"), key).expect("a file");
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// This program as one of the ends.
    fn ours(&self, end: &str, port: &str, version: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let test = std::thread::current();
        let test = test.name().expect("that of the test").to_owned();
        command.args(["--exact", &test, "--nocapture"]);
        let place = self.0.to_str().expect("text");
        command.env(CHILD, format!("{end}|{place}|{port}|{version}"));
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The server, until its input ends.
struct Far {
    child: Child,
    port: String,
}

impl Far {
    fn start(place: &Place) -> Far {
        let mut command = place.ours("server", "0", "");
        command.env("SSLKEYLOGFILE", place.file("far"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        let port = lines.find_map(|line| Some(line.split_once("port ")?.1.to_owned()));
        // What else it writes is nobody's to read.
        std::thread::spawn(move || lines.for_each(drop));
        Far {
            child,
            port: port.expect("it tells"),
        }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it runs").success());
    }
}

/// Plays an end of a connection where this process is to; says whether it did.
fn play() -> bool {
    let Ok(told) = std::env::var(CHILD) else {
        return false;
    };
    let fields: Vec<_> = told.split('|').collect();
    let [end, place, port, version] = fields[..] else {
        panic!("as it is written");
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let read = |name| std::fs::read(Path::new(place).join(name)).expect("a file");
    let (certificate, key) = (read("certificate"), read("key"));
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(&certificate);
    let certificate = certificate.expect("a certificate");
    runtime.block_on(async {
        if end == "client" {
            let security = SecurityParameters::tls().with_roots([certificate]);
            let security = security.with_tls(|tls| tls.with_key_log());
            let client = Client::builder().security(security).build();
            let version = match version {
                "1" => Version::Http1,
                "2" => Version::Http2,
                _ => Version::Http3,
            };
            let request = client.get(format!("https://127.0.0.1:{port}/"));
            let response = request.versions(version).send().await.expect("an answer");
            assert_eq!(response.version(), version);
            assert_eq!(response.text().await.expect("whole"), "answer");
            return;
        }
        let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
        let identity = Identity::new(vec![certificate], key);
        let service = Router::new().route("/", get(|| async { "answer" }));
        let server = Server::new("127.0.0.1:0".parse().expect("an address"));
        let server = server.identities(identity).tls(|tls| tls.with_key_log());
        let serving = server.serve(service).expect("a free port");
        println!("port {}", serving.address().port());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.expect("a thread").expect("an input");
    });
    true
}

const CHILD: &str = "PORTWAY_TEST_KEY_LOG";
