//! `portway demo`, to its end.

mod support;

use support::{directory, run};

#[test]
fn the_demo_ends_well_and_draws_its_race() {
    let file = directory("demo").join("race.svg");
    let path = file.to_str().expect("a path in UTF-8");
    let text = run(&["demo", "--output", path]).expect(0).text();
    for words in [
        "1. The stage",
        "service record 1",
        "HTTPS? demo.portway.test",
        "In plain words:",
        "connected quic 127.0.0.1:",
        "SHA-256",
        "as sent",
        path,
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let svg = std::fs::read_to_string(&file).expect("the picture");
    assert!(svg.contains("quic 127.0.0.1:"), "{svg}");
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn a_picture_that_cannot_be_written_is_a_failure() {
    run(&["demo", "--output", "/nonexistent/race.svg"])
        .expect(1)
        .says(&["/nonexistent/race.svg"]);
}
