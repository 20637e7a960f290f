//! TLS layers against the `openssl` command over loopback, in both roles.
//!
//! Invariant: nothing waits for the wall clock; a read that lasts 30 seconds fails the test.
//! Where there is no `openssl`, each test says that it was skipped.

mod tls_support;

use bytes::BytesMut;
use portway_core::security::{
    ChallengeCallback, CipherSuite, ClientAuthentication, Group, SignatureAlgorithm, TlsParameters,
    TlsVersion, TrustCallback, TrustDecision,
};
use portway_core::{Failure, FailureKind};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::{TlsEngine, TlsLayer, load_certificates, load_identity};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tls_support::{Authority, Issued, Module, NAME, VERSIONS, only, parameters, read_all};

/// A layer over a blocking socket.
struct Connected {
    layer: TlsLayer,
    socket: TcpStream,
    wire: BytesMut,
}

impl Connected {
    fn new(layer: TlsLayer, socket: TcpStream) -> Connected {
        let limit = Some(Duration::from_secs(30));
        socket.set_read_timeout(limit).expect("a read limit");
        Connected {
            layer,
            socket,
            wire: BytesMut::new(),
        }
    }

    fn handshake(&mut self) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        self.layer.start(&mut out)?;
        self.send(&out);
        while self.layer.status() == LayerStatus::Handshaking {
            self.receive()?;
        }
        Ok(())
    }

    /// Takes in one read's worth.
    fn receive(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        let count = loop {
            match self.socket.read(&mut buffer) {
                // A read with a time limit is not taken up again by the system.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.expect("the peer answers"),
            }
        };
        if count == 0 {
            return self.layer.on_end();
        }
        self.wire.extend_from_slice(&buffer[..count]);
        let mut out = BytesMut::new();
        let result = self.layer.on_wire(&mut self.wire, &mut out);
        self.send(&out);
        result
    }

    fn receive_until(&mut self, end: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut all = read_all(&mut self.layer);
        while !all.ends_with(end) {
            self.receive()?;
            all.extend(read_all(&mut self.layer));
        }
        Ok(all)
    }

    fn say(&mut self, text: &[u8]) {
        let mut out = BytesMut::new();
        self.layer.write(&[text], &mut out).expect("ready");
        self.send(&out);
    }

    fn send(&mut self, out: &[u8]) {
        // A peer that has failed may be gone already; what it said is still to be read.
        let _ = self.socket.write_all(out);
    }
}

/// A directory of PEM files that is removed at the end.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Files {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("tls-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Files(path)
    }

    fn add(&self, name: &str, pem: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, pem).expect("a file");
        path.to_str().expect("a path of text").to_owned()
    }

    fn add_identity(&self, name: &str, issued: &Issued) -> (String, String) {
        (
            self.add(&format!("{name}.crt"), &issued.certificate_pem),
            self.add(&format!("{name}.key"), &issued.key_pem),
        )
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `openssl`, ended with the test.
struct OpenSsl {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl OpenSsl {
    fn start(arguments: &[&str]) -> OpenSsl {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl starts");
        let output = child.stdout.take().expect("its output is piped");
        OpenSsl {
            child,
            output: BufReader::new(output),
        }
    }

    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.output.read_line(&mut line).expect("text");
            assert!(count > 0, "openssl ended without {text:?}");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        input.write_all(text.as_bytes()).expect("openssl listens");
        input.flush().expect("openssl listens");
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there() -> bool {
    let is_there = Command::new("openssl")
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_there {
        // Not by a macro that the test harness would keep from who reads a passing run.
        let why = b"skipped: tests with openssl: there is no openssl command\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), why);
    }
    is_there
}

fn flag(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls12 => "-tls1_2",
        _ => "-tls1_3",
    }
}

/// Starts `openssl s_server` and connects to it.
fn connect_to_server(
    arguments: &[&str],
    client: &TlsParameters,
    engine: &TlsEngine,
) -> (OpenSsl, Connected) {
    let fixed = ["s_server", "-accept", "127.0.0.1:0"];
    let mut server = OpenSsl::start(&[&fixed, arguments].concat());
    let line = server.line_with("ACCEPT ");
    let address: SocketAddr = line["ACCEPT ".len()..].parse().expect("an address");
    let layer = engine
        .client(client, Some(NAME), address.ip(), &client.alpn)
        .expect("a layer");
    let socket = TcpStream::connect(address).expect("openssl accepts");
    (server, Connected::new(layer, socket))
}

/// Starts `openssl s_client` and accepts it.
fn accept_client(arguments: &[&str], server: &TlsParameters) -> (OpenSsl, Connected) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let fixed = ["s_client", "-connect", &address, "-servername", NAME];
    let client = OpenSsl::start(&[&fixed, arguments].concat());
    let layer = TlsEngine::new()
        .server(server, &server.alpn)
        .expect("a layer");
    let (socket, _) = listener.accept().expect("openssl connects");
    (client, Connected::new(layer, socket))
}

#[test]
fn our_client_talks_to_s_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("client");
    let (certificate, key) = files.add_identity("server", &authority.server());
    for version in VERSIONS {
        let (mut client, _) = parameters(&authority);
        client.alpn = vec![b"portway".to_vec()];
        let arguments = ["-cert", &certificate, "-key", &key, "-alpn", "portway"];
        let arguments = [&arguments[..], &[flag(version), "-rev"]].concat();
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        connected.handshake().unwrap();
        let protection = connected.layer.protection().unwrap();
        assert_eq!(protection.version, version);
        assert_eq!(protection.alpn.as_deref(), Some(&b"portway"[..]));
        connected.say(b"abc\n");
        assert_eq!(connected.receive_until(b"\n").unwrap(), b"cba\n");
    }
}

#[test]
fn our_client_gives_its_certificate_to_s_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("client-certificate");
    let (certificate, key) = files.add_identity("server", &authority.server());
    let (client_certificate, client_key) = files.add_identity("client", &authority.client());
    let root = files.add("root.crt", &authority.pem);
    let identity = load_identity(Path::new(&client_certificate), Path::new(&client_key)).unwrap();
    assert_eq!(
        load_certificates(Path::new(&root)).unwrap(),
        vec![authority.certificate.clone()]
    );
    let identity = Arc::new(identity);
    for version in VERSIONS {
        let (mut client, _) = parameters(&authority);
        let arguments = ["-cert", &certificate, "-key", &key, "-CAfile", &root];
        let demand = [
            flag(version),
            "-rev",
            "-verify_return_error",
            "-Verify",
            "1",
        ];
        let arguments = [&arguments[..], &demand].concat();

        client.identity = Some(Arc::clone(&identity));
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        connected.handshake().unwrap();
        connected.say(b"abc\n");
        assert_eq!(connected.receive_until(b"\n").unwrap(), b"cba\n");

        client.identity = None;
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        let failure = connected
            .handshake()
            .and_then(|()| connected.receive_until(b"\n").map(drop))
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::CredentialRequired, "{failure}");
    }
}

#[test]
fn our_client_resumes_with_s_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("resumption");
    let (certificate, key) = files.add_identity("server", &authority.server());
    for version in VERSIONS {
        let (client, _) = parameters(&authority);
        let engine = TlsEngine::new();
        let arguments = ["-cert", &certificate, "-key", &key, flag(version), "-rev"];
        let (_server, mut first) = connect_to_server(&arguments, &client, &engine);
        first.handshake().unwrap();
        first.say(b"abc\n");
        first.receive_until(b"\n").unwrap();
        let address = first.socket.peer_addr().unwrap();
        let mut out = BytesMut::new();
        first.layer.close(&mut out);
        first.send(&out);
        drop(first);
        let layer = engine
            .client(&client, Some(NAME), address.ip(), &[])
            .unwrap();
        let socket = TcpStream::connect(address).unwrap();
        let mut second = Connected::new(layer, socket);
        second.handshake().unwrap();
        assert!(second.layer.protection().unwrap().is_resumed);
    }
}

#[test]
fn s_server_sees_only_the_algorithms_that_are_allowed() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("algorithms");
    let (certificate, key) = files.add_identity("server", &authority.server());
    // RFC 8422 §5.1.1: in TLS 1.2 the certificate is of one of the groups as well.
    for (suite, name, group) in [
        (
            CipherSuite::Chacha20Poly1305Sha256,
            "TLS_CHACHA20_POLY1305_SHA256",
            Group::Secp384r1,
        ),
        (
            CipherSuite::EcdheEcdsaAes128GcmSha256,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            Group::Secp256r1,
        ),
    ] {
        let (client, _) = parameters(&authority);
        let client = client
            .with_groups([group])
            .with_cipher_suites([suite])
            .with_signature_algorithms([SignatureAlgorithm::EcdsaSecp256r1Sha256]);
        let arguments = ["-cert", &certificate, "-key", &key];
        let (mut server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        connected.handshake().unwrap();
        let protection = connected.layer.protection().unwrap();
        assert_eq!(protection.version, suite.version());
        assert_eq!(protection.cipher_suite, suite.as_str());
        assert_eq!(protection.group.as_deref(), Some(group.as_str()));
        assert_eq!(
            server.line_with("Signature Algorithms: "),
            "Signature Algorithms: ECDSA+SHA256"
        );
        assert_eq!(
            server.line_with("Supported groups: "),
            format!("Supported groups: {group}")
        );
        assert_eq!(server.line_with("CIPHER is "), format!("CIPHER is {name}"));
    }
}

#[test]
fn s_server_without_our_group_or_suite_is_refused() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("no-algorithms");
    let (certificate, key) = files.add_identity("server", &authority.server());
    let (client, _) = parameters(&authority);
    let client = client
        .with_groups([Group::X25519])
        .with_cipher_suites([CipherSuite::Aes128GcmSha256]);
    for narrow in [
        ["-groups", "P-384"],
        ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    ] {
        let arguments = [&["-cert", &certificate, "-key", &key], &narrow[..]].concat();
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        let failure = connected.handshake().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    }
}

#[test]
fn s_server_accepts_what_our_module_signs() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("module");
    let (certificate, key) = files.add_identity("server", &authority.server());
    let root = files.add("root.crt", &authority.pem);
    for version in VERSIONS {
        let (module, identity) = Module::take_in(&authority.client());
        let (client, _) = parameters(&authority);
        let callback = ChallengeCallback::new(move |_| Some(Arc::clone(&identity)));
        let client = client.with_challenge_callback(callback);
        let arguments = ["-cert", &certificate, "-key", &key, "-CAfile", &root];
        let demand = [
            flag(version),
            "-rev",
            "-verify_return_error",
            "-Verify",
            "1",
        ];
        let arguments = [&arguments[..], &demand].concat();
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        connected.handshake().unwrap();
        connected.say(b"abc\n");
        assert_eq!(connected.receive_until(b"\n").unwrap(), b"cba\n");
        assert_eq!(module.signatures.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_pin_and_the_trust_callback_decide_about_s_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("pinned");
    let issued = authority.server();
    let (certificate, key) = files.add_identity("server", &issued);
    let arguments = ["-cert", &certificate, "-key", &key];
    let right = issued.identity.chain[0].clone();
    let wrong = authority.certificate.clone();
    let accept = TrustCallback::new(|question| match question.chain_result {
        Ok(()) => TrustDecision::Reject("it was thought to be wrong".to_owned()),
        Err(_) => TrustDecision::Accept,
    });
    for (pin, callback, is_expected) in [
        (&right, None, true),
        (&wrong, None, false),
        (&wrong, Some(&accept), true),
        (&right, Some(&accept), false),
    ] {
        let mut client = TlsParameters::default().with_pinned([pin.clone()]);
        client.trust_callback = callback.cloned();
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        assert_eq!(connected.handshake().is_ok(), is_expected);
    }
}

#[test]
fn the_trust_callback_sees_what_s_server_staples() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("stapled");
    let (certificate, key) = files.add_identity("server", &authority.server());
    // RFC 6960 §4.2.1: a response that says no more than that the request was not authorised.
    let response = "\x30\x03\x0a\x01\x06";
    let path = files.add("ocsp.der", response);
    for version in VERSIONS {
        let (client, _) = parameters(&authority);
        let callback = TrustCallback::new(move |question| {
            let stapled = question.stapled_ocsp.expect("a stapled response");
            TrustDecision::Reject(format!("stapled {}", stapled.escape_ascii()))
        });
        let client = client.with_trust_callback(callback);
        let arguments = ["-cert", &certificate, "-key", &key, "-status_file", &path];
        let arguments = [&arguments[..], &[flag(version)]].concat();
        let (_server, mut connected) = connect_to_server(&arguments, &client, &TlsEngine::new());
        let failure = connected.handshake().unwrap_err();
        let shown = response.as_bytes().escape_ascii();
        assert!(
            failure.detail.ends_with(&format!("stapled {shown}")),
            "{failure}"
        );
    }
}

#[test]
fn s_client_talks_to_our_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("server");
    let root = files.add("root.crt", &authority.pem);
    for version in VERSIONS {
        let (_, mut server) = parameters(&authority);
        server.alpn = vec![b"portway".to_vec()];
        let arguments = ["-CAfile", &root, "-verify_return_error", "-quiet"];
        let arguments = [&arguments[..], &["-alpn", "portway", flag(version)]].concat();
        let (mut client, mut connected) = accept_client(&arguments, &server);
        connected.handshake().unwrap();
        let protection = connected.layer.protection().unwrap();
        assert_eq!(protection.version, version);
        assert_eq!(protection.server_name.as_deref(), Some(NAME));
        client.say("question\n");
        assert_eq!(connected.receive_until(b"\n").unwrap(), b"question\n");
        connected.say(b"answer\n");
        client.line_with("answer");
    }
}

#[test]
fn s_client_gives_its_certificate_to_our_server() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let files = Files::new("server-certificate");
    let issued = authority.client();
    let (certificate, key) = files.add_identity("client", &issued);
    let root = files.add("root.crt", &authority.pem);
    for version in VERSIONS {
        let (_, mut server) = parameters(&authority);
        server.client_authentication = ClientAuthentication::Required(authority.trust());
        let plain = ["-CAfile", &root, "-quiet", flag(version)];
        let identified = [&plain[..], &["-cert", &certificate, "-key", &key]].concat();
        let (mut client, mut connected) = accept_client(&identified, &server);
        connected.handshake().unwrap();
        // s_client sends the root as well.
        let certificates = connected.layer.protection().unwrap().peer_certificates;
        assert_eq!(certificates[0], issued.identity.chain[0]);
        client.say("question\n");
        assert_eq!(connected.receive_until(b"\n").unwrap(), b"question\n");

        let (_client, mut connected) = accept_client(&plain, &server);
        let failure = connected.handshake().unwrap_err();
        assert_eq!(failure.kind, FailureKind::CredentialRequired, "{failure}");
    }
}

#[test]
fn a_key_update_of_s_client_is_followed() {
    if !is_there() {
        return;
    }
    let authority = Authority::new("Root");
    let (_, mut server) = parameters(&authority);
    only(&mut server, TlsVersion::Tls13);
    let (mut client, mut connected) = accept_client(&["-tls1_3"], &server);
    connected.handshake().unwrap();
    // K asks s_client for a key update that asks for one in return.
    client.say("K\n");
    connected.receive().unwrap();
    assert!(connected.wire.is_empty(), "the key update is consumed");
    client.say("question\n");
    assert_eq!(connected.receive_until(b"\n").unwrap(), b"question\n");
    connected.say(b"answer\n");
    client.line_with("answer");
}
