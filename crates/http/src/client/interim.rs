//! Who hears of interim responses.
//!
//! Invariant: they are told in their order, before the response, and those of a request that is
//! repeated once, those of what a redirect makes of it anew; hyper tells of those of HTTP/1.1, and
//! passes over those of HTTP/2.

use super::expect::Gate;
use http::{HeaderMap, Request, Response, StatusCode};
use std::sync::{Arc, Mutex, PoisonError};

/// Hears interim responses.
pub(super) type InterimSink = Arc<dyn Fn(&Response<()>) + Send + Sync>;

/// Who hears of interim responses, if anybody.
#[derive(Clone, Default)]
pub(super) struct Interim {
    sink: Option<InterimSink>,
    /// There where somebody hears of them.
    told: Option<Arc<Mutex<Told>>>,
}

/// What was told of a request that may be repeated.
#[derive(Default)]
struct Told {
    by_this_try: Vec<Known>,
    /// By those before, as far as this one has not said the same.
    before: Vec<Known>,
}

type Known = (StatusCode, HeaderMap);

impl Interim {
    /// Tells `sink`.
    pub(super) fn new(sink: impl Fn(&Response<()>) + Send + Sync + 'static) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let known = told.clone();
        let sink = move |response: &Response<()>| {
            let is_new = known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_new(response);
            if is_new {
                sink(response);
            }
        };
        Interim {
            sink: Some(Arc::new(sink)),
            told: Some(told),
        }
    }

    /// The request is sent once more: what was told of it is not told again.
    pub(super) fn repeat(&self) {
        let Some(told) = &self.told else {
            return;
        };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = std::mem::take(&mut told.by_this_try);
        told.before.extend(latest);
        told.before.truncate(KNOWN_MAX);
    }

    /// Another request follows: nothing was told of it.
    pub(super) fn begin(&self) {
        if let Some(told) = &self.told {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Told::default();
        }
    }

    /// The same, which opens `gate` when the server wants the content.
    pub(super) fn opening(&self, gate: Gate) -> Self {
        let sink = self.sink.clone();
        let opening = move |response: &Response<()>| {
            if response.status() == StatusCode::CONTINUE {
                gate.open();
            }
            if let Some(sink) = &sink {
                sink(response);
            }
        };
        Interim {
            sink: Some(Arc::new(opening)),
            told: self.told.clone(),
        }
    }

    pub(super) fn tell(&self, response: &Response<()>) {
        if let Some(sink) = &self.sink {
            sink(response);
        }
    }

    /// Lets hyper tell of them.
    pub(super) fn attach<B>(&self, request: &mut Request<B>) {
        let Some(sink) = self.sink.clone() else {
            return;
        };
        hyper::ext::on_informational(request, move |told| {
            let mut response = Response::new(());
            *response.status_mut() = told.status();
            *response.version_mut() = told.version();
            response.headers_mut().clone_from(told.headers());
            sink(&response);
        });
    }
}

impl Told {
    /// Whether no try before has told of it.
    fn is_new(&mut self, response: &Response<()>) -> bool {
        let is_it = |known: &Known| known.0 == response.status() && known.1 == *response.headers();
        if self.by_this_try.len() < KNOWN_MAX {
            let known = (response.status(), response.headers().clone());
            self.by_this_try.push(known);
        }
        match self.before.iter().position(is_it) {
            Some(at) => {
                self.before.swap_remove(at);
                false
            }
            None => true,
        }
    }
}

/// Interim responses of one request that are known again.
const KNOWN_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, link: &'static str) -> Response<()> {
        let response = Response::builder().status(status).header("link", link);
        response.body(()).expect("it is valid")
    }

    #[test]
    fn what_was_told_is_not_told_again_when_the_request_is_repeated() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let interim = Interim::new(move |response| {
            told.lock()
                .unwrap()
                .push(response.headers()["link"].clone());
        });
        let say = |all: &[&'static str]| {
            for link in all {
                interim.tell(&response(103, link));
            }
            std::mem::take(&mut *heard.lock().unwrap())
        };
        assert_eq!(say(&["a", "a", "b"]), ["a", "a", "b"]);
        interim.repeat();
        assert_eq!(
            say(&["a", "c", "a", "a"]),
            ["c", "a"],
            "twice was told before"
        );
        interim.repeat();
        assert_eq!(say(&["b", "c", "d"]), ["d"]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let interim = Interim::new(|_| {});
        for _ in 0..3 {
            for _ in 0..2 * KNOWN_MAX {
                interim.tell(&response(103, "a"));
            }
            interim.repeat();
        }
        let told = interim.told.as_ref().unwrap().lock().unwrap();
        assert_eq!((told.by_this_try.len(), told.before.len()), (0, KNOWN_MAX));
    }
}
