//! Every rule for field sections, from the side that receives and the side that sends.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::field::{FieldName, FieldValue};

const WIDE: Bounds = Bounds {
    bytes: 16_384,
    fields: 128,
};
const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/a?b=c"),
];

fn section(fields: &[(&str, &str)]) -> Section {
    let mut section = Section::new(WIDE);
    for (name, value) in fields {
        let name = FieldName::parse(name.as_bytes());
        // A refusal stays in the section, and the end tells it again.
        let _ = section.push(
            name,
            FieldValue::parse(Bytes::copy_from_slice(value.as_bytes())),
        );
    }
    section
}

fn request(fields: &[(&str, &str)]) -> Result<RequestHead, SectionFault> {
    section(fields).into_request(false, &mut AuthorityCache::default())
}

fn get_and(more: &[(&str, &str)]) -> Result<RequestHead, SectionFault> {
    request(&[&GET[..], more].concat())
}

fn extended(fields: &[(&str, &str)]) -> Result<RequestHead, SectionFault> {
    section(fields).into_request(true, &mut AuthorityCache::default())
}

fn response(fields: &[(&str, &str)]) -> Result<ResponseHead, SectionFault> {
    section(fields).into_response()
}

#[test]
fn fields_of_a_table_count_like_others() {
    let name = FieldName::parse(b":path");
    let value = FieldValue::parse_for(&name, Bytes::from_static(b"/abc"));
    for (bytes, is_taken) in [(5 + 4 + 32, true), (5 + 4 + 31, false)] {
        let mut section = Section::new(Bounds { bytes, fields: 1 });
        assert_eq!(section.push_kept(&name, &value).is_ok(), is_taken);
        assert_eq!(section.fault().is_none(), is_taken);
    }
}

#[test]
fn room_is_made_for_as_many_fields_as_are_likely() {
    let one = |mut section: Section| {
        let value = FieldValue::parse(Bytes::from_static(b"b"));
        let pushed = section.push(FieldName::parse(b"a"), value);
        assert_eq!(pushed, Ok(()));
        section.headers.capacity()
    };
    let unknown = one(Section::new(WIDE));
    assert!(one(Section::new(WIDE).with_likely_fields(40)) >= 40 && unknown < 40);
    let most = one(Section::new(WIDE).with_likely_fields(10_000));
    assert!((64..1000).contains(&most), "{most}");
    let fields = section(&[&GET[..], &[("a", "1"), ("a", "2"), ("b", "3")]].concat()).fields();
    assert_eq!(fields, 3, "those in front are not counted");
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(result: Result<T, SectionFault>) {
    assert!(
        matches!(result, Err(SectionFault::Malformed(_))),
        "{result:?}"
    );
}

#[test]
fn a_request_becomes_method_target_and_fields() {
    let head = get_and(&[("accept", "*/*"), ("te", "trailers")]).expect("fine");
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.uri, "https://example.com/a?b=c");
    assert_eq!(head.headers["accept"], "*/*");
    let request = http::Request::<()>::from(head);
    assert_eq!(request.version(), http::Version::HTTP_3);
}

#[test]
fn heads_become_messages_of_http_and_come_back() {
    let mut head = head(Method::CONNECT, "https://example.com/", &[("a", "b")]);
    head.protocol = Protocol::new("websocket");
    let (parts, ()) = http::Request::from(head.clone()).into_parts();
    assert_eq!(RequestHead::from(parts), head);
    let mut head = ResponseHead::new(StatusCode::ACCEPTED);
    head.headers.insert("a", HeaderValue::from_static("b"));
    let (parts, ()) = http::Response::from(head.clone()).into_parts();
    assert_eq!(parts.version, http::Version::HTTP_3);
    assert_eq!(ResponseHead::from(parts), head);
}

#[test]
fn a_head_makes_the_same_message_whether_others_have_it_or_not() {
    let mut asked = head(Method::CONNECT, "https://example.com/", &[("a", "b")]);
    asked.protocol = Protocol::new("websocket");
    let mut answered = ResponseHead::new(StatusCode::ACCEPTED);
    answered.headers.insert("a", HeaderValue::from_static("b"));
    let (shared_request, shared_response) = (Arc::new(asked.clone()), Arc::new(answered.clone()));
    for _ in 0..2 {
        let (parts, body) = Arc::clone(&shared_request).shared_with_body(7).into_parts();
        assert_eq!((parts.version, body), (http::Version::HTTP_3, 7));
        assert_eq!(RequestHead::from(parts), asked);
        let response = Arc::clone(&shared_response).shared_with_body(7);
        let (parts, body) = response.into_parts();
        assert_eq!((parts.version, body), (http::Version::HTTP_3, 7));
        assert_eq!(ResponseHead::from(parts), answered);
    }
    let (parts, _) = shared_request.shared_with_body(()).into_parts();
    assert_eq!(RequestHead::from(parts), asked);
    let (parts, _) = shared_response.shared_with_body(()).into_parts();
    assert_eq!(ResponseHead::from(parts), answered);
}

#[test]
fn a_protocol_is_shown_by_its_name() {
    let protocol = Protocol::new("connect-udp").expect("a token");
    assert_eq!(protocol.to_string(), "connect-udp");
}

#[test]
fn an_ordinary_request_may_speak_of_capsules_and_have_content() {
    let fields = [("capsule-protocol", "?1"), ("content-length", "3")];
    assert!(get_and(&fields).is_ok());
}

#[test]
fn each_mandatory_pseudo_header_field_occurs_once() {
    for (at, field) in GET.into_iter().enumerate() {
        let mut missing = GET.to_vec();
        missing.remove(at);
        assert_malformed(request(&missing));
        let mut twice = GET.to_vec();
        twice.insert(0, field);
        assert_malformed(request(&twice));
    }
}

#[test]
fn pseudo_header_fields_come_first_and_are_known() {
    assert_malformed(request(&[
        GET[0],
        GET[1],
        GET[2],
        ("accept", "*/*"),
        GET[3],
    ]));
    assert_malformed(get_and(&[(":status", "200")]));
    assert_malformed(get_and(&[(":unknown", "x")]));
    assert_malformed(request(&[&[(":version", "3")][..], &GET].concat()));
}

#[test]
fn values_of_pseudo_header_fields_are_checked() {
    let with = |at: usize, value: &'static str| {
        let mut fields = GET;
        fields[at].1 = value;
        request(&fields)
    };
    for (at, value) in [
        (0, ""),
        (0, "GE T"),
        (1, ""),
        (1, "ht tp"),
        (1, "1http"),
        (2, ""),
        (2, "user@example.com"),
        (2, "exa mple.com"),
        (2, "example.com/a"),
        (3, ""),
        (3, "a"),
        (3, "*"),
        (3, "/a#b"),
        (3, "/a b"),
        (3, "https://example.com/a"),
    ] {
        assert_malformed(with(at, value));
    }
    assert!(with(0, "own-method").is_ok());
    assert!(with(3, "/").is_ok());
}

#[test]
fn options_may_ask_for_the_whole_server() {
    let mut fields = GET;
    fields[0].1 = "OPTIONS";
    fields[3].1 = "*";
    let head = request(&fields).expect("fine");
    assert_eq!(head.uri.path(), "*");
}

#[test]
fn host_can_stand_for_authority_and_must_agree_with_it() {
    let head = request(&[GET[0], GET[1], GET[3], ("host", "example.com")]).expect("fine");
    assert_eq!(
        head.uri.authority().map(|a| a.as_str()),
        Some("example.com")
    );
    assert!(get_and(&[("host", "example.com")]).is_ok());
    assert_malformed(get_and(&[("host", "other.example")]));
    assert_malformed(get_and(&[("host", "example.com"), ("host", "example.com")]));
    assert_malformed(request(&[GET[0], GET[1], GET[3], ("host", "")]));
    assert_malformed(request(&[
        GET[0],
        GET[1],
        GET[3],
        ("host", "a@example.com"),
    ]));
}

#[test]
fn other_schemes_do_without_an_authority() {
    let fields = [GET[0], (":scheme", "urn"), (":path", "a")];
    let head = request(&[fields[0], fields[1], (":path", "/a")]).expect("fine");
    assert_eq!(
        head.scheme.as_ref().map(|scheme| scheme.as_str()),
        Some("urn")
    );
    assert_eq!(head.uri.path(), "/a");
    assert_malformed(request(&[
        fields[0],
        fields[1],
        (":authority", ""),
        (":path", "/a"),
    ]));
}

#[test]
fn connection_specific_fields_are_malformed_everywhere() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert_malformed(get_and(&[(name, "x")]));
        assert_malformed(response(&[(":status", "200"), (name, "x")]));
        assert_malformed(section(&[(name, "x")]).into_trailers());
    }
}

#[test]
fn te_says_trailers_in_requests_and_nothing_elsewhere() {
    assert!(get_and(&[("te", "trailers")]).is_ok());
    assert_malformed(get_and(&[("te", "gzip")]));
    assert_malformed(get_and(&[("te", "trailers, gzip")]));
    assert_malformed(response(&[(":status", "200"), ("te", "trailers")]));
    assert_malformed(section(&[("te", "trailers")]).into_trailers());
}

#[test]
fn names_and_values_have_legal_characters_only() {
    for name in ["Accept", "a b", "", "a:", "\u{e4}", "a\n"] {
        assert_malformed(get_and(&[(name, "x")]));
    }
    for value in ["a\nb", "a\rb", "a\0b", "a\u{7f}", " a", "a ", "\ta", "a\t"] {
        assert_malformed(get_and(&[("a", value)]));
    }
    assert!(get_and(&[("a", "b\tc d"), ("b", ""), ("c", "\u{e4}")]).is_ok());
}

#[test]
fn responses_have_one_status_of_three_digits() {
    assert_eq!(response(&[(":status", "204")]).expect("fine").status, 204);
    assert_malformed(response(&[]));
    assert_malformed(response(&[("server", "x")]));
    assert_malformed(response(&[(":status", "200"), (":status", "200")]));
    for status in ["", "20", "2000", "abc", "099", "+20", "101"] {
        assert_malformed(response(&[(":status", status)]));
    }
    for of_requests in [":method", ":scheme", ":authority", ":path", ":protocol"] {
        assert_malformed(response(&[(":status", "200"), (of_requests, "x")]));
    }
}

#[test]
fn trailers_have_no_pseudo_header_fields_and_no_framing() {
    let trailers = section(&[("digest", "x")]).into_trailers().expect("fine");
    assert_eq!(trailers["digest"], "x");
    for name in [
        ":status",
        ":path",
        ":method",
        ":scheme",
        ":authority",
        ":protocol",
    ] {
        assert_malformed(section(&[(name, "200")]).into_trailers());
    }
    for name in ["content-length", "host"] {
        assert_malformed(section(&[(name, "1")]).into_trailers());
    }
}

#[test]
fn connect_has_an_authority_with_a_port_and_nothing_else() {
    let connect = (":method", "CONNECT");
    let target = (":authority", "example.com:443");
    let head = request(&[connect, target]).expect("fine");
    assert!(head.is_connect());
    assert_eq!(head.uri, "example.com:443");
    assert_malformed(request(&[connect]));
    assert_malformed(request(&[connect, (":authority", "example.com")]));
    assert_malformed(request(&[connect, (":authority", "")]));
    assert_malformed(request(&[connect, target, (":scheme", "https")]));
    assert_malformed(request(&[connect, target, (":path", "/")]));
    assert_malformed(request(&[connect, ("host", "example.com:443")]));
    assert_malformed(request(&[connect, target, ("host", "other.example:443")]));
}

#[test]
fn extended_connect_has_a_protocol_and_a_whole_target() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/chat"),
    ];
    let head = extended(&fields).expect("fine");
    assert_eq!(
        head.protocol.as_ref().map(Protocol::as_str),
        Some("websocket")
    );
    assert_eq!(head.uri, "https://example.com/chat");
    assert_malformed(request(&fields));
    for at in [0, 2, 3, 4] {
        let mut missing = fields.to_vec();
        missing.remove(at);
        assert_malformed(extended(&missing));
    }
    let mut get = fields;
    get[0].1 = "GET";
    assert_malformed(extended(&get));
    let mut wrong = fields;
    wrong[1].1 = "web socket";
    assert_malformed(extended(&wrong));
}

#[test]
fn the_size_of_a_section_counts_32_bytes_a_field() {
    let bounds = Bounds {
        bytes: 2 * 34,
        fields: 128,
    };
    let push = |section: &mut Section, name: &'static str| {
        let name = FieldName::Header(HeaderName::from_static(name));
        section.push(name, FieldValue::parse(Bytes::from_static(b"b")))
    };
    let mut exact = Section::new(bounds);
    assert_eq!(push(&mut exact, "a"), Ok(()));
    assert_eq!(push(&mut exact, "b"), Ok(()));
    assert!(matches!(
        push(&mut exact, "c"),
        Err(SectionFault::TooLarge(_))
    ));
    assert!(matches!(exact.fault(), Some(SectionFault::TooLarge(_))));
    assert!(matches!(
        exact.into_trailers(),
        Err(SectionFault::TooLarge(_))
    ));
    let mut one_less = Section::new(Bounds {
        bytes: 2 * 34 - 1,
        fields: 128,
    });
    assert_eq!(push(&mut one_less, "a"), Ok(()));
    assert!(matches!(
        push(&mut one_less, "b"),
        Err(SectionFault::TooLarge(_))
    ));
}

#[test]
fn the_number_of_fields_is_bounded_and_crumbs_count() {
    let mut section = Section::new(Bounds {
        bytes: usize::MAX,
        fields: 3,
    });
    let mut push = || {
        let name = FieldName::Header(header::COOKIE);
        section.push(name, FieldValue::parse(Bytes::from_static(b"a=1")))
    };
    for _ in 0..3 {
        assert_eq!(push(), Ok(()));
    }
    assert!(matches!(push(), Err(SectionFault::TooLarge(_))));
}

#[test]
fn more_fields_than_a_map_holds_are_too_many_and_no_panic() {
    let mut section = Section::new(Bounds {
        bytes: usize::MAX,
        fields: usize::MAX,
    });
    let mut refused = None;
    for n in 0..40_000 {
        let name = FieldName::parse(format!("x{n}").as_bytes());
        if let Err(fault) = section.push(name, FieldValue::parse(Bytes::new())) {
            refused = Some(fault);
            break;
        }
    }
    assert!(matches!(refused, Some(SectionFault::TooLarge(_))));
}

fn sensitive(value: &'static str) -> FieldValue {
    let mut value = HeaderValue::from_static(value);
    value.set_sensitive(true);
    FieldValue::Valid(value)
}

#[test]
fn crumbs_are_joined_and_never_indexed_values_stay_sensitive() {
    let mut section = section(&GET);
    for crumb in ["a=1", "b=2"] {
        let name = FieldName::Header(header::COOKIE);
        section.push(name, sensitive(crumb)).expect("fine");
    }
    let head = section
        .into_request(false, &mut AuthorityCache::default())
        .expect("fine");
    let cookies: Vec<&HeaderValue> = head.headers.get_all(header::COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    assert!(cookies[0].is_sensitive());
}

#[test]
fn the_last_authority_is_shared() {
    let mut cache = AuthorityCache::default();
    let mut authority = |value: &str| {
        let mut fields = GET;
        fields[2].1 = value;
        let head = section(&fields)
            .into_request(false, &mut cache)
            .expect("fine");
        head.uri.authority().expect("absolute").clone()
    };
    let first = authority("example.com");
    let second = authority("example.com");
    assert_eq!(first.as_str().as_ptr(), second.as_str().as_ptr());
    assert_eq!(authority("other.example").as_str(), "other.example");
}

fn sent(outgoing: &Outgoing<'_>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    outgoing.for_each(|name, value, _| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(name), text(value)));
    });
    fields
}

fn head(method: Method, uri: &str, headers: &[(&'static str, &'static str)]) -> RequestHead {
    let mut head = RequestHead::new(method, uri.parse().expect("a target"));
    for (name, value) in headers {
        head.headers.append(*name, HeaderValue::from_static(value));
    }
    head
}

#[test]
fn what_is_sent_is_accepted_again() {
    let cookie = ("cookie", "a=1; b=2");
    let sent_head = head(
        Method::GET,
        "https://example.com/a?b",
        &[cookie, ("accept", "x")],
    );
    let fields = sent(&Outgoing::request(&sent_head).expect("fine"));
    assert_eq!(
        fields.iter().filter(|(name, _)| name == "cookie").count(),
        2
    );
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut received = request(&fields).expect("fine");
    assert_eq!(
        received.headers.remove("accept"),
        sent_head.headers.get("accept").cloned()
    );
    assert_eq!(received.headers[header::COOKIE], "a=1; b=2");
    assert_eq!(received.uri, sent_head.uri);
}

#[test]
fn what_http3_cannot_carry_is_not_sent() {
    let refused = [
        head(
            Method::GET,
            "https://example.com/",
            &[("connection", "close")],
        ),
        head(
            Method::GET,
            "https://example.com/",
            &[("transfer-encoding", "chunked")],
        ),
        head(Method::GET, "https://example.com/", &[("te", "gzip")]),
        head(
            Method::GET,
            "https://example.com/",
            &[("host", "other.example")],
        ),
        head(
            Method::GET,
            "https://example.com/",
            &[("content-length", "x")],
        ),
        head(Method::GET, "https://user@example.com/", &[]),
        head(Method::GET, "/path", &[]),
        head(Method::CONNECT, "example.com", &[]),
        RequestHead {
            protocol: Protocol::new("websocket"),
            ..head(Method::GET, "https://example.com/", &[])
        },
    ];
    for head in refused {
        assert!(Outgoing::request(&head).is_err(), "{head:?}");
    }
    let mut response = ResponseHead::new(StatusCode::SWITCHING_PROTOCOLS);
    assert!(Outgoing::response(&response).is_err());
    response.status = StatusCode::OK;
    response
        .headers
        .insert("upgrade", HeaderValue::from_static("x"));
    assert!(Outgoing::response(&response).is_err());
    let mut trailers = HeaderMap::new();
    trailers.insert("content-length", HeaderValue::from_static("1"));
    assert!(Outgoing::trailers(&trailers).is_err());
}

#[test]
fn white_space_around_a_value_is_not_sent() {
    let padded = head(
        Method::GET,
        "https://example.com/",
        &[("a", " b "), ("c", "  ")],
    );
    let fields = sent(&Outgoing::request(&padded).expect("fine"));
    assert_eq!(
        fields[4..],
        [("a".into(), "b".into()), ("c".into(), String::new())]
    );
}

#[test]
fn a_section_above_the_peers_limit_is_not_sent() {
    let head = head(Method::GET, "https://a/", &[]);
    let outgoing = Outgoing::request(&head).expect("fine");
    // Four pseudo-header fields: 7+3, 7+5, 10+1, 5+1, and 32 each.
    let size = 39 + 4 * 32;
    assert_eq!(outgoing.check_size(None), Ok(()));
    assert_eq!(outgoing.check_size(Some(size)), Ok(()));
    assert_eq!(
        outgoing.check_size(Some(size - 1)),
        Err(Unsendable::TooLarge {
            size,
            limit: size - 1
        })
    );
}

#[test]
fn promises_are_safe_cacheable_without_content_and_have_an_authority() {
    assert_eq!(push_refusal(&head(Method::GET, "https://a/", &[])), None);
    assert_eq!(
        push_refusal(&head(
            Method::HEAD,
            "https://a/",
            &[("content-length", "0")]
        )),
        None
    );
    for refused in [
        head(Method::POST, "https://a/", &[]),
        head(Method::GET, "https://a/", &[("content-length", "1")]),
        head(Method::GET, "https://a/", &[("content-length", "x")]),
        head(Method::GET, "https://a/", &[("trailer", "x")]),
        head(Method::GET, "/", &[]),
    ] {
        assert!(push_refusal(&refused).is_some(), "{refused:?}");
    }
}
