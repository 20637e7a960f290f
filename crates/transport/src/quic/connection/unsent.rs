//! The messages that were written since the driver has sent, so that some can go before all those
//! are done who are about to write.
//!
//! Invariant: each batch that goes early doubles what the next one takes, until the driver has sent
//! everything: so the peer begins early, and who writes much pays for few batches more.

/// What waits to be sent, as far as it was written in whole messages.
#[derive(Debug, Default)]
pub(in crate::quic) struct Unsent {
    bytes: usize,
    messages: usize,
    /// How many batches went early.
    batches: u32,
}

impl Unsent {
    /// A stream was ended together with so many bytes.
    #[inline]
    pub(in crate::quic) fn on_message(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.messages += 1;
    }

    /// How many bytes wait.
    pub(in crate::quic) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is worth a batch of its own.
    #[inline]
    pub(in crate::quic) fn is_enough(&self) -> bool {
        self.messages >> self.batches >= MESSAGES || self.bytes >> self.batches >= BYTES
    }

    /// A batch of so many bytes went early, or nothing could go.
    pub(in crate::quic) fn on_sent_early(&mut self, bytes: Option<usize>) {
        self.bytes = bytes.map_or(0, |bytes| self.bytes.saturating_sub(bytes));
        self.messages = 0;
        self.batches = (self.batches + 1).min(BATCHES_MAX);
    }

    /// Everything was sent that can be.
    pub(in crate::quic) fn on_sent(&mut self) {
        *self = Unsent::default();
    }
}

/// Messages of the first batch that goes early: small ones, a half of what would otherwise be done
/// while the peer rests.
const MESSAGES: usize = 16;
/// Bytes of it: about ten packets.
const BYTES: usize = 14_000;
/// From here on the batches are as long as they can be.
const BATCHES_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unsent: &mut Unsent, messages: usize, bytes: usize) -> bool {
        (0..messages).for_each(|_| unsent.on_message(bytes));
        unsent.is_enough()
    }

    #[test]
    fn many_messages_or_many_bytes_are_enough() {
        let mut unsent = Unsent::default();
        assert!(!written(&mut unsent, MESSAGES - 1, 1));
        assert!(written(&mut unsent, 1, 1));
        unsent.on_sent();
        assert!(!written(&mut unsent, 1, BYTES - 1));
        assert!(written(&mut unsent, 1, 1));
    }

    #[test]
    fn each_batch_doubles_what_the_next_one_takes_until_all_was_sent() {
        let mut unsent = Unsent::default();
        assert!(written(&mut unsent, MESSAGES, 1));
        unsent.on_sent_early(Some(MESSAGES));
        assert!(!written(&mut unsent, 2 * MESSAGES - 1, 1));
        assert!(written(&mut unsent, 1, 1));
        unsent.on_sent_early(None);
        assert!(!written(&mut unsent, 1, 4 * BYTES - 1));
        assert!(written(&mut unsent, 1, 1));
        unsent.on_sent();
        assert!(written(&mut unsent, MESSAGES, 1));
        for _ in 0..100 {
            unsent.on_sent_early(None);
        }
        assert!(!written(&mut unsent, 1000, 1));
    }
}
