//! Faults of clients' pools, one after the other, with what each client does.
//!
//! Invariant: a verdict is on what the server saw, and a wait has an end.

use super::clients::{Gets, Ours, Reqwest, Settings};
use super::server::{Behaviour, Server, Version};
use crate::clock::unpin;
use crate::quic::runtime;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happened in one case.
pub struct Case {
    /// What was done, and what is right.
    pub name: &'static str,
    /// What portway's client did, and whether that is right.
    pub portway: (String, bool),
    /// What reqwest did, and whether that is right.
    pub reqwest: (String, bool),
}

/// Runs all of them.
pub fn run_faults() -> Vec<Case> {
    unpin();
    runtime().block_on(async {
        vec![
            Case {
                name: "twenty first requests at once to a server of HTTP/2: one connection",
                portway: first_requests::<Ours>().await,
                reqwest: first_requests::<Reqwest>().await,
            },
            Case {
                name: "four requests to a server that takes one stream a connection: \
                       not one after the other",
                portway: one_stream::<Ours>().await,
                reqwest: one_stream::<Reqwest>().await,
            },
            Case {
                name: "a connect that never ends, whose request another connection has served: \
                       it is given up within 6 s",
                portway: abandoned::<Ours>().await,
                reqwest: abandoned::<Reqwest>().await,
            },
            Case {
                name: "a request is cancelled while it opens a connection of HTTP/2 for which \
                       others wait: they are answered",
                portway: cancelled::<Ours>().await,
                reqwest: cancelled::<Reqwest>().await,
            },
            Case {
                name: "eight requests of HTTP/1.1 with a limit of two connections: two connections",
                portway: limited::<Ours>().await,
                reqwest: limited::<Reqwest>().await,
            },
        ]
    })
}

async fn first_requests<C: Gets>() -> (String, bool) {
    let server = Server::start(Behaviour::prompt(Version::Http2));
    let client = C::new(&server, &Settings::default());
    let failed = at_once(&client, &server, 20).await;
    let opened = server.seen.accepted();
    let text = format!("{opened} connections, {failed} requests failed");
    (text, opened == 1 && failed == 0)
}

async fn one_stream<C: Gets>() -> (String, bool) {
    let server = Server::start(Behaviour {
        streams_max: 1,
        thinks: Duration::from_millis(100),
        ..Behaviour::prompt(Version::Http2)
    });
    let client = C::new(&server, &Settings::default());
    // So that the client knows what the server speaks, and its limit.
    let first = client.get(&server.url()).await;
    let failed = at_once(&client, &server, 4).await + usize::from(first.is_err());
    let (opened, most) = (server.seen.accepted(), server.seen.working_most());
    let text = format!("{most} at a time on {opened} connections, {failed} failed");
    (text, most > 1 && failed == 0)
}

async fn abandoned<C: Gets>() -> (String, bool) {
    let server = Server::start(Behaviour {
        thinks: Duration::from_millis(200),
        served_max: 1,
        ..Behaviour::prompt(Version::Http1)
    });
    let client = C::new(&server, &Settings::default());
    // The second request dials; the connection of the first one serves it before that ends.
    let first = client.get(&server.url()).await;
    let failed = at_once(&client, &server, 2).await + usize::from(first.is_err());
    let started = Instant::now();
    while server.seen.open() > 1 && started.elapsed() < GIVING_UP {
        sleep(LOOKING).await;
    }
    let is_given_up = server.seen.open() <= 1 && server.seen.accepted() > 1;
    let text = match is_given_up {
        true => format!("given up in time, {failed} requests failed"),
        false => {
            let others = server.seen.open().saturating_sub(1);
            format!("{others} still open after 6 s, {failed} requests failed")
        }
    };
    (text, is_given_up && failed == 0)
}

async fn cancelled<C: Gets>() -> (String, bool) {
    let server = Server::start(Behaviour {
        hesitates: Duration::from_millis(300),
        ..Behaviour::prompt(Version::Http2)
    });
    let settings = Settings {
        knows_http2: true,
        ..Settings::default()
    };
    let client = C::new(&server, &settings);
    let opens = tokio::spawn(get(client.clone(), server.url()));
    sleep(Duration::from_millis(50)).await;
    let mut others = JoinSet::new();
    for _ in 0..4 {
        others.spawn(get(client.clone(), server.url()));
    }
    sleep(Duration::from_millis(50)).await;
    opens.abort();
    let answers = others.join_all().await;
    let failures: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
    let text = match failures.first() {
        None => "all four answered".to_owned(),
        Some(why) => format!("{} of four failed: {why}", failures.len()),
    };
    (text, failures.is_empty())
}

async fn limited<C: Gets>() -> (String, bool) {
    let server = Server::start(Behaviour {
        thinks: Duration::from_millis(20),
        ..Behaviour::prompt(Version::Http1)
    });
    let settings = Settings {
        connections_max: Some(2),
        ..Settings::default()
    };
    let client = C::new(&server, &settings);
    let failed = at_once(&client, &server, 8).await;
    let opened = server.seen.accepted();
    let text = format!("{opened} connections, {failed} requests failed");
    (text, opened <= 2 && failed == 0)
}

/// So many requests at a time; how many of them failed.
async fn at_once<C: Gets>(client: &C, server: &Server, count: usize) -> usize {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        tasks.spawn(get(client.clone(), server.url()));
    }
    let answers = tasks.join_all().await;
    answers.iter().filter(|answer| answer.is_err()).count()
}

/// Within a bound, whatever a client does.
async fn get<C: Gets>(client: C, url: String) -> Result<(), String> {
    let answer = tokio::time::timeout(PATIENCE, client.get(&url)).await;
    answer.unwrap_or_else(|_| Err("no answer within 10 s".to_owned()))
}

const PATIENCE: Duration = Duration::from_secs(10);
/// portway's own bound is 5 s.
const GIVING_UP: Duration = Duration::from_secs(6);
const LOOKING: Duration = Duration::from_millis(20);
