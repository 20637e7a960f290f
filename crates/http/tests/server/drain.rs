//! How a server ends.

use crate::net::{GOAWAY, HEADERS, Net};
use portway_http::server::{End, Server};
use portway_transport::environment::{Environment, TcpConnect};
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const HOLD: &[u8] = b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n";

fn same(server: Server) -> Server {
    server
}

#[test]
fn requests_in_flight_are_answered_and_clients_are_told_to_go() {
    Net::run(same, async |net| {
        let mut busy = net.connect().await;
        assert!(busy.send(HOLD).await);
        net.app.held.notified().await;
        let mut busy2 = net.connect().await.http2().await;
        busy2.get(1, "/hold").await;
        net.app.held.notified().await;
        let mut idle = net.connect().await;
        assert_eq!(idle.ask(GET).await.expect("an answer").status, 200);
        let start = net.client.now();
        let clients = async {
            net.sleep(Duration::from_secs(1)).await;
            assert!(
                idle.answer().await.is_none(),
                "an idle connection is closed"
            );
            assert!(busy2.next_of(GOAWAY).await.is_some());
            let late = net
                .client
                .tcp_connect(TcpConnect::to(net.serving.address()));
            assert!(late.await.is_err(), "nobody accepts any more");
            net.app.release.notify_waiters();
            let answer = busy.answer().await.expect("an answer");
            assert_eq!((answer.status, &answer.body[..]), (200, &b"released"[..]));
            assert!(answer.head.contains("connection: close"), "{}", answer.head);
            let answer = busy2.next_of(HEADERS).await.expect("an answer");
            assert_eq!(answer.stream, 1);
            while busy2.next().await.is_some() {}
        };
        let (left, ()) = tokio::join!(net.serving.drain(Duration::from_secs(60)), clients);
        assert!(left.is_clean(), "{left:?} {:?}", net.ends());
        // The client of HTTP/2 does not even acknowledge that it was told to go.
        assert!(net.since(start) < Duration::from_secs(15));
        assert_eq!(net.ends(), [End::Closed, End::Closed, End::Closed]);
    });
}

#[test]
fn what_is_left_at_the_deadline_is_cut_off_and_counted() {
    Net::run(same, async |net| {
        let mut busy = net.connect().await;
        assert!(busy.send(HOLD).await);
        net.app.held.notified().await;
        let start = net.client.now();
        let left = net.serving.drain(Duration::from_secs(7)).await;
        assert_eq!((left.connections, left.requests), (1, 1));
        assert_eq!(net.since(start), Duration::from_secs(7));
        assert!(busy.answer().await.is_none());
        assert_eq!(net.ends(), [End::Stopped]);
    });
}

#[test]
fn who_was_accepted_by_the_system_is_served_still() {
    let limited = |server: Server| server.limits(|limits| limits.connections_max = 1);
    Net::run(limited, async |net| {
        let mut busy = net.connect().await;
        assert!(busy.send(HOLD).await);
        net.app.held.notified().await;
        let mut fresh = net.connect().await;
        net.sleep(Duration::from_millis(100)).await;
        net.app.release.notify_one();
        drop(busy);
        let clients = async {
            let answer = fresh.ask(GET).await.expect("an answer");
            assert!(answer.head.contains("connection: close"), "{}", answer.head);
        };
        let (left, ()) = tokio::join!(net.serving.drain(Duration::from_secs(60)), clients);
        assert!(left.is_clean(), "{left:?} {:?}", net.ends());
    });
}
