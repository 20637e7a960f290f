//! Chromium, which is told of HTTP/3 by Alt-Svc and moves to it by itself.
//!
//! Invariant: QUIC is forced on another origin than the tested one, which only lets it believe in
//! our root there; what moved is read from its network log.

use super::{Place, check};
use crate::h3::chromium::{self, Browser, PROGRAM};
use crate::h3::{is_full, python};
use crate::page::Matrix;
use crate::peer::{TEST_MAX, run_for};

const ROLE: &str = "server";
/// No port of ours.
const ELSEWHERE: u16 = 1;

#[test]
fn every_cell_of_serve_with_chromium_holds_as_documented() {
    let test = "every_cell_of_serve_with_chromium_holds_as_documented";
    if !is_full(test, "Chromium") {
        return;
    }
    let Some(installed) = chromium::version() else {
        portway_tests::say!("skipped: {test}: {PROGRAM} is not installed");
        return;
    };
    let Ok(python) = python() else {
        portway_tests::say!("skipped: {test}: the peers of HTTP/3 are not there");
        return;
    };
    let _ = portway_tests::command();
    let place = Place::new();
    let mut matrix = Matrix::new(&super::PAGE, "Chromium 156 of Debian");
    let mut is_whole = false;
    run_for(TEST_MAX * 2, async {
        is_whole = cells(test, python, &place, &mut matrix).await.is_some();
    });
    if is_whole {
        check(&matrix, test, ("Chromium", "156"), Some(&installed));
    }
}

async fn cells(test: &str, python: &str, place: &Place, matrix: &mut Matrix) -> Option<()> {
    for (name, text) in [("page.html", PAGE_TEXT), ("a.svg", PICTURE)] {
        std::fs::write(format!("{}/{name}", place.site), text).expect("a file");
    }
    let ours = place.serve(test, &[]).await?;
    let log = place.authority.path("net.json");
    let picture = place.authority.path("page.png");
    let browser = Browser {
        test,
        python,
        authority: &place.authority,
    };
    let screenshot = format!("--screenshot={picture}");
    let url = ours.url("/page.html");
    let mut browser = browser.open(&url, ELSEWHERE, &log, &[&screenshot]).await?;
    assert!(browser.end().await.success(), "{}", browser.output());
    let expected = "h2 then h3, all good";
    assert!(browser.output().contains(expected), "{}", browser.output());
    matrix.pass(
        "GET and POST",
        ROLE,
        "a page with a picture, and what its script asks",
    );
    let reader = format!("{}/interop/http/netlog.py", env!("CARGO_MANIFEST_DIR"));
    let seen = super::said(test, python, &[&reader, &log]).await?;
    let place_of = |text: &str| {
        let at = seen.find(text);
        at.unwrap_or_else(|| panic!("no {text} in {seen}"))
    };
    let (h2, told, h3) = (place_of("h2 "), place_of("alt-svc "), place_of("h3 "));
    assert!(h2 < told && told < h3, "{seen}");
    let evidence = "its log has HTTP/2, then our Alt-Svc, then HTTP/3, which was not forced";
    matrix.pass("Alt-Svc", ROLE, evidence);
    if let Some(kept) = std::env::var_os("PORTWAY_SCREENSHOT") {
        std::fs::copy(&picture, kept).expect("a copy of the picture");
    }
    Some(())
}

const PICTURE: &str = "<svg xmlns='http://www.w3.org/2000/svg' width='80' height='80'>\
    <circle cx='40' cy='40' r='36' fill='green'/></svg>";

/// Asks, synchronously, until an answer came by HTTP/3: a later one does when the race is won.
const PAGE_TEXT: &str = r#"<!doctype html>
<img src="/a.svg"><p id="said"></p>
<script>
function ask(method, path, content) {
  const request = new XMLHttpRequest();
  request.open(method, path, false);
  request.send(content);
  return request.responseText;
}
function version(path) {
  ask("GET", path);
  const entries = performance.getEntriesByName(location.origin + path);
  return entries.length ? entries[entries.length - 1].nextHopProtocol : "";
}
const first = performance.getEntriesByType("navigation")[0].nextHopProtocol;
let last = first;
for (let at = 0; at < 1000 && last !== "h3"; at++) {
  last = version("/file?" + at);
  performance.clearResourceTimings();
}
const good = ask("POST", "/echo", "hello") === "hello" ? "all good" : "not good";
said.textContent = first + " then " + last + ", " + good;
</script>
"#;
