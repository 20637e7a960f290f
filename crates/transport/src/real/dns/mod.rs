//! Name resolution of the real environment.
//!
//! Invariant: an address in text form and `localhost` never reach a resolver.

mod system;

use crate::environment::BoxFuture;
use portway_core::Failure;
use portway_core::dns::{Answer, Question};

/// Answers questions by the system's own resolution.
#[derive(Clone, Debug)]
pub(super) struct Resolver;

impl Resolver {
    pub(super) fn resolve(&self, question: Question) -> BoxFuture<Result<Answer, Failure>> {
        Box::pin(system::resolve(question))
    }
}
