//! The grammar both ways, and what is none.

use super::*;

fn service(protocol: &str, host: Option<&str>, port: u16) -> Service {
    Service {
        protocol: protocol.as_bytes().to_vec(),
        host: host.map(str::to_owned),
        port,
        max_age: MAX_AGE,
        persists: false,
    }
}

fn services(value: &str) -> Vec<Service> {
    match parse(value.as_bytes()) {
        Some(AltSvc::Services(services)) => services,
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn alternatives_have_protocol_place_and_parameters() {
    let rows = [
        (r#"h3=":443""#, service("h3", None, 443)),
        (
            r#"h2="ALT.example:8000""#,
            service("h2", Some("alt.example"), 8000),
        ),
        (
            r#"h3="[2001:DB8::1]:1""#,
            service("h3", Some("2001:db8::1"), 1),
        ),
        (
            r#"w%3Dx%3Ay#z%25="h:65535""#,
            service("w=x:y#z%", Some("h"), 65_535),
        ),
        (r#" h3=":\443" ; other="a,;\"b" "#, service("h3", None, 443)),
    ];
    for (value, expected) in rows {
        assert_eq!(services(value), [expected], "{value}");
    }
    let full = services("h3=\":443\"; ma=60 ;persist=1, ,h2=\":1\";ma=\"7\";persist=2");
    assert_eq!(full[0].max_age, Duration::from_secs(60));
    assert!(full[0].persists && !full[1].persists);
    assert_eq!(full[1].max_age, Duration::from_secs(7));
    let long = services(r#"h3=":443"; ma=99999999999999999999999"#);
    assert_eq!(long[0].max_age, MAX_AGE_MAX);
}

#[test]
fn clear_stands_alone() {
    assert_eq!(parse(b" clear\t"), Some(AltSvc::Clear));
    for value in [
        "CLEAR",
        "clear,clear",
        "clear, h3=\":1\"",
        "h3=\":1\", clear",
    ] {
        assert_eq!(parse(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn what_is_not_of_the_grammar_yields_nothing() {
    let values = [
        "",
        ",",
        "h3",
        "h3=",
        "h3=:443",
        r#"="x:1""#,
        r#"h3 =":1""#,
        r#"h3= ":1""#,
        r#"h3=":443"#,
        r#"h3="443""#,
        r#"h3=":""#,
        r#"h3=":0""#,
        r#"h3=":65536""#,
        r#"h3=":+1""#,
        r#"h3=":4 3""#,
        r#"h3="a b:1""#,
        r#"h3="[::1:1""#,
        r#"h3="[x]:1""#,
        r#"h3="::1:443""#,
        r#"h3=":1" x"#,
        r#"h3=":1";"#,
        r#"h3=":1";ma"#,
        r#"h3=":1";ma="#,
        r#"h3=":1";ma=-1"#,
        r#"h3=":1";ma=1.5"#,
        r#"h3=":1";ma="""#,
        r#"h3=":1";ma =1"#,
        r#"%68%33=":1""#,
        r#"h3%2=":1""#,
        r#"h3%2f=":1""#,
        "h3=\":1\u{0}\"",
        r#"h3=":1" h2=":1""#,
        "h3=\"user@host:1\"",
    ];
    for value in values {
        assert_eq!(parse(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn limits_bound_what_is_read_and_kept() {
    let many = [r#"h3=":1""#; 100].join(",");
    assert_eq!(services(&many).len(), SERVICES_MAX);
    let long = format!("h3=\":1\"; x={}", "y".repeat(VALUE_BYTES_MAX));
    assert_eq!(parse(long.as_bytes()), None);
    let host = format!("h3=\"{}:1\"", "h".repeat(HOST_BYTES_MAX + 1));
    assert_eq!(parse(host.as_bytes()), None);
}

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The grammar the other way round.
fn written(service: &Service) -> String {
    let mut name = String::new();
    for byte in &service.protocol {
        match is_token(*byte) && *byte != b'%' {
            true => name.push(char::from(*byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    let host = service.host.as_deref().unwrap_or_default();
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let persist = if service.persists { ";persist=1" } else { "" };
    let age = service.max_age.as_secs();
    format!("{name}=\"{host}:{}\";ma={age}{persist}", service.port)
}

#[test]
fn what_is_written_is_read_and_any_other_bytes_do_no_harm() {
    let seed = 0x0a17_5bc0;
    println!("seed {seed:#x}");
    let state = &mut { seed };
    for _ in 0..2000 {
        let service = Service {
            protocol: (0..1 + random(state) % 5)
                .map(|_| random(state) as u8)
                .collect(),
            host: [None, Some("a.b-c_d.example"), Some("2001:db8::7")]
                [(random(state) % 3) as usize]
                .map(str::to_owned),
            port: 1 + (random(state) % 65_535) as u16,
            max_age: Duration::from_secs(random(state) % 100_000),
            persists: random(state).is_multiple_of(2),
        };
        let mut text = written(&service).into_bytes();
        assert_eq!(parse(&text), Some(AltSvc::Services(vec![service])));
        for end in 0..text.len() {
            parse(&text[..end]);
        }
        let at = (random(state) as usize) % text.len();
        text[at] = random(state) as u8;
        parse(&text);
    }
}
