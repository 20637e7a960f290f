//! Certificates of both sides.

use crate::support::{app, fetch, identity, loopback, pin};
use portway_core::security::{ClientAuthentication, Identity, SecurityParameters, Trust};
use portway_http::Client;
use portway_http::pool::Version;
use portway_http::server::{ConnectionInfo, Identities, IdentitySet, Server};
use portway_transport::tls::self_signed;
use std::sync::Arc;

fn made_for(name: &str) -> Arc<Identity> {
    Arc::new(self_signed(&[name.to_owned(), "127.0.0.1".to_owned()]).expect("a key"))
}

/// A client that believes in this certificate alone.
fn client_of(identity: &Identity) -> Client {
    let pin = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
    let security = SecurityParameters::tls().with_trust(pin);
    Client::builder().security(security).build()
}

#[tokio::test]
async fn certificates_are_exchanged_without_losing_a_connection() {
    let (old, new) = (made_for("old.test"), made_for("new.test"));
    let identities = Identities::from(Arc::clone(&old));
    let server = Server::new(loopback()).identities(identities.clone());
    let serving = server.serve(app()).expect("a free port");
    let url = format!("https://{}/", serving.address());
    let before = client_of(&old);
    for version in [Version::Http1, Version::Http2] {
        assert_eq!(fetch(&before, &url, version).await, "hello");
    }
    identities.replace(IdentitySet::new(Arc::clone(&new)));
    for version in [Version::Http1, Version::Http2] {
        let response = before.get(&url).versions(version).send().await;
        let response = response.expect("the connection lives on");
        assert!(response.is_connection_reused());
        assert_eq!(response.text().await.expect("it is whole"), "hello");
        assert_eq!(fetch(&client_of(&new), &url, version).await, "hello");
        let stale = client_of(&old).get(&url).versions(version).send().await;
        assert!(stale.is_err(), "the old certificate is shown no more");
    }
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let (one, two) = (made_for("one.test"), made_for("two.test"));
    let set = IdentitySet::strict()
        .with_name("one.test", Arc::clone(&one))
        .with_name("two.test", Arc::clone(&two));
    let serving = Server::new(loopback()).identities(set).serve(app());
    let serving = serving.expect("a free port");
    let url = format!("https://{}/", serving.address());
    for (identity, name, is_served) in [
        (&one, "one.test", true),
        (&two, "two.test", true),
        (&one, "two.test", false),
        (&one, "three.test", false),
    ] {
        let answer = client_of(identity).get(&url).server_name(name).send().await;
        assert_eq!(answer.is_ok(), is_served, "{name}");
    }
}

#[tokio::test]
async fn clients_prove_who_they_are_where_that_is_asked() {
    let own = made_for("client.test");
    let trust = || Trust::Pinned(Arc::from([own.chain[0].clone()]));
    let app = axum::Router::new().route(
        "/",
        axum::routing::get(|info: axum::Extension<ConnectionInfo>| async move {
            info.client_certificates().len().to_string()
        }),
    );
    for (demand, anonymous) in [
        (ClientAuthentication::Optional(trust()), Some("0")),
        (ClientAuthentication::Required(trust()), None),
    ] {
        let server = Server::new(loopback())
            .identities(identity())
            .client_authentication(demand);
        let serving = server.serve(app.clone()).expect("a free port");
        let url = format!("https://{}/", serving.address());
        let security = SecurityParameters::tls().with_trust(pin());
        let nobody = Client::builder().security(security.clone()).build();
        let answer = nobody.get(&url).send().await;
        match (answer, anonymous) {
            (Ok(answer), Some(said)) => {
                assert_eq!(answer.text().await.expect("it is whole"), said);
            }
            (answer, expected) => assert!(answer.is_err() && expected.is_none()),
        }
        let known = security.with_identity(Arc::clone(&own));
        let known = Client::builder().security(known).build();
        for version in [Version::Http1, Version::Http2, Version::Http3] {
            assert_eq!(fetch(&known, &url, version).await, "1", "{version:?}");
        }
    }
}
