//! The framer of HTTP/1.1 with nginx and curl.

use super::{client_security, connect, listen, preconnection, server_security};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, free_port, listening, run};
use portway::framer::{
    HTTP1_FIELDS, HTTP1_METHOD, HTTP1_MINOR_VERSION, HTTP1_STATUS, HTTP1_TARGET, Http1,
};
use portway::{Connection, Message, MessageContext, ReceivedMessage, Security};
use std::net::{Ipv4Addr, SocketAddr};

/// nginx with a page of known length and one that it sends in chunks.
async fn nginx(test: &str, authority: &Authority) -> Option<(Peer, [SocketAddr; 2])> {
    let root = authority.path("");
    let ports = [free_port(), free_port()];
    std::fs::write(authority.path("page"), "x".repeat(100_000)).expect("a file");
    let included = "<!--#echo var=\"no\" default=\"included\" -->, and more";
    std::fs::write(authority.path("parts.shtml"), included).expect("a file");
    let text = format!(
        "daemon off; master_process off; user root; pid {root}nginx.pid; error_log stderr;
        events {{ }}
        http {{
            access_log off; ssi on; ssi_types *;
            client_body_temp_path {root}c; proxy_temp_path {root}p; fastcgi_temp_path {root}f;
            uwsgi_temp_path {root}u; scgi_temp_path {root}s;
            server {{
                listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
                ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
                root {root};
                location = /page {{ ssi off; }}
                location = /empty {{ return 204; }}
            }}
        }}\n",
        plain = ports[0],
        tls = ports[1],
        cert = authority.server.cert,
        key = authority.server.key,
    );
    let file = authority.path("nginx.conf");
    std::fs::write(&file, text).expect("a file");
    let peer = Peer::start(test, "nginx", &["-c", &file])?;
    for port in ports {
        listening(port).await;
    }
    Some((peer, ports.map(|port| (Ipv4Addr::LOCALHOST, port).into())))
}

fn request(method: &'static str, target: &'static str, body: &str) -> Message {
    let context = MessageContext::new()
        .with_metadata(HTTP1_METHOD, method)
        .with_metadata(HTTP1_TARGET, target)
        .with_metadata(HTTP1_FIELDS, format!("Host: {NAME}\r\n"));
    Message::from(body).with_context(context)
}

fn text(message: &ReceivedMessage, name: &str) -> String {
    let value = message.context.metadata(name).expect("there is one");
    String::from_utf8_lossy(value.as_bytes().expect("bytes")).to_ascii_lowercase()
}

async fn response(connection: &Connection) -> (u64, ReceivedMessage) {
    let message = connection.receive().await.expect("a response");
    assert!(message.is_complete());
    let status = message.context.metadata(HTTP1_STATUS);
    let status = status.and_then(|status| status.as_number());
    (status.expect("a status"), message)
}

#[test]
fn requests_are_pipelined_to_nginx_and_each_response_ends_where_it_should() {
    run(async {
        let test = "requests_are_pipelined_to_nginx_and_each_response_ends_where_it_should";
        let authority = Authority::new();
        let Some((_nginx, [plain, tls])) = nginx(test, &authority).await else {
            return;
        };
        let protected = client_security(&authority, super::VERSIONS[1]);
        for (security, address) in [(Security::disabled(), plain), (protected, tls)] {
            let framed = preconnection(security).framer(Http1::client());
            let connection = connect(&framed, address).await;
            for request in [
                request("GET", "/page", ""),
                request("HEAD", "/page", ""),
                request("GET", "/parts.shtml", ""),
                request("GET", "/empty", ""),
                request("POST", "/page", "a body that is not wanted"),
                request("GET", "/missing", ""),
            ] {
                connection.send(request).await.expect("accepted");
            }
            let (status, page) = response(&connection).await;
            assert_eq!((status, page.len()), (200, 100_000));
            assert!(text(&page, HTTP1_FIELDS).contains("content-length: 100000\r\n"));
            let (status, head) = response(&connection).await;
            assert_eq!((status, head.len()), (200, 0));
            let (status, parts) = response(&connection).await;
            assert_eq!((status, &parts[..]), (200, &b"included, and more"[..]));
            assert!(text(&parts, HTTP1_FIELDS).contains("transfer-encoding: chunked\r\n"));
            assert_eq!(response(&connection).await.0, 204);
            assert_eq!(response(&connection).await.0, 405);
            let (status, missing) = response(&connection).await;
            assert_eq!(status, 404);
            assert!(!missing.is_empty());
            connection.close().await.expect("acknowledged");
        }
    });
}

/// Answers every request by what it was.
async fn serve(connection: Connection) {
    while let Ok(asked) = connection.receive().await {
        let (method, target) = (text(&asked, HTTP1_METHOD), text(&asked, HTTP1_TARGET));
        let version = asked.context.metadata(HTTP1_MINOR_VERSION);
        assert_eq!(version.and_then(|version| version.as_number()), Some(1));
        let body = format!("{method} {target} {}\n", asked.len());
        let context = MessageContext::new()
            .with_metadata(HTTP1_STATUS, 200u64)
            .with_metadata(HTTP1_FIELDS, "Content-Type: text/plain\r\n");
        if target == "/parts" {
            let (half, rest) = body.split_at(5);
            let mut parts = connection.begin(context, None);
            parts.send(half.to_owned()).await.expect("accepted");
            parts.finish(rest.to_owned()).await.expect("accepted");
            continue;
        }
        let answer = Message::from(body).with_context(context);
        connection.send(answer).await.expect("accepted");
    }
}

#[test]
fn curl_talks_to_a_server_that_is_only_a_framer() {
    run(async {
        let test = "curl_talks_to_a_server_that_is_only_a_framer";
        let authority = Authority::new();
        let framed = preconnection(server_security(&authority)).framer(Http1::server());
        let (mut listener, address) = listen(&framed).await;
        let port = listener.port();
        tokio::spawn(async move {
            while let Some(connection) = listener.accept().await {
                tokio::spawn(serve(connection));
            }
        });
        let base = format!("https://{NAME}:{port}");
        let resolve = format!(
            "{NAME}:{port}:{}",
            address.split(':').next().expect("a host")
        );
        let ca = &authority.root;
        let upload = authority.path("upload");
        std::fs::write(&upload, vec![b'x'; 300_000]).expect("a file");
        let fixed = [
            "-sS",
            "--http1.1",
            "--cacert",
            ca,
            "--resolve",
            &resolve,
            "-H",
            "Expect:",
        ];
        let (one, two) = (format!("{base}/one"), format!("{base}/parts"));
        let at_upload = format!("@{upload}");
        for (more, expected) in [
            (
                &[one.as_str(), two.as_str()][..],
                "get /one 0\nget /parts 0\n",
            ),
            (&["--data-binary", &at_upload, &one], "post /one 300000\n"),
            (
                &[
                    "-H",
                    "Transfer-Encoding: chunked",
                    "--data-binary",
                    &at_upload,
                    &two,
                ],
                "post /parts 300000\n",
            ),
        ] {
            let Some(mut curl) = Peer::start(test, "curl", &[&fixed[..], more].concat()) else {
                return;
            };
            let status = curl.end().await;
            assert_eq!((curl.output(), status.success()), (expected, true));
        }
    });
}
