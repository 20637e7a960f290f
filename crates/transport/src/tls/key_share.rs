//! Key shares that are made while a handshake waits for its peer, so that the next one finds its
//! own and begins at once (docs/decisions/0021).
//!
//! Invariant: a share is used once, by the process that made it and soon after; whoever finds none
//! makes one. Keys of others are made when they are asked for, as ever.

use rustls::Error;
use rustls::crypto::aws_lc_rs::ALL_KX_GROUPS;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{NamedGroup, ProtocolVersion};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A group of the library with one share in stock.
pub(super) struct StockedGroup {
    group: &'static dyn SupportedKxGroup,
    share: Mutex<Option<Share>>,
    /// Whether handshakes begin with it.
    is_used: AtomicBool,
}

struct Share {
    exchange: Box<dyn ActiveKeyExchange>,
    made: Instant,
    /// A child of that process has a copy.
    process: u32,
}

/// The group of this name, with its stock; `group` itself where the library has no such.
pub(super) fn stocked(group: &'static dyn SupportedKxGroup) -> &'static dyn SupportedKxGroup {
    match of_name(group.name()) {
        Some(stocked) => stocked,
        None => group,
    }
}

/// Makes a share of the group that handshakes will begin with.
pub(super) fn prepare(group: &dyn SupportedKxGroup) {
    if let Some(group) = of_name(group.name()) {
        group.is_used.store(true, Ordering::Relaxed);
        group.restock();
    }
}

/// Makes the shares that handshakes have used up. It takes some ten microseconds, so that the right
/// moment is when a peer has the word.
pub(crate) fn restock() {
    for group in GROUPS.iter() {
        if group.is_used.load(Ordering::Relaxed) {
            group.restock();
        }
    }
}

fn of_name(name: NamedGroup) -> Option<&'static StockedGroup> {
    let groups: &'static [StockedGroup] = &GROUPS;
    groups.iter().find(|stocked| stocked.group.name() == name)
}

impl StockedGroup {
    fn share(&self) -> MutexGuard<'_, Option<Share>> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restock(&self) {
        if self.share().as_ref().is_some_and(Share::is_good) {
            return;
        }
        // Outside of the lock: another thread that makes one too has made it for nothing, at most.
        // A failure is the next handshake's to meet.
        if let Ok(exchange) = self.group.start() {
            let share = Share {
                exchange,
                made: Instant::now(),
                process: std::process::id(),
            };
            *self.share() = Some(share);
        }
    }
}

impl Share {
    fn is_good(&self) -> bool {
        self.process == std::process::id() && self.made.elapsed() < AGE_MAX
    }
}

impl SupportedKxGroup for StockedGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        self.is_used.store(true, Ordering::Relaxed);
        let share = self.share().take();
        match share.filter(Share::is_good) {
            Some(share) => Ok(share.exchange),
            None => self.group.start(),
        }
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        self.group.start_and_complete(peer)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.group.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.group.name()
    }

    fn fips(&self) -> bool {
        self.group.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.group.usable_for_version(version)
    }
}

impl fmt::Debug for StockedGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(f)
    }
}

static GROUPS: LazyLock<Vec<StockedGroup>> = LazyLock::new(|| {
    let groups = ALL_KX_GROUPS.iter();
    let stocked = |group: &&'static dyn SupportedKxGroup| StockedGroup {
        group: *group,
        share: Mutex::new(None),
        is_used: AtomicBool::new(false),
    };
    groups.map(stocked).collect()
});

/// How old a share may be when it is used: forward secrecy begins when its handshake has ended.
const AGE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of a test's own, since the library's are everybody's.
    fn group() -> StockedGroup {
        StockedGroup {
            group: ALL_KX_GROUPS[0],
            share: Mutex::new(None),
            is_used: AtomicBool::new(false),
        }
    }

    fn kept(group: &StockedGroup) -> Option<Vec<u8>> {
        let share = group.share();
        share
            .as_ref()
            .map(|share| share.exchange.pub_key().to_vec())
    }

    fn used(group: &StockedGroup) -> Vec<u8> {
        group.start().expect("a share").pub_key().to_vec()
    }

    #[test]
    fn a_share_is_used_once_and_made_again_when_asked_for() {
        let group = group();
        assert_eq!(kept(&group), None);
        let first = used(&group);
        assert!(group.is_used.load(Ordering::Relaxed));
        group.restock();
        let second = kept(&group).expect("one in stock");
        group.restock();
        assert_eq!(kept(&group).as_ref(), Some(&second), "one is enough");
        assert_eq!(used(&group), second);
        assert_eq!(kept(&group), None);
        let third = used(&group);
        assert!(first != second && second != third && first != third);
    }

    #[test]
    fn a_share_that_is_old_or_of_another_process_is_not_used() {
        let spoil: [fn(&mut Share); 2] = [
            |share| share.made = Instant::now().checked_sub(AGE_MAX).expect("the clock runs"),
            |share| share.process += 1,
        ];
        for spoil in spoil {
            let group = group();
            group.restock();
            spoil(group.share().as_mut().expect("one in stock"));
            let spoilt = kept(&group).expect("one in stock");
            group.restock();
            let fresh = kept(&group).expect("one in stock");
            assert_ne!(fresh, spoilt);
            spoil(group.share().as_mut().expect("one in stock"));
            assert_ne!(used(&group), fresh);
            assert_eq!(kept(&group), None);
        }
    }

    #[test]
    fn both_ends_agree_with_a_share_from_stock() {
        for library in ALL_KX_GROUPS {
            let stocked = stocked(*library);
            assert_eq!(stocked.name(), library.name());
            assert_eq!(format!("{stocked:?}"), format!("{library:?}"));
            prepare(*library);
            let ours = stocked.start().expect("a share");
            let theirs = stocked
                .start_and_complete(ours.pub_key())
                .expect("a share of the same group");
            let secret = ours.complete(&theirs.pub_key).expect("the same secret");
            assert_eq!(secret.secret_bytes(), theirs.secret.secret_bytes());
        }
    }
}
