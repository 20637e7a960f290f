//! A future that is polled only when it was woken itself.
//!
//! Invariant: whatever wakes the future wakes the task that polled this last, and is seen by that
//! task's next poll.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Stands between futures and the task that waits for them beside something busier: a connection
/// is woken for each request, and its timer hardly ever.
pub(super) struct Alarm {
    bell: Arc<Bell>,
    waker: Waker,
    /// Whom the bell wakes.
    task: Option<Waker>,
}

struct Bell {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell {
            has_rung: AtomicBool::new(true),
            task: Mutex::new(None),
        });
        Alarm {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            task: None,
        }
    }

    /// Waits for the future; it takes the place of the one before.
    pub(super) fn wait<F: Future>(&mut self, future: F) -> Apart<'_, F> {
        self.bell.has_rung.store(true, Ordering::Release);
        Apart {
            alarm: self,
            future,
        }
    }
}

impl Bell {
    fn set(&self, task: &Waker) {
        let task = Some(task.clone());
        // The one before is dropped after the lock: its drop is somebody else's code.
        let before = std::mem::replace(&mut *self.lock(), task);
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, which may look at once.
        self.has_rung.store(true, Ordering::Release);
        // Not under the lock: what wakes the task is somebody else's code.
        let task = self.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

pin_project! {
    /// See [`Alarm::wait`].
    pub(super) struct Apart<'a, F> {
        alarm: &'a mut Alarm,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Apart<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (alarm, task) = (&mut **this.alarm, context.waker());
        if !alarm.task.as_ref().is_some_and(|it| it.will_wake(task)) {
            alarm.bell.set(task);
            alarm.task = Some(task.clone());
        }
        // Before the future is polled, so that it may ring meanwhile.
        if !alarm.bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let mut context = Context::from_waker(&alarm.waker);
        this.future.poll(&mut context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_once_for_each_time_that_it_is_woken() {
        let (mut alarm, mut polls, kept) = (Alarm::new(), 0, Mutex::new(None));
        let task = Arc::new(Task::default());
        let task_waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&task_waker);
        {
            let mut waiting = pin!(alarm.wait(poll_fn(|context| {
                polls += 1;
                *kept.lock().expect("no panic") = Some(context.waker().clone());
                Poll::<()>::Pending
            })));
            for _ in 0..3 {
                assert!(waiting.as_mut().poll(&mut context).is_pending());
            }
            assert_eq!(task.0.load(Ordering::Relaxed), 0);
            let woken = kept.lock().expect("no panic").take();
            woken.expect("it was polled").wake();
            assert_eq!(task.0.load(Ordering::Relaxed), 1);
            for _ in 0..3 {
                assert!(waiting.as_mut().poll(&mut context).is_pending());
            }
        }
        assert_eq!(polls, 2, "the first time, and when it was woken");
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again() {
        let (mut alarm, mut polls) = (Alarm::new(), 0);
        let task = Arc::new(Task::default());
        let task_waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&task_waker);
        let mut waiting = pin!(alarm.wait(poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            match polls {
                1 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn the_next_future_is_polled_although_nothing_has_woken_the_one_before() {
        let mut alarm = Alarm::new();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut waiting = pin!(alarm.wait(std::future::pending::<()>()));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        let mut waiting = pin!(alarm.wait(std::future::ready(7)));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(7));
    }

    /// Looks whether the bell's lock is free while it is woken.
    struct Looker {
        bell: Arc<Bell>,
        was_free: AtomicBool,
    }

    impl Wake for Looker {
        fn wake(self: Arc<Self>) {
            let is_free = self.bell.task.try_lock().is_ok();
            self.was_free.store(is_free, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_without_the_lock() {
        let mut alarm = Alarm::new();
        let looker = Arc::new(Looker {
            bell: Arc::clone(&alarm.bell),
            was_free: AtomicBool::new(false),
        });
        let task = Waker::from(Arc::clone(&looker));
        let mut waiting = pin!(alarm.wait(std::future::pending::<()>()));
        let mut context = Context::from_waker(&task);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        looker.bell.wake_by_ref();
        assert!(looker.was_free.load(Ordering::Relaxed));
        // Else they would keep each other.
        drop(looker.bell.lock().take());
    }

    #[test]
    fn what_it_waits_for_wakes_the_task_that_polled_last_and_is_seen_there() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut alarm = Alarm::new();
        let mut waiting = pin!(alarm.wait(receiver));
        let tasks = [Arc::new(Task::default()), Arc::new(Task::default())];
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut context = Context::from_waker(&waker);
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        sender.send(7).expect("it waits");
        let woken = tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        let waker = Waker::from(Arc::clone(&tasks[1]));
        let mut context = Context::from_waker(&waker);
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
    }
}
