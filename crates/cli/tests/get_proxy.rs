//! `portway get` through proxies of a few lines each, with curl's exit codes.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use support::{Authority, Listening, NameServer, run};

/// Says this to each connection once something has come, and tells what came; the thread ends with
/// the test's process.
fn says(words: &'static [u8]) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
            let _ = stream.write_all(words);
        }
    });
    (address, told)
}

#[test]
fn what_goes_wrong_with_a_proxy_has_the_code_of_curl() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let names = NameServer::start();
    let (refuses, _told) = says(b"HTTP/1.1 403 no\r\ncontent-length: 0\r\n\r\n");
    let (asks, _told) = says(b"HTTP/1.1 407 who\r\ncontent-length: 0\r\n\r\n");
    let (garbles, _told) = says(b"what?\r\n\r\n");
    let (socks, _told) = says(&[5, 0, 5, 4, 0, 1]);
    let rows = [
        ("http://nowhere.test:3128".to_owned(), 5),
        ("gopher://127.0.0.1:70".to_owned(), 5),
        (format!("http://{closed}"), 7),
        (format!("socks5h://{closed}"), 7),
        (format!("http://{refuses}"), 56),
        (format!("http://{asks}"), 56),
        (format!("http://{garbles}"), 56),
        (format!("socks5h://{socks}"), 97),
        (format!("socks5h://{garbles}"), 97),
    ];
    for (proxy, code) in rows {
        let url = "https://target.test/";
        let got = run(&["get", url, "-x", &proxy, "--resolver", names.address()]);
        assert_eq!(got.code, Some(code), "{proxy}: {}", got.stderr);
    }
}

#[test]
fn credentials_are_shown_to_server_and_proxy_apart() {
    let (proxy, told) = says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let url = format!("http://{proxy}");
    let fixed = ["get", "http://target.test/x", "-x", &url];
    let got = run(&[&fixed[..], &["-u", "a:b", "-U", "c:d"]].concat());
    assert_eq!((got.code, &*got.text()), (Some(0), "hi"));
    let asked = told.recv().unwrap();
    assert!(
        asked.starts_with("GET http://target.test/x HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("\r\nauthorization: Basic YTpi\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("\r\nproxy-authorization: Basic Yzpk\r\n"),
        "{asked}"
    );
    let got = run(&[&fixed[..], &["--oauth2-bearer", "t"]].concat());
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let asked = told.recv().unwrap();
    assert!(asked.contains("\r\nauthorization: Bearer t\r\n"), "{asked}");
    assert!(!asked.contains("proxy-authorization"), "{asked}");
}

#[test]
fn a_proxy_is_not_used_for_what_is_bypassed() {
    let (proxy, told) = says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy");
    let (target, _told) = says(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ntarget");
    let (proxy, target) = (format!("http://{proxy}"), format!("http://{target}/"));
    let got = run(&["get", &target, "-x", &proxy, "--noproxy", "127.0.0.0/8"]);
    assert_eq!((got.code, &*got.text()), (Some(0), "target"));
    let got = run(&["get", &target, "-x", &proxy, "--noproxy", "other.test"]);
    assert_eq!((got.code, &*got.text()), (Some(0), "proxy"));
    assert!(told.recv().unwrap().starts_with("GET http://127.0.0.1:"));
}

#[test]
fn a_proxy_in_tls_is_believed_as_the_options_for_proxies_say() {
    let authority = Authority::new("get-proxy-tls");
    let (cert, key) = authority.issue("127.0.0.1");
    // What is echoed is no answer: so far it comes once the proxy is believed.
    let mut arguments = vec!["127.0.0.1:0", "--echo", "--alpn", "http/1.1"];
    arguments.extend(["--protocols", "tls", "--cert", &cert, "--key", &key]);
    let echo = Listening::start(&arguments, 1);
    let proxy = format!("https://{}", echo.address());
    let root = authority.root();
    let rows: [(&[&str], i32); 5] = [
        (&[], 60),
        // What is said of servers says nothing of proxies, but for anchors.
        (&["--insecure"], 60),
        (&["--cacert", &root], 56),
        (&["--proxy-insecure"], 56),
        (&["--proxy-cacert", &root], 56),
    ];
    for (options, code) in rows {
        let all = [&["get", "https://target.test/", "-x", &proxy], options].concat();
        let got = run(&all);
        assert_eq!(got.code, Some(code), "{options:?}: {}", got.stderr);
    }
    let both = ["--proxy-insecure", "--proxy-cacert", &root];
    run(&[&["get", "https://target.test/"][..], &both].concat()).expect(2);
}
