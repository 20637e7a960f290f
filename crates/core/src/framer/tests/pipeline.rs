//! Stacks of framers: order, handshakes, prepending, passthrough, datagrams.
