//! Proxies on loopback: one that relays what CONNECT asks for, and SOCKS5.

use super::server::{Made, acceptor, raw};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

/// What a proxy was asked, each as one text.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    fn add(&self, text: String) -> usize {
        let mut all = self.0.lock().expect("nobody panics with it");
        all.push(text);
        all.len() - 1
    }
}

/// A proxy in cleartext. `say` gives the answer to a request by its number and head; an empty one
/// relays what CONNECT asks for, and one that does not end in a blank line ends the connection.
pub(crate) async fn proxy<F>(say: F) -> (SocketAddr, Heard)
where
    F: Fn(usize, &str) -> String + Send + Sync + Clone + 'static,
{
    let heard = Heard::default();
    let told = heard.clone();
    let address = raw(move |_, mut stream| {
        let (told, say) = (told.clone(), say.clone());
        async move {
            while let Some(head) = head_of(&mut stream).await {
                let number = told.add(head.clone());
                let said = say(number, &head);
                if said.is_empty() {
                    let target = head.split(' ').nth(1).expect("a target");
                    let Ok(mut far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let _ = stream.write_all(b"HTTP/1.1 200 yes\r\n\r\n").await;
                    let _ = copy_bidirectional(&mut stream, &mut far).await;
                    return;
                }
                let _ = stream.write_all(said.as_bytes()).await;
                if !said.contains("\r\n\r\n") {
                    return;
                }
            }
        }
    })
    .await;
    (address, heard)
}

/// The head of a request, in lower case but for its first line.
pub(crate) async fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).expect("text"))
}

/// A proxy in TLS that relays what CONNECT asks for, over HTTP/1.1 or 2.
pub(crate) async fn protected(
    made: &Made,
    protocols: &'static [&'static [u8]],
) -> (SocketAddr, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    let acceptor = acceptor(made, protocols);
    let address = raw(move |_, stream| {
        let (told, acceptor) = (told.clone(), acceptor.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(move |request| {
                let told = told.clone();
                async move { Ok::<_, Infallible>(relay(request, &told)) }
            });
            let io = TokioIo::new(stream);
            if is_h2 {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .with_upgrades()
                    .await;
            }
        }
    })
    .await;
    (address, heard)
}

fn relay(mut request: Request<Incoming>, told: &Heard) -> Response<Empty<Bytes>> {
    told.add(format!(
        "{:?} {} {}",
        request.version(),
        request.method(),
        request.uri()
    ));
    let mut response = Response::new(Empty::new());
    if request.method() != Method::CONNECT {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let target = request.uri().to_string();
    tokio::spawn(async move {
        let near = hyper::upgrade::on(&mut request).await.expect("a tunnel");
        let mut far = TcpStream::connect(target).await.expect("the target");
        let _ = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
    });
    response
}

/// A SOCKS5 proxy that wants this user and password where there is one, and answers with this
/// reply; it relays after a zero.
pub(crate) async fn socks(
    login: Option<(&'static str, &'static str)>,
    reply: u8,
) -> (SocketAddr, Heard) {
    let heard = Heard::default();
    let told = heard.clone();
    let address = raw(move |_, mut stream| {
        let told = told.clone();
        async move {
            let _ = serve_socks(&mut stream, login, reply, &told).await;
        }
    })
    .await;
    (address, heard)
}

async fn serve_socks(
    stream: &mut TcpStream,
    login: Option<(&str, &str)>,
    reply: u8,
    told: &Heard,
) -> std::io::Result<()> {
    assert_eq!(stream.read_u8().await?, 5);
    let methods = text(stream).await?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.as_bytes().contains(&method) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, method]).await?;
    if let Some((user, password)) = login {
        assert_eq!(stream.read_u8().await?, 1);
        let is_right = text(stream).await? == user && text(stream).await? == password;
        stream.write_all(&[1, u8::from(!is_right)]).await?;
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    assert_eq!(head[..3], [5, 1, 0]);
    let host = match head[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await?).to_string(),
        3 => text(stream).await?,
        4 => format!("[{}]", std::net::Ipv6Addr::from(stream.read_u128().await?)),
        other => panic!("no kind of address: {other}"),
    };
    let port = stream.read_u16().await?;
    told.add(format!("{} {host}:{port}", head[3]));
    let host = host.replace("one.test", "127.0.0.1");
    let far = match reply {
        0 => TcpStream::connect(format!("{host}:{port}")).await.ok(),
        _ => None,
    };
    let reply = if far.is_none() && reply == 0 {
        5
    } else {
        reply
    };
    let said = [5, reply, 0, 1, 127, 0, 0, 1, 0, 9];
    stream.write_all(&said).await?;
    if let Some(mut far) = far {
        copy_bidirectional(stream, &mut far).await?;
    }
    Ok(())
}

/// What stands behind its length.
async fn text(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).expect("text"))
}
