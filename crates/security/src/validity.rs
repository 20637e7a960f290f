//! When a certificate is valid.
//!
//! Invariant: what cannot be read with certainty is `None`, never a guess.

use crate::date::seconds_at;
use crate::der::{GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME, VERSION};
use std::ops::RangeInclusive;

/// The seconds since 1970 in which the certificate is valid.
pub(crate) fn of(certificate: &[u8]) -> Option<RangeInclusive<u64>> {
    let mut to_be_signed = Reader(Reader(Reader(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    // RFC 5280 §4.1: version, serial number, signature, issuer, validity.
    match to_be_signed.next()? {
        (VERSION, _) => drop(to_be_signed.expect(INTEGER)?),
        (INTEGER, _) => {}
        _ => return None,
    }
    to_be_signed.expect(SEQUENCE)?;
    to_be_signed.expect(SEQUENCE)?;
    let mut validity = Reader(to_be_signed.expect(SEQUENCE)?);
    let not_before = seconds(validity.next()?)?;
    Some(not_before..=seconds(validity.next()?)?)
}

/// RFC 5280 §4.1.2.5: both forms have seconds and end with `Z`.
fn seconds((tag, text): (u8, &[u8])) -> Option<u64> {
    let (digits, years) = match (tag, text.len()) {
        (UTC_TIME, 13) => (text.strip_suffix(b"Z")?, 2),
        (GENERALIZED_TIME, 15) => (text.strip_suffix(b"Z")?, 4),
        _ => return None,
    };
    let (year, rest) = digits.split_at(years);
    let year = match (number(year)?, years) {
        (year, 2) if year >= 50 => 1900 + year,
        (year, 2) => 2000 + year,
        (year, _) => year,
    };
    let mut fields = rest.chunks(2).map(number);
    let mut field = || fields.next().flatten();
    let date = (year, field()?, field()?);
    seconds_at(date, (field()?, field()?, field()?))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As much of a certificate as is read here, with a serial number that tells it apart.
    pub(crate) fn certificate(serial: u8, not_before: &str, not_after: &str) -> Vec<u8> {
        let time = |text: &str| {
            let tag = if text.len() == 13 {
                UTC_TIME
            } else {
                GENERALIZED_TIME
            };
            element(tag, text.as_bytes())
        };
        let validity = [time(not_before), time(not_after)].concat();
        let fields = [
            element(VERSION, &[2, 1, 2]),
            element(INTEGER, &[serial]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &[]),
            element(SEQUENCE, &validity),
        ];
        element(SEQUENCE, &element(SEQUENCE, &fields.concat()))
    }

    fn element(tag: u8, value: &[u8]) -> Vec<u8> {
        [&[tag, value.len() as u8], value].concat()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let valid = of(&certificate(1, "700101000001Z", "20240229235959Z"));
        assert_eq!(valid, Some(1..=1_709_251_199));
        let valid = of(&certificate(1, "491231235959Z", "500101000000Z"));
        assert_eq!(valid, None, "1950 is before the beginning of our time");
    }

    #[test]
    fn what_is_no_time_is_not_guessed() {
        for time in [
            "2402292359Z",
            "240229235959 ",
            "24022923595xZ",
            "240029235959Z",
        ] {
            assert_eq!(of(&certificate(1, time, "20240229235959Z")), None, "{time}");
        }
    }

    #[test]
    fn every_truncation_is_harmless() {
        let whole = certificate(1, "700101000000Z", "300101000000Z");
        assert!(of(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(of(&whole[..length]), None);
        }
    }
}
