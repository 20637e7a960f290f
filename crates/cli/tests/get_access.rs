//! `portway get` with credentials: how they are proven, and that nobody else reads them.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use support::{directory, path, run, run_with, serve};

/// A server, or proxy, that wants Digest of every request, and tells what came; the thread ends
/// with the test's process.
fn asks(field: &'static str, status: &'static str) -> (SocketAddr, Receiver<String>) {
    let (tell, told) = channel();
    let proof = match field.starts_with("proxy") {
        true => "\r\nproxy-authorization: Digest ",
        false => "\r\nauthorization: Digest ",
    };
    let address = serve(move |request| {
        let _ = tell.send(request.to_owned());
        match request.contains(proof) {
            true => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_owned(),
            false => format!(
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\
                 {field}: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n\r\n"
            ),
        }
    });
    (address, told)
}

fn server() -> (SocketAddr, Receiver<String>) {
    asks("www-authenticate", "401 Unauthorized")
}

fn proxy() -> (SocketAddr, Receiver<String>) {
    asks("proxy-authenticate", "407 Proxy Authentication Required")
}

#[test]
fn a_password_in_the_url_is_proven_as_the_arguments_say() {
    let (address, told) = server();
    let url = format!("http://a%40b:s3cret@{address}/");
    for option in ["--digest", "--anyauth"] {
        let got = run(&["get", &url, option]).expect(0);
        assert_eq!(got.text(), "hi", "{option}");
        let requests: Vec<_> = told.try_iter().collect();
        assert_eq!(requests.len(), 2, "{option}");
        for request in &requests {
            assert!(!request.contains("Basic"), "{option}: {request}");
        }
        assert!(requests[1].contains("username=\"a@b\""), "{requests:?}");
    }
    run(&["get", &url]).expect(0);
    let request = told.try_iter().next().unwrap();
    assert!(request.contains("Basic YUBiOnMzY3JldA=="), "{request}");
    run(&["get", &url, "--digest", "-u", "other:word"]).expect(0);
    let request = told.try_iter().last().unwrap();
    assert!(request.contains("username=\"other\""), "{request}");
}

#[test]
fn a_password_in_the_url_of_a_proxy_is_proven_as_the_arguments_say() {
    let (address, told) = proxy();
    for proxy in [
        format!("http://user:s3cret@{address}"),
        format!("user:s3cret@{address}"),
    ] {
        let common = ["get", "http://target.test/", "-x", &proxy];
        let got = run(&[&common[..], &["--proxy-digest"]].concat()).expect(0);
        assert_eq!(got.text(), "hi");
        let requests: Vec<_> = told.try_iter().collect();
        assert_eq!(requests.len(), 2);
        for request in &requests {
            assert!(!request.contains("Basic"), "{request}");
        }
        run(&common).expect(0);
        let request = told.try_iter().next().unwrap();
        assert!(request.contains("Basic dXNlcjpzM2NyZXQ="), "{request}");
    }
}

#[test]
fn files_are_sent_again_to_who_asks_whose_they_are() {
    let folder = directory("get-digest-upload");
    let file = path(&folder, "file");
    std::fs::write(&file, "content").unwrap();
    let (address, told) = server();
    let url = format!("http://u:p@{address}/");
    let (proxy, told_proxy) = proxy();
    let proxy = format!("http://u:p@{proxy}");
    let form = format!("file=@{file}");
    for option in [["-T", &*file], ["-F", &*form], ["-T", "-"]] {
        let got = run_with(
            &[&["get", "--digest", &url], &option[..]].concat(),
            b"content",
        );
        assert_eq!(got.expect(0).text(), "hi", "{option:?}");
        let requests: Vec<_> = told.try_iter().collect();
        assert_eq!(requests.len(), 2, "{option:?}");
        assert!(requests[1].contains("content"), "{option:?}: {requests:?}");
        let common = ["get", "--proxy-digest", "http://target.test/", "-x", &proxy];
        let got = run_with(&[&common[..], &option[..]].concat(), b"content");
        assert_eq!(got.expect(0).text(), "hi", "{option:?}");
        let request = told_proxy.try_iter().last().unwrap();
        assert!(request.contains("content"), "{option:?}: {request}");
    }
    let large = path(&folder, "large");
    let sparse = std::fs::File::create(&large).unwrap();
    sparse.set_len((64 << 20) + 1).unwrap();
    let refused = run(&["get", "--digest", &url, "-T", &large]).expect(2);
    refused.says(&["67108864", "--basic"]);
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn nothing_that_is_told_has_a_secret() {
    let (address, _told) = server();
    let folder = directory("get-secrets");
    let trace = path(&folder, "trace");
    let url = format!("http://user:s3cret@{address}/");
    let bad = format!("http://user:s3cret@{address}x/");
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let closed = format!("http://user:s3cret@{closed}/");
    let rows: [(&[&str], i32); 8] = [
        (&[&url], 0),
        (&[&url, "-f", "-w", "%{url} %{url_effective}"], 22),
        (&[&url, "-O"], 2),
        (&[&bad], 3),
        (&[&closed], 7),
        (&[&url, "-H", "Authorization: s3cret"], 0),
        (&[&url, "-H", "proxy-authorization: s3cret"], 0),
        (&[&url, "-H", "Cookie: s3cret"], 0),
    ];
    for (arguments, code) in rows {
        let got = run(&[&["get", "-v", "--trace", &trace], arguments].concat()).expect(code);
        assert!(!got.stderr.contains("s3cret"), "{}", got.stderr);
        assert!(!got.text().contains("s3cret"), "{}", got.text());
        let traced = std::fs::read_to_string(&trace).unwrap();
        assert!(!traced.contains("s3cret"), "{traced}");
    }
}

#[cfg(unix)]
#[test]
fn a_trace_and_a_jar_are_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let (address, _told) = server();
    let folder = directory("get-private");
    let (trace, jar) = (path(&folder, "trace"), path(&folder, "jar"));
    let url = format!("http://{address}/");
    run(&["get", &url, "--trace", &trace, "-c", &jar]).expect(0);
    for file in [trace, jar] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
