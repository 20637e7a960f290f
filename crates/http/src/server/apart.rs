//! A future that is polled only when it was woken itself.
//!
//! Invariant: whatever wakes the future wakes the task that polled this last, and is seen by that
//! task's next poll.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
        let mut set = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        *set = Some(task.clone());
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, which may look at once.
        self.has_rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
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
        if !alarm.bell.has_rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before the future is polled, so that it may ring meanwhile.
        alarm.bell.has_rung.store(false, Ordering::Release);
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
        let (mut alarm, mut polls, mut waker) = (Alarm::new(), 0, None);
        let task = Arc::new(Task::default());
        let task_waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&task_waker);
        {
            let mut waiting = pin!(alarm.wait(poll_fn(|context| {
                polls += 1;
                waker = Some(context.waker().clone());
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })));
            for _ in 0..3 {
                assert!(waiting.as_mut().poll(&mut context).is_pending());
            }
            assert_eq!(task.0.load(Ordering::Relaxed), 0);
        }
        let waker = waker.expect("it was polled");
        assert_eq!(polls, 1, "the first time, and not again until it was woken");
        waker.wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
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
