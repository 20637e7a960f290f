//! `portway serve` as its users meet it: by raw requests, and by curl where it is installed.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use support::{directory, portway, run};

/// A running `portway serve`.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: SocketAddr,
    said: String,
}

impl Serving {
    fn start(directory: &Path, arguments: &[&str]) -> Serving {
        let fixed = ["serve", directory.to_str().unwrap(), "-l", "127.0.0.1:0"];
        let mut child = portway(&[&fixed[..], arguments].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let url = line
            .split_whitespace()
            .nth(2)
            .unwrap_or_else(|| panic!("{line}"));
        let address = url.split("//").nth(1).unwrap().trim_end_matches('/');
        Serving {
            child,
            stderr,
            address: address.parse().unwrap(),
            said: line.clone(),
        }
    }

    /// Asks for a path with more fields.
    fn get(&self, path: &str, fields: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n"
        ))
    }

    fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        Answer::parse(&all)
    }

    /// Ends it by a signal and gives its exit code and what it said.
    fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(all: &[u8]) -> Answer {
        let end = all
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: all[end + 4..].to_vec(),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields.find_map(|(it, value)| (it == name).then_some(value))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn site(name: &str) -> PathBuf {
    let site = directory(name);
    std::fs::write(site.join("digits.txt"), "0123456789").unwrap();
    std::fs::create_dir_all(site.join("sub")).unwrap();
    std::fs::write(site.join("sub/<b>&'\" \u{e9}.bin"), "odd").unwrap();
    site
}

#[test]
fn files_come_with_their_type_and_length() {
    let serving = Serving::start(&site("serve-files"), &[]);
    let answer = serving.get("/digits.txt", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"));
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.field("content-length"), Some("10"));
    assert_eq!(answer.field("accept-ranges"), Some("bytes"));
    assert_eq!(answer.field("vary"), Some("accept-encoding"));
    let head = "HEAD /digits.txt HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let head = serving.ask(head);
    assert_eq!(head.field("content-length"), Some("10"));
    assert!(head.body.is_empty());
    let post =
        "POST /digits.txt HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let post = serving.ask(post);
    assert_eq!(
        (post.status, post.field("allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(serving.get("/sub", "").field("location"), Some("/sub/"));
    assert_eq!(
        serving.get("//sub?a=b", "").field("location"),
        Some("/sub/?a=b")
    );
    assert_eq!(serving.get("/digits.txt/", "").status, 404);
}

#[test]
fn ranges_are_single_or_several_and_bound_to_a_state() {
    let serving = Serving::start(&site("serve-ranges"), &[]);
    let whole = serving.get("/digits.txt", "");
    let etag = whole.field("etag").unwrap();
    let single = serving.get("/digits.txt", "range: bytes=2-4\r\n");
    assert_eq!((single.status, single.text().as_str()), (206, "234"));
    assert_eq!(single.field("content-range"), Some("bytes 2-4/10"));
    assert_eq!(
        serving.get("/digits.txt", "range: bytes=-3\r\n").text(),
        "789"
    );
    let beyond = serving.get("/digits.txt", "range: bytes=10-\r\n");
    assert_eq!(
        (beyond.status, beyond.field("content-range")),
        (416, Some("bytes */10"))
    );
    let several = serving.get("/digits.txt", "range: bytes=0-1,8-\r\n");
    assert_eq!(several.status, 206);
    let media = several.field("content-type").unwrap();
    let boundary = media
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, content: &str| {
        format!(
            "--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-range: bytes {range}/10\r\n\r\n{content}\r\n"
        )
    };
    let expected = format!(
        "{}{}--{boundary}--\r\n",
        part("0-1", "01"),
        part("8-9", "89")
    );
    assert_eq!(several.text(), expected);
    let same = serving.get(
        "/digits.txt",
        &format!("range: bytes=0-0\r\nif-range: {etag}\r\n"),
    );
    assert_eq!((same.status, same.text().as_str()), (206, "0"));
    let other = serving.get("/digits.txt", "range: bytes=0-0\r\nif-range: \"other\"\r\n");
    assert_eq!((other.status, other.text().as_str()), (200, "0123456789"));
}

#[test]
fn conditions_save_what_the_client_has() {
    let serving = Serving::start(&site("serve-conditions"), &[]);
    let whole = serving.get("/digits.txt", "");
    let etag = whole.field("etag").unwrap();
    let modified = whole.field("last-modified").unwrap();
    for (fields, expected) in [
        (format!("if-none-match: {etag}\r\n"), 304),
        (format!("if-modified-since: {modified}\r\n"), 304),
        ("if-none-match: \"other\"\r\n".to_owned(), 200),
        (format!("if-match: {etag}\r\n"), 200),
        ("if-match: \"other\"\r\n".to_owned(), 412),
    ] {
        let answer = serving.get("/digits.txt", &fields);
        assert_eq!(answer.status, expected, "{fields}");
        assert_eq!(answer.field("etag"), Some(etag), "{fields}");
        assert_eq!(answer.body.is_empty(), expected != 200, "{fields}");
    }
}

#[test]
fn a_directory_is_a_page_in_which_names_are_text() {
    let site = site("serve-listing");
    std::fs::write(site.join("sub/.hidden"), "x").unwrap();
    let serving = Serving::start(&site, &[]);
    let page = serving.get("/sub/", "");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    let shown =
        "<a href=\"./%3Cb%3E%26%27%22%20%C3%A9.bin\">&lt;b&gt;&amp;&#39;&quot; \u{e9}.bin</a>";
    assert!(text.contains(shown), "{text}");
    let about = text.split_once(shown).expect("it is there").1;
    assert!(about.starts_with(" <small>3 bytes, "), "{text}");
    assert!(!text.contains("hidden"), "{text}");
    assert_eq!(
        serving.get("/sub/%3Cb%3E%26%27%22%20%C3%A9.bin", "").text(),
        "odd"
    );
    std::fs::write(site.join("sub/index.html"), "<p>index").unwrap();
    assert_eq!(serving.get("/sub/", "").text(), "<p>index");
}

#[cfg(unix)]
#[test]
fn nothing_outside_of_the_directory_is_served() {
    use std::os::unix::fs::symlink;
    let site = site("serve-escape");
    let outside = directory("serve-escape-outside");
    std::fs::write(outside.join("secret.txt"), "secret").unwrap();
    for (target, name) in [
        (outside.join("secret.txt"), "link.txt"),
        (outside.clone(), "linked"),
        (site.join("digits.txt"), "inside.txt"),
    ] {
        let _ = symlink(target, site.join(name));
    }
    std::fs::write(site.join(".secret"), "secret").unwrap();
    let fifo = site.join("pipe");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()) || fifo.exists());
    let serving = Serving::start(&site, &[]);
    let name = outside.file_name().unwrap().to_str().unwrap();
    let ways_up = ["/../", "/%2e%2e/", "/..%2f"].map(|up| format!("{up}{name}/secret.txt"));
    let [plain, encoded, joined] = ways_up.each_ref().map(String::as_str);
    for path in [
        "/link.txt",
        "/linked/secret.txt",
        "/linked/",
        plain,
        encoded,
        joined,
        "/.secret",
        "/pipe",
    ] {
        let answer = serving.get(path, "");
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
        assert!(!answer.text().contains("secret"), "{path}");
    }
    assert_eq!(serving.get("/inside.txt", "").text(), "0123456789");
}

#[test]
fn content_is_compressed_or_taken_from_a_file_beside_it() {
    let site = site("serve-encodings");
    let long = "all work and no play ".repeat(500);
    std::fs::write(site.join("long.html"), &long).unwrap();
    std::fs::write(site.join("noise.png"), &long).unwrap();
    std::fs::write(site.join("stored.css"), &long).unwrap();
    std::fs::write(site.join("stored.css.br"), "as it lies there").unwrap();
    let serving = Serving::start(&site, &[]);
    let plain = serving.get("/long.html", "");
    assert_eq!(plain.field("content-encoding"), None);
    let mut tags = vec![plain.field("etag").unwrap().to_owned()];
    for name in ["gzip", "br", "zstd"] {
        let answer = serving.get("/long.html", &format!("accept-encoding: {name}\r\n"));
        assert_eq!(answer.field("content-encoding"), Some(name));
        assert_eq!(answer.field("vary"), Some("accept-encoding"));
        assert!(answer.body.len() < long.len() / 2, "{name}");
        tags.push(answer.field("etag").unwrap().to_owned());
        let part = format!("accept-encoding: {name}\r\nrange: bytes=0-2\r\n");
        assert_eq!(serving.get("/long.html", &part).text(), "all");
    }
    tags.dedup();
    assert_eq!(tags.len(), 4, "each encoding has a tag of its own");
    let stored = serving.get("/stored.css", "accept-encoding: gzip;q=0.5, br\r\n");
    assert_eq!(stored.text(), "as it lies there");
    assert_eq!(
        stored.field("content-type"),
        Some("text/css; charset=utf-8")
    );
    let image = serving.get("/noise.png", "accept-encoding: gzip\r\n");
    assert_eq!(
        (image.field("content-encoding"), image.field("vary")),
        (None, None)
    );
}

#[test]
fn echo_returns_content_or_head_when_asked_for() {
    let serving = Serving::start(&site("serve-echo"), &["--echo"]);
    let request =
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    assert_eq!(serving.ask(request).text(), "abc");
    let head = serving.get("/echo?x", "x-one: 1\r\n").text();
    assert!(head.starts_with("GET /echo?x HTTP/1.1\n"), "{head}");
    assert!(head.contains("x-one: 1\n"), "{head}");
    let without = Serving::start(&site("serve-no-echo"), &[]);
    assert_eq!(without.get("/echo", "").status, 404);
}

#[test]
fn a_signal_ends_it_when_what_is_under_way_is_answered() {
    let serving = Serving::start(&site("serve-signal"), &["--echo", "--log"]);
    let mut stream = TcpStream::connect(serving.address).unwrap();
    let begun = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc";
    stream.write_all(begun).unwrap();
    let mut answer = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    // The head of the answer shows that the request is in hand.
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    let ender = std::thread::spawn(move || serving.terminate());
    stream.write_all(b"def").unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("abcdef"), "{rest}");
    let (code, said) = ender.join().unwrap();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"POST /echo HTTP/1.1\" 200"), "{said}");
}

#[test]
fn what_is_cut_off_is_told_and_fails() {
    let serving = Serving::start(&site("serve-cut"), &["--echo", "--drain", "0"]);
    let mut stream = TcpStream::connect(serving.address).unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        .unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    let (code, said) = serving.terminate();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 requests were cut off"), "{said}");
}

/// `portway serve` with these as what a service manager hands over, and the lines that it says.
#[cfg(target_os = "linux")]
fn activated(
    name: &str,
    tcp: std::net::TcpListener,
    udp: Option<std::net::UdpSocket>,
    lines: usize,
) -> (std::process::Child, Vec<String>) {
    use std::os::fd::OwnedFd;
    let count = if udp.is_some() { "2" } else { "1" };
    let mut child = Command::new("sh")
        .args([
            "-c",
            "LISTEN_PID=$$ exec \"$@\" 3<&0 4>&1 </dev/null >&2",
            "sh",
        ])
        .args([env!("CARGO_BIN_EXE_portway"), "serve", "--self-signed"])
        .arg(site(name))
        .env("LISTEN_FDS", count)
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(udp.map_or(Stdio::null(), |udp| Stdio::from(OwnedFd::from(udp))))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = vec![String::new(); lines];
    for line in &mut said {
        stderr.read_line(line).unwrap();
    }
    (child, said)
}

#[cfg(target_os = "linux")]
#[test]
fn sockets_that_were_handed_over_are_served() {
    use std::net::{TcpListener, UdpSocket};
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, quic) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    // A client that came before the server did.
    let early = TcpStream::connect(address).unwrap();
    let (mut child, said) = activated("serve-activated", tcp, Some(udp), 2);
    assert!(said[0].contains(&address.to_string()), "{said:?}");
    assert!(said[1].contains(&quic.to_string()), "{said:?}");
    drop(early);
    for (version, address) in [("1.1", address), ("3", quic)] {
        let url = format!("https://{address}/digits.txt");
        let got = run(&["get", &url, "--insecure", "--http", version]).expect(0);
        assert_eq!(got.text(), "0123456789", "{version}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_of_both_families_that_was_handed_over_has_http3_for_both() {
    use std::net::{TcpListener, UdpSocket};
    for is_udp_handed in [false, true] {
        // The standard library's listener takes both, as systemd's does.
        let tcp = TcpListener::bind("[::]:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let udp = is_udp_handed.then(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let (mut child, said) = activated("serve-activated-both", tcp, udp, 2);
        assert!(said[0].contains(&format!("[::1]:{port}")), "{said:?}");
        assert!(said[1].contains(&format!("127.0.0.1:{port}")), "{said:?}");
        for host in ["127.0.0.1", "[::1]"] {
            for version in ["1.1", "3"] {
                let url = format!("https://{host}:{port}/digits.txt");
                let got = run(&["get", &url, "--insecure", "--http", version]).expect(0);
                assert_eq!(got.text(), "0123456789", "{host} {version}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn names_that_are_not_served_are_told_so() {
    let serving = Serving::start(&site("serve-names"), &["--name", "a"]);
    assert_eq!(serving.get("/digits.txt", "").status, 200);
    let other = "GET / HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n";
    assert_eq!(serving.ask(other).status, 421);
}

#[test]
fn contradictions_are_told_before_anything_is_served() {
    let here = site("serve-wrong");
    let here = here.to_str().unwrap();
    run(&["serve", here, "--http", "3"])
        .expect(2)
        .says(&["--self-signed"]);
    run(&["serve", here, "--client-ca", "x"]).expect(2);
    run(&["serve", "/nowhere/at/all"])
        .expect(1)
        .says(&["/nowhere/at/all"]);
    run(&["serve", here, "-l", "localhost"]).expect(2);
    run(&["serve", "--help"]).expect(0);
}

#[test]
fn curl_is_served_by_both_versions_of_tls_and_told_of_the_third() {
    let test = "curl_is_served_by_both_versions_of_tls_and_told_of_the_third";
    let threads = if cfg!(target_os = "linux") { "2" } else { "1" };
    let arguments = ["--self-signed", "--echo", "--threads", threads];
    let serving = Serving::start(&site("serve-curl"), &arguments);
    assert!(
        serving.said.starts_with("listening 1.1,2,3 https://"),
        "{}",
        serving.said
    );
    let url = format!("https://{}/digits.txt", serving.address);
    for (version, line) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let arguments = [
            "--silent",
            "--insecure",
            "--include",
            "--compressed",
            version,
            &url,
        ];
        let curl = Command::new("curl")
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        let Ok(curl) = curl else {
            support::say_skipped(test, "there is no curl");
            return;
        };
        let said = String::from_utf8(curl.stdout).unwrap();
        assert!(said.starts_with(line), "{said}");
        let alt_svc = format!("alt-svc: h3=\":{}\"", serving.address.port());
        assert!(said.contains(&alt_svc), "{said}");
        assert!(said.ends_with("0123456789"), "{said}");
    }
}
