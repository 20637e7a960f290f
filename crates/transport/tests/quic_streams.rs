//! Streams of a QUIC connection over real loopback sockets.

mod quic_support;

use bytes::Bytes;
use quic_support::Pair;

#[tokio::test]
async fn a_bidirectional_stream_echoes() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let request = receive.read_to_end(100).await.unwrap();
        send.write_and_finish(request.into()).await.unwrap();
        send.writes_closed().await.unwrap();
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_and_finish(Bytes::from_static(b"hello"))
            .await
            .unwrap();
        receive.read_to_end(100).await.unwrap()
    };
    let ((), answer) = tokio::join!(serve, ask);
    assert_eq!(answer, b"hello");
    drop((client, server));
    pair.finish().await;
}
