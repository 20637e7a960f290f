//! What a file holds, by the end of its name.
//!
//! Invariant: what is not known is bytes, which no browser runs.

use std::path::Path;

/// The media type of a file.
pub(super) fn of(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|it| it.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let known = KNOWN
        .iter()
        .find(|(names, _)| names.split(' ').any(|name| name == extension));
    known.map_or("application/octet-stream", |(_, media)| *media)
}

/// Whether compression makes such content smaller.
pub(super) fn is_compressible(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default();
    media.starts_with("text/")
        || ["json", "xml", "javascript", "wasm", "manifest"]
            .iter()
            .any(|end| media.ends_with(end))
}

const KNOWN: &[(&str, &str)] = &[
    ("html htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js mjs", "text/javascript; charset=utf-8"),
    ("json map", "application/json"),
    ("txt log md", "text/plain; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml xsl", "application/xml"),
    ("xhtml", "application/xhtml+xml"),
    ("atom", "application/atom+xml"),
    ("rss", "application/rss+xml"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/vnd.microsoft.icon"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("tar", "application/x-tar"),
    ("mp3", "audio/mpeg"),
    ("ogg oga", "audio/ogg"),
    ("opus", "audio/opus"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("mp4 m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_type() {
        assert_eq!(of(Path::new("a/B.HTML")), "text/html; charset=utf-8");
        assert_eq!(of(Path::new("x.tar.gz")), "application/gzip");
        assert_eq!(of(Path::new("Makefile")), "application/octet-stream");
        for (media, expected) in [
            ("text/css; charset=utf-8", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_compressible(media), expected, "{media}");
        }
    }
}
