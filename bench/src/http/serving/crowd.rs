//! Clients on threads of their own.
//!
//! Invariant: each thread has as many connections as every other, and all begin together; nobody
//! waits for one that has nothing to do.

use super::load::{Clients, Load};
use super::process::Process;
use crate::quic::runtime;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Threads with clients, which end when it is dropped.
pub struct Crowd {
    members: Vec<Sender<usize>>,
    done: Receiver<()>,
}

impl Crowd {
    /// Connects on so many threads; they run where the calling thread may.
    pub fn start(load: Load, server: &Process, threads: usize) -> Crowd {
        let (tell, done) = channel();
        let load = Load {
            connections: load.connections / threads,
            ..load
        };
        let members = (0..threads).map(|_| {
            let (sender, told) = channel();
            let (tell, server) = (tell.clone(), server.place.clone());
            thread::spawn(move || {
                runtime().block_on(async {
                    let mut clients = Clients::start(load, &server).await;
                    let tell = || tell.send(()).expect("somebody waits");
                    tell();
                    // Between two turns nothing is to be done.
                    while let Ok(times) = told.recv() {
                        clients.act(times).await;
                        tell();
                    }
                });
            });
            sender
        });
        let crowd = Crowd {
            members: members.collect(),
            done,
        };
        crowd.wait();
        crowd
    }

    /// Sends so many requests and reads the answers.
    pub fn act(&self, times: usize) {
        for member in &self.members {
            let sent = member.send(times / self.members.len());
            sent.expect("it waits");
        }
        self.wait();
    }

    fn wait(&self) {
        for _ in &self.members {
            self.done.recv().expect("none of them has failed");
        }
    }
}
