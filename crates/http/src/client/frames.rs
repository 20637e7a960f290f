//! What a peer says of an HTTP/2 connection as a whole, read from the bytes on their way to hyper:
//! how many streams it takes, that it goes away, and what hyper passes over: alternative services
//! (RFC 7838 §4) and origins (RFC 8336).
//!
//! Invariant: frames are skipped by their length and nothing is kept but nine bytes of a head, six
//! of a setting, and a short frame of the latter two kinds; what is malformed is hyper's to refuse,
//! or says nothing.

/// What a peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// How many streams it takes at the same time.
    StreamsMax(u32),
    /// It takes no further stream.
    GoAway,
    /// Where else an origin is served, as an Alt-Svc field has it; without an origin it is that of
    /// a stream.
    Alternatives { origin: String, value: Vec<u8> },
    /// Origins that it speaks for.
    Origins(Vec<String>),
}

/// Reads frames of HTTP/2 that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// A frame's head, or a setting, as far as it has come.
    partial: Vec<u8>,
    /// What is left of a frame's payload.
    left: usize,
    is_settings: bool,
    /// A frame that is kept whole, by its type and whether it is the connection's.
    kept: Option<(u8, bool)>,
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
            } else if let Some((kind, is_connections)) = self.kept {
                let Some(payload) = self.take(&mut bytes, self.left) else {
                    return;
                };
                (self.left, self.kept) = (0, None);
                if let Some(said) = read_kept(kind, is_connections, &payload) {
                    tell(said);
                }
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
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let is_kept = matches!(head[3], TYPE_ALTSVC | TYPE_ORIGIN)
            && (1..=KEPT_BYTES_MAX).contains(&self.left);
        self.kept = is_kept.then_some((head[3], stream == 0));
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

fn read_kept(kind: u8, is_connections: bool, payload: &[u8]) -> Option<Said> {
    match kind {
        TYPE_ALTSVC => {
            let (origin, value) = split_string(payload)?;
            // RFC 7838 §4: an origin is there on the connection, and only there.
            (origin.is_empty() != is_connections).then(|| Said::Alternatives {
                origin: origin.to_owned(),
                value: value.to_vec(),
            })
        }
        // RFC 8336 §2.1: on a stream it means nothing.
        _ if !is_connections => None,
        _ => {
            let (mut origins, mut rest) = (Vec::new(), payload);
            while !rest.is_empty() {
                let (origin, after) = split_string(rest)?;
                origins.push(origin.to_owned());
                rest = after;
            }
            Some(Said::Origins(origins))
        }
    }
}

/// Text behind its length in two bytes, and what follows.
fn split_string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.is_ascii())?;
    Some((text, rest))
}

const HEAD_BYTES: usize = 9;
/// A longer frame of the kept kinds is skipped.
const KEPT_BYTES_MAX: usize = 8 * 1024;
const TYPE_ALTSVC: u8 = 10;
const TYPE_ORIGIN: u8 = 12;
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
    fn on(stream: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = frame(kind, 0, payload);
        frame[8] = stream;
        frame
    }

    #[test]
    fn alternatives_and_origins_are_heard_however_the_bytes_come() {
        let services = b"\0\x0ehttps://a.testh3=\":1\"";
        let stream = [
            settings(&[]),
            on(0, TYPE_ALTSVC, services),
            on(0, TYPE_ORIGIN, b"\0\x0ehttps://b.test\0\x03c:1"),
            on(3, TYPE_ALTSVC, b"\0\0clear"),
            on(0, TYPE_GOAWAY, &[0; 8]),
        ]
        .concat();
        let expected = [
            Said::StreamsMax(u32::MAX),
            Said::Alternatives {
                origin: "https://a.test".to_owned(),
                value: b"h3=\":1\"".to_vec(),
            },
            Said::Origins(vec!["https://b.test".to_owned(), "c:1".to_owned()]),
            Said::Alternatives {
                origin: String::new(),
                value: b"clear".to_vec(),
            },
            Said::GoAway,
        ];
        for piece in [1, 2, 7, 9, 33, 10_000] {
            assert_eq!(said(&stream, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn malformed_or_misplaced_or_long_ones_say_nothing() {
        let frames = [
            on(0, TYPE_ALTSVC, b""),
            on(0, TYPE_ALTSVC, b"\0\x09short"),
            on(0, TYPE_ALTSVC, b"\0\0clear"),
            on(1, TYPE_ALTSVC, b"\0\x01xclear"),
            on(1, TYPE_ORIGIN, b"\0\x01x"),
            on(0, TYPE_ORIGIN, b"\0\x01x\0"),
            on(0, TYPE_ORIGIN, b"\0\x01\xff"),
            on(0, TYPE_ORIGIN, &[0; KEPT_BYTES_MAX + 2]),
            on(0, TYPE_GOAWAY, &[0; 8]),
        ];
        for piece in [1, 10, 100_000] {
            assert_eq!(said(&frames.concat(), piece), [Said::GoAway]);
        }
    }
}
