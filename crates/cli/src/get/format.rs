//! What is said of a transfer: its head, its phases, and what `--write-out` asks for.

use crate::error::CommandError;
use portway_http::client::{Phases, Response};
use portway_http::pool::Version;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is known of a transfer.
pub(super) struct Transfer {
    asked: String,
    started: Instant,
    head: Option<Head>,
    total: Duration,
    pub(super) downloaded: u64,
    exit_code: u8,
}

struct Head {
    at: Duration,
    status: u16,
    version: Version,
    effective: String,
    content_type: String,
    redirects: usize,
    /// None through a socket of the file system.
    remote: Option<SocketAddr>,
    /// None where the connection was there already.
    phases: Option<Phases>,
}

impl Transfer {
    pub(super) fn new(url: &str, started: Instant) -> Self {
        Transfer {
            asked: url.to_owned(),
            started,
            head: None,
            total: Duration::ZERO,
            downloaded: 0,
            exit_code: 0,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.asked
    }

    pub(super) fn on_head(&mut self, response: &Response) {
        let content_type = response.headers().get("content-type");
        let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let connection = response.connection();
        self.head = Some(Head {
            at: self.started.elapsed(),
            status: response.status().as_u16(),
            version: response.version(),
            effective: response.url().to_owned(),
            content_type: content_type.unwrap_or_default().into_owned(),
            redirects: response.redirects(),
            remote: match connection.unix_socket {
                None => Some(connection.remote),
                Some(_) => None,
            },
            phases: (!response.is_connection_reused()).then_some(connection.phases),
        });
    }

    pub(super) fn on_end(&mut self, error: Option<&CommandError>) {
        self.total = self.started.elapsed();
        self.exit_code = error.map_or(0, CommandError::code);
    }

    /// How long each phase took, in one line.
    pub(super) fn phases(&self) -> String {
        let Some(head) = &self.head else {
            return format!("failed after {:.1?}", self.total);
        };
        let connection = match head.phases {
            None => "a connection that was there".to_owned(),
            Some(phases) => format!(
                "resolved {:.1?}, connected {:.1?}, ready {:.1?}",
                phases.resolved, phases.connected, phases.ready
            ),
        };
        format!(
            "{connection}, head {:.1?}, done {:.1?}",
            head.at, self.total
        )
    }

    /// A format of curl's with its variables filled in.
    pub(super) fn written_out(&self, format: &str) -> String {
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['%', '\\']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let (text, length) = self.escape(rest);
            out.push_str(&text);
            rest = &rest[length..];
        }
        out + rest
    }

    /// What stands for the begin of `text`, and how long that is.
    fn escape(&self, text: &str) -> (String, usize) {
        for (escape, meaning) in [("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("%%", "%")] {
            if text.starts_with(escape) {
                return (meaning.to_owned(), escape.len());
            }
        }
        let name = text
            .strip_prefix("%{")
            .and_then(|text| text.split_once('}'));
        match name.and_then(|(name, _)| Some((name, self.variable(name)?))) {
            Some((name, value)) => (value, name.len() + 3),
            None => (text[..1].to_owned(), 1),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        let seconds = |time: Duration| format!("{:.6}", time.as_secs_f64());
        let head = self.head.as_ref();
        let of_head = |value: fn(&Head) -> String| head.map(value).unwrap_or_default();
        let of_remote = |value: fn(SocketAddr) -> String| {
            let remote = head.and_then(|head| head.remote);
            remote.map(value).unwrap_or_default()
        };
        let phase = |of: fn(Phases) -> Duration| {
            seconds(
                head.and_then(|head| head.phases)
                    .map(of)
                    .unwrap_or_default(),
            )
        };
        Some(match name {
            "http_code" | "response_code" => format!("{:03}", head.map_or(0, |head| head.status)),
            "http_version" => head.map_or("0", |head| number(head.version)).to_owned(),
            "size_download" => self.downloaded.to_string(),
            "num_redirects" => head.map_or(0, |head| head.redirects).to_string(),
            "num_connects" => {
                let is_new = head.is_some_and(|head| head.phases.is_some());
                u8::from(is_new).to_string()
            }
            "content_type" => of_head(|head| head.content_type.clone()),
            "url" => self.asked.clone(),
            "url_effective" => head.map_or(&self.asked, |head| &head.effective).clone(),
            "remote_ip" => of_remote(|remote| remote.ip().to_string()),
            "remote_port" => of_remote(|remote| remote.port().to_string()),
            "exitcode" => self.exit_code.to_string(),
            "time_namelookup" => phase(|phases| phases.resolved),
            "time_connect" => phase(|phases| phases.connected),
            "time_appconnect" => phase(|phases| phases.ready),
            "time_starttransfer" => seconds(head.map(|head| head.at).unwrap_or_default()),
            "time_total" => seconds(self.total),
            _ => return None,
        })
    }
}

/// The head of a response, as HTTP/1.1 writes it.
pub(super) fn head(response: &Response) -> String {
    let status = response.status();
    let mut head = match response.version() {
        Version::Http1 => format!("HTTP/1.1 {status}\r\n"),
        version => format!("HTTP/{} {}\r\n", number(version), status.as_u16()),
    };
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

fn number(version: Version) -> &'static str {
    match version {
        Version::Http1 => "1.1",
        Version::Http2 => "2",
        Version::Http3 => "3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_variables_escapes_and_plain_text() {
        let mut transfer = Transfer::new("http://a.test/", Instant::now());
        transfer.downloaded = 12;
        let rows = [
            ("%{http_code} %{size_download}\\n", "000 12\n"),
            ("100%% \\t|%{url_effective}|", "100% \t|http://a.test/|"),
            ("%{unknown} %{open \\x %", "%{unknown} %{open \\x %"),
            ("%{exitcode}é%{http_version}", "0é0"),
        ];
        for (format, written) in rows {
            assert_eq!(transfer.written_out(format), written, "{format}");
        }
    }
}
