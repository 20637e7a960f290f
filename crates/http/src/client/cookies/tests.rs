//! What a jar keeps, gives and refuses, and its limits.

use super::*;

fn set(cookies: &Cookies, url: &str, value: &str) {
    let value = value.parse().unwrap();
    cookies.store(url, &mut [value].iter());
}

fn sent(cookies: &Cookies, url: &str) -> String {
    let value = cookies.cookies(url);
    let value = value.as_ref().map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}

#[test]
fn a_cookie_goes_where_its_origin_could_set_it_and_nowhere_else() {
    let rows = [
        ("https://a.test/x/y", "n=v", "https://a.test/x/z", true),
        ("https://a.test/x/y", "n=v", "https://a.test/z", false),
        ("https://a.test/", "n=v", "https://b.a.test/", false),
        (
            "https://b.a.test/",
            "n=v; Domain=a.test",
            "https://c.a.test/",
            true,
        ),
        (
            "https://b.a.test/",
            "n=v; Domain=a.test",
            "https://nota.test/",
            false,
        ),
        (
            "https://b.a.test/",
            "n=v; Domain=c.a.test",
            "https://c.a.test/",
            false,
        ),
        (
            "https://a.test/",
            "n=v; Domain=b.test",
            "https://b.test/",
            false,
        ),
        ("https://a.test/", "n=v; Secure", "http://a.test/", false),
        ("http://a.test/", "n=v; Secure", "https://a.test/", false),
        (
            "http://a.co.uk/",
            "n=v; Domain=co.uk",
            "http://b.co.uk/",
            false,
        ),
        ("http://a.com/", "n=v; Domain=com", "http://b.com/", false),
        (
            "http://127.0.0.1/",
            "n=v; Domain=0.0.1",
            "http://2.0.0.1/",
            false,
        ),
        (
            "https://a.test/",
            "__Host-n=v; Secure; Path=/",
            "https://a.test/",
            true,
        ),
        (
            "https://a.test/",
            "__Host-n=v; Path=/",
            "https://a.test/",
            false,
        ),
        (
            "https://a.test/",
            "__host-n=v; Secure; Path=/; Domain=a.test",
            "https://a.test/",
            false,
        ),
        ("https://a.test/", "__Secure-n=v", "https://a.test/", false),
        (
            "https://a.test/",
            "n=v; Max-Age=0",
            "https://a.test/",
            false,
        ),
    ];
    for (from, value, to, expected) in rows {
        let cookies = Cookies::new();
        set(&cookies, from, value);
        assert_eq!(
            !sent(&cookies, to).is_empty(),
            expected,
            "{from} {value} {to}"
        );
    }
}

#[test]
fn a_later_cookie_replaces_and_a_stale_one_removes() {
    let cookies = Cookies::new();
    set(&cookies, "https://a.test/", "n=1");
    set(&cookies, "https://a.test/", "n=2");
    set(&cookies, "https://a.test/deep/", "m=3; Path=/deep");
    assert_eq!(sent(&cookies, "https://a.test/deep/x"), "m=3; n=2");
    set(&cookies, "https://a.test/", "n=; Max-Age=0");
    assert_eq!(sent(&cookies, "https://a.test/"), "");
}

#[test]
fn the_netscape_format_keeps_what_it_can_say() {
    let text = "# Netscape HTTP Cookie File\n\n\
        .a.test\tTRUE\t/\tFALSE\t4102444800\tdeep\t1\n\
        #HttpOnly_a.test\tFALSE\t/p\tTRUE\t0\tsession\ta=b c\n\
        a.test\tFALSE\t/\tFALSE\t1\tstale\t1\n\
        # a comment\n\
        too\tfew\tfields\n";
    let cookies = Cookies::from_netscape(text);
    assert_eq!(sent(&cookies, "http://b.a.test/"), "deep=1");
    assert_eq!(sent(&cookies, "https://a.test/p"), "session=a=b c; deep=1");
    let again = cookies.to_netscape();
    assert!(
        again.contains(".a.test\tTRUE\t/\tFALSE\t41024448"),
        "{again}"
    );
    assert!(
        again.contains("#HttpOnly_a.test\tFALSE\t/p\tTRUE\t0\tsession\ta=b c\n"),
        "{again}"
    );
    assert!(!again.contains("stale"));
    let back = Cookies::from_netscape(&again);
    assert_eq!(sent(&back, "https://a.test/p"), "session=a=b c; deep=1");
}

#[test]
fn cookies_of_one_host_and_of_all_have_limits() {
    let cookies = Cookies::new();
    for number in 0..COOKIES_OF_HOST_MAX + 20 {
        set(&cookies, "https://a.test/", &format!("n{number}=v"));
    }
    assert_eq!(cookies.lock().iter_any().count(), COOKIES_OF_HOST_MAX);
    set(&cookies, "https://a.test/", "n1=other");
    assert!(sent(&cookies, "https://a.test/").contains("n1=other"));
    // The same name under another path is another cookie.
    for number in 0..COOKIES_OF_HOST_MAX + 20 {
        let value = format!("n=v; Path=/{number}");
        set(&cookies, "https://paths.test/", &value);
    }
    let count = cookies.lock().iter_any().count();
    assert_eq!(count, 2 * COOKIES_OF_HOST_MAX);
    for host in 0..COOKIES_MAX / COOKIES_OF_HOST_MAX {
        for number in 0..COOKIES_OF_HOST_MAX {
            let value = format!("n=v; Path=/{number}");
            set(&cookies, &format!("https://h{host}.test/"), &value);
        }
    }
    assert_eq!(cookies.lock().iter_any().count(), COOKIES_MAX);
    set(&cookies, "https://paths.test/", "n=other; Path=/7");
    assert_eq!(sent(&cookies, "https://paths.test/7"), "n=other");
    let long = format!("long={}", "x".repeat(COOKIE_BYTES_MAX));
    set(&cookies, "https://b.test/", &long);
    assert_eq!(sent(&cookies, "https://b.test/"), "");
}

#[test]
fn a_public_suffix_sets_cookies_for_its_own_host_only() {
    let cookies = Cookies::new();
    set(&cookies, "https://github.io/", "n=v; Domain=github.io");
    set(&cookies, "https://github.io/", "m=v; Domain=.GitHub.io");
    let own = sent(&cookies, "https://github.io/");
    assert!(own.contains("n=v") && own.contains("m=v"), "{own}");
    assert_eq!(sent(&cookies, "https://victim.github.io/"), "");
}

#[test]
fn cleartext_does_not_replace_what_was_set_under_tls() {
    let rows = [
        ("http://a.test/", "n=evil", "n=v"),
        ("http://a.test/", "n=; Max-Age=0", "n=v"),
        ("http://a.test/", "n=evil; Path=/deep", "n=v"),
        ("http://b.a.test/", "n=evil; Domain=a.test", "n=v"),
        ("http://a.test/", "other=fine", "n=v; other=fine"),
        ("https://a.test/", "n=new", "n=new"),
    ];
    for (from, value, expected) in rows {
        let cookies = Cookies::new();
        set(&cookies, "https://a.test/", "n=v; Secure; Path=/");
        set(&cookies, from, value);
        let sent = sent(&cookies, "https://a.test/deep/x");
        let mut sent: Vec<_> = sent.split("; ").collect();
        sent.sort_unstable();
        assert_eq!(sent.join("; "), expected, "{from} {value}");
    }
    let cookies = Cookies::new();
    set(&cookies, "http://a.test/", "n=1");
    set(&cookies, "http://a.test/", "n=2");
    assert_eq!(sent(&cookies, "http://a.test/"), "n=2");
}
