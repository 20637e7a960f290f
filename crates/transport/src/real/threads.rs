//! Threads with a runtime each, as servers on several threads have them.
//!
//! Invariant: whoever starts a thread has heard what became of its start before going on.

use super::system;
use portway_core::{Failure, FailureKind, Origin};
use std::future::Future;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

/// How many threads stand for this number: zero is one a processor that is available.
pub fn thread_count(asked: u16) -> u16 {
    match asked {
        0 => std::thread::available_parallelism()
            .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX)),
        count => count,
    }
}

/// When a thread that is woken has its turn on a processor that others use, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turns {
    /// As soon as the system sees fit.
    #[default]
    Prompt,
    /// When the others rest or have had their share (`SCHED_BATCH` of Linux; elsewhere as
    /// `Prompt`).
    Patient,
}

/// Starts one of `count` threads, kept on a processor of its own where there are as many of them
/// as the calling thread may use; a thread that moved would leave its connections' state behind in
/// the other one's caches. On a current-thread runtime it runs `open`, hands over what that gives,
/// and goes on with the rest to its end.
///
/// Blocks the calling thread until `open` is done.
///
/// # Errors
/// The thread or its runtime does not start, or `open` fails; then the thread ends.
pub fn start_pinned<T, O, R>(
    name: &str,
    index: u16,
    count: u16,
    turns: Turns,
    open: impl FnOnce() -> O + Send + 'static,
) -> Result<(JoinHandle<()>, T), Failure>
where
    T: Send + 'static,
    O: Future<Output = Result<(T, R), Failure>>,
    R: Future<Output = ()>,
{
    let (tell, told) = mpsc::channel();
    let run = move || {
        // A thread that cannot be kept in its place works as well.
        let _ = system::pin_thread(index.into(), count.into());
        if turns == Turns::Patient {
            let _ = system::make_thread_patient();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = tell.send(Err(failed(&format!("no runtime: {error}"))));
                return;
            }
        };
        match runtime.block_on(open()) {
            Ok((opened, rest)) => {
                // Whoever starts the thread keeps the other end until it has heard.
                let _ = tell.send(Ok(opened));
                runtime.block_on(rest);
            }
            Err(failure) => drop(tell.send(Err(failure))),
        }
    };
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| failed(&format!("no thread: {error}")))?;
    match told.recv() {
        Ok(opened) => Ok((thread, opened?)),
        Err(_) => Err(failed("a thread of the server has panicked")),
    }
}

fn failed(detail: &str) -> Failure {
    Failure::new(Origin::System, FailureKind::Other, detail)
}
