//! Paths of the real environment. What changes them happens in a network namespace of the test's
//! own, which takes privileges; without them the test says that it did not run.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its interfaces shall fail"
)]

use portway_core::path::{InterfaceKind, Path};
use portway_transport::RealEnvironment;
use portway_transport::environment::Environment;
use portway_transport::real::Config;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

/// Runs `test` on a thread with a network namespace of its own.
fn in_namespace(test: impl AsyncFnOnce(RealEnvironment) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: unshare changes the namespace of this thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let reason = std::io::Error::last_os_error();
            println!("not run: no network namespace of its own: {reason}");
            return;
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test(RealEnvironment::new(Config::default())));
    });
    thread.join().unwrap();
}

fn find<'a>(paths: &'a [Path], name: &str) -> Option<&'a Path> {
    paths.iter().find(|path| path.interface == name)
}

#[tokio::test]
async fn loopback_is_a_path_with_its_address() {
    let environment = RealEnvironment::new(Config::default());
    let paths = environment.paths();
    let loopback = find(&paths, "lo").unwrap();
    assert_eq!(loopback.kind, InterfaceKind::Loopback);
    assert!(loopback.mtu >= 1280);
    let address = loopback
        .addresses
        .iter()
        .find(|address| address.address == IpAddr::V4(Ipv4Addr::LOCALHOST))
        .unwrap();
    assert_eq!(address.prefix_len, 8);
    assert_eq!(environment.paths_unavailable(), None);
    assert_eq!(environment.tasks_alive(), 0);
}

#[tokio::test]
async fn paths_that_differ_are_told_at_once() {
    let environment = RealEnvironment::new(Config::default());
    let paths = environment.paths_changed(Vec::new()).await;
    assert_eq!(paths, environment.paths());
}

#[test]
fn each_change_of_interface_address_and_route_is_told() {
    in_namespace(async |environment| {
        let paths = environment.paths();
        assert_eq!(paths, [], "loopback is down in a new namespace");

        ip("link add v0 type veth peer name v1");
        ip("link set v1 up");
        ip("link set v0 mtu 1400 up");
        let mut paths = environment.paths_changed(paths).await;
        while find(&paths, "v0").is_none() {
            paths = environment.paths_changed(paths).await;
        }
        let path = find(&paths, "v0").unwrap();
        assert_eq!((path.kind, path.mtu), (InterfaceKind::Virtual, 1400));
        assert!(!path.has_ipv4_default && !path.has_ipv6_default);

        ip("address add 192.0.2.1/24 dev v0");
        let address = IpAddr::from([192, 0, 2, 1]);
        let has_address = |paths: &[Path]| {
            let path = find(paths, "v0");
            path.is_some_and(|path| path.addresses.iter().any(|one| one.address == address))
        };
        while !has_address(&paths) {
            paths = environment.paths_changed(paths).await;
        }

        ip("route add default via 192.0.2.2");
        while !find(&paths, "v0").unwrap().has_ipv4_default {
            paths = environment.paths_changed(paths).await;
        }
        ip("route del default");
        while find(&paths, "v0").unwrap().has_ipv4_default {
            paths = environment.paths_changed(paths).await;
        }

        ip("link set v0 down");
        while find(&paths, "v0").is_some() {
            paths = environment.paths_changed(paths).await;
        }
    });
}

#[test]
fn temporary_and_deprecated_addresses_are_marked() {
    in_namespace(async |environment| {
        ip("link add v0 type veth peer name v1");
        ip("link set v1 up");
        ip("link set v0 up");
        ip("address add 2001:db8::1/64 dev v0 nodad preferred_lft 0");
        ip("address add 2001:db8::2/64 dev v0 nodad");
        let paths = environment.paths();
        let path = find(&paths, "v0").unwrap();
        let is_deprecated = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            let found = path.addresses.iter().find(|one| one.address == address);
            found.unwrap().is_deprecated
        };
        assert!(is_deprecated("2001:db8::1"));
        assert!(!is_deprecated("2001:db8::2"));
    });
}

#[test]
fn the_monitor_ends_with_the_environment() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let environment = RealEnvironment::new(Config::default());
        environment.paths();
        let metrics = tokio::runtime::Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 1);
        drop(environment);
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_monitor_that_died_with_its_runtime_is_started_again() {
    let environment = RealEnvironment::new(Config::default());
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            environment.paths();
            let metrics = tokio::runtime::Handle::current().metrics();
            assert_eq!(metrics.num_alive_tasks(), 1);
        });
    }
}
