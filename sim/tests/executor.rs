//! The executor, the clock and the simulation's own guards.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_core::Time;
use portway_core::dns::{Question, RecordKind};
use portway_sim::Simulation;
use portway_transport::environment::{BoxFuture, Environment, TcpConnect};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use support::*;

fn panic_message(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
    *payload.downcast::<String>().expect("a formatted message")
}

#[test]
fn timers_fire_in_order_of_time_and_then_of_arming() {
    let sim = Simulation::new(1);
    let host = sim.host("host");
    let order = Arc::new(Mutex::new(Vec::new()));
    for (name, delay) in [("late", 30), ("first", 10), ("second", 10)] {
        let (environment, order) = (host.clone(), order.clone());
        host.spawn(Box::pin(async move {
            sleep(&*environment, ms(delay)).await;
            order.lock().unwrap().push((name, environment.now()));
        }));
    }
    sim.run_until_idle();
    let expected = [("first", at(10)), ("second", at(10)), ("late", at(30))];
    assert_eq!(*order.lock().unwrap(), expected);
    assert_eq!(sim.tasks_alive(), 0);
}

#[test]
fn timer_is_ready_once_and_can_be_moved_and_disarmed() {
    let sim = Simulation::new(1);
    let mut timer = sim.host("host").timer();
    timer.reset(Some(at(10)));
    sim.block_on(poll_fn(|context| {
        assert!(timer.poll_expired(context).is_pending());
        timer.reset(Some(at(40)));
        assert!(timer.poll_expired(context).is_pending());
        Poll::Ready(())
    }));
    sim.block_on(poll_fn(|context| timer.poll_expired(context)));
    assert_eq!(sim.now(), at(40));
    sim.block_on(poll_fn(|context| {
        assert!(timer.poll_expired(context).is_pending(), "ready only once");
        timer.reset(Some(at(50)));
        assert!(timer.poll_expired(context).is_pending());
        timer.reset(None);
        assert!(timer.poll_expired(context).is_pending());
        Poll::Ready(())
    }));
    sim.run_until_idle();
    assert_eq!(sim.now(), at(40), "a disarmed timer leaves no event");
}

#[test]
fn deadlock_panics_with_the_seed_and_all_that_waits() {
    let sim = Simulation::new(4711);
    let host = sim.host("lonely");
    host.dns().never("nowhere.example", RecordKind::Aaaa);
    let question = Question {
        name: "nowhere.example".to_owned(),
        kind: RecordKind::Aaaa,
    };
    let asking = host.resolve(question);
    host.spawn(Box::pin(async move {
        let _ = asking.await;
    }));
    let message = panic_message(|| sim.block_on(pending()));
    for part in [
        "deadlock",
        "seed 4711",
        "task 1 of lonely",
        "Aaaa of nowhere.example",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[test]
fn task_that_never_sleeps_hits_the_limit_of_steps() {
    let sim = Simulation::new(1);
    sim.set_steps_max(1000);
    let message = panic_message(|| {
        sim.block_on(poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
    });
    assert!(message.contains("limit of steps"), "{message}");
}

#[test]
fn endless_timers_hit_the_limit_of_virtual_time() {
    let sim = Simulation::new(1);
    sim.set_time_limit(at(60_000));
    let host = sim.host("host");
    let environment = host.clone();
    host.spawn(Box::pin(async move {
        loop {
            sleep(&*environment, ms(1000)).await;
        }
    }));
    let message = panic_message(|| sim.block_on(pending()));
    assert!(message.contains("limit of virtual time"), "{message}");
}

#[test]
fn run_until_stops_the_clock_exactly_there() {
    let sim = Simulation::new(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for milliseconds in [10, 20, 21] {
        let seen = seen.clone();
        sim.at(at(milliseconds), move |world| {
            seen.lock().unwrap().push(world.now());
        });
    }
    sim.run_until(at(20));
    assert_eq!(*seen.lock().unwrap(), [at(10), at(20)]);
    assert_eq!(sim.now(), at(20));
}

#[test]
fn dropping_the_simulation_drops_its_tasks() {
    struct Flag(Arc<Mutex<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let dropped = Arc::new(Mutex::new(false));
    let sim = Simulation::new(1);
    let host = sim.host("host");
    let (flag, environment) = (Flag(dropped.clone()), host.clone());
    let task: BoxFuture<()> = Box::pin(async move {
        let _flag = flag;
        sleep(&*environment, ms(1000)).await;
    });
    host.spawn(task);
    sim.run_for(ms(10));
    assert_eq!((sim.tasks_alive(), host.tasks_alive()), (1, 1));
    drop(sim);
    assert!(*dropped.lock().unwrap());
}

#[test]
fn panicking_task_is_dropped_and_the_panic_passes_on() {
    let pair = pair(1);
    let (stream, _accepted) = pair.connected();
    pair.client.spawn(Box::pin(async move {
        let _stream = stream;
        panic!("task failed");
    }));
    let caught = catch_unwind(AssertUnwindSafe(|| pair.sim.block_on(pending::<()>())));
    assert!(caught.is_err());
    assert_eq!(pair.sim.tasks_alive(), 0);
    assert_eq!(pair.client.sockets_open(), 0);
}

/// Traffic with all kinds of faults; its log depends on the seed alone.
fn eventful_run(seed: u64) -> (Vec<portway_sim::WireEvent>, Time, [u8; 16]) {
    let pair = pair(seed);
    pair.sim.link("client", "server").set_loss(0.1);
    let (stream, accepted) = pair.connected();
    let payload = pattern(40_000);
    pair.client.spawn(Box::pin(async move {
        write_all(&*stream, &payload).await.unwrap();
    }));
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received.len(), 40_000);
    let refused = address(&pair.server, 1);
    let connect = pair.client.tcp_connect(TcpConnect::to(refused));
    assert!(pair.sim.block_on(connect).is_err());
    let mut random = [0; 16];
    pair.client.fill_random(&mut random);
    (pair.sim.wire_log(), pair.sim.now(), random)
}

#[test]
fn same_seed_gives_the_same_log_and_another_seed_another() {
    let (first, second) = (eventful_run(42), eventful_run(42));
    assert!(first.0.len() > 50);
    assert_eq!(first, second);
    assert_ne!(first, eventful_run(43));
}
