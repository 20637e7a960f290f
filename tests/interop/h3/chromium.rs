//! The matrix with Chromium, which reads a page of our server over HTTP/3.
//!
//! Invariant: what is said of frames is in Chromium's network log; it resolves no name but ours.

use super::PAGE;
use super::server::{Pages, Server};
use crate::authority::{Authority, NAME};
use crate::page::Matrix;
use crate::peer::{Peer, run_for};
use std::process::Command;
use std::sync::Arc;

const ROLE: &str = "server";
pub(crate) const PROGRAM: &str = "chromium-headless-shell";

#[test]
fn every_cell_of_http3_with_chromium_holds_as_documented() {
    let test = "every_cell_of_http3_with_chromium_holds_as_documented";
    if !super::is_full(test, "Chromium") {
        return;
    }
    let Some(version) = version() else {
        portway_tests::say!("skipped: {test}: {PROGRAM} is not installed");
        return;
    };
    let Some(python) = super::python_of(test) else {
        return;
    };
    let authority = Authority::new();
    let mut matrix = Matrix::new(&PAGE, &format!("Chromium {version} of Debian"));
    let mut is_whole = false;
    run_for(super::limit(), async {
        is_whole = cells(test, python, &authority, &mut matrix).await.is_some();
    });
    if is_whole {
        matrix.check();
    }
}

/// Its major version, as long as it is installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split(' ').nth(1)?;
    Some(version.split('.').next()?.to_owned())
}

async fn cells(test: &str, python: &str, authority: &Authority, matrix: &mut Matrix) -> Option<()> {
    let mut server = Server::start(authority, PAGES);
    let port = server.address.port();
    let log = authority.path("net.json");
    let url = format!("https://{NAME}:{port}/page");
    let browser = Browser {
        test,
        python,
        authority,
    };
    let mut browser = browser.open(&url, port, &log, &[]).await?;
    server.held().await;
    let served = server.serving("/hold");
    served.shut_down();
    tokio::task::yield_now().await;
    server.release();
    assert!(browser.end().await.success(), "{}", browser.output());
    let expected = "ready 200 hello 200  100 200  200 </p>";
    assert!(browser.output().contains(expected), "{}", browser.output());
    let seen = served.seen();
    for path in [
        "/page",
        "/style.css",
        "/script.js",
        "/a.svg",
        "/echo",
        "/interim",
    ] {
        let is_asked = seen.iter().any(|line| line.contains(&format!(" {path} ")));
        assert!(is_asked, "{path} is not among {seen:?}");
    }
    let evidence = "a page with its style, script and picture, and a POST, on one connection";
    matrix.pass("GET and POST", ROLE, evidence);
    matrix.pass(
        "many requests",
        ROLE,
        "100 of the page's script, all answered",
    );
    let mut reader = Peer::start(test, python, &[&netlog(), &log])?;
    assert!(reader.end().await.success(), "{}", reader.output());
    let frames = reader.output();
    let count = |name: &str| frames.matches(name).count();
    assert!(
        count("HTTP3_SETTINGS_RECEIVED") >= 1 && count("HTTP3_DATA_SENT") >= 1,
        "{frames}"
    );
    assert!(count("HTTP3_HEADERS_DECODED") >= 100, "{frames}");
    let evidence = "its log has our SETTINGS, HEADERS and DATA";
    matrix.pass("frames", ROLE, evidence);
    let urgent = "HTTP3_PRIORITY_UPDATE_SENT {\"prioritized_element_id\": 0, \
                  \"priority_field_value\": \"u=0, i\"}";
    assert!(frames.contains(urgent), "{frames}");
    assert!(seen.contains(&"GET /page u=0,i".to_owned()), "{seen:?}");
    let later = seen
        .iter()
        .any(|line| line.starts_with("GET /a.svg u=") || line == "GET /a.svg i");
    assert!(later, "{seen:?}");
    let evidence =
        "it logs PRIORITY_UPDATE `u=0, i` for the page, by which our server schedules it";
    matrix.pass("priorities", ROLE, evidence);
    tables(&served, matrix);
    assert!(count("HTTP3_GOAWAY_RECEIVED") >= 1, "{frames}");
    assert!(!Arc::ptr_eq(&served, &server.serving("/after")));
    let evidence = "it logs GOAWAY, reads the held answer, and asks again on another connection";
    matrix.pass("GOAWAY in mid-flight", ROLE, evidence);
    Some(())
}

fn netlog() -> String {
    format!("{}/interop/h3/netlog.py", env!("CARGO_MANIFEST_DIR"))
}

fn tables(served: &super::server::Served, matrix: &mut Matrix) {
    let counted = served.http.statistics();
    let what = "dynamic QPACK, from the peer";
    match counted.own_table.sections {
        0 => matrix.lacks_as(what, ROLE, "it is offered a table, and refers to no entry"),
        _ => matrix.pass(what, ROLE, "its sections refer to entries in our table"),
    }
    assert!(counted.peer_table.sections > 0, "{counted:?}");
    let evidence = "it acknowledges sections that refer to our entries in its table";
    matrix.pass("dynamic QPACK, to the peer", ROLE, evidence);
}

/// What is needed to start it.
pub(crate) struct Browser<'a> {
    pub(crate) test: &'a str,
    pub(crate) python: &'a str,
    pub(crate) authority: &'a Authority,
}

impl Browser<'_> {
    /// Opens a page, whose text it prints at its end. QUIC is forced on the origin at `forced`,
    /// without which it believes in no root of ours there; its network log goes to `log`.
    pub(crate) async fn open(
        &self,
        url: &str,
        forced: u16,
        log: &str,
        more: &[&str],
    ) -> Option<Peer> {
        let cert = &self.authority.server.cert;
        let mut key = Peer::start(self.test, self.python, &["-c", KEY, cert])?;
        let key = key.after("key ").await;
        let arguments = [
            format!("--user-data-dir={}", self.authority.path("browser")),
            format!("--origin-to-force-quic-on={NAME}:{forced}"),
            format!("--ignore-certificate-errors-spki-list={key}"),
            format!("--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP * ~NOTFOUND"),
            format!("--log-net-log={log}"),
            "--net-log-capture-mode=Everything".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-background-networking".to_owned(),
            "--dump-dom".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Peer::start(self.test, PROGRAM, &[&arguments, more, &[url]].concat())
    }
}

/// Tells the hash of a certificate's key.
const KEY: &str = "\
import base64, hashlib, sys
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
key = x509.load_pem_x509_certificate(open(sys.argv[1], 'rb').read()).public_key()
key = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
print('key', base64.b64encode(hashlib.sha256(key).digest()).decode())
";

const PAGES: Pages = &[
    ("/page", "text/html", PAGE_TEXT),
    ("/style.css", "text/css", "p { color: green }"),
    ("/script.js", "text/javascript", "var loaded = 'ready';"),
    (
        "/a.svg",
        "image/svg+xml",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
    ),
];

/// The page asks synchronously, so that it is loaded when all is answered.
const PAGE_TEXT: &str = r#"<!doctype html>
<link rel="stylesheet" href="/style.css"><script src="/script.js"></script><img src="/a.svg">
<p id="said"></p>
<script>
function ask(method, path, content) {
  const request = new XMLHttpRequest();
  request.open(method, path, false);
  request.send(content);
  return request.status + " " + request.responseText;
}
function many(count) {
  let good = 0;
  for (let at = 0; at < count; at++) good += ask("GET", "/same?" + at) === "200 ";
  return good;
}
said.textContent = [loaded, ask("POST", "/echo", "hello"), ask("GET", "/interim"), many(100),
  ask("GET", "/hold"), ask("GET", "/after")].join(" ");
</script>
"#;
