//! Maps the system's errors to the one classification of failures.
//!
//! Invariant: the raw code is kept, and a code that is not in the table is fatal.

use portway_core::Failure;
use portway_core::failure::{Advice, FailureKind, Origin};
use std::io;

/// Classifies `error`, which ended what `doing` says, such as `connecting to 192.0.2.1:443`.
pub fn failure_from_io(error: &io::Error, doing: &str) -> Failure {
    if let Some(failure) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Failure>())
    {
        return failure.clone();
    }
    let (kind, advice) = match error.raw_os_error() {
        Some(code) => classify_code(code),
        None => classify_kind(error.kind()),
    };
    let mut failure = Failure::new(Origin::System, kind, format!("{doing}: {}", reason(error)));
    failure.advice = advice.unwrap_or(kind.usual_advice());
    failure.code = error.raw_os_error().map(i64::from);
    failure
}

/// The error's own words in lower case and without the code, which the failure holds apart.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    match characters.next() {
        // A word that is an acronym throughout keeps its capitals.
        Some(first) if !characters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The class of an errno, and advice where it differs from what the class usually deserves.
fn classify_code(code: i32) -> (FailureKind, Option<Advice>) {
    use FailureKind as Kind;
    let kind = match code {
        libc::ECONNREFUSED => Kind::Refused,
        libc::ENETUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO => {
            Kind::Unreachable
        }
        // One host or port of several: another address may answer on the same path.
        libc::EHOSTUNREACH | libc::EHOSTDOWN => {
            return (Kind::Unreachable, Some(Advice::RetryElsewhere));
        }
        libc::ETIMEDOUT => Kind::TimedOut,
        libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE | libc::ENETRESET => Kind::Reset,
        libc::ENOTCONN | libc::ESHUTDOWN => Kind::Closed,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC => {
            Kind::ResourceExhausted
        }
        // Short of something for the moment, such as routing cache or local ports.
        libc::EAGAIN => Kind::ResourceExhausted,
        libc::EACCES | libc::EPERM => Kind::PermissionDenied,
        libc::EADDRINUSE => Kind::AddressInUse,
        libc::EMSGSIZE => Kind::LimitReached,
        libc::EAFNOSUPPORT
        | libc::EPROTONOSUPPORT
        | libc::ESOCKTNOSUPPORT
        | libc::EOPNOTSUPP
        | libc::ENOPROTOOPT
        | libc::EPFNOSUPPORT
        | libc::ENOSYS => Kind::Unsupported,
        libc::EINVAL | libc::EDESTADDRREQ | libc::EISCONN | libc::EALREADY => Kind::InvalidRequest,
        libc::EPROTO => Kind::ProtocolViolation,
        libc::ECANCELED => Kind::Cancelled,
        _ => Kind::Other,
    };
    (kind, None)
}

/// The class of an error that carries no errno.
fn classify_kind(kind: io::ErrorKind) -> (FailureKind, Option<Advice>) {
    use FailureKind as Kind;
    use io::ErrorKind as Error;
    let kind = match kind {
        Error::ConnectionRefused => Kind::Refused,
        Error::NetworkUnreachable | Error::NetworkDown | Error::AddrNotAvailable => {
            Kind::Unreachable
        }
        Error::HostUnreachable => return (Kind::Unreachable, Some(Advice::RetryElsewhere)),
        Error::TimedOut => Kind::TimedOut,
        Error::ConnectionReset | Error::ConnectionAborted | Error::BrokenPipe => Kind::Reset,
        // The peer's end of stream came before what was promised.
        Error::UnexpectedEof => Kind::Reset,
        Error::NotConnected => Kind::Closed,
        Error::OutOfMemory | Error::QuotaExceeded => Kind::ResourceExhausted,
        Error::PermissionDenied => Kind::PermissionDenied,
        Error::AddrInUse => Kind::AddressInUse,
        Error::InvalidData => Kind::ProtocolViolation,
        Error::InvalidInput => Kind::InvalidRequest,
        Error::Unsupported => Kind::Unsupported,
        _ => Kind::Other,
    };
    (kind, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_errno_has_its_class_and_keeps_its_code() {
        use Advice as A;
        use FailureKind as K;
        let table = [
            (libc::ECONNREFUSED, K::Refused, A::RetryElsewhere),
            (libc::ENETUNREACH, K::Unreachable, A::OnPathChange),
            (libc::ENETDOWN, K::Unreachable, A::OnPathChange),
            (libc::EADDRNOTAVAIL, K::Unreachable, A::OnPathChange),
            (libc::ENODEV, K::Unreachable, A::OnPathChange),
            (libc::EHOSTUNREACH, K::Unreachable, A::RetryElsewhere),
            (libc::EHOSTDOWN, K::Unreachable, A::RetryElsewhere),
            (libc::ETIMEDOUT, K::TimedOut, A::RetryElsewhere),
            (libc::ECONNRESET, K::Reset, A::IfReplayable),
            (libc::ECONNABORTED, K::Reset, A::IfReplayable),
            (libc::EPIPE, K::Reset, A::IfReplayable),
            (libc::ENETRESET, K::Reset, A::IfReplayable),
            (libc::ENOTCONN, K::Closed, A::IfReplayable),
            (libc::ESHUTDOWN, K::Closed, A::IfReplayable),
            (libc::EMFILE, K::ResourceExhausted, A::BackOff),
            (libc::ENFILE, K::ResourceExhausted, A::BackOff),
            (libc::ENOBUFS, K::ResourceExhausted, A::BackOff),
            (libc::ENOMEM, K::ResourceExhausted, A::BackOff),
            (libc::EAGAIN, K::ResourceExhausted, A::BackOff),
            (libc::EACCES, K::PermissionDenied, A::Fatal),
            (libc::EPERM, K::PermissionDenied, A::Fatal),
            (libc::EADDRINUSE, K::AddressInUse, A::Fatal),
            (libc::EMSGSIZE, K::LimitReached, A::Fatal),
            (libc::EAFNOSUPPORT, K::Unsupported, A::Fatal),
            (libc::EOPNOTSUPP, K::Unsupported, A::Fatal),
            (libc::EINVAL, K::InvalidRequest, A::Fatal),
            (libc::EPROTO, K::ProtocolViolation, A::Fatal),
            (libc::ECANCELED, K::Cancelled, A::Fatal),
        ];
        for (code, kind, advice) in table {
            let failure = failure_from_io(&io::Error::from_raw_os_error(code), "connecting");
            assert_eq!(
                (failure.kind, failure.advice),
                (kind, advice),
                "errno {code}"
            );
            assert_eq!(failure.code, Some(i64::from(code)));
            assert_eq!(failure.origin, Origin::System);
        }
    }

    #[test]
    fn an_unknown_errno_is_fatal_and_keeps_its_code() {
        for code in [libc::EBADMSG, 4242] {
            let failure = failure_from_io(&io::Error::from_raw_os_error(code), "reading");
            assert_eq!(failure.kind, FailureKind::Other);
            assert_eq!(failure.advice, Advice::Fatal);
            assert_eq!(failure.code, Some(i64::from(code)));
        }
    }

    #[test]
    fn errors_without_an_errno_are_classified_by_kind() {
        let table = [
            (io::ErrorKind::UnexpectedEof, FailureKind::Reset),
            (io::ErrorKind::TimedOut, FailureKind::TimedOut),
            (io::ErrorKind::Unsupported, FailureKind::Unsupported),
            (io::ErrorKind::InvalidData, FailureKind::ProtocolViolation),
            (io::ErrorKind::Other, FailureKind::Other),
        ];
        for (kind, expected) in table {
            let failure = failure_from_io(&io::Error::new(kind, "words"), "reading");
            assert_eq!(failure.kind, expected, "{kind:?}");
            assert_eq!(failure.code, None);
            assert_eq!(failure.detail, "reading: words");
        }
    }

    #[test]
    fn the_detail_is_one_lower_case_line_without_the_code() {
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let failure = failure_from_io(&error, "connecting to 192.0.2.1:443");
        assert_eq!(
            failure.detail,
            "connecting to 192.0.2.1:443: connection refused"
        );
    }

    #[test]
    fn a_failure_inside_of_an_error_comes_out_unchanged() {
        let inner = Failure::new(Origin::Local, FailureKind::Unsupported, "no such thing");
        let error = io::Error::other(inner.clone());
        assert_eq!(failure_from_io(&error, "connecting"), inner);
    }
}
