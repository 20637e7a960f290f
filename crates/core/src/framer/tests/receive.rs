//! What receives see: parts, ends, failures, bounds.
