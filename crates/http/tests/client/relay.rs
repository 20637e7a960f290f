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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

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
    let relay = Relay::start(made, protocols, 100).await;
    (relay.address, relay.heard)
}

/// A proxy in TLS whose connections are counted and ended.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) heard: Heard,
    shared: Arc<Common>,
}

#[derive(Default)]
struct Common {
    opened: AtomicUsize,
    open: AtomicUsize,
    gone_away: AtomicUsize,
    /// What each connection is told to do.
    orders: Mutex<Vec<watch::Sender<Order>>>,
    /// The credentials that every tunnel has to show.
    demanded: OnceLock<&'static str>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    GoOn,
    GoAway,
    Cut,
}

impl Relay {
    /// One that takes so many tunnels on a connection of HTTP/2.
    pub(crate) async fn start(
        made: &Made,
        protocols: &'static [&'static [u8]],
        streams_max: u32,
    ) -> Relay {
        let (heard, shared) = (Heard::default(), Arc::new(Common::default()));
        let (told, common) = (heard.clone(), shared.clone());
        let acceptor = acceptor(made, protocols);
        let address = raw(move |_, stream| {
            let (told, acceptor, common) = (told.clone(), acceptor.clone(), common.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let (order, orders) = watch::channel(Order::GoOn);
                common.orders.lock().expect("no panic").push(order);
                common.opened.fetch_add(1, Ordering::SeqCst);
                common.open.fetch_add(1, Ordering::SeqCst);
                relay_all(stream, streams_max, &told, &common, orders).await;
                common.open.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .await;
        Relay {
            address,
            heard,
            shared,
        }
    }

    /// Connections that ever were.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Connections that are.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections that have said that they go away.
    pub(crate) fn gone_away(&self) -> usize {
        self.shared.gone_away.load(Ordering::SeqCst)
    }

    /// Says on all connections that they go away.
    pub(crate) fn go_away(&self) {
        self.order(Order::GoAway);
    }

    /// Ends all connections without a word.
    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Every tunnel has to show this from now on.
    pub(crate) fn demand(&self, credentials: &'static str) {
        self.shared.demanded.set(credentials).expect("once");
    }

    fn order(&self, order: Order) {
        for one in &*self.shared.orders.lock().expect("no panic") {
            let _ = one.send(order);
        }
    }
}

async fn relay_all(
    stream: TlsStream<TcpStream>,
    streams_max: u32,
    told: &Heard,
    common: &Arc<Common>,
    mut orders: watch::Receiver<Order>,
) {
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (told, shared) = (told.clone(), common.clone());
    let service = service_fn(move |request| {
        let (told, shared) = (told.clone(), shared.clone());
        async move { Ok::<_, Infallible>(relay(request, &told, &shared).await) }
    });
    let io = TokioIo::new(stream);
    if !is_h2 {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .with_upgrades()
            .await;
        return;
    }
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(streams_max)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    loop {
        let order = tokio::select! {
            _ = connection.as_mut() => return,
            Ok(()) = orders.changed() => *orders.borrow_and_update(),
        };
        match order {
            Order::GoOn => {}
            Order::GoAway => {
                connection.as_mut().graceful_shutdown();
                common.gone_away.fetch_add(1, Ordering::SeqCst);
            }
            Order::Cut => return,
        }
    }
}

async fn relay(
    mut request: Request<Incoming>,
    told: &Heard,
    common: &Common,
) -> Response<Empty<Bytes>> {
    told.add(format!(
        "{:?} {} {}",
        request.version(),
        request.method(),
        request.uri()
    ));
    let mut response = Response::new(Empty::new());
    let mut refuse = |status| *response.status_mut() = status;
    if request.method() != Method::CONNECT {
        refuse(StatusCode::METHOD_NOT_ALLOWED);
        return response;
    }
    let shown = request.headers().get("proxy-authorization");
    let demanded = common.demanded.get().map(|it| it.as_bytes());
    if demanded.is_some() && shown.map(|it| it.as_bytes()) != demanded {
        refuse(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let challenge = "Basic realm=tunnels".parse().expect("a value");
        response
            .headers_mut()
            .insert("proxy-authenticate", challenge);
        return response;
    }
    let Ok(mut far) = TcpStream::connect(request.uri().to_string()).await else {
        refuse(StatusCode::BAD_GATEWAY);
        return response;
    };
    tokio::spawn(async move {
        let near = hyper::upgrade::on(&mut request).await.expect("a tunnel");
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
