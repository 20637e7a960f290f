//! Descriptions of framers, from which every connection gets fresh instances.
//!
//! Invariant: a description is immutable and shared; an instance belongs to one connection.

use super::{Framer, Pipeline};
use std::fmt;
use std::sync::Arc;

/// Creates a fresh framer for each connection.
///
/// Every framer that is `Clone` describes itself: the copy is the instance. [`from_fn`] is for
/// the others.
pub trait FramerFactory: Send + Sync {
    /// A framer in its initial state.
    fn create(&self) -> Box<dyn Framer>;
}

impl<F: Framer + Clone + Sync + 'static> FramerFactory for F {
    fn create(&self) -> Box<dyn Framer> {
        Box::new(self.clone())
    }
}

/// A description of framers that are made by a function.
pub fn from_fn<F, M>(make: M) -> impl FramerFactory
where
    F: Framer + 'static,
    M: Fn() -> F + Send + Sync,
{
    FromFn(make)
}

struct FromFn<M>(M);

impl<F: Framer + 'static, M: Fn() -> F + Send + Sync> FramerFactory for FromFn<M> {
    fn create(&self) -> Box<dyn Framer> {
        Box::new((self.0)())
    }
}

/// The framers of a Preconnection, in the order in which they were added.
#[derive(Clone, Default)]
pub struct Framers {
    list: Option<Arc<Vec<Arc<dyn FramerFactory>>>>,
}

impl Framers {
    /// No framers.
    pub const fn new() -> Self {
        Framers { list: None }
    }

    /// Adds a framer above those that are there.
    // RFC 9622 §9.1.2.1: the last one added runs first outbound and last inbound.
    pub fn push(&mut self, factory: impl FramerFactory + 'static) {
        Arc::make_mut(self.list.get_or_insert_default()).push(Arc::new(factory));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.as_ref().map_or(0, |list| list.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// Fresh instances for one connection.
    pub fn instantiate(&self) -> Pipeline {
        let framers = self.list.iter().flat_map(|list| list.iter());
        Pipeline::new(framers.map(|factory| factory.create()))
    }
}

impl fmt::Debug for Framers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Framers({})", self.len())
    }
}
