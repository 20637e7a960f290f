//! Connection properties as options of a TCP socket.
//!
//! Invariant: the mapping stands here once, for connections at their start and for live changes.

use portway_core::property::{CapacityProfile, ConnectionProperties};
use portway_transport::environment::TcpOptions;

/// The options that hold from the first packet on.
pub(crate) fn tcp_options(properties: &ConnectionProperties) -> TcpOptions {
    let profile = properties.conn_capacity_profile();
    let mut options = TcpOptions::default();
    options.no_delay = Some(!coalesces(profile));
    options.dscp = dscp(profile);
    if let Some(idle) = properties.keep_alive_timeout() {
        options.keep_alive = Some(Some(idle));
    }
    if let Some(timeout) = properties.conn_timeout() {
        options.user_timeout = Some(Some(timeout));
    }
    options
}

/// The code point of a single datagram with this profile.
pub(crate) fn code_point(profile: CapacityProfile) -> u8 {
    dscp(profile).unwrap_or(0)
}

/// Whether small messages may wait to share a packet (Nagle's algorithm).
///
/// Messages of one batch leave in one write already, so the wait would only help applications
/// that prefer few packets to a prompt answer.
fn coalesces(profile: CapacityProfile) -> bool {
    matches!(
        profile,
        CapacityProfile::Scavenger | CapacityProfile::CapacitySeeking
    )
}

/// The code point of a profile; `None` leaves the system's default.
fn dscp(profile: CapacityProfile) -> Option<u8> {
    // RFC 9622 §8.1.6 names classes AFx1 to AFx4; RFC 2597 defines three drop precedences, so
    // the lowest one, AFx1, stands for each.
    match profile {
        CapacityProfile::Scavenger => Some(1),
        CapacityProfile::LowLatencyInteractive => Some(34),
        CapacityProfile::LowLatencyNonInteractive => Some(18),
        CapacityProfile::ConstantRateStreaming => Some(26),
        CapacityProfile::CapacitySeeking => Some(10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_its_code_point_and_write_policy() {
        let rows = [
            (CapacityProfile::Default, None, true),
            (CapacityProfile::Scavenger, Some(1), false),
            (CapacityProfile::LowLatencyInteractive, Some(34), true),
            (CapacityProfile::LowLatencyNonInteractive, Some(18), true),
            (CapacityProfile::ConstantRateStreaming, Some(26), true),
            (CapacityProfile::CapacitySeeking, Some(10), false),
        ];
        for (profile, code_point, is_prompt) in rows {
            let options =
                tcp_options(&ConnectionProperties::new().with_conn_capacity_profile(profile));
            assert_eq!(options.dscp, code_point, "{profile:?}");
            assert_eq!(options.no_delay, Some(is_prompt), "{profile:?}");
        }
    }
}
