//! `portway get` through squid, microsocks and nghttpx, and with Apache's Digest.
//!
//! Invariant: the target is Apache, and its page is what comes through.

use super::portway;
use crate::authority::Authority;
use crate::http;
use crate::page::Matrix;
use crate::peer::{Peer, free_port, listening, run};
use tokio::process::Command;

/// What the command writes for these arguments, and its exit code.
async fn got(test: &str, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    let mut command = portway(test, &[&["get"], arguments].concat())?;
    let code = command.end().await.code();
    Some((code, command.output().to_owned()))
}

/// Runs a test with Apache, or not at all where that is not there.
fn with_apache(test: &str, steps: impl AsyncFnOnce(&Apache, &Authority)) {
    let authority = Authority::new();
    let _ = portway_tests::command();
    run(async {
        if let Some(apache) = Apache::start(test, &authority).await {
            steps(&apache, &authority).await;
        }
    });
}

/// The hash of a user's file: `openssl` knows MD5, the test does not.
async fn hash_of(test: &str, text: &str) -> Option<String> {
    let mut openssl = Peer::start(test, "openssl", &["md5", "-r"])?;
    openssl.say(text).await;
    assert!(openssl.end().await.success(), "{}", openssl.output());
    openssl.output().split(' ').next().map(str::to_owned)
}

/// Apache with a page for everybody and one behind Digest; in cleartext and in TLS.
struct Apache {
    _peer: Peer,
    http: String,
    https: String,
}

impl Apache {
    async fn start(test: &str, authority: &Authority) -> Option<Apache> {
        let (http, https) = (free_port(), free_port());
        let root = authority.path("");
        let root = root.trim_end_matches('/');
        std::fs::create_dir_all(authority.path("www/digest")).expect("a directory");
        std::fs::write(authority.path("www/page"), "for all").expect("a file");
        std::fs::write(authority.path("www/digest/page"), "for me").expect("a file");
        let hash = hash_of(test, "me:the place:secret").await?;
        let users = format!("me:the place:{hash}\n");
        std::fs::write(authority.path("users"), users).expect("a file");
        let modules = [
            "mpm_event",
            "authn_core",
            "authn_file",
            "authz_core",
            "authz_user",
            "auth_digest",
            "ssl",
        ]
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"));
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        // The workers of a process that root has started are somebody else, who must read all.
        let text = format!(
            "{}ServerName localhost\nServerRoot {root}\nPidFile {root}/pid\nErrorLog {root}/log\n\
             User www-data\nGroup www-data\nListen 127.0.0.1:{http}\nListen 127.0.0.1:{https}\n\
             DocumentRoot {root}/www\n<Directory {root}/www>\nRequire all granted\n</Directory>\n\
             <VirtualHost 127.0.0.1:{https}>\nSSLEngine on\nSSLCertificateFile {cert}\n\
             SSLCertificateKeyFile {key}\n</VirtualHost>\n<Location /digest>\nAuthType Digest\n\
             AuthName \"the place\"\nAuthDigestProvider file\nAuthUserFile {root}/users\n\
             Require valid-user\n</Location>\n",
            modules.concat()
        );
        let file = authority.path("apache.conf");
        std::fs::write(&file, text).expect("a file");
        let arguments = ["-f", &file, "-X"];
        let peer = Peer::start(test, "/usr/sbin/apache2", &arguments)?;
        listening(http).await;
        Some(Apache {
            _peer: peer,
            http: format!("http://localhost:{http}"),
            https: format!("https://localhost:{https}"),
        })
    }
}

#[test]
fn get_proves_a_password_to_apache_by_digest() {
    let test = "get_proves_a_password_to_apache_by_digest";
    with_apache(test, async |apache, _| {
        let (page, login) = (format!("{}/digest/page", apache.http), "me:secret");
        let rows: [(&[&str], i32, &str); 5] = [
            (&["--digest", "-u", login], 0, "for me"),
            (&["--anyauth", "-u", login, "-d", "content"], 0, "for me"),
            (&["-u", login], 22, ""),
            (&["--digest", "-u", "me:wrong"], 22, ""),
            (&[], 22, ""),
        ];
        for (options, code, content) in rows {
            let arguments = [&[&*page, "-f", "--noproxy", "*"], options].concat();
            let Some((ended, said)) = got(test, &arguments).await else {
                return;
            };
            assert_eq!(ended, Some(code), "{options:?}: {said}");
            assert!(said.contains(content), "{options:?}: {said}");
        }
    });
}

#[test]
fn get_goes_through_squid_with_credentials() {
    let test = "get_goes_through_squid_with_credentials";
    with_apache(test, async |apache, authority| {
        let port = free_port();
        let Some(hash) = hash_of(test, "me:squid:secret").await else {
            return;
        };
        std::fs::write(authority.path("known"), format!("me:squid:{hash}\n")).expect("a file");
        let text = format!(
            "http_port 127.0.0.1:{port}\npid_filename none\ncache deny all\naccess_log none\n\
             cache_log stdio:/dev/null\nshutdown_lifetime 0 seconds\n\
             auth_param digest program {HELPERS}/digest_file_auth -c {}\n\
             auth_param digest realm squid\nauth_param digest children 1\n\
             acl known proxy_auth REQUIRED\nacl far dstdomain forbidden.test\n\
             http_access deny far\nhttp_access allow known\nhttp_access deny all\n",
            authority.path("known")
        );
        let file = authority.path("squid.conf");
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new("/usr/sbin/squid");
        command.args(["-N", "-f", &file]);
        let Some(_squid) = Peer::spawn(test, command) else {
            return;
        };
        listening(port).await;
        let proxy = format!("http://127.0.0.1:{port}");
        let trust = ["--cacert", &authority.root, "-x", &proxy, "--proxy-digest"];
        let known = [&trust[..], &["-U", "me:secret"]].concat();
        let mut matrix = Matrix::new(&http::PAGE, "squid 5.7 of Debian");
        for (origin, what, evidence) in [
            (&apache.http, "forwarding", "a page twice in cleartext"),
            (
                &apache.https,
                "CONNECT",
                "a page twice in TLS with the target",
            ),
        ] {
            let page = format!("{origin}/page");
            let urls = [&*page, &*page];
            let Some((code, said)) = got(test, &[&urls[..], &known].concat()).await else {
                return;
            };
            assert_eq!((code, &*said), (Some(0), "for allfor all"));
            let evidence = format!("{evidence}, with Digest to the proxy");
            matrix.pass(what, ROLE, evidence);
        }
        let page = format!("{}/page", apache.https);
        for (login, target, what) in [
            ("me:wrong", &*page, "a wrong password"),
            ("me:secret", "https://forbidden.test/", "a forbidden target"),
            (
                "me:secret",
                "https://127.0.0.1:1/",
                "a target that is not there",
            ),
        ] {
            let options = [&[target], &trust[..], &["-U", login]].concat();
            let (code, said) = got(test, &options).await.expect("as before");
            assert_eq!(code, Some(56), "{login} {target}: {said}");
            matrix.pass(what, ROLE, "exit code 56");
        }
        let installed = http::version("/usr/sbin/squid", "-v");
        http::check(&matrix, test, ("squid", "5.7"), installed.as_deref());
    });
}

#[test]
fn get_goes_through_microsocks() {
    let test = "get_goes_through_microsocks";
    with_apache(test, async |apache, authority| {
        let port = free_port();
        let number = port.to_string();
        let arguments = ["-i", "127.0.0.1", "-p", &number, "-u", "me", "-P", "secret"];
        let Some(_socks) = Peer::start(test, "microsocks", &arguments) else {
            return;
        };
        listening(port).await;
        let page = format!("{}/page", apache.https);
        let absent = "https://127.0.0.1:1/";
        let rows = [
            ("socks5h", "me:secret", &*page, 0, "a name"),
            ("socks5", "me:secret", &*page, 0, "an address"),
            ("socks5h", "me:wrong", &*page, 97, "a wrong password"),
            (
                "socks5h",
                "me:secret",
                absent,
                97,
                "a target that is not there",
            ),
        ];
        // It does not tell its version.
        let mut matrix = Matrix::new(&http::PAGE, "microsocks of Debian");
        for (scheme, login, target, code, what) in rows {
            let proxy = format!("{scheme}://{login}@127.0.0.1:{port}");
            let options = [target, "--cacert", &authority.root, "-x", &proxy];
            let Some((ended, said)) = got(test, &options).await else {
                return;
            };
            assert_eq!(ended, Some(code), "{scheme} {login} {target}: {said}");
            assert!(code != 0 || said == "for all", "{said}");
            let evidence = match code {
                0 => format!("`{scheme}:` with a password, and a page in TLS with the target"),
                _ => format!("exit code {code}"),
            };
            matrix.pass(what, ROLE, evidence);
        }
        matrix.check();
    });
}

/// nghttpx speaks HTTP/2 with us and asks squid for what we ask it for.
#[test]
fn get_opens_several_tunnels_on_one_connection_to_nghttpx() {
    let test = "get_opens_several_tunnels_on_one_connection_to_nghttpx";
    with_apache(test, async |apache, authority| {
        let (port, behind) = (free_port(), free_port());
        let text = format!(
            "http_port 127.0.0.1:{behind}\npid_filename none\ncache deny all\naccess_log none\n\
             cache_log stdio:/dev/null\nshutdown_lifetime 0 seconds\nhttp_access allow all\n"
        );
        let file = authority.path("squid.conf");
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new("/usr/sbin/squid");
        command.args(["-N", "-f", &file]);
        let Some(_squid) = Peer::spawn(test, command) else {
            return;
        };
        listening(behind).await;
        let log = authority.path("nghttpx.log");
        let (cert, key) = (&authority.server.cert, &authority.server.key);
        let mut command = Command::new("/usr/sbin/nghttpx");
        command.args([
            "--conf=/dev/null",
            "--http2-proxy",
            "--no-ocsp",
            "--workers=1",
        ]);
        command.arg(format!("--frontend=127.0.0.1,{port}"));
        command.arg(format!("--backend=127.0.0.1,{behind}"));
        command.arg(format!("--accesslog-file={log}"));
        command.arg("--accesslog-format=$remote_port $alpn $method $status");
        command.args([key, cert]);
        let Some(mut nghttpx) = Peer::spawn(test, command) else {
            return;
        };
        listening(port).await;
        let proxy = format!("https://127.0.0.1:{port}");
        // Two origins: their names differ.
        let other = apache.https.replace("localhost", "127.0.0.1");
        let pages = [format!("{}/page", apache.https), format!("{other}/page")];
        let trust = [
            "--cacert",
            &authority.root,
            "--proxy-cacert",
            &authority.root,
        ];
        let pages = [&*pages[0], &*pages[1], &*pages[0]];
        let arguments = [&pages[..], &trust, &["-x", &proxy]].concat();
        let Some((code, said)) = got(test, &arguments).await else {
            return;
        };
        assert_eq!((code, &*said), (Some(0), "for allfor allfor all"));
        nghttpx.terminate();
        nghttpx.end().await;
        let heard = std::fs::read_to_string(&log).expect("a log");
        let lines: Vec<&str> = heard.lines().filter(|it| it.contains("CONNECT")).collect();
        assert_eq!(lines.len(), 2, "a tunnel for each origin: {heard}");
        assert_eq!(lines[0], lines[1], "from the same port");
        assert!(lines[0].ends_with(" h2 CONNECT 200"), "{heard}");
        let mut matrix = Matrix::new(&http::PAGE, "nghttpx 1.52.0 of Debian, before squid");
        let evidence = "two origins in TLS with each, from one port by its log";
        matrix.pass("CONNECT twice on one connection of HTTP/2", ROLE, evidence);
        let installed = http::version("/usr/sbin/nghttpx", "--version");
        http::check(&matrix, test, ("nghttpx", "1.52.0"), installed.as_deref());
    });
}

const ROLE: &str = "client";

/// Where Debian has Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Where Debian has squid's helpers.
const HELPERS: &str = "/usr/lib/squid";
