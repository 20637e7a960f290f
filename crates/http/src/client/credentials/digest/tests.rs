//! The examples of the RFCs, and what a careless or hostile server may ask for.

use super::super::challenge::challenges;
use super::*;
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

fn session(challenge: &str, cnonce: &str) -> Option<Session> {
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, challenge.parse().unwrap());
    let all = challenges(headers.get_all(WWW_AUTHENTICATE));
    Session::new(&all[0], cnonce.to_owned())
}

const GET: Asked<'static> = Asked {
    method: "GET",
    target: "/dir/index.html",
    content: None,
};

#[test]
fn the_answers_of_rfc_7616_3_9_1_are_given() {
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let rows = [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ];
    for (algorithm, response) in rows {
        let challenge = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
             algorithm={algorithm}, nonce=\"{nonce}\", opaque=\"{opaque}\""
        );
        let mut session = session(&challenge, cnonce).unwrap();
        let answer = session.answer("Mufasa", "Circle of Life", &GET).unwrap();
        let expected = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"{nonce}\", \
             uri=\"/dir/index.html\", response=\"{response}\", algorithm={algorithm}, qop=auth, \
             nc=00000001, cnonce=\"{cnonce}\", opaque=\"{opaque}\""
        );
        assert_eq!(answer, expected);
    }
}

/// The numbers are those of the RFC's example with SHA-512/256, which its erratum 4897 corrects:
/// the RFC itself cut SHA-512 off.
#[test]
fn users_can_be_hashed_or_written_in_utf8() {
    let challenge = |userhash: &str| {
        format!(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", charset=UTF-8{userhash}"
        )
    };
    let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
    let asked = Asked {
        target: "/doe.json",
        ..GET
    };
    let response = "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"";
    let hashed = "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", \
                  userhash=true";
    let rows = [
        (", userhash=true", hashed),
        ("", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
    ];
    for (userhash, user) in rows {
        let mut session = session(&challenge(userhash), cnonce).unwrap();
        let answer = session.answer("Jäsøn Doe", "Secret, or not?", &asked);
        let answer = answer.unwrap();
        assert!(answer.contains(response), "{answer}");
        assert!(answer.contains(user), "{answer}");
    }
}

#[test]
fn the_count_goes_up_and_a_session_key_stays() {
    let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\", algorithm=SHA-256-sess";
    let mut session = session(challenge, "c").unwrap();
    let asked = Asked {
        method: "POST",
        target: "/x",
        content: Some(b"body"),
    };
    for (count, response) in [
        (
            1,
            "8b31aec8c545cbc9df4c6333f360df2a89fd960a756022cefcca251704ae1d79",
        ),
        (
            2,
            "e41bc8556253629d253c431671864e8a76d42fc1922181b028f1399bc3094e40",
        ),
    ] {
        let answer = session.answer("u", "p", &asked).unwrap();
        assert!(answer.contains(&format!("nc={count:08x}")), "{answer}");
        assert!(
            answer.contains(&format!("response=\"{response}\"")),
            "{answer}"
        );
        assert!(answer.contains("qop=auth-int"), "{answer}");
    }
    session.renew("n2", "c2".to_owned());
    let answer = session.answer("u", "p", &asked).unwrap();
    assert!(answer.contains("nonce=\"n2\"") && answer.contains("nc=00000001"));
}

#[test]
fn content_that_is_a_stream_is_not_answered_for_where_it_counts() {
    let mut int = session("Digest realm=r, nonce=n, qop=\"auth-int\"", "c").unwrap();
    assert!(int.answer("u", "p", &GET).is_none());
    let mut both = session("Digest realm=r, nonce=n, qop=\"auth-int,auth\"", "c").unwrap();
    assert!(both.answer("u", "p", &GET).unwrap().contains("qop=auth,"));
}

#[test]
fn a_challenge_of_rfc_2069_is_answered_as_then() {
    let mut session = session("Digest realm=\"r\", nonce=\"n\"", "c").unwrap();
    let asked = Asked { target: "/", ..GET };
    let answer = session.answer("u", "p", &asked).unwrap();
    let expected = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/\", \
                    response=\"f23121ca97143c6b358da620220c83b4\"";
    assert_eq!(answer, expected);
}

#[test]
fn what_breaks_out_of_quotes_is_escaped() {
    let mut session = session(r#"Digest realm="a\"b\\", nonce="n\"", opaque="\"""#, "c").unwrap();
    let answer = session.answer(r#"u", uri="x"#, "p", &GET).unwrap();
    assert!(answer.contains(r#"username="u\", uri=\"x""#), "{answer}");
    assert!(answer.contains(r#"realm="a\"b\\""#), "{answer}");
    assert!(answer.contains(r#"opaque="\"""#), "{answer}");
}

#[test]
fn unknown_algorithms_and_protections_are_not_answered() {
    for challenge in [
        "Digest realm=r, nonce=n, algorithm=SHA-1",
        "Digest realm=r, nonce=n, algorithm=MD5-sess-sess",
        "Digest realm=r, nonce=n, qop=\"auth-conf\"",
        "Digest realm=r",
        "Digest nonce=n",
    ] {
        assert!(session(challenge, "c").is_none(), "{challenge}");
    }
}

#[test]
fn a_target_is_written_as_a_quoted_string() {
    let challenge = "Digest realm=\"r\", qop=\"auth\", nonce=\"n\"";
    let mut session = session(challenge, "c").unwrap();
    let target = "/a?b=\\";
    let answer = session.answer("u", "p", &Asked { target, ..GET });
    let answer = answer.unwrap();
    assert!(answer.contains(r#", uri="/a?b=\\", "#), "{answer}");
}
