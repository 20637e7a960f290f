//! The options of `portway get` beyond the first ones: what is sent, kept, resumed and traced.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

mod support;

use std::sync::{Arc, Mutex};
use support::{Authority, directory, path, run, run_with, serve};

fn said(line: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n{fields}\r\n");
    [head.as_bytes(), content].concat()
}

/// Answers with the request itself.
fn echo() -> String {
    let address = serve(|request| said("200 OK", "", request.as_bytes()));
    format!("http://{address}/")
}

#[test]
fn forms_are_sent_with_their_files() {
    let (url, folder) = (echo(), directory("get-form"));
    let file = path(&folder, "page.html");
    std::fs::write(&file, "<p>").unwrap();
    let part = format!("file=@{file};type=text/html");
    let read = format!("read=<{file}");
    let text = run(&["get", &url, "-F", "name=value", "-F", &part, "-F", &read]);
    let text = text.expect(0).text();
    for words in [
        "POST / HTTP/1.1",
        "content-type: multipart/form-data; boundary=portway-",
        "form-data; name=\"name\"\r\n\r\nvalue\r\n",
        "name=\"file\"; filename=\"page.html\"\r\ncontent-type: text/html\r\n\r\n<p>\r\n",
        "name=\"read\"\r\n\r\n<p>\r\n",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    run(&["get", &url, "-F", "file=@/nowhere/at/all"]).expect(26);
    run(&["get", &url, "-F", "nothing"]).expect(2);
}

#[test]
fn files_and_standard_input_are_uploaded() {
    let (url, folder) = (echo(), directory("get-upload"));
    let file = path(&folder, "a b.txt");
    let content = "line\n".repeat(20_000);
    std::fs::write(&file, &content).unwrap();
    let text = run(&["get", "-T", &file, &format!("{url}up/")])
        .expect(0)
        .text();
    assert!(
        text.starts_with("PUT /up/a%20b%2Etxt HTTP/1.1\r\n"),
        "{}",
        &text[..99]
    );
    assert!(text.contains("content-length: 100000\r\n"));
    assert!(text.ends_with(&content));
    let text = run_with(&["get", "-T", "-", &url], b"from elsewhere")
        .expect(0)
        .text();
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    assert!(text.contains("from elsewhere"));
    run(&["get", "-T", "/nowhere/at/all", &url]).expect(26);
}

#[test]
fn cookies_are_sent_kept_and_written() {
    let address = serve(|request| {
        let cookie = request
            .lines()
            .find_map(|line| line.strip_prefix("cookie: "));
        let sent = cookie.unwrap_or("none").to_owned();
        let set = "set-cookie: kept=1; Path=/; Max-Age=100\r\nset-cookie: session=2\r\n";
        match request.starts_with("GET /set") {
            true => said("302 Found", &format!("{set}location: /seen\r\n"), b""),
            false => said("200 OK", "", sent.as_bytes()),
        }
    });
    let (url, folder) = (format!("http://{address}/"), directory("get-cookies"));
    let jar = path(&folder, "jar");
    let text = |arguments: &[&str]| run(&[&["get"], arguments].concat()).expect(0).text();
    assert_eq!(text(&[&url, "-b", "a=1; b=2"]), "a=1; b=2");
    let set = format!("{url}set");
    assert_eq!(
        text(&["-L", &set]),
        "none",
        "nothing is kept unless asked for"
    );
    assert_eq!(text(&["-L", &set, "-c", &jar]), "kept=1; session=2");
    let written = std::fs::read_to_string(&jar).unwrap();
    assert!(
        written.starts_with("# Netscape HTTP Cookie File"),
        "{written}"
    );
    assert!(
        written.contains("127.0.0.1\tFALSE\t/\tFALSE\t"),
        "{written}"
    );
    assert_eq!(text(&[&url, "-b", &jar]), "kept=1; session=2");
    let other = url.replace("127.0.0.1", "localhost");
    assert_eq!(text(&[&other, "-b", &jar]), "none", "it is another host");
    assert_eq!(text(&[&url, "-b", "/nowhere/at/all"]), "none");
    run(&["get", &url, "-c", "/nowhere/at/all"]).expect(23);
}

#[test]
fn compressed_content_is_asked_for_and_decompressed() {
    // "hello" by gzip.
    const GZIP: [u8; 25] = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10,
        0x36, 5, 0, 0, 0,
    ];
    let address = serve(|request| {
        let coding = "content-encoding: gzip\r\n";
        match request.contains("accept-encoding: zstd, br, gzip, deflate") {
            true if request.starts_with("GET /broken") => said("200 OK", coding, &GZIP[..15]),
            true => said("200 OK", coding, &GZIP),
            false => said("200 OK", "", b"plain"),
        }
    });
    let url = format!("http://{address}/");
    assert_eq!(run(&["get", &url]).expect(0).text(), "plain");
    assert_eq!(
        run(&["get", "--compressed", &url]).expect(0).text(),
        "hello"
    );
    run(&["get", "--compressed", &format!("{url}broken")]).expect(61);
}

#[test]
fn a_transfer_goes_on_where_it_was_broken_off() {
    let address = serve(|request| {
        let range = request
            .lines()
            .find_map(|line| line.strip_prefix("range: bytes="));
        let begin = range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        match begin {
            Some(_) if request.starts_with("GET /moved") => said("302 Found", "", b"moved"),
            Some(_) if request.starts_with("GET /gone") => said("404 Not Found", "", b"gone"),
            Some(_) if request.starts_with("GET /busy") => said("503 Busy", "", b"busy"),
            None => said("200 OK", "", b"0123456789"),
            Some(_) if request.starts_with("GET /whole") => said("200 OK", "", b"0123456789"),
            Some(_) if request.starts_with("GET /lies") => said(
                "206 Partial Content",
                "content-range: bytes 1-9/10\r\n",
                b"123456789",
            ),
            Some(begin) if begin >= 10 => {
                let field = "content-range: bytes */10\r\n";
                said("416 Range Not Satisfiable", field, b"beyond")
            }
            Some(begin) => {
                let field = format!("content-range: bytes {begin}-9/10\r\n");
                said("206 Partial Content", &field, &b"0123456789"[begin..])
            }
        }
    });
    let (url, folder) = (format!("http://{address}/"), directory("get-continue"));
    let file = path(&folder, "file");
    let get = |url: &str, option: &[&str], code| {
        run(&[&["get", url, "-o", &file], option].concat()).expect(code);
        std::fs::read_to_string(&file).unwrap()
    };
    assert_eq!(
        get(&url, &["--continue"], 0),
        "0123456789",
        "there was nothing yet"
    );
    assert_eq!(
        get(&url, &["--continue"], 0),
        "0123456789",
        "there is nothing left"
    );
    std::fs::write(&file, "0123").unwrap();
    for wrong in ["whole", "lies", "moved", "gone", "busy"] {
        assert_eq!(get(&format!("{url}{wrong}"), &["-C", "-"], 33), "0123");
    }
    assert_eq!(get(&format!("{url}gone"), &["-f", "-C", "-"], 22), "0123");
    assert_eq!(get(&url, &["-f", "-C", "-"], 0), "0123456789");
    assert_eq!(
        get(&url, &["-f", "-C", "-"], 0),
        "0123456789",
        "that nothing is left is no failure"
    );
    std::fs::write(&file, "0123").unwrap();
    assert_eq!(get(&url, &["-C", "-"], 0), "0123456789");
    assert_eq!(run(&["get", &url, "-C", "7"]).expect(0).text(), "789");
    run(&["get", &url, "--continue"])
        .expect(2)
        .says(&["--output"]);
}

#[test]
fn names_are_given_addresses_and_certificates_are_read() {
    let authority = Authority::new("get-client-certificate");
    let (cert, key) = authority.issue("a.test");
    let address = serve(|request| said("200 OK", "", request.as_bytes()));
    let port = address.port();
    let resolve = format!("a.test:{port}:127.0.0.1");
    let url = format!("http://a.test:{port}/");
    let text = run(&["get", "--resolve", &resolve, &url]).expect(0).text();
    assert!(text.contains(&format!("host: a.test:{port}\r\n")), "{text}");
    run(&["get", "--resolve", "a.test", &url]).expect(2);
    let plain = format!("http://{address}/");
    run(&["get", &plain, "--cert", &cert, "--key", &key]).expect(0);
    run(&["get", &plain, "--cert", &cert]).expect(2);
    run(&["get", &plain, "--cert", &cert, "--key", "/nowhere/at/all"]).expect(1);
}

#[test]
fn a_trace_tells_all_with_the_time() {
    let (url, folder) = (echo(), directory("get-trace"));
    let file = path(&folder, "trace");
    let quiet = run(&["get", "--trace", &file, &url]).expect(0);
    assert_eq!(quiet.stderr, "");
    let trace = std::fs::read_to_string(&file).unwrap();
    for words in [
        "* dialling http://",
        "* connected: HTTP/1.1",
        "> GET http://",
        "< HTTP/1.1 200 OK",
        " bytes",
        "done",
    ] {
        assert!(trace.contains(words), "no {words:?} in {trace}");
    }
    let times = trace.lines().map(|line| {
        let (time, _) = line.split_once(' ').unwrap();
        time.parse::<f64>().unwrap()
    });
    assert!(times.is_sorted());
    run(&["get", "--trace", "/nowhere/at/all", &url]).expect(23);
}

#[test]
fn what_can_be_read_once_is_sent_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (tell, folder) = (seen.clone(), directory("get-once"));
    let address = serve(move |request| {
        tell.lock().unwrap().push(request.to_owned());
        said("503 Busy", "retry-after: 0\r\n", b"busy")
    });
    let url = format!("http://{address}/");
    let file = path(&folder, "file");
    std::fs::write(&file, "content").unwrap();
    run(&["get", "--retry", "2", "-T", &file, &url]).expect(0);
    let requests = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.ends_with("content")));
    let part = "file=@/dev/stdin";
    for option in [["-T", "-"], ["-T", "/dev/stdin"], ["-F", part]] {
        let once = run_with(
            &[&["get", "--retry", "2", &url], &option[..]].concat(),
            b"content",
        );
        once.expect(0);
        let requests = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(requests.len(), 1, "{option:?}");
        assert!(requests[0].contains("content\r\n"), "{requests:?}");
        let several = [&["get", &url, &url], &option[..]].concat();
        run_with(&several, b"content").expect(2).says(&["once"]);
        assert!(seen.lock().unwrap().is_empty(), "{option:?}");
    }
}
