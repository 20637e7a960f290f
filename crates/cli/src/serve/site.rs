//! What is answered to a request.
//!
//! Invariant: a request's content is never kept whole, and a file's neither.

use super::body::{FileBody, Segment, SiteBody};
use super::conditions::{Validators, Verdict};
use super::encoding::Encoding;
use super::range::{self, Asked, Range};
use super::tree::{Found, NotFound, Tree};
use super::{listing, types};
use crate::output;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use portway_http::server::{ConnectionInfo, RequestBody};
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

/// The service of `portway serve`.
#[derive(Clone, Debug)]
pub(super) struct Site {
    tree: Tree,
    has_echo: bool,
    has_log: bool,
}

type Answer = Response<SiteBody>;

impl tower_service::Service<Request<RequestBody>> for Site {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let site = self.clone();
        Box::pin(async move { Ok(site.respond(request).await) })
    }
}

impl Site {
    pub(super) fn new(tree: Tree, has_echo: bool, has_log: bool) -> Self {
        Site {
            tree,
            has_echo,
            has_log,
        }
    }

    async fn respond(&self, request: Request<RequestBody>) -> Answer {
        let line = self.has_log.then(|| request_line(&request));
        let answer = match request.uri().path() {
            "/echo" if self.has_echo => echo(request),
            _ => self.file(request).await,
        };
        if let Some(line) = line {
            let length = answer.body().size_hint().exact();
            let length = length.map_or_else(|| "-".to_owned(), |length| length.to_string());
            output::tell(&format!("{line} {} {length}", answer.status().as_u16()));
        }
        answer
    }

    async fn file(&self, request: Request<RequestBody>) -> Answer {
        let method = request.method();
        if method == Method::OPTIONS {
            return with_allow(status(StatusCode::NO_CONTENT));
        }
        if method != Method::GET && method != Method::HEAD {
            return with_allow(status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let (head, _) = request.into_parts();
        let tree = self.tree.clone();
        // The file system may be slow, and the thread has other connections.
        let looked_up = tokio::task::spawn_blocking(move || look_up(&tree, &head)).await;
        let Ok(looked_up) = looked_up else {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        };
        match looked_up {
            LookedUp::Answer(answer) => answer,
            LookedUp::File(chosen, fields) => chosen.respond(&fields),
        }
    }
}

/// What the file system has for a request.
enum LookedUp {
    Answer(Answer),
    File(Box<Chosen>, HeaderMap),
}

/// A file that will be sent.
struct Chosen {
    found: Found,
    media: &'static str,
    /// How the file is encoded already.
    stored: Option<Encoding>,
    /// How it is to be encoded now.
    encoding: Option<Encoding>,
}

fn look_up(tree: &Tree, head: &http::request::Parts) -> LookedUp {
    let path = head.uri.path();
    let mut found = match tree.open(path) {
        Ok(found) => found,
        Err(reason) => return LookedUp::Answer(missing(&reason)),
    };
    if found.metadata.is_dir() {
        if !path.ends_with('/') {
            return LookedUp::Answer(moved(path, head.uri.query()));
        }
        let index = tree.relative_of(&found).join("index.html");
        found = match tree.open_relative(&index) {
            Ok(index) if index.metadata.is_file() => index,
            _ => return LookedUp::Answer(listed(&found, path)),
        };
    } else if path.ends_with('/') {
        return LookedUp::Answer(missing(&NotFound::Nothing));
    }
    LookedUp::File(
        Box::new(Chosen::new(tree, found, &head.headers)),
        head.headers.clone(),
    )
}

impl Chosen {
    fn new(tree: &Tree, found: Found, fields: &HeaderMap) -> Self {
        let media = types::of(&found.path);
        let mut chosen = Chosen {
            found,
            media,
            stored: None,
            encoding: None,
        };
        // Parts are of the content as it is, so that they fit together.
        if !types::is_compressible(media) || fields.contains_key(header::RANGE) {
            return chosen;
        }
        let accepted = Encoding::accepted(fields);
        for encoding in &accepted {
            let mut name = tree.relative_of(&chosen.found).as_os_str().to_owned();
            name.push(".");
            name.push(encoding.suffix());
            if let Ok(stored) = tree.open_relative(name.as_ref())
                && stored.metadata.is_file()
            {
                chosen.found = stored;
                chosen.stored = Some(*encoding);
                return chosen;
            }
        }
        let length = chosen.found.metadata.len();
        if length >= COMPRESSED_BYTES_MIN {
            chosen.encoding = accepted.first().copied();
        }
        chosen
    }

    fn respond(self, fields: &HeaderMap) -> Answer {
        let encoding = self.stored.or(self.encoding);
        let metadata = &self.found.metadata;
        let validators = Validators::new(metadata, encoding.map(Encoding::name));
        let mut answer = match validators.judge(fields) {
            Verdict::Failed => status(StatusCode::PRECONDITION_FAILED),
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
            Verdict::Proceed => self.content(fields, &validators),
        };
        let is_compressible = types::is_compressible(self.media);
        let headers = answer.headers_mut();
        let etag = HeaderValue::try_from(&validators.etag);
        headers.insert(header::ETAG, etag.expect("a tag is ASCII"));
        if let Some(modified) = validators.last_modified() {
            headers.insert(header::LAST_MODIFIED, modified);
        }
        if is_compressible {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        answer
    }

    fn content(&self, fields: &HeaderMap, validators: &Validators) -> Answer {
        let length = self.found.metadata.len();
        let asked = match fields.get(header::RANGE).map(HeaderValue::to_str) {
            Some(Ok(field)) if validators.allows_range(fields) => range::parse(field, length),
            _ => Asked::Whole,
        };
        let Ok(file) = self.found.file.try_clone() else {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let file = tokio::fs::File::from_std(file);
        let mut answer = match (asked, self.encoding) {
            (Asked::Whole, Some(encoding)) => {
                Response::new(SiteBody::Encoded(encoding.encode(file)))
            }
            (Asked::Whole, None) => {
                let whole = Segment::File { first: 0, length };
                Response::new(file_body(file, vec![whole]))
            }
            (Asked::Unsatisfiable, _) => {
                let mut answer = status(StatusCode::RANGE_NOT_SATISFIABLE);
                let value = HeaderValue::try_from(format!("bytes */{length}"));
                answer
                    .headers_mut()
                    .insert(header::CONTENT_RANGE, value.expect("it is ASCII"));
                return answer;
            }
            (Asked::Parts(ranges), _) => return self.parts(file, &ranges, length),
        };
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        match self.stored.or(self.encoding) {
            Some(encoding) => {
                let name = HeaderValue::from_static(encoding.name());
                headers.insert(header::CONTENT_ENCODING, name);
            }
            None => {
                headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            }
        }
        answer
    }

    fn parts(&self, file: tokio::fs::File, ranges: &[Range], whole: u64) -> Answer {
        let (segments, media, content_range) = match ranges {
            [range] => {
                let segment = Segment::File {
                    first: range.first,
                    length: range.length,
                };
                let content_range = Some(range.content_range(whole));
                (vec![segment], self.media.to_owned(), content_range)
            }
            many => {
                let boundary = boundary();
                let media = format!("multipart/byteranges; boundary={boundary}");
                (self.multipart(many, whole, &boundary), media, None)
            }
        };
        let mut answer = Response::new(file_body(file, segments));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let mut set = |name, value: String| {
            let value = HeaderValue::try_from(value).expect("it is ASCII");
            answer.headers_mut().insert(name, value);
        };
        set(header::CONTENT_TYPE, media);
        if let Some(content_range) = content_range {
            set(header::CONTENT_RANGE, content_range);
        }
        answer
    }

    /// RFC 9110 §14.6.
    fn multipart(&self, ranges: &[Range], whole: u64, boundary: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            let line = if index == 0 { "" } else { "\r\n" };
            let head = format!(
                "{line}--{boundary}\r\ncontent-type: {}\r\ncontent-range: {}\r\n\r\n",
                self.media,
                range.content_range(whole)
            );
            segments.push(Segment::Bytes(head.into()));
            segments.push(Segment::File {
                first: range.first,
                length: range.length,
            });
        }
        segments.push(Segment::Bytes(format!("\r\n--{boundary}--\r\n").into()));
        segments
    }
}

fn file_body(file: tokio::fs::File, segments: Vec<Segment>) -> SiteBody {
    SiteBody::File(Box::new(FileBody::new(file, segments)))
}

/// A line that stands in no file but by chance.
fn boundary() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    format!("portway-{now:x}-{count:x}")
}

/// Returns what came; without content, the request's head as text.
fn echo(request: Request<RequestBody>) -> Answer {
    let (head, body) = request.into_parts();
    if !body.is_end_stream() {
        let mut answer = Response::new(SiteBody::Request(body));
        // What was sent must not become a page of this origin.
        let media = HeaderValue::from_static("application/octet-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, media);
        return answer;
    }
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        );
    }
    if let Some(connection) = head.extensions.get::<ConnectionInfo>() {
        let _ = write!(text, "\npeer {}", connection.peer());
        if let Some(tls) = connection.tls_version() {
            let _ = write!(text, ", {tls}");
        }
        text.push('\n');
    }
    page(StatusCode::OK, "text/plain; charset=utf-8", text)
}

fn listed(found: &Found, path: &str) -> Answer {
    match listing::page(&found.path, path) {
        Ok(text) => page(StatusCode::OK, "text/html; charset=utf-8", text),
        Err(_) => missing(&NotFound::Unreadable),
    }
}

fn missing(reason: &NotFound) -> Answer {
    let (code, text) = match reason {
        NotFound::Malformed => (StatusCode::BAD_REQUEST, "this is no path\n"),
        NotFound::Nothing => (StatusCode::NOT_FOUND, "there is nothing here\n"),
        NotFound::Unreadable => (StatusCode::FORBIDDEN, "this cannot be read\n"),
    };
    page(code, "text/plain; charset=utf-8", text.to_owned())
}

/// A directory's path ends with a slash, so that links in it lead somewhere.
fn moved(path: &str, query: Option<&str>) -> Answer {
    let mut location = format!("/{}/", path.trim_matches('/'));
    if let Some(query) = query {
        location = format!("{location}?{query}");
    }
    let mut answer = status(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

fn with_allow(mut answer: Answer) -> Answer {
    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
    answer.headers_mut().insert(header::ALLOW, methods);
    answer
}

fn page(code: StatusCode, media: &'static str, text: String) -> Answer {
    let mut answer = Response::new(SiteBody::Bytes(text.into()));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

fn status(code: StatusCode) -> Answer {
    let mut answer = Response::new(SiteBody::EMPTY);
    *answer.status_mut() = code;
    answer
}

/// Who asked when for what, as web servers write it.
fn request_line(request: &Request<RequestBody>) -> String {
    let connection = request.extensions().get::<ConnectionInfo>();
    let peer = connection.map_or_else(|| "-".to_owned(), |it| it.peer().ip().to_string());
    let target = request.uri().path_and_query();
    let target = target.map_or("*", |target| target.as_str());
    let now = httpdate::fmt_http_date(SystemTime::now());
    let (method, version) = (request.method(), request.version());
    format!("{peer} [{now}] \"{method} {target} {version:?}\"")
}

/// Less is not worth it.
const COMPRESSED_BYTES_MIN: u64 = 1024;
