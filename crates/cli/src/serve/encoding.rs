//! Which encoding of content a client takes (RFC 9110 §12.5.3).
//!
//! Invariant: what a client does not take is never chosen.

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use http::header::{ACCEPT_ENCODING, HeaderMap};
use std::pin::Pin;
use tokio::fs::File;
use tokio::io::{AsyncRead, BufReader};

/// A way to make content smaller, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// All, the best first.
    pub(super) const ALL: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];

    /// As Content-Encoding says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
        }
    }

    /// What a file is called that holds another one in this encoding.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zst",
            Encoding::Gzip => "gz",
        }
    }

    /// Encodes a file while it is read, at a level that keeps up with a network.
    pub(super) fn encode(self, file: File) -> Pin<Box<dyn AsyncRead + Send>> {
        let file = BufReader::new(file);
        match self {
            Encoding::Brotli => Box::pin(BrotliEncoder::with_quality(file, Level::Precise(4))),
            Encoding::Zstd => Box::pin(ZstdEncoder::with_quality(file, Level::Precise(3))),
            Encoding::Gzip => Box::pin(GzipEncoder::with_quality(file, Level::Precise(5))),
        }
    }

    /// Those that a client takes, what it likes best first.
    pub(super) fn accepted(fields: &HeaderMap) -> Vec<Encoding> {
        let values = fields.get_all(ACCEPT_ENCODING).into_iter();
        let named: Vec<(String, u16)> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(weighted)
            .collect();
        let weight = |encoding: Encoding| {
            let of = |name: &str| named.iter().find(|(it, _)| it == name).map(|(_, q)| *q);
            of(encoding.name()).or_else(|| of("*")).unwrap_or(0)
        };
        let mut accepted: Vec<Encoding> = Encoding::ALL
            .into_iter()
            .filter(|encoding| weight(*encoding) > 0)
            .collect();
        accepted.sort_by_key(|encoding| std::cmp::Reverse(weight(*encoding)));
        accepted
    }
}

/// A name with its weight in thousandths.
fn weighted(item: &str) -> Option<(String, u16)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts
        .find_map(|part| part.strip_prefix("q="))
        .map_or(Some(1.0), |text| text.parse::<f32>().ok())?;
    Some((
        name.to_ascii_lowercase(),
        (weight.clamp(0.0, 1.0) * 1000.0) as u16,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_and_the_server_breaks_ties() {
        use Encoding::{Brotli, Gzip, Zstd};
        let rows: [(&str, &[Encoding]); 7] = [
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Zstd, Gzip]),
            ("*;q=0.1, gzip;q=0", &[Brotli, Zstd]),
            ("identity", &[]),
            ("gzip;q=wrong", &[]),
        ];
        for (field, expected) in rows {
            let fields = HeaderMap::from_iter([(ACCEPT_ENCODING, field.parse().unwrap())]);
            assert_eq!(Encoding::accepted(&fields), expected, "{field}");
        }
        assert_eq!(Encoding::accepted(&HeaderMap::new()), []);
    }
}
