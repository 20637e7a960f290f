//! Clock, timers, tasks and randomness of the real environment, on tokio's paused clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot start shall fail")]

use portway_core::Time;
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, Timer};
use portway_transport::real::Config;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn environment() -> RealEnvironment {
    RealEnvironment::new(Config::default())
}

async fn expired(timer: &mut dyn Timer) {
    poll_fn(|context| timer.poll_expired(context)).await;
}

async fn is_expired(timer: &mut dyn Timer) -> bool {
    poll_fn(|context| Poll::Ready(timer.poll_expired(context).is_ready())).await
}

fn seconds(seconds: u64) -> Time {
    Time::from_origin(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_timer_expires_once_at_its_deadline() {
    let environment = environment();
    let mut timer = environment.timer();
    assert!(!is_expired(&mut *timer).await, "not armed");
    timer.reset(Some(seconds(5)));
    expired(&mut *timer).await;
    assert!(environment.now() >= seconds(5));
    assert!(environment.now() < seconds(6));
    assert!(!is_expired(&mut *timer).await, "told once");
}

#[tokio::test(start_paused = true)]
async fn a_timer_follows_an_earlier_and_a_later_deadline() {
    let environment = environment();
    let mut timer = environment.timer();
    for (first, second) in [(9, 3), (10, 20)] {
        timer.reset(Some(seconds(first)));
        assert!(!is_expired(&mut *timer).await);
        timer.reset(Some(seconds(second)));
        expired(&mut *timer).await;
        assert!(environment.now() >= seconds(second));
        assert!(environment.now() < seconds(second + 1));
    }
    // Armed again after it expired, and for a time that has passed.
    timer.reset(Some(seconds(30)));
    expired(&mut *timer).await;
    assert!(environment.now() >= seconds(30));
    timer.reset(Some(Time::ZERO));
    assert!(is_expired(&mut *timer).await);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_moved_exactly_wakes_nobody_before() {
    let environment = environment();
    let mut timer = environment.timer();
    for (start, is_exact) in [(10, true), (30, false)] {
        timer.reset(Some(seconds(start)));
        assert!(!is_expired(&mut *timer).await);
        match is_exact {
            true => timer.reset_exactly(Some(seconds(start + 10))),
            false => timer.reset(Some(seconds(start + 10))),
        }
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            timer.poll_expired(context)
        })
        .await;
        assert!(environment.now() >= seconds(start + 10));
        // What is merely reset is woken at its first time too.
        assert_eq!(polls, if is_exact { 2 } else { 3 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_wakes_whoever_asked_last_however_often_it_was_asked() {
    struct Counted(AtomicUsize);
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let environment = environment();
    let mut timer = environment.timer();
    let counts = [0; 2].map(|count| Arc::new(Counted(AtomicUsize::new(count))));
    let wakers = counts.clone().map(Waker::from);
    let polled = |timer: &mut Box<dyn Timer>, of: usize| {
        let mut context = Context::from_waker(&wakers[of]);
        timer.poll_expired(&mut context).is_ready()
    };
    let woken = || {
        counts
            .each_ref()
            .map(|count| count.0.load(Ordering::Relaxed))
    };
    timer.reset(Some(seconds(10)));
    for of in [0, 0, 1, 1, 0, 1, 1] {
        assert!(!polled(&mut timer, of));
    }
    // A later deadline keeps the sleep, an exact one does not.
    timer.reset(Some(seconds(20)));
    assert!(!polled(&mut timer, 1));
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(woken(), [0, 1], "at the first deadline");
    assert!(!polled(&mut timer, 1));
    assert!(!polled(&mut timer, 1));
    timer.reset_exactly(Some(seconds(40)));
    assert!(!polled(&mut timer, 1));
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(woken(), [0, 1]);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(woken(), [0, 2]);
    assert!(polled(&mut timer, 1));
    assert!(!polled(&mut timer, 1), "told once");
    timer.reset(Some(seconds(50)));
    assert!(!polled(&mut timer, 0));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(woken(), [1, 2]);
    assert!(polled(&mut timer, 0));
}

#[tokio::test(start_paused = true)]
async fn a_disarmed_timer_stays_silent() {
    let environment = environment();
    let mut timer = environment.timer();
    timer.reset(Some(seconds(1)));
    assert!(!is_expired(&mut *timer).await);
    timer.reset(None);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!is_expired(&mut *timer).await);
    timer.reset(Some(Time::from_origin(Duration::MAX)));
    assert!(!is_expired(&mut *timer).await, "beyond the clock's end");
}

#[tokio::test(start_paused = true)]
async fn on_a_paused_clock_patient_timers_and_the_recent_time_follow_it() {
    let environment = environment();
    let mut timer = environment.patient_timer();
    timer.reset(Some(seconds(3600)));
    expired(&mut *timer).await;
    assert_eq!(environment.recently(), environment.now());
    assert!(environment.recently() >= seconds(3600));
}

/// A time that comes while the test waits for it.
fn soon(environment: &RealEnvironment, milliseconds: u64) -> Time {
    environment.now() + Duration::from_millis(milliseconds)
}

/// One of the environment's kinds of timer.
type Kind = fn(&RealEnvironment) -> Box<dyn Timer>;

async fn expire_once_and_no_earlier_than_their_deadlines(timer: Kind) {
    let environment = environment();
    let waits = [30, 10, 20].map(|milliseconds| {
        let (mut timer, deadline) = (timer(&environment), soon(&environment, milliseconds));
        timer.reset(Some(deadline));
        let environment = environment.clone();
        tokio::spawn(async move {
            expired(&mut *timer).await;
            assert!(environment.now() >= deadline);
            assert!(!is_expired(&mut *timer).await, "told once");
        })
    });
    for wait in waits {
        wait.await.unwrap();
    }
}

#[tokio::test]
async fn patient_timers_expire_once_and_no_earlier_than_their_deadlines() {
    expire_once_and_no_earlier_than_their_deadlines(RealEnvironment::patient_timer).await;
}

#[tokio::test]
async fn exact_timers_expire_once_and_no_earlier_than_their_deadlines() {
    expire_once_and_no_earlier_than_their_deadlines(RealEnvironment::exact_timer).await;
}

/// Sets a timer for a first time and then for a second one, in milliseconds from now.
async fn follow(environment: &RealEnvironment, timer: &mut dyn Timer, times: &[(u64, u64)]) {
    for (first, second) in times {
        timer.reset(Some(soon(environment, *first)));
        assert!(!is_expired(timer).await);
        let deadline = soon(environment, *second);
        timer.reset(Some(deadline));
        expired(timer).await;
        assert!(environment.now() >= deadline);
    }
}

async fn stay_silent_for_no_time_and_beyond_the_clocks_end(timer: &mut dyn Timer) {
    for never in [None, Some(Time::from_origin(Duration::MAX))] {
        timer.reset(never);
        assert!(!is_expired(timer).await);
    }
}

#[tokio::test]
async fn a_patient_timer_follows_an_earlier_and_a_later_deadline() {
    let environment = environment();
    let mut timer = environment.patient_timer();
    follow(&environment, &mut *timer, &[(3_600_000, 10), (10, 30)]).await;
    timer.reset(Some(Time::ZERO));
    assert!(is_expired(&mut *timer).await);
    stay_silent_for_no_time_and_beyond_the_clocks_end(&mut *timer).await;
}

#[tokio::test]
async fn an_exact_timer_follows_an_earlier_and_a_later_deadline() {
    let environment = environment();
    let mut timer = environment.exact_timer();
    let times = [(3_600_000, 10), (10, 30), (0, 20)];
    follow(&environment, &mut *timer, &times).await;
    // Armed again after it expired, and for a time that has passed.
    timer.reset(Some(Time::ZERO));
    expired(&mut *timer).await;
    stay_silent_for_no_time_and_beyond_the_clocks_end(&mut *timer).await;
}

#[tokio::test(start_paused = true)]
async fn an_exact_timer_follows_a_clock_that_is_paused() {
    let environment = environment();
    let mut timer = environment.exact_timer();
    timer.reset_exactly(Some(seconds(3600)));
    expired(&mut *timer).await;
    assert!(environment.now() >= seconds(3600));
}

#[tokio::test]
async fn a_patient_timer_that_is_gone_keeps_no_waker() {
    struct Idle;
    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let environment = environment();
    let (first, second) = (Arc::new(Idle), Arc::new(Idle));
    let mut timer = environment.patient_timer();
    timer.reset(Some(soon(&environment, 3_600_000)));
    for idle in [&first, &second] {
        let waker = Waker::from(Arc::clone(idle));
        let mut context = Context::from_waker(&waker);
        assert!(timer.poll_expired(&mut context).is_pending());
    }
    let held = || [&first, &second].map(|idle| Arc::strong_count(idle) - 1);
    assert_eq!(held(), [0, 1], "the last one is woken");
    drop(timer);
    assert_eq!(held(), [0, 0]);
}

#[tokio::test]
async fn what_was_recently_is_not_long_ago() {
    let environment = environment();
    let mut timer = environment.patient_timer();
    let deadline = soon(&environment, 200);
    timer.reset(Some(deadline));
    expired(&mut *timer).await;
    let recently = environment.recently();
    assert!(recently <= environment.now());
    assert!(recently + Duration::from_millis(100) >= deadline);
}

#[tokio::test]
async fn tasks_are_counted_until_they_end_in_any_way() {
    let environment = environment();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    environment.spawn(Box::pin(async move {
        released.await.unwrap();
    }));
    environment.spawn(Box::pin(async { panic!("on purpose") }));
    assert_eq!(environment.tasks_alive(), 2);
    while environment.tasks_alive() > 1 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    while environment.tasks_alive() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_runtime_that_ends_takes_its_tasks_out_of_the_count() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let environment = runtime.block_on(async {
        let environment = environment();
        environment.spawn(Box::pin(std::future::pending()));
        environment
    });
    assert_eq!(environment.tasks_alive(), 1);
    drop(runtime);
    assert_eq!(environment.tasks_alive(), 0);
    environment.spawn(Box::pin(std::future::pending()));
    assert_eq!(environment.tasks_alive(), 0, "nothing can run it");
}

#[test]
fn a_task_from_outside_of_a_runtime_runs_where_the_environment_was_made() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let environment = runtime.block_on(async { environment() });
    let (send, receive) = tokio::sync::oneshot::channel();
    environment.spawn(Box::pin(async move {
        send.send(7).unwrap();
    }));
    assert_eq!(runtime.block_on(receive).unwrap(), 7);
}

#[test]
fn random_bytes_differ() {
    let environment = environment();
    let (mut one, mut other) = ([0; 32], [0; 32]);
    environment.fill_random(&mut one);
    environment.fill_random(&mut other);
    assert_ne!(one, other);
    assert_ne!(one, [0; 32]);
}
