//! A listener of the real environment while the process has no descriptors left. The only test of
//! its binary: it lowers the limit of the whole process.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

use portway_core::failure::{Advice, FailureKind};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, ListenAddress};
use portway_transport::failure_map::failure_from_io;
use portway_transport::real::Config;
use std::fs::File;
use std::future::poll_fn;
use std::net::Ipv4Addr;

#[tokio::test]
async fn accept_fails_without_descriptors_and_works_again_with_them() {
    let environment = RealEnvironment::new(Config::default());
    let listener = environment
        .tcp_listen(ListenAddress::on((Ipv4Addr::LOCALHOST, 0).into()))
        .unwrap();
    let clients: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(listener.local_address()).unwrap())
        .collect();

    lower_limit(64);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    for _ in 0..3 {
        let result = poll_fn(|context| listener.poll_accept(context)).await;
        let error = result.err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        let failure = failure_from_io(&error, "accepting");
        assert_eq!(failure.kind, FailureKind::ResourceExhausted);
        assert_eq!(failure.advice, Advice::BackOff);
    }

    drop(hoard);
    for client in &clients {
        let accepted = poll_fn(|context| listener.poll_accept(context))
            .await
            .unwrap();
        assert_eq!(accepted.peer_address(), client.local_addr().unwrap());
    }
}

fn lower_limit(descriptors: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: descriptors,
        rlim_max: descriptors,
    };
    // SAFETY: the limit lives through the call, which only reads it.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
}
