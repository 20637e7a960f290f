//! Clients of all versions against `portway serve`.
//!
//! Invariant: what a cell claims was said by the client in this run.

use super::{FILE_BYTES, LARGE_BYTES, Ours, Place, check, said, version};
use crate::h3::python;
use crate::page::Matrix;
use crate::peer::{Peer, TEST_MAX, run_for};
use crate::quic::pattern;

const ROLE: &str = "server";

#[test]
fn every_cell_of_serve_with_curl_holds_as_documented() {
    let test = "every_cell_of_serve_with_curl_holds_as_documented";
    let peer = ("curl", "7.88.1");
    let mut matrix = Matrix::new(&super::PAGE, "curl 7.88.1 of Debian");
    whole(test, peer, "--version", &mut matrix, curl);
}

#[test]
fn every_cell_of_serve_with_nghttp_holds_as_documented() {
    let test = "every_cell_of_serve_with_nghttp_holds_as_documented";
    let peer = ("nghttp", "1.52.0");
    let mut matrix = Matrix::new(&super::PAGE, "nghttp 1.52.0 of Debian");
    whole(test, peer, "--version", &mut matrix, nghttp);
}

#[test]
fn every_cell_of_serve_with_h2load_holds_as_documented() {
    let test = "every_cell_of_serve_with_h2load_holds_as_documented";
    let peer = ("h2load", "1.52.0");
    let mut matrix = Matrix::new(&super::PAGE, "h2load 1.52.0 of Debian");
    whole(test, peer, "--version", &mut matrix, h2load);
}

#[test]
fn every_cell_of_serve_with_wrk_holds_as_documented() {
    let test = "every_cell_of_serve_with_wrk_holds_as_documented";
    let peer = ("wrk", "4.1.0");
    let mut matrix = Matrix::new(&super::PAGE, "wrk 4.1.0 of Debian");
    whole(test, peer, "--version", &mut matrix, wrk);
}

#[test]
fn every_cell_of_serve_with_libcurl_holds_as_documented() {
    let test = "every_cell_of_serve_with_libcurl_holds_as_documented";
    scripted(
        test,
        "curl",
        "libcurl 8.21.0 with ngtcp2 (PyPI's curl_cffi)",
    );
}

#[test]
fn every_cell_of_serve_with_niquests_holds_as_documented() {
    let test = "every_cell_of_serve_with_niquests_holds_as_documented";
    scripted(test, "niquests", "niquests 3.21.2");
}

/// Runs all cells of a program, if it is there.
fn whole(
    test: &str,
    peer: (&str, &str),
    asked: &str,
    matrix: &mut Matrix,
    cells: impl AsyncFnOnce(&str, &Place, &mut Matrix) -> Option<()>,
) {
    let Some(installed) = version(peer.0, asked) else {
        portway_tests::say!("skipped: {test}: {} is not installed", peer.0);
        return;
    };
    let _ = portway_tests::command();
    let place = Place::new();
    let mut is_whole = false;
    run_for(TEST_MAX * 2, async {
        is_whole = cells(test, &place, matrix).await.is_some();
    });
    if is_whole {
        check(matrix, test, peer, Some(&installed));
    }
}

async fn curl(test: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    let ours = place.serve(test, &[]).await?;
    for (flag, name) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let fixed = ["-sS", "--cacert", &place.authority.root, flag];
        let curl = async |more: &[&str]| said(test, "curl", &[&fixed, more].concat()).await;
        messages(&curl, &ours, place, name, matrix).await?;
        parts(&curl, &ours, place, name, matrix).await?;
        let many = ours.url("/file?[1-1000]");
        let out = ["-o", "/dev/null", "-w", "%{http_code}.%{num_connects};"];
        let counts = curl(&[&out[..], &[&many]].concat()).await?;
        assert_eq!(counts.matches("200.0;").count(), 999, "{counts}");
        let what = format!("{name}: many requests");
        matrix.pass(&what, ROLE, "1,000 on one connection");
        let head = curl(&["-I", &ours.url("/file")]).await?;
        let alt_svc = format!("alt-svc: h3=\":{}\"", ours.address.port());
        assert!(head.contains(&alt_svc), "{head}");
        let what = format!("{name}: Alt-Svc");
        matrix.pass(&what, ROLE, "it is told of HTTP/3 at the same port");
    }
    let echo = ours.url("/echo");
    let expecting = ["-v", "--http1.1", "-H", "expect: 100-continue", "-d", "x"];
    let tls = ["-sS", "--cacert", &place.authority.root];
    let seen = said(test, "curl", &[&tls[..], &expecting, &[&echo]].concat()).await?;
    assert!(seen.contains("< HTTP/1.1 200 OK"), "{seen}");
    matrix.pass(
        "HTTP/1.1: Expect",
        ROLE,
        "200 at once, since the echo answers while it reads; the content follows",
    );
    let alone = [
        "-sS",
        "--no-alpn",
        "-w",
        "<%{http_version}>",
        "-o",
        "/dev/null",
    ];
    let trust = ["--cacert", &place.authority.root, &ours.url("/file")];
    let seen = said(test, "curl", &[&alone[..], &trust].concat()).await?;
    assert_eq!(seen, "<1.1>");
    matrix.pass("HTTP/1.1: without ALPN", ROLE, "`--no-alpn` is served");
    let clear = place.serve_cleartext(test).await?;
    let url = format!("http://{}/file", clear.address);
    for (flag, version, name) in [
        ("--http1.1", "1.1", "HTTP/1.1: cleartext"),
        (
            "--http2-prior-knowledge",
            "2",
            "HTTP/2: cleartext by prior knowledge",
        ),
    ] {
        let out = [
            "-sS",
            flag,
            "-o",
            "/dev/null",
            "-w",
            "<%{http_version}>",
            &url,
        ];
        assert_eq!(said(test, "curl", &out).await?, format!("<{version}>"));
        matrix.pass(name, ROLE, "200");
    }
    demanded(test, place, matrix).await
}

/// Requests with and without content.
async fn messages(
    curl: &impl AsyncFn(&[&str]) -> Option<String>,
    ours: &Ours,
    place: &Place,
    name: &str,
    matrix: &mut Matrix,
) -> Option<()> {
    let got = place.authority.path("got");
    let out = ["-o", &got, "-w", "<%{http_code}>"];
    let read = || std::fs::read(&got).expect("it has written");
    for (path, bytes) in [("/file", FILE_BYTES), ("/large", LARGE_BYTES)] {
        let seen = curl(&[&out[..], &[&ours.url(path)]].concat()).await?;
        assert_eq!(seen, "<200>");
        assert!(read() == pattern(bytes), "{path}");
    }
    matrix.pass(&format!("{name}: GET"), ROLE, "3,000 bytes, and 16 MiB");
    let head = curl(&["-I", &ours.url("/file")]).await?;
    assert!(head.contains("content-length: 3000"), "{head}");
    matrix.pass(&format!("{name}: HEAD"), ROLE, "the length, and no content");
    let data = format!("@{}/large", place.site);
    let post = ["--data-binary", &data, &ours.url("/echo")];
    assert_eq!(curl(&[&out[..], &post].concat()).await?, "<200>");
    assert!(read() == pattern(LARGE_BYTES));
    let file = format!("{}/large", place.site);
    let chunked = [
        "-X",
        "POST",
        "-H",
        "content-length:",
        "-H",
        "transfer-encoding: chunked",
    ];
    let put = ["-T", &file, &ours.url("/echo")];
    let chunked = if name == "HTTP/2" {
        &chunked[..2]
    } else {
        &chunked
    };
    assert_eq!(curl(&[&out[..], chunked, &put].concat()).await?, "<200>");
    assert!(read() == pattern(LARGE_BYTES));
    let evidence = "16 MiB come back, of a known length and of an unknown one";
    matrix.pass(&format!("{name}: POST"), ROLE, evidence);
    Some(())
}

/// Ranges, conditions, encodings.
async fn parts(
    curl: &impl AsyncFn(&[&str]) -> Option<String>,
    ours: &Ours,
    place: &Place,
    name: &str,
    matrix: &mut Matrix,
) -> Option<()> {
    let (file, tag) = (ours.url("/file"), place.authority.path("etag"));
    let got = place.authority.path("got");
    let out = ["-o", &got, "-w", "<%{http_code}>"];
    let seen = curl(&[&out[..], &["-r", "10-19", &file]].concat()).await?;
    assert_eq!(seen, "<206>");
    assert!(std::fs::read(&got).expect("it has written") == pattern(20)[10..]);
    matrix.pass(
        &format!("{name}: ranges"),
        ROLE,
        "`-r 10-19` gives these, by 206",
    );
    let seen = curl(&[&out[..], &["--etag-save", &tag, &file]].concat()).await?;
    assert_eq!(seen, "<200>");
    let seen = curl(&[&out[..], &["--etag-compare", &tag, &file]].concat()).await?;
    assert_eq!(seen, "<304>");
    matrix.pass(
        &format!("{name}: conditions"),
        ROLE,
        "`--etag-compare` gets 304",
    );
    let text = [
        "--compressed",
        "-D",
        "-",
        "-o",
        &got,
        &ours.url("/text.html"),
    ];
    let head = curl(&text).await?;
    assert!(head.contains("content-encoding: "), "{head}");
    let text = std::fs::read(&got).expect("it has written");
    assert!(text == "all work and no play ".repeat(500).as_bytes());
    let evidence = "`--compressed` decodes what it gets to the file";
    matrix.pass(&format!("{name}: compression"), ROLE, evidence);
    Some(())
}

/// A server that demands a client's certificate.
async fn demanded(test: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    let authority = &place.authority;
    let ours = place.serve(test, &["--client-ca", &authority.root]).await?;
    let url = ours.url("/file");
    let fixed = [
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "<%{http_code}>",
        "--cacert",
        &authority.root,
    ];
    let own = [
        "--cert",
        &authority.client.cert,
        "--key",
        &authority.client.key,
    ];
    let seen = said(test, "curl", &[&fixed[..], &own, &[&url]].concat()).await?;
    assert_eq!(seen, "<200>");
    let mut anonymous = Peer::start(test, "curl", &[&fixed[..], &[&url]].concat())?;
    assert!(!anonymous.end().await.success(), "{}", anonymous.output());
    let evidence = "served with one, and not without";
    matrix.pass("client certificates", ROLE, evidence);
    Some(())
}

async fn nghttp(test: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    let ours = place.serve(test, &[]).await?;
    let seen = said(
        test,
        "nghttp",
        &["-nv", &ours.url("/file"), &ours.url("/text.html")],
    )
    .await?;
    assert_eq!(seen.matches(":status: 200").count(), 2, "{seen}");
    assert!(seen.contains("The negotiated protocol: h2"), "{seen}");
    matrix.pass(
        "HTTP/2: GET",
        ROLE,
        "it logs two streams with `:status: 200`",
    );
    let streams = ["-nv", "-m", "100", &ours.url("/file")];
    let seen = said(test, "nghttp", &streams).await?;
    assert_eq!(seen.matches(":status: 200").count(), 100, "the streams");
    matrix.pass(
        "HTTP/2: many requests",
        ROLE,
        "100 streams at a time are answered",
    );
    let data = format!("{}/file", place.site);
    let echo = ours.url("/echo");
    let post = ["-v", "--data", &data, "--trailer", "x-trailer: one", &echo];
    let seen = said(test, "nghttp", &post).await?;
    assert!(seen.contains("x-trailer: one"), "{seen}");
    assert!(seen.contains(":status: 200"), "{seen}");
    matrix.pass(
        "HTTP/2: POST",
        ROLE,
        "with trailers, whose stream is answered",
    );
    let seen = said(
        test,
        "nghttp",
        &["-nv", "-H", ":method: HEAD", &ours.url("/file")],
    )
    .await?;
    assert!(seen.contains("content-length: 3000"), "{seen}");
    matrix.pass("HTTP/2: HEAD", ROLE, "the length, and no content");
    let clear = place.serve_cleartext(test).await?;
    let url = format!("http://{}/file", clear.address);
    let seen = said(test, "nghttp", &["-nv", &url]).await?;
    assert!(seen.contains(":status: 200"), "{seen}");
    matrix.pass("HTTP/2: cleartext by prior knowledge", ROLE, "200");
    Some(())
}

async fn h2load(test: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    let ours = place.serve(test, &["--threads", "2"]).await?;
    let data = format!("{}/file", place.site);
    for (flag, name) in [("--npn-list=h2", "HTTP/2"), ("--h1", "HTTP/1.1")] {
        let fixed = [flag, "-n", "2000", "-c", "8", "-m", "32"];
        let (file, echo) = (ours.url("/file"), ours.url("/echo"));
        for more in [&[&*file][..], &["-d", &data, &echo]] {
            let seen = said(test, "h2load", &[&fixed[..], more].concat()).await?;
            let good = "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored";
            assert!(seen.contains(good), "{seen}");
            assert!(seen.contains("status codes: 2000 2xx"), "{seen}");
        }
        let evidence = "2,000 GETs and 2,000 POSTs on 8 connections, all 2xx, two threads of ours";
        matrix.pass(&format!("{name}: load"), ROLE, evidence);
    }
    Some(())
}

async fn wrk(test: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    let ours = place.serve(test, &["--threads", "2"]).await?;
    let seen = said(test, "wrk", &["-t1", "-c64", "-d1s", &ours.url("/file")]).await?;
    assert!(seen.contains(" requests in "), "{seen}");
    assert!(!seen.contains(" 0 requests in "), "{seen}");
    for wrong in ["Socket errors", "Non-2xx"] {
        assert!(!seen.contains(wrong), "{seen}");
    }
    let evidence = "64 connections for a second, no error and nothing but 2xx";
    matrix.pass("HTTP/1.1: load", ROLE, evidence);
    Some(())
}

/// Clients of Python: the script says what it saw, cell by cell.
fn scripted(test: &str, client: &str, heading: &str) {
    let python = match python() {
        Ok(python) => python,
        Err(_) => {
            portway_tests::say!("skipped: {test}: the peers of HTTP/3 are not there");
            return;
        }
    };
    let _ = portway_tests::command();
    let place = Place::new();
    let mut matrix = Matrix::new(&super::PAGE, heading);
    let mut is_whole = false;
    run_for(TEST_MAX * 2, async {
        let Some(ours) = place.serve(test, &[]).await else {
            return;
        };
        let script = format!("{}/interop/http/clients.py", env!("CARGO_MANIFEST_DIR"));
        let port = ours.address.port().to_string();
        let arguments = [&script, client, &place.authority.root, &port];
        let Some(seen) = said(test, python, &arguments).await else {
            return;
        };
        for name in ["HTTP/1.1", "HTTP/2", "HTTP/3"] {
            for (what, evidence) in [
                ("GET", "3,000 bytes, and 16 MiB"),
                ("HEAD", "the length, and no content"),
                ("POST", "10,500 bytes come back"),
                ("ranges", "`bytes=10-19` gives these, by 206"),
                ("conditions", "304 for the tag that it has"),
                ("compression", "what it decodes is the file"),
            ] {
                let cell = format!("{name}: {what}");
                if (client, &*cell) == ("niquests", "HTTP/3: POST") {
                    let line = "cell HTTP/3 POST without an end\n";
                    assert!(seen.contains(line), "no {line:?} in\n{seen}");
                    matrix.lacks_as(&cell, ROLE, NIQUESTS_POSTS);
                    continue;
                }
                let line = format!("cell {name} {what}\n");
                assert!(seen.contains(&line), "no {line:?} in\n{seen}");
                matrix.pass(&cell, ROLE, evidence);
            }
        }
        is_whole = true;
    });
    if is_whole {
        matrix.check();
    }
}

/// What it does with an answer that begins while it sends.
const NIQUESTS_POSTS: &str = "it sends all content and, as the echo's answer has begun, never the \
    end of its stream; it gives up by its own time limit";
