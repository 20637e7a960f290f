//! The system's own resolution (getaddrinfo), which knows nsswitch, `/etc/hosts` and `.local`.
//!
//! Invariant: it gives addresses only; other record types are refused with the reason.

use portway_core::Failure;
use portway_core::dns::{Answer, AnswerData, Question, RecordKind};
use portway_core::failure::{Advice, FailureKind, Origin};
use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use std::{mem, ptr};

/// Resolves `question` on a thread of its own; dropping the future leaves that thread to finish.
pub(super) async fn resolve(question: Question, records_max: usize) -> Result<Answer, Failure> {
    let family = match question.kind {
        RecordKind::A => libc::AF_INET,
        RecordKind::Aaaa => libc::AF_INET6,
        kind => {
            return Err(Failure::new(
                Origin::Dns,
                FailureKind::Unsupported,
                format!(
                    "resolving {}: the system's resolution gives addresses only, not {kind:?}",
                    question.name
                ),
            ));
        }
    };
    let name = CString::new(question.name.as_str()).map_err(|_| {
        Failure::new(
            Origin::Dns,
            FailureKind::InvalidRequest,
            "a name holds a zero byte",
        )
    })?;
    let lookup = tokio::task::spawn_blocking(move || addresses(&name, family, records_max));
    let addresses = match lookup.await {
        Ok(Ok(addresses)) => addresses,
        // The name exists, but not in this family.
        Ok(Err(EAI_NODATA | EAI_ADDRFAMILY)) => Vec::new(),
        Ok(Err(code)) => return Err(failure(&question.name, code)),
        Err(_) => {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::Cancelled,
                format!("resolving {}: the runtime shuts down", question.name),
            ));
        }
    };
    Ok(Answer {
        data: AnswerData::Addresses(addresses),
        ttl: TTL,
    })
}

/// Asks the system; an error is its EAI code.
fn addresses(name: &CStr, family: i32, records_max: usize) -> Result<Vec<IpAddr>, i32> {
    // SAFETY: addrinfo is plain data for which all zeroes is valid.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: name and hints live through the call; on success `list` is set to a list that this
    // function owns and frees below.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &hints, &mut list) };
    if code != 0 {
        return Err(code);
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() && found.len() < records_max {
        // SAFETY: `next` is a node of the list, which is not freed before the loop ends.
        let node = unsafe { &*next };
        if let Some(address) = address(node) {
            found.push(address);
        }
        next = node.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

fn address(node: &libc::addrinfo) -> Option<IpAddr> {
    if node.ai_addr.is_null() {
        return None;
    }
    match node.ai_family {
        libc::AF_INET => {
            // SAFETY: for this family the node's address is a sockaddr_in.
            let address = unsafe { ptr::read_unaligned(node.ai_addr.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: for this family the node's address is a sockaddr_in6.
            let address = unsafe { ptr::read_unaligned(node.ai_addr.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

fn failure(name: &str, code: i32) -> Failure {
    let (kind, advice) = match code {
        libc::EAI_NONAME => (FailureKind::NameNotFound, Advice::Fatal),
        libc::EAI_MEMORY => (FailureKind::ResourceExhausted, Advice::BackOff),
        libc::EAI_AGAIN => (FailureKind::ResolverFailed, Advice::BackOff),
        _ => (FailureKind::ResolverFailed, Advice::Fatal),
    };
    // SAFETY: gai_strerror gives a static string for every code.
    let reason = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    let reason = reason.to_string_lossy().to_lowercase();
    Failure::new(Origin::System, kind, format!("resolving {name}: {reason}"))
        .with_code(code.into())
        .with_advice(advice)
}

/// The system does not tell a time to live; a short one lets its own cache decide.
const TTL: Duration = Duration::from_secs(5);
/// "No address of this family", which the libc crate leaves out: glibc's codes, then BSD's.
#[cfg(target_os = "linux")]
const EAI_NODATA: i32 = -5;
#[cfg(target_os = "linux")]
const EAI_ADDRFAMILY: i32 = -9;
#[cfg(not(target_os = "linux"))]
const EAI_NODATA: i32 = 7;
#[cfg(not(target_os = "linux"))]
const EAI_ADDRFAMILY: i32 = 1;
