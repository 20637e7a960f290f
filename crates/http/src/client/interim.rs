//! Who hears of interim responses.
//!
//! Invariant: they are told in their order, before the response; hyper tells of those of HTTP/1.1,
//! and passes over those of HTTP/2.

use super::expect::Gate;
use http::{Request, Response, StatusCode};
use std::sync::Arc;

/// Hears interim responses.
pub(super) type InterimSink = Arc<dyn Fn(&Response<()>) + Send + Sync>;

/// Who hears of interim responses, if anybody.
#[derive(Clone, Default)]
pub(super) struct Interim(pub(super) Option<InterimSink>);

impl Interim {
    /// The same, which opens `gate` when the server wants the content.
    pub(super) fn opening(&self, gate: Gate) -> Self {
        let sink = self.0.clone();
        Interim(Some(Arc::new(move |response| {
            if response.status() == StatusCode::CONTINUE {
                gate.open();
            }
            if let Some(sink) = &sink {
                sink(response);
            }
        })))
    }

    pub(super) fn tell(&self, response: &Response<()>) {
        if let Some(sink) = &self.0 {
            sink(response);
        }
    }

    /// Lets hyper tell of them.
    pub(super) fn attach<B>(&self, request: &mut Request<B>) {
        let Some(sink) = self.0.clone() else {
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
