//! What plans decide.
