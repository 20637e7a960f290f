//! Which texts are host names (RFC 1035 §2.3.1 as widened by RFC 1123 §2.1).

use super::EndpointError;

/// Checks a host name. Names are not converted: international ones must come in ASCII form.
pub(super) fn check(name: &str) -> Result<(), EndpointError> {
    let problem = |problem| EndpointError::InvalidName {
        name: name.to_owned(),
        problem,
    };
    let relative = name.strip_suffix('.').unwrap_or(name);
    if relative.is_empty() {
        return Err(problem("it is empty"));
    }
    if !relative.is_ascii() {
        return Err(problem(
            "international names must be given in ASCII, as xn--…",
        ));
    }
    if relative.len() > NAME_LEN_MAX {
        return Err(problem("it is longer than 253 characters"));
    }
    for label in relative.split('.') {
        check_label(label).map_err(problem)?;
    }
    // Systems read such a text as an address, in ways that differ from one another.
    let last = relative.rsplit('.').next().unwrap_or(relative);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem("it ends like an IPv4 address and is none"));
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("it has an empty label");
    }
    if label.len() > LABEL_LEN_MAX {
        return Err("a label is longer than 63 characters");
    }
    // The underscore is no host name's, but service names with it do resolve to addresses.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(is_allowed) {
        return Err("only letters, digits, hyphens, underscores and dots are allowed");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a label begins or ends with a hyphen");
    }
    Ok(())
}

/// RFC 1035 §2.3.4: 255 octets on the wire, the first length and the root's apart.
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;
