//! A status as a failure: its class, and what to do next.
//!
//! Invariant: every status of a client's or a server's failure is one, and no other is.

use super::error::{Error, ErrorClass, Scope};
use super::response_head::ResponseHead;
use http::{HeaderMap, StatusCode, header};
use portway_core::{Advice, Failure, FailureKind, Origin};
use std::time::{Duration, SystemTime};

/// The failure that a response tells of, if it does.
pub(super) fn failure(head: &ResponseHead) -> Option<Error> {
    let status = head.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let (kind, advice) = meaning(status);
    let advice = advised(status, advice, head.retry_after());
    let failure = Failure::new(Origin::Http, kind, format!("the answer of {}", head.url()))
        .with_code(status.as_u16().into())
        .with_advice(advice);
    let error = Error::new(ErrorClass::Status, failure);
    Some(
        error
            .with_version(head.version())
            .with_scope(Scope::Request),
    )
}

/// What a status of a failure means for whoever sent the request (RFC 9110 §15.5, §15.6).
fn meaning(status: StatusCode) -> (FailureKind, Advice) {
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::NETWORK_AUTHENTICATION_REQUIRED => {
            (FailureKind::CredentialRequired, Advice::NeedsCredential)
        }
        StatusCode::FORBIDDEN | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
            (FailureKind::PermissionDenied, Advice::Fatal)
        }
        StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_ACCEPTABLE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UPGRADE_REQUIRED
        | StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED => (FailureKind::Unsupported, Advice::Fatal),
        // The request had not come in time: nothing was done with it.
        StatusCode::REQUEST_TIMEOUT => (FailureKind::TimedOut, Advice::BackOff),
        StatusCode::MISDIRECTED_REQUEST => (FailureKind::Other, Advice::RetryElsewhere),
        // RFC 8470 §5.2: once the handshake is complete.
        StatusCode::TOO_EARLY => (FailureKind::Other, Advice::BackOff),
        StatusCode::PAYLOAD_TOO_LARGE => (FailureKind::LimitReached, Advice::Fatal),
        StatusCode::TOO_MANY_REQUESTS => (FailureKind::LimitReached, Advice::BackOff),
        StatusCode::SERVICE_UNAVAILABLE => (FailureKind::ResourceExhausted, Advice::BackOff),
        // What is behind the gateway may have done what was asked for.
        StatusCode::BAD_GATEWAY => (FailureKind::Unreachable, Advice::IfReplayable),
        StatusCode::GATEWAY_TIMEOUT => (FailureKind::TimedOut, Advice::IfReplayable),
        _ if status.is_client_error() => (FailureKind::InvalidRequest, Advice::Fatal),
        _ => (FailureKind::Other, Advice::Fatal),
    }
}

/// RFC 9110 §10.2.3: the server's own word, where another try has a chance at all.
fn advised(status: StatusCode, advice: Advice, after: Option<Duration>) -> Advice {
    // RFC 9110 §15.5.14: content may be too large for now only, which this field says.
    let may_pass = advice == Advice::BackOff || status == StatusCode::PAYLOAD_TOO_LARGE;
    after.filter(|_| may_pass).map_or(advice, Advice::After)
}

/// How long a server asks to wait, at this time (RFC 9110 §10.2.3); no longer than
/// [`RETRY_AFTER_MAX`], which every clock can add to its time.
pub(super) fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = fields.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.bytes().all(|it| it.is_ascii_digit()) {
        Duration::from_secs(value.parse().ok()?)
    } else {
        let time = httpdate::parse_http_date(value).ok()?;
        time.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_asks_to_wait_for_seconds_or_until_a_time() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a time");
        let asked = |value: &str| {
            let value = value.parse().expect("a value");
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]), now)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        let at = "Sun, 06 Nov 1994 08:50:00 GMT";
        assert_eq!(asked(at), Some(Duration::from_secs(23)));
        let past = "Sun, 06 Nov 1994 08:00:00 GMT";
        assert_eq!(asked(past), Some(Duration::ZERO));
        for nonsense in ["-1", "+5", "", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
        let far = "Fri, 31 Dec 9999 23:59:59 GMT";
        for long in ["86400", "86401", u64::MAX.to_string().as_str(), far] {
            assert_eq!(asked(long), Some(Duration::from_secs(86400)), "{long}");
        }
    }

    #[test]
    fn a_server_that_names_a_time_is_asked_again_where_that_may_help() {
        let after = Duration::from_secs(7);
        for (code, is_asked_again) in [(413, true), (429, true), (503, true), (403, false)] {
            let status = StatusCode::from_u16(code).expect("a status");
            let (_, advice) = meaning(status);
            assert_eq!(advised(status, advice, None), advice, "{code}");
            let expected = match is_asked_again {
                true => Advice::After(after),
                false => advice,
            };
            assert_eq!(advised(status, advice, Some(after)), expected, "{code}");
        }
    }

    #[test]
    fn every_failure_of_a_status_has_advice_that_fits_its_class() {
        for code in 400..600 {
            let status = StatusCode::from_u16(code).expect("a status");
            let (kind, advice) = meaning(status);
            let wants_credential = kind == FailureKind::CredentialRequired;
            assert_eq!(
                wants_credential,
                advice == Advice::NeedsCredential,
                "{code}"
            );
            let is_known_to_pass = [408, 421, 425, 429, 502, 503, 504].contains(&code);
            let is_final = matches!(advice, Advice::Fatal | Advice::NeedsCredential);
            assert_eq!(is_final, !is_known_to_pass, "{code}");
        }
    }
}
