//! Properties of live connections: what a change does, and what is told of one without effect.

use crate::support::{datagrams, framed, pair, tls_pair};
use portway::property::{Effect, Property, PropertyValue};
use portway::{ConnectionState, Message, MessageContext, Security, SelectionProperty};
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

#[tokio::test]
async fn selection_properties_read_back_as_what_each_stack_does() {
    let (server, client) = tls_pair();
    let (tls, _at_server) = pair(&framed(server), &framed(client)).await;
    let (mut listener, address) = crate::support::listen(&datagrams()).await;
    let udp = datagrams().remote(portway::RemoteEndpoint::from(address));
    let udp = udp.initiate().await.expect("a connection");
    udp.send("so that there is one").await.expect("accepted");
    let accepted = listener.accept().await.expect("a peer");
    let rows = [
        ("reliability", true, false),
        ("preserveMsgBoundaries", true, true),
        ("preserveOrder", true, false),
        ("congestionControl", true, false),
        ("multistreaming", false, false),
        ("zeroRttMsg", false, false),
        ("fullChecksumSend", true, true),
        ("softErrorNotify", false, true),
        ("perMsgReliability", false, false),
    ];
    for (name, over_tls, over_udp) in rows {
        assert_eq!(tls.get(name), Ok(Some(over_tls.into())), "{name} of TLS");
        assert_eq!(udp.get(name), Ok(Some(over_udp.into())), "{name} of UDP");
        assert_eq!(accepted.get(name), Ok(Some(over_udp.into())), "{name}");
    }
    assert!(tls.info().protection.is_some());
    assert!(udp.info().protection.is_none());
}

#[tokio::test]
async fn a_live_connection_refuses_to_change_what_selected_it() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    for (name, value) in [
        (
            "reliability",
            PropertyValue::from(portway::Preference::Prohibit),
        ),
        ("direction", PropertyValue::from("unidirectional send")),
        ("connState", PropertyValue::from("closed")),
    ] {
        let refused = client.set(name, value).expect_err(name);
        assert!(!refused.to_string().is_empty());
    }
    assert_eq!(client.get("reliability"), Ok(Some(true.into())));
    client.send("as before").await.expect("accepted");
    assert_eq!(
        &server.receive().await.expect("a message")[..],
        b"as before"
    );
}

#[tokio::test]
async fn all_properties_of_a_live_connection_are_read_at_once() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let all = client.properties();
    for (property, value) in &all {
        assert_eq!(client.get(*property), Ok(Some(value.clone())), "{property}");
    }
    let value = |name: &str| {
        let mut all = all.iter();
        all.find(|(it, _)| it.name() == name).map(|it| &it.1)
    };
    let established = PropertyValue::ConnectionState(ConnectionState::Established);
    assert_eq!(value("connState"), Some(&established));
    assert_eq!(value("canSend"), Some(&true.into()));
    assert_eq!(value("reliability"), Some(&true.into()));
    assert_eq!(value("sendMsgMaxLen"), None, "a stream has no bound");
    assert_eq!(value("msgPriority"), None, "it is one of messages");
    assert!(client.get("msgPriority").is_err());
    let last = Message::new("the last").with_context(MessageContext::new().with_final());
    client.send(last).await.expect("accepted");
    assert_eq!(client.get("canSend"), Ok(Some(false.into())));
    server.receive().await.expect("a message");
    server.receive().await.expect_err("nothing behind the last");
    assert_eq!(server.get("canReceive"), Ok(Some(false.into())));
}

#[tokio::test]
async fn the_path_in_use_is_the_interface_of_the_local_address() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let local = client.info().local.expect("it has a carrier").ip();
    let path = client.path().expect("loopback is up");
    assert!(path.addresses.iter().any(|own| own.address == local));
    client.abort();
    assert_eq!(client.path(), None);
}

#[tokio::test]
async fn a_property_of_a_live_connection_is_the_same_by_key_and_by_name() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let minute = PropertyValue::from(Duration::from_secs(60));
    let by_key = client.set(Property::ConnTimeout, minute.clone());
    assert_eq!(by_key, Ok(Effect::Applied));
    assert_eq!(client.get("connTimeout"), Ok(Some(minute.clone())));
    let hour = PropertyValue::from(Duration::from_secs(3600));
    assert_eq!(client.set("CONNTIMEOUT", hour.clone()), Ok(Effect::Applied));
    assert_eq!(client.get(Property::ConnTimeout), Ok(Some(hour)));
    let reliability = SelectionProperty::Reliability.property();
    assert_eq!(client.get(reliability), client.get("reliability"));
    assert!(
        client.set(reliability, false).is_err(),
        "it is fixed by now"
    );
}
