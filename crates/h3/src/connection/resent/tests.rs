//! Heads that are sent again, and those that differ from them.

use super::{FIELDS_MAX, FRAME_MAX, Resent, SentHead};
use crate::message::{Protocol, RequestHead, ResponseHead};
use crate::qpack::{Encoder, EncoderConfig, References};
use http::{HeaderName, HeaderValue, Method, StatusCode};

fn references() -> References {
    let mut encoder = Encoder::new(EncoderConfig::default());
    let mut out = bytes::BytesMut::new();
    let section = encoder.section(0, &mut out);
    section.finish_and_tell().expect("it refers to nothing")
}

fn head(path: &'static str, values: &[&'static str]) -> RequestHead {
    let uri = format!("https://example.com{path}").parse();
    let mut head = RequestHead::new(Method::GET, uri.expect("a target"));
    for (number, value) in values.iter().enumerate() {
        let name: HeaderName = format!("x-{number}").parse().expect("a name");
        head.headers.append(name, HeaderValue::from_static(value));
    }
    head
}

fn note(resent: &mut Resent, head: SentHead<'_>, frame: &[u8], of: Option<References>) {
    let fields = head.fields().expect("it can be sent");
    resent.note(head, &fields, frame, of);
}

#[test]
fn a_head_is_known_when_it_is_sent_for_the_third_time() {
    let mut resent = Resent::default();
    let of_all = head("/a", &["1", "2"]);
    let of_all = SentHead::Request(&of_all);
    for _ in 0..2 {
        assert!(resent.checked(of_all).is_none() && resent.references().is_none());
        note(&mut resent, of_all, b"abc", Some(references()));
    }
    let checked = of_all.fields().expect("it can be sent").checked();
    assert_eq!(resent.checked(of_all), Some(checked));
    assert_eq!(resent.frame(), b"abc");
    let other = head("/b", &[]);
    note(
        &mut resent,
        SentHead::Request(&other),
        b"d",
        Some(references()),
    );
    assert!(resent.checked(of_all).is_none() && resent.references().is_none());
}

#[test]
fn what_follows_a_head_is_shared_once_it_was_the_same_twice() {
    let mut resent = Resent::default();
    let head = head("/a", &["1"]);
    for _ in 0..2 {
        let head = SentHead::Request(&head);
        note(&mut resent, head, b"abc", Some(references()));
    }
    let with = |content: &[u8]| [b"abc", content].concat();
    for (content_len, content, is_shared) in [
        (None, &b""[..], true),
        (Some(300), &[0, 0x41, 0x2c], false),
        (Some(300), &[0, 0x41, 0x2c], true),
        (Some(7), &[0, 7], false),
        (Some(300), &[0, 0x41, 0x2c], false),
        (None, b"", false),
        (None, b"", true),
    ] {
        let first = resent.beginning(content_len);
        assert_eq!(first, with(content));
        assert_eq!(first.is_unique(), !is_shared, "{content_len:?}");
        if is_shared {
            let second = resent.beginning(content_len);
            assert_eq!(second.as_ptr(), first.as_ptr());
        }
    }
}

#[test]
fn a_request_that_differs_in_anything_is_another() {
    let mut resent = Resent::default();
    let first = head("/a", &["1", "2"]);
    for _ in 0..2 {
        let first = SentHead::Request(&first);
        note(&mut resent, first, b"abc", Some(references()));
    }
    let mut others = vec![
        head("/b", &["1", "2"]),
        head("/a", &["1"]),
        head("/a", &["1", "3"]),
        head("/a", &["1", "2", "3"]),
    ];
    let mut method = first.clone();
    method.method = Method::HEAD;
    let mut scheme = first.clone();
    scheme.scheme = Some("own".parse().expect("a scheme"));
    let mut protocol = first.clone();
    protocol.protocol = Protocol::new("own");
    let mut sensitive = first.clone();
    let value = sensitive.headers.get_mut("x-0").expect("it is there");
    value.set_sensitive(true);
    let mut order = head("/a", &[]);
    for (name, value) in [("x-1", "2"), ("x-0", "1")] {
        order.headers.append(name, HeaderValue::from_static(value));
    }
    others.extend([method, scheme, protocol, sensitive, order]);
    for target in ["https://EXAMPLE.com/a", "http://example.com/a", "/a"] {
        let mut other = first.clone();
        other.uri = target.parse().expect("a target");
        others.push(other);
    }
    for other in others {
        let known = resent.checked(SentHead::Request(&other));
        assert!(known.is_none(), "{other:?}");
    }
    assert!(resent.checked(SentHead::Request(&first)).is_some());
}

#[test]
fn a_response_that_differs_in_anything_is_another() {
    let mut resent = Resent::default();
    let mut first = ResponseHead::new(StatusCode::OK);
    first.headers.insert("x-0", HeaderValue::from_static("1"));
    for _ in 0..2 {
        let first = SentHead::Response(&first);
        note(&mut resent, first, b"abc", Some(references()));
    }
    let (mut status, mut value) = (first.clone(), first.clone());
    status.status = StatusCode::ACCEPTED;
    value.headers.insert("x-0", HeaderValue::from_static("2"));
    for other in [status, value] {
        assert!(resent.checked(SentHead::Response(&other)).is_none());
    }
    let request = head("/a", &["1"]);
    assert!(resent.checked(SentHead::Request(&request)).is_none());
    assert!(resent.checked(SentHead::Response(&first.clone())).is_some());
}

#[test]
fn what_is_large_or_cannot_be_sent_again_is_not_kept() {
    let values = [""; FIELDS_MAX + 1];
    for (bytes, fields, references, is_kept) in [
        (FRAME_MAX, FIELDS_MAX, Some(references()), true),
        (FRAME_MAX + 1, 1, Some(references()), false),
        (1, FIELDS_MAX + 1, Some(references()), false),
        (1, 1, None, false),
    ] {
        let mut resent = Resent::default();
        let (head, frame) = (head("/", &values[..fields]), vec![7; bytes]);
        let head = SentHead::Request(&head);
        for _ in 0..3 {
            note(&mut resent, head, &frame, references);
        }
        assert_eq!(resent.checked(head).is_some(), is_kept);
        assert!(resent.frame.len() <= FRAME_MAX);
    }
}

#[test]
fn what_is_secret_is_neither_kept_nor_shown() {
    let mut marked = HeaderValue::from_static("s3cret");
    marked.set_sensitive(true);
    let plain = HeaderValue::from_static("s3cret");
    for (name, value, is_kept) in [
        ("x", plain.clone(), true),
        ("x", marked.clone(), false),
        ("set-cookie", plain.clone(), false),
        ("authorization", plain.clone(), false),
        ("proxy-authorization", plain, false),
        ("cookie", marked, false),
    ] {
        let mut head = head("/", &[]);
        head.headers.append(name, value);
        let (mut resent, head) = (Resent::default(), SentHead::Request(&head));
        for _ in 0..2 {
            note(&mut resent, head, b"s3cret", Some(references()));
            assert_eq!(resent.frame.is_empty(), !is_kept, "{name}");
        }
        assert_eq!(resent.checked(head).is_some(), is_kept, "{name}");
        let shown = format!("{resent:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("115"),
            "{shown}"
        );
    }
}
