//! `portway get` with servers of HTTP/3 that we did not write.

use super::portway;
use crate::authority::Authority;
use crate::h3::{caddy, python};
use crate::peer::run;
use crate::quic::ngtcp2::servers::server;

/// What the command writes for these arguments, when it ends well.
async fn written(test: &str, authority: &Authority, arguments: &[&str]) -> Option<String> {
    let fixed = ["get", "--cacert", &authority.root];
    let mut command = portway(test, &[&fixed, arguments].concat())?;
    assert!(command.end().await.success(), "{}", command.output());
    Some(command.output().to_owned())
}

#[test]
fn get_speaks_each_version_with_caddy_and_moves_to_http3() {
    let test = "get_speaks_each_version_with_caddy_and_moves_to_http3";
    let authority = Authority::new();
    let _ = python();
    let _ = portway_tests::command();
    run(async {
        let Some((_caddy, address)) = caddy::server(test, &authority).await else {
            return;
        };
        let url = format!("https://localhost:{}/file", address.port());
        let format = ["-o", "/dev/null", "-w", "<%{http_version}>"];
        for (version, policy) in [("1.1", "exact"), ("2", "or-lower"), ("3", "exact")] {
            let version_of = [&url, "--http", version, "--policy", policy];
            let arguments = [&version_of[..], &format].concat();
            let Some(said) = written(test, &authority, &arguments).await else {
                return;
            };
            assert_eq!(said, format!("<{version}>"));
        }
        // The first request is on HTTP/2; a later one is on what that one has told of.
        let urls = [&*url; 100];
        let outputs = ["-o", "/dev/null"].repeat(urls.len());
        let arguments = [&urls[..], &outputs, &format[2..]].concat();
        let said = written(test, &authority, &arguments)
            .await
            .expect("as before");
        assert!(said.starts_with("<2>") && said.ends_with("<3>"), "{said}");
    });
}

#[test]
fn get_speaks_http3_with_ngtcp2() {
    let test = "get_speaks_http3_with_ngtcp2";
    let authority = Authority::new();
    let _ = portway_tests::command();
    run(async {
        let root = authority.path("");
        let quiet = ["-q", "-d", &root];
        let Some((_server, address)) = server(test, &authority, "127.0.0.1", &quiet) else {
            return;
        };
        let url = format!("https://localhost:{}/1000", address.port());
        let format = "<%{http_version} %{size_download}>";
        let fixed = [
            "get",
            "--cacert",
            &authority.root,
            "-o",
            "/dev/null",
            "-w",
            format,
        ];
        let arguments = [&fixed[..], &[&url, "--http", "3"]].concat();
        // The server does not tell when it listens.
        loop {
            let Some(mut command) = portway(test, &arguments) else {
                return;
            };
            if command.end().await.success() {
                assert_eq!(command.output(), "<3 1000>");
                return;
            }
        }
    });
}
