//! A directory as a page.
//!
//! Invariant: whatever a file is called, its name is text in the page and one segment in its link.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;
use std::fs::DirEntry;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// The page of a directory that a request's path names.
pub(super) fn page(directory: &Path, request_path: &str) -> io::Result<String> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory)?.take(ENTRIES_MAX) {
        let entry = entry?;
        // Names that are no text cannot be asked for, and hidden ones are not served.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !name.starts_with('.') {
            let is_directory = entry.path().is_dir();
            entries.push((!is_directory, name, about(&entry)));
        }
    }
    entries.sort_unstable();
    let shown = percent_encoding::percent_decode_str(request_path).decode_utf8_lossy();
    let title = escaped(&shown);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n<ul>\n"
    );
    if request_path != "/" {
        page.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for (is_file, name, about) in entries {
        let slash = if is_file { "" } else { "/" };
        let link = utf8_percent_encode(&name, KEPT);
        // Writing into a string cannot fail.
        let _ = writeln!(
            page,
            "<li><a href=\"./{link}{slash}\">{}{slash}</a>{about}</li>",
            escaped(&name)
        );
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    Ok(page)
}

/// The size and the time of a file; nothing of what a link leads to, which may be elsewhere.
fn about(entry: &DirEntry) -> String {
    let Ok(metadata) = entry.metadata() else {
        return String::new();
    };
    match metadata.modified() {
        Ok(modified) if metadata.is_file() => {
            let time = httpdate::fmt_http_date(modified.max(SystemTime::UNIX_EPOCH));
            format!(" <small>{} bytes, {time}</small>", metadata.len())
        }
        _ => String::new(),
    }
}

/// Text that means nothing in HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// RFC 3986 §2.3: what needs no escape.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A page has an end, however many files there are.
const ENTRIES_MAX: usize = 10_000;
