//! `portway explain` says why a connection came up as it did.

use crate::names::{AAAA, NAME, Names};
use crate::world::{FAR_V4, FAR_V6, World};
use std::net::IpAddr;
use std::process::Output;
use tokio::process::Command;

/// What the command says of [`NAME`] from within `near`; `None` where it cannot be built.
async fn explain(test: &str, names: &Names, port: u16, more: &[&str]) -> Option<Output> {
    let path = match portway_tests::command() {
        Ok(path) => path,
        Err(reason) => {
            portway_tests::say!("skipped: {test}: the command cannot be built: {reason}");
            return None;
        }
    };
    let (port, resolver) = (port.to_string(), names.address.to_string());
    let fixed = ["explain", NAME, "--port", &port, "--resolver", &resolver];
    let mut command = Command::new(path);
    command
        .args(fixed)
        .args(["--security", "none", "-v"])
        .args(more);
    // This test's thread is in the namespace, and so is what it starts.
    let output = command.output().await.expect("the command runs");
    eprintln!("{}", text(&output));
    Some(output)
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Whether one line has all of these.
fn has_line(text: &str, parts: &[&str]) -> bool {
    let mut lines = text.lines();
    lines.any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn explain_tells_that_ipv6_was_silent() {
    let test = "explain_tells_that_ipv6_was_silent";
    let Some(world) = World::new(test) else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let drop_tcp = "meta nfproto ipv6 meta l4proto tcp drop";
        world.far.nft_input(drop_tcp);
        let names = Names::start(&world, &[FAR_V4.into(), FAR_V6.into()], None);
        let Some(output) = explain(test, &names, port, &[]).await else {
            return;
        };
        assert!(output.status.success());
        let text = text(&output);
        let (v4, v6) = (format!("{FAR_V4}:{port}"), format!("[{FAR_V6}]:{port}"));
        assert!(has_line(&text, &["attempt 1", &v4, "delay passed"]));
        assert!(has_line(&text, &[&v6, "given up: another attempt won"]));
        assert!(has_line(
            &text,
            &["1 tcp", &v4, "won, started after the attempt delay"]
        ));
    });
}

#[test]
fn explain_tells_that_an_address_is_unreachable() {
    let test = "explain_tells_that_an_address_is_unreachable";
    let Some(world) = World::new(test) else {
        return;
    };
    world.far.command("ip addr add 192.0.2.3/24 dev far");
    world
        .far
        .nft_input("ip daddr 192.0.2.3 reject with icmp type host-unreachable");
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let dead: IpAddr = [192, 0, 2, 3].into();
        let names = Names::start(&world, &[dead, FAR_V4.into()], None);
        let Some(output) = explain(test, &names, port, &[]).await else {
            return;
        };
        assert!(output.status.success());
        let text = text(&output);
        assert!(has_line(&text, &["attempt 0 failed", "no route to host"]));
        assert!(has_line(&text, &["attempt 1", "attempt failed"]));
        assert!(has_line(&text, &[&format!("{FAR_V4}:{port}"), "won"]));
    });
}

#[test]
fn explain_tells_that_a_name_server_is_slow_for_one_type() {
    let test = "explain_tells_that_a_name_server_is_slow_for_one_type";
    let Some(world) = World::new(test) else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let names = Names::start(&world, &[FAR_V4.into(), FAR_V6.into()], Some(AAAA));
        let Some(output) = explain(test, &names, port, &[]).await else {
            return;
        };
        assert!(output.status.success());
        let text = text(&output);
        assert!(has_line(&text, &["waits for preferred answers"]));
        assert!(has_line(&text, &["is ready", "resolution delay passed"]));
        assert!(has_line(&text, &[&format!("{FAR_V4}:{port}"), "won"]));
    });
}

#[test]
fn explain_tells_what_is_waited_for_without_a_route() {
    let test = "explain_tells_what_is_waited_for_without_a_route";
    let Some(world) = World::unconnected(test) else {
        return;
    };
    world.run(|| async {
        let names = Names::start(&world, &[FAR_V4.into()], None);
        let Some(output) = explain(test, &names, 1, &["--timeout", "200ms"]).await else {
            return;
        };
        assert_eq!(output.status.code(), Some(1));
        let text = text(&output);
        assert!(has_line(&text, &["waiting: ", "route"]));
        assert!(has_line(
            &text,
            &["the deadline passed while waiting", "route"]
        ));
    });
}
