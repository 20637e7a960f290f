//! A tonic client whose channel portway connects, which is the one line that changes; and its
//! server: methods of gRPC in an axum router, which one line of portway serves.
//!
//! `cargo run -p portway-examples --bin tonic` calls one method for one answer and one for a
//! stream of them, over TLS. The messages are written by hand as prost would generate them, so
//! that nothing but Rust is needed to build it.

use axum::Router;
use axum::routing::post;
use http::uri::PathAndQuery;
use portway::http::client::Connector;
use portway::http::pool::Version;
use portway::http::server::Server;
use portway::{Security, self_signed};
use std::error::Error;
use std::future::{Ready, ready};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Duration;
use tokio_stream::{Stream, StreamExt};
use tonic::client::Grpc as GrpcClient;
use tonic::server::{Grpc as GrpcServer, StreamingService, UnaryService};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let identity = self_signed(&["localhost".to_owned()])?;
    let security = Security::tls().with_roots(identity.chain.clone());
    let server = Server::new((Ipv4Addr::LOCALHOST, 0).into()).identities(identity);

    let serving = server.serve(greeter())?;

    let url = format!("https://localhost:{}", serving.address().port());
    let connector = Connector::new().security(security).versions(Version::Http2);
    // Was: Endpoint::from_shared(url)?.connect().await?;
    let channel = Endpoint::from_shared(url)?
        .connect_with_connector(connector)
        .await?;

    let mut client = GrpcClient::new(channel);
    client.ready().await?;
    let request = Request::new(named("you"));
    let (path, codec) = (PathAndQuery::from_static(GREET), ProstCodec::default());
    let reply: Response<HelloReply> = client.unary(request, path, codec).await?;
    println!("{}", reply.into_inner().message);

    client.ready().await?;
    let names = tokio_stream::iter(["Ada", "Grace", ""].map(named));
    let (path, codec) = (PathAndQuery::from_static(GREET_ALL), ProstCodec::default());
    let replies = client.streaming(Request::new(names), path, codec).await?;
    let mut replies: Streaming<HelloReply> = replies.into_inner();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => println!("{}", reply.message),
            Ok(None) => break,
            Err(status) => {
                println!("{:?}: {}", status.code(), status.message());
                break;
            }
        }
    }
    drop(client);
    serving.drain(Duration::from_secs(10)).await;
    Ok(())
}

/// Whom to greet.
#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// The greeting.
#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

fn named(name: &str) -> HelloRequest {
    HelloRequest {
        name: name.to_owned(),
    }
}

fn greet(request: &HelloRequest) -> Result<HelloReply, Status> {
    match request.name.as_str() {
        "" => Err(Status::invalid_argument("nobody to greet")),
        name => Ok(HelloReply {
            message: format!("hello {name}"),
        }),
    }
}

/// The service with its methods, as an axum router.
fn greeter() -> Router {
    Router::new()
        .route(
            GREET,
            post(async |request: axum::extract::Request| {
                let codec = ProstCodec::default();
                GrpcServer::new(codec).unary(One, request).await
            }),
        )
        .route(
            GREET_ALL,
            post(async |request: axum::extract::Request| {
                let codec = ProstCodec::default();
                GrpcServer::new(codec).streaming(All, request).await
            }),
        )
}

const GREET: &str = "/greeter.Greeter/Greet";
const GREET_ALL: &str = "/greeter.Greeter/GreetAll";

/// One greeting for one request.
struct One;

impl UnaryService<HelloRequest> for One {
    type Response = HelloReply;
    type Future = Ready<Result<Response<HelloReply>, Status>>;

    fn call(&mut self, request: Request<HelloRequest>) -> Self::Future {
        ready(greet(request.get_ref()).map(Response::new))
    }
}

/// A stream of greetings for a stream of requests.
struct All;

type Replies = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

impl StreamingService<HelloRequest> for All {
    type Response = HelloReply;
    type ResponseStream = Replies;
    type Future = Ready<Result<Response<Replies>, Status>>;

    fn call(&mut self, request: Request<Streaming<HelloRequest>>) -> Self::Future {
        let requests = request.into_inner();
        let replies: Replies = Box::pin(requests.map(|request| greet(&request?)));
        ready(Ok(Response::new(replies)))
    }
}
