//! What a peer says of an HTTP/2 connection as a whole, read from the bytes on their way to hyper:
//! how many streams it takes, and that it goes away.
//!
//! Invariant: frames are skipped by their length and nothing is kept but nine bytes of a head and
//! six of a setting; what is malformed is hyper's to refuse.

/// What a peer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// How many streams it takes at the same time.
    StreamsMax(u32),
    /// It takes no further stream.
    GoAway,
}

/// Reads frames of HTTP/2 that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// A frame's head, or a setting, as far as it has come.
    partial: Vec<u8>,
    /// What is left of a frame's payload.
    left: usize,
    is_settings: bool,
    has_settings: bool,
    streams_max: Option<u32>,
}

impl Frames {
    /// Takes bytes and tells what they complete.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Said)) {
        loop {
            if self.left == 0 {
                let Some(head) = self.take(&mut bytes, HEAD_BYTES) else {
                    return;
                };
                self.begin(&head, &mut tell);
            } else if self.is_settings && self.left >= SETTING_BYTES {
                let Some(setting) = self.take(&mut bytes, SETTING_BYTES) else {
                    return;
                };
                self.left -= SETTING_BYTES;
                self.on_setting(&setting);
            } else {
                let skipped = self.left.min(bytes.len());
                bytes = &bytes[skipped..];
                self.left -= skipped;
                if self.left > 0 {
                    return;
                }
            }
            if self.left == 0 && self.is_settings {
                self.on_settings_end(&mut tell);
            }
        }
    }

    /// The next `count` bytes, once they are all there.
    fn take(&mut self, bytes: &mut &[u8], count: usize) -> Option<Vec<u8>> {
        let missing = count - self.partial.len();
        let (now, later) = bytes.split_at(missing.min(bytes.len()));
        self.partial.extend_from_slice(now);
        *bytes = later;
        (self.partial.len() == count).then(|| std::mem::take(&mut self.partial))
    }

    fn begin(&mut self, head: &[u8], tell: &mut impl FnMut(Said)) {
        self.left = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let is_acknowledgement = head[4] & FLAG_ACK != 0;
        self.is_settings = head[3] == TYPE_SETTINGS && !is_acknowledgement;
        if head[3] == TYPE_GOAWAY {
            tell(Said::GoAway);
        }
    }

    fn on_setting(&mut self, setting: &[u8]) {
        if setting[..2] == SETTINGS_MAX_CONCURRENT_STREAMS {
            let value = [setting[2], setting[3], setting[4], setting[5]];
            self.streams_max = Some(u32::from_be_bytes(value));
        }
    }

    fn on_settings_end(&mut self, tell: &mut impl FnMut(Said)) {
        self.is_settings = false;
        let is_first = !std::mem::replace(&mut self.has_settings, true);
        // RFC 9113 §6.5.2: initially there is no limit.
        let unlimited = is_first.then_some(u32::MAX);
        if let Some(max) = self.streams_max.take().or(unlimited) {
            tell(Said::StreamsMax(max));
        }
    }
}

const HEAD_BYTES: usize = 9;
const SETTING_BYTES: usize = 6;
const TYPE_SETTINGS: u8 = 4;
const TYPE_GOAWAY: u8 = 7;
const FLAG_ACK: u8 = 1;
const SETTINGS_MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
        [&head[..], payload].concat()
    }

    fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
        let pairs = pairs.iter();
        let payload: Vec<u8> = pairs
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frame(TYPE_SETTINGS, 0, &payload)
    }

    fn said(bytes: &[u8], piece: usize) -> Vec<Said> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.read(piece, |said| all.push(said));
        }
        all
    }

    #[test]
    fn limits_and_the_end_are_heard_however_the_bytes_come() {
        let stream = [
            settings(&[(1, 4096), (3, 7), (4, 65_535)]),
            frame(TYPE_SETTINGS, FLAG_ACK, &[]),
            frame(0, 0, &[4; 300]),
            settings(&[(4, 70_000)]),
            settings(&[(3, 0)]),
            frame(TYPE_GOAWAY, 0, &[0; 11]),
            frame(6, 0, &[0; 8]),
        ]
        .concat();
        for piece in [1, 2, 5, 9, 10, 64, 10_000] {
            let expected = [Said::StreamsMax(7), Said::StreamsMax(0), Said::GoAway];
            assert_eq!(said(&stream, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn first_settings_without_a_limit_allow_any_number() {
        let stream = [settings(&[]), settings(&[(1, 0)]), settings(&[(3, 9)])].concat();
        let expected = [Said::StreamsMax(u32::MAX), Said::StreamsMax(9)];
        assert_eq!(said(&stream, 4), expected);
    }

    #[test]
    fn malformed_settings_are_skipped() {
        let mut stream = frame(TYPE_SETTINGS, 0, &[0, 3, 0, 0, 0, 1, 0, 3]);
        stream.extend(settings(&[(3, 5)]));
        assert_eq!(said(&stream, 3), [Said::StreamsMax(1), Said::StreamsMax(5)]);
    }
}
