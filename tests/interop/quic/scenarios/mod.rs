//! The scenarios of the public QUIC interop runner in network namespaces, over a link of our own.
//!
//! Invariant: what a scenario asks for is what the runner asks for; only sizes and times are a
//! part of the runner's, unless `PORTWAY_LONG` is set, which also tries more seeds.

mod clients;
mod scene;
mod served;
mod servers;

use super::PAGE;
use super::scripted::Script;
use crate::authority::Authority;
use crate::page::{Matrix, Outcome};
use clients::Trial;
use scene::Scene;
use servers::Kind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Whether everything has the runner's sizes and times.
fn is_long() -> bool {
    std::env::var_os("PORTWAY_LONG").is_some()
}

/// A size of the runner, or a tenth of it.
fn size(bytes: usize) -> usize {
    if is_long() { bytes } else { bytes / 10 }
}

/// How long a handshake or silence may last: of many connections one loses six flights in a row.
fn patience() -> Duration {
    Duration::from_secs(if is_long() { 200 } else { 50 })
}

/// The same for programs of ngtcp2.
fn patience_of_ngtcp2() -> [String; 2] {
    let seconds = patience().as_secs();
    [
        format!("--handshake-timeout={seconds}s"),
        format!("--timeout={seconds}s"),
    ]
}

/// The seeds to try.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let one = std::env::var("PORTWAY_SEED").ok();
    match one.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..=seed,
        None if is_long() => 1..=5,
        None => 1..=1,
    }
}

/// What came of a scenario.
enum Ended {
    Seen(String),
    Skipped,
    Failed(String),
}

#[test]
fn the_scenarios_pass_with_our_endpoint_at_both_ends() {
    let test = "the_scenarios_pass_with_our_endpoint_at_both_ends";
    let mut matrix = Matrix::new(&PAGE, "scenarios at both ends of a link, ours");
    if clients_with(test, Kind::Ours, &mut matrix, &[]) {
        let evidence = "quinn-proto 0.11 knows version 1 only (RFC 9369 is version 2)";
        matrix.add("v2", "both", Outcome::Missing, evidence);
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_server_of_aioquic() {
    let test = "the_scenarios_pass_with_the_server_of_aioquic";
    super::scripted::prepare();
    let mut matrix = Matrix::new(&PAGE, "scenarios with aioquic at the far end");
    let lacking = [("ecn", Outcome::Lacks, "its source sets no marks")];
    if clients_with(test, Kind::Scripted(Script::Aioquic), &mut matrix, &lacking) {
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_server_of_quiche() {
    let test = "the_scenarios_pass_with_the_server_of_quiche";
    if Script::Quiche.program(test).is_none() {
        return;
    }
    let mut matrix = Matrix::new(&PAGE, "scenarios with quiche at the far end");
    let lacking = [
        ("ecn", Outcome::Lacks, LACKS_ECN),
        ("rebind-port", Outcome::Fail, FAILS_TO_FOLLOW),
        ("rebind-addr", Outcome::Fail, FAILS_TO_FOLLOW),
    ];
    if clients_with(test, Kind::Scripted(Script::Quiche), &mut matrix, &lacking) {
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_server_of_ngtcp2() {
    let test = "the_scenarios_pass_with_the_server_of_ngtcp2";
    let mut matrix = Matrix::new(&PAGE, "scenarios with ngtcp2 at the far end");
    if clients_with(test, Kind::Ngtcp2, &mut matrix, &[]) {
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_client_of_ngtcp2() {
    let test = "the_scenarios_pass_with_the_client_of_ngtcp2";
    let ended = all(test, &served::WITH_NGTCP2, |name, seed| {
        let scene = Scene::new(name, seed)?;
        let authority = Authority::new();
        Ok(scene.run(async || served::with_ngtcp2(name, &scene, &authority).await))
    });
    let mut matrix = Matrix::new(&PAGE, "scenarios with ngtcp2 at the near end");
    if let Some(ended) = ended {
        for (name, seen) in served::WITH_NGTCP2.iter().zip(ended) {
            matrix.pass(name, "server", seen);
        }
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_client_of_aioquic() {
    let test = "the_scenarios_pass_with_the_client_of_aioquic";
    super::scripted::prepare();
    let mut matrix = Matrix::new(&PAGE, "scenarios with aioquic at the near end");
    if scripted_clients(test, Script::Aioquic, &served::WITH_AIOQUIC, &mut matrix) {
        matrix.check();
    }
}

#[test]
fn the_scenarios_pass_with_the_client_of_quiche() {
    let test = "the_scenarios_pass_with_the_client_of_quiche";
    if Script::Quiche.program(test).is_none() {
        return;
    }
    let mut matrix = Matrix::new(&PAGE, "scenarios with quiche at the near end");
    if scripted_clients(test, Script::Quiche, &served::WITH_QUICHE, &mut matrix) {
        for (name, evidence) in QUICHE_LACKS {
            matrix.lacks_as(name, "server", evidence);
        }
        matrix.check();
    }
}

/// What quiche's client cannot play.
const QUICHE_LACKS: [(&str, &str); 4] = [
    ("chacha20", "its interface chooses no cipher suites"),
    ("keyupdate", "its interface starts no key update"),
    ("ecn", LACKS_ECN),
    (
        "connectionmigration",
        "its source skips a server's preferred address: \"TODO: decode preferred_address\"",
    ),
];
const FAILS_TO_FOLLOW: &str = "it follows to each address, where it begins anew and knows of no \
    round trip; of 16 addresses it keeps all, and takes no more";
const LACKS_ECN: &str = "its source says \"sending ECN is not supported at this time\"";

/// Plays the scenarios of a scripted client; false where they were skipped.
fn scripted_clients(test: &str, script: Script, names: &[&str], matrix: &mut Matrix) -> bool {
    let ended = all(test, names, |name, seed| {
        let scene = Scene::new(name, seed)?;
        let authority = Authority::new();
        Ok(scene.run(async || served::with_script(script, name, &scene, &authority).await))
    });
    let Some(ended) = ended else {
        return false;
    };
    for (name, seen) in names.iter().zip(ended) {
        matrix.pass(name, "server", seen);
    }
    true
}

/// Plays all scenarios with one server but those that are known not to pass; false where they were
/// skipped.
fn clients_with(
    test: &str,
    kind: Kind,
    matrix: &mut Matrix,
    lacking: &[(&str, Outcome, &str)],
) -> bool {
    let lacks = |name: &str| lacking.iter().find(|(lacking, ..)| *lacking == name);
    let names = clients::NAMES.iter().copied();
    let played: Vec<&str> = names.filter(|name| lacks(name).is_none()).collect();
    let ended = all(test, &played, |name, seed| {
        let scene = Scene::new(name, seed)?;
        // Each has its own, so that no file is written twice at once.
        let authority = Authority::new();
        let seen = scene.run(async || {
            let trial = Trial {
                kind,
                scene: &scene,
                authority: &authority,
            };
            clients::play(name, &trial).await
        });
        Ok(seen)
    });
    let Some(ended) = ended else {
        return false;
    };
    let mut ended = ended.into_iter();
    for name in clients::NAMES {
        match lacks(name) {
            Some((_, outcome, evidence)) => matrix.add(name, "client", *outcome, evidence),
            None => matrix.pass(name, "client", ended.next().expect("it was played")),
        }
    }
    true
}

/// Plays scenarios, several at a time, with every seed, and panics with all that failed. `None`,
/// after saying why, where one could not be played.
fn all(
    test: &str,
    names: &[&str],
    play: impl Fn(&str, u64) -> Result<Option<String>, String> + Sync,
) -> Option<Vec<String>> {
    let one = |name: &str, seed: u64| {
        // A scenario's state is its own: nothing is seen of it after a panic.
        match catch_unwind(AssertUnwindSafe(|| play(name, seed))) {
            Ok(Ok(Some(seen))) => Ended::Seen(seen),
            Ok(Ok(None)) => Ended::Skipped,
            Ok(Err(reason)) => {
                portway_tests::say!("skipped: {test}: {reason}");
                Ended::Skipped
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string()));
                Ended::Failed(text.unwrap_or_default())
            }
        }
    };
    let mut seen: Vec<String> = Vec::new();
    let mut failed = Vec::new();
    for seed in seeds() {
        seen.clear();
        for batch in names.chunks(BATCH) {
            let ended: Vec<Ended> = std::thread::scope(|scope| {
                let threads = batch.iter().map(|name| scope.spawn(|| one(name, seed)));
                let threads: Vec<_> = threads.collect();
                let ended = threads.into_iter().map(|thread| thread.join());
                ended
                    .map(|ended| ended.expect("panics are caught"))
                    .collect()
            });
            for (name, ended) in batch.iter().zip(ended) {
                match ended {
                    Ended::Seen(text) => seen.push(text),
                    Ended::Skipped => return None,
                    Ended::Failed(text) => failed.push(format!("{name} with seed {seed}: {text}")),
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Some(seen)
}

/// How many run at the same time: most wait for their link.
const BATCH: usize = 8;
