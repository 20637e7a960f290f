//! Settings on the wire, from peers that break rules, and across sessions.

use super::*;

fn payload(pairs: &[(u64, u64)]) -> Vec<u8> {
    let mut payload = Vec::new();
    frame::settings::encode_payload(pairs.iter().copied(), &mut payload);
    payload
}

fn decode(pairs: &[(u64, u64)]) -> Result<Settings, ConnectionError> {
    Settings::decode(&payload(pairs), Version::H3, &[])
}

fn full() -> Settings {
    Settings {
        max_field_section_bytes: Some(16_384),
        qpack_table_bytes: 4096,
        qpack_blocked_streams: 16,
        extended_connect: true,
        datagram: true,
        datagram_00: true,
        datagram_01: true,
        extensions: vec![(0x4242, 7)],
    }
}

#[test]
fn settings_round_trip() {
    let mut wire = Vec::new();
    full().encode(Some(5), &mut wire);
    assert_eq!(wire[0], 0x04);
    let payload = &wire[2..];
    assert_eq!(
        Settings::decode(payload, Version::H3, &[0x4242]),
        Ok(full())
    );
}

#[test]
fn defaults_are_not_sent() {
    let mut wire = Vec::new();
    Settings::default().encode(None, &mut wire);
    assert_eq!(wire, [0x04, 0]);
}

#[test]
fn unknown_and_reserved_settings_are_ignored() {
    let decoded = decode(&[
        (0x21, 9),
        (0x40, 0),
        (0x4242, 1),
        (varint::MAX, varint::MAX),
    ]);
    assert_eq!(decoded, Ok(Settings::default()));
}

#[test]
fn a_duplicate_is_an_error_even_if_it_is_unknown() {
    for identifier in [0x01, 0x06, 0x21, 0x4242] {
        let error = decode(&[(identifier, 1), (0x33, 0), (identifier, 1)]).expect_err("twice");
        assert_eq!(error.code, Code::H3_SETTINGS_ERROR);
    }
}

#[test]
fn settings_of_http2_are_an_error() {
    for identifier in [0x00, 0x02, 0x03, 0x04, 0x05] {
        let error = decode(&[(identifier, 1)]).expect_err("reserved");
        assert_eq!(error.code, Code::H3_SETTINGS_ERROR, "{identifier:#x}");
    }
}

#[test]
fn draft_32_does_not_reserve_setting_zero() {
    let payload = payload(&[(0x00, 1)]);
    assert_eq!(
        Settings::decode(&payload, Version::Draft32, &[]),
        Ok(Settings::default())
    );
    let payload = self::payload(&[(0x02, 1)]);
    assert!(Settings::decode(&payload, Version::Draft32, &[]).is_err());
}

#[test]
fn flags_are_zero_or_one() {
    let flags = [
        id::ENABLE_CONNECT_PROTOCOL,
        id::H3_DATAGRAM,
        id::H3_DATAGRAM_00,
        id::H3_DATAGRAM_01,
    ];
    for identifier in flags {
        assert!(decode(&[(identifier, 0)]).is_ok());
        assert!(decode(&[(identifier, 1)]).is_ok());
        let error = decode(&[(identifier, 2)]).expect_err("two");
        assert_eq!(error.code, Code::H3_SETTINGS_ERROR);
    }
}

#[test]
fn a_flood_of_settings_is_refused() {
    let pairs: Vec<(u64, u64)> = (0..=PAIRS_MAX as u64).map(|n| (0x1000 + n, 0)).collect();
    assert!(decode(&pairs[1..]).is_ok());
    assert_eq!(
        decode(&pairs).expect_err("too many").code,
        Code::H3_EXCESSIVE_LOAD
    );
}

#[test]
fn kept_extensions_are_bounded() {
    let known: Vec<u64> = (0x1000..0x1020).collect();
    let pairs: Vec<(u64, u64)> = known.iter().map(|id| (*id, 1)).collect();
    let settings = Settings::decode(&payload(&pairs), Version::H3, &known).expect("fine");
    assert_eq!(settings.extensions.len(), EXTENSIONS_MAX);
    assert_eq!(settings.extension(0x1000), Some(1));
    assert_eq!(settings.extension(0x101f), None);
}

#[test]
fn remembered_settings_round_trip() {
    let blob = full().to_remember();
    assert_eq!(
        Settings::from_remembered(&blob, Version::H3, &[0x4242]),
        Some(full())
    );
    assert_eq!(
        Settings::from_remembered(&blob[..1], Version::H3, &[]),
        None
    );
}

#[test]
fn early_data_needs_settings_that_did_not_shrink() {
    let then = full();
    assert_eq!(full().accepts_early_data_under(&then), Ok(()));
    let shrunk: [fn(&mut Settings); 9] = [
        |now| now.max_field_section_bytes = Some(16_383),
        |now| now.qpack_table_bytes = 4095,
        |now| now.qpack_table_bytes = 4097,
        |now| now.qpack_blocked_streams = 15,
        |now| now.extended_connect = false,
        |now| now.datagram = false,
        |now| now.datagram_00 = false,
        |now| now.datagram_01 = false,
        |now| now.extensions = vec![(0x4242, 6)],
    ];
    for (at, shrink) in shrunk.iter().enumerate() {
        let mut now = full();
        shrink(&mut now);
        assert!(now.accepts_early_data_under(&then).is_err(), "change {at}");
        let error = now.check_against_remembered(&then).expect_err("reduced");
        assert_eq!(error.code, Code::H3_SETTINGS_ERROR);
    }
}

#[test]
fn early_data_may_meet_settings_that_grew() {
    let mut now = full();
    now.max_field_section_bytes = Some(20_000);
    now.qpack_blocked_streams = 17;
    assert_eq!(now.accepts_early_data_under(&full()), Ok(()));
    assert!(now.check_against_remembered(&full()).is_ok());
    let then = Settings {
        qpack_table_bytes: 0,
        ..full()
    };
    assert_eq!(full().accepts_early_data_under(&then), Ok(()));
}

#[test]
fn a_section_limit_that_is_left_out_after_early_data_is_an_error() {
    let now = Settings {
        max_field_section_bytes: None,
        ..full()
    };
    assert_eq!(now.accepts_early_data_under(&full()), Ok(()));
    assert!(now.check_against_remembered(&full()).is_err());
}
