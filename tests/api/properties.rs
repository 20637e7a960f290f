//! Properties of live connections: what a change does, and what is told of one without effect.

use crate::support::{datagrams, framed, pair};
use portway::property::{Effect, PropertyValue};
use portway::{ConnectionState, Security};
use std::time::Duration;

#[tokio::test]
async fn a_property_that_tcp_has_is_applied_and_read_back() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let minute = PropertyValue::from(Duration::from_secs(60));
    assert_eq!(
        client.set("connTimeout", minute.clone()),
        Ok(Effect::Applied)
    );
    assert_eq!(client.get("CONNTIMEOUT"), Ok(Some(minute)));
    assert_eq!(
        client.set("connCapacityProfile", "scavenger"),
        Ok(Effect::Applied)
    );
    assert_eq!(client.get("reliability"), Ok(Some(true.into())));
    assert_eq!(client.get("multistreaming"), Ok(Some(false.into())));
}

#[tokio::test]
async fn keep_alives_later_than_the_time_out_are_off_and_say_so() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let applied = client.set("keepAliveTimeout", Duration::from_secs(10));
    assert_eq!(applied, Ok(Effect::Applied));
    assert_eq!(
        client.set("connTimeout", Duration::from_secs(20)),
        Ok(Effect::Applied)
    );
    let late = client
        .set("keepAliveTimeout", Duration::from_secs(30))
        .expect("a known property");
    assert!(matches!(late, Effect::Emulated(_)), "{late}");
}

#[tokio::test]
async fn a_property_without_effect_says_why_and_closes_nothing() {
    let preconnection = datagrams();
    let (mut listener, address) = crate::support::listen(&preconnection).await;
    let remote = portway::RemoteEndpoint::from(address);
    let client = preconnection
        .clone()
        .remote(remote)
        .initiate()
        .await
        .expect("a connection");
    for (name, value) in [
        ("connTimeout", PropertyValue::from(Duration::from_secs(1))),
        ("connPriority", PropertyValue::from(3u32)),
        ("tcp.userTimeoutEnabled", PropertyValue::from(true)),
    ] {
        let effect = client.set(name, value).expect("a known property");
        assert!(matches!(effect, Effect::Ignored(_)), "{name}: {effect}");
    }
    assert!(client.set("noSuchProperty", true).is_err());
    assert_eq!(client.state(), ConnectionState::Established);
    client.send("still here").await.expect("accepted");
    let server = listener.accept().await.expect("a peer");
    assert_eq!(
        &server.receive().await.expect("a message")[..],
        b"still here"
    );
}
