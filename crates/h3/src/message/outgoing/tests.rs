//! What a message may be on its way out, where the receiving side cannot tell.

use super::*;
use crate::message::Protocol;

fn head(
    method: Method,
    target: &'static str,
    headers: &[(&'static str, &'static str)],
) -> RequestHead {
    let mut head = RequestHead::new(method, target.parse().expect("a target"));
    for (name, value) in headers {
        head.headers.append(*name, HeaderValue::from_static(value));
    }
    head
}

fn extended(headers: &[(&'static str, &'static str)]) -> RequestHead {
    RequestHead {
        protocol: Protocol::new("connect-udp"),
        ..head(Method::CONNECT, "https://example.com/a", headers)
    }
}

/// The fields that are given out under a name.
fn values_of<'a>(outgoing: &Outgoing<'a>, wanted: &str) -> Vec<&'a [u8]> {
    let mut values = Vec::new();
    outgoing.for_each(|name, value, _| {
        if name == wanted.as_bytes() {
            values.push(value);
        }
    });
    values
}

#[test]
fn a_refusal_says_why() {
    let field = Unsendable::Field(header::UPGRADE);
    assert!(field.to_string().contains("upgrade"));
    assert_eq!(Unsendable::Line("no scheme").to_string(), "no scheme");
    let too_large = Unsendable::TooLarge {
        size: 70,
        limit: 60,
    };
    let text = too_large.to_string();
    assert!(text.contains("70") && text.contains("60"), "{text}");
}

#[test]
fn te_may_say_trailers() {
    let head = head(Method::GET, "https://example.com/", &[("te", "trailers")]);
    let outgoing = Outgoing::request(&head).expect("allowed");
    assert_eq!(values_of(&outgoing, "te"), [b"trailers"]);
}

#[test]
fn only_a_request_that_uses_capsules_has_no_other_content() {
    let capsules = ("capsule-protocol", "?1");
    let content = ("content-type", "text/plain");
    assert!(Outgoing::request(&extended(&[capsules])).is_ok());
    assert!(Outgoing::request(&extended(&[content])).is_ok());
    assert!(Outgoing::request(&extended(&[capsules, content])).is_err());
    let ordinary = head(Method::POST, "https://example.com/", &[capsules, content]);
    assert!(Outgoing::request(&ordinary).is_ok());
}

#[test]
fn only_a_success_announces_capsules() {
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers
        .insert("capsule-protocol", HeaderValue::from_static("?1"));
    assert!(Outgoing::response(&head).is_ok());
    head.status = StatusCode::FORBIDDEN;
    assert!(Outgoing::response(&head).is_err());
    head.headers
        .insert("capsule-protocol", HeaderValue::from_static("?0"));
    assert!(Outgoing::response(&head).is_ok(), "nothing is announced");
}

#[test]
fn a_priority_is_looked_for_only_where_a_field_has_one() {
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers
        .insert("content-type", HeaderValue::from_static("text/plain"));
    let has_priority = |head: &ResponseHead| {
        let outgoing = Outgoing::response(head).expect("allowed");
        outgoing.checked().has_priority
    };
    assert!(!has_priority(&head));
    head.headers
        .insert("priority", HeaderValue::from_static("u=1"));
    assert!(has_priority(&head));
}

#[test]
fn only_schemes_of_the_web_need_an_authority() {
    let with_scheme = |scheme: &str| RequestHead {
        scheme: Some(scheme.parse().expect("a scheme")),
        ..head(Method::GET, "/a", &[])
    };
    assert!(Outgoing::request(&with_scheme("http")).is_err());
    assert!(Outgoing::request(&with_scheme("https")).is_err());
    assert!(Outgoing::request(&with_scheme("own")).is_ok());
}

#[test]
fn no_path_is_an_asterisk_for_options_and_else_a_slash() {
    for (method, path) in [(Method::OPTIONS, &b"*"[..]), (Method::GET, b"/")] {
        let head = RequestHead {
            scheme: Some(Scheme::HTTPS),
            ..head(method, "example.com", &[])
        };
        let outgoing = Outgoing::request(&head).expect("a whole target");
        assert_eq!(values_of(&outgoing, ":path"), [path]);
    }
}

#[test]
fn pseudo_header_fields_and_the_others_are_given_apart() {
    let head = head(Method::GET, "https://example.com/a", &[("accept", "x")]);
    let outgoing = Outgoing::request(&head).expect("fine");
    let pseudo: Vec<&[u8]> = outgoing.pseudo().map(|(_, value)| value).collect();
    assert_eq!(pseudo, [&b"GET"[..], b"https", b"example.com", b"/a"]);
    let names: Vec<&HeaderName> = outgoing.headers().map(|(name, _)| name).collect();
    assert_eq!(names, [header::ACCEPT]);
}

#[test]
fn the_size_without_pseudo_header_fields_counts_32_bytes_a_field() {
    let head = head(Method::GET, "https://a/", &[("a", "12345"), ("bc", "")]);
    assert_eq!(section_bytes(&head.headers), 1 + 5 + 32 + 2 + 32);
    assert_eq!(section_bytes(&HeaderMap::new()), 0);
}
