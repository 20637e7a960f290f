//! `portway get`: URLs fetched as curl's users expect it.
//!
//! Invariant: each URL is a transfer with a curl exit code of its own; the command ends with the
//! code of the last one that failed.

mod access;
mod content;
mod format;
mod output;
mod progress;
mod request;
mod resume;
mod retry;
mod target;
mod trace;

use crate::arguments::GetArguments;
use crate::client;
use crate::error::CommandError;
use content::Reading;
use format::Transfer;
use http::StatusCode;
use http::header::RANGE;
use indicatif::ProgressBar;
use output::Destination;
use portway::security::Trust;
use portway::{Context, Security};
use portway_http::Client;
use portway_http::client::{
    Cookies, Decompression, Error, ErrorClass, ProxyFault, Response, Timeouts,
};
use portway_http::pool;
use portway_transport::tls::{load_certificates, load_identity};
use progress::Progress;
use request::Prepared;
use resume::Resumed;
use retry::Tries;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use target::Target;
use tokio::task::JoinSet;
use trace::Trace;

pub(crate) async fn run(arguments: GetArguments) -> Result<(), CommandError> {
    let transfer = &arguments.transfer;
    let context = client::context_knowing(transfer.resolver, &transfer.resolve);
    let done = get_all(&context, arguments).await;
    client::say_goodbye(&context).await;
    done
}

async fn get_all(context: &Context, arguments: GetArguments) -> Result<(), CommandError> {
    let trace = Trace::new(arguments.verbose, arguments.output.trace.as_deref())?;
    let jar = request::jar(&arguments.request, arguments.output.cookie_jar.is_some())?;
    let client = http_client(context, &arguments, &trace, jar.clone())?;
    let prepared = Prepared::new(&arguments.request)?;
    if arguments.urls.len() > 1 && !prepared.is_repeatable() {
        let message = "what can be read once is not sent to several URLs";
        return Err(CommandError::usage(message));
    }
    let job = Arc::new(Job {
        client,
        prepared,
        trace,
        progress: Progress::new(!arguments.verbose && !arguments.output.silent),
        arguments,
    });
    let mut done = transfer_all(&job).await;
    if let (Some(file), Some(jar)) = (&job.arguments.output.cookie_jar, jar) {
        note(&mut done, output::write_cookies(file, &jar.to_netscape()));
    }
    done
}

async fn transfer_all(job: &Arc<Job>) -> Result<(), CommandError> {
    let mut failed = Ok(());
    if job.arguments.transfer.parallel {
        let mut transfers = JoinSet::new();
        for index in 0..job.arguments.urls.len() {
            let job = job.clone();
            transfers.spawn(async move { job.transfer(index).await });
        }
        while let Some(done) = transfers.join_next().await {
            note(
                &mut failed,
                done.unwrap_or_else(|error| Err(CommandError::failed(error.to_string()))),
            );
        }
        return failed;
    }
    for index in 0..job.arguments.urls.len() {
        note(&mut failed, job.transfer(index).await);
    }
    failed
}

/// Keeps the latest failure; the ones before have their say here.
fn note(failed: &mut Result<(), CommandError>, done: Result<(), CommandError>) {
    if done.is_err()
        && let Err(before) = std::mem::replace(failed, done)
    {
        before.print();
    }
}

fn http_client(
    context: &Context,
    arguments: &GetArguments,
    trace: &Trace,
    jar: Option<Arc<Cookies>>,
) -> Result<Client, CommandError> {
    let transfer = &arguments.transfer;
    let mut security = Security::tls();
    if let Some(file) = &arguments.trust.cacert {
        security = security.with_roots(load_certificates(file)?);
    }
    if arguments.trust.insecure {
        security = security.with_trust(Trust::DangerousAnyone);
    }
    if let (Some(cert), Some(key)) = (&arguments.trust.cert, &arguments.trust.key) {
        security = security.with_identity(load_identity(cert, key)?);
    }
    let mut timeouts = Timeouts::default();
    let mut pool = pool::Config::default();
    if let Some(limit) = transfer.connect_timeout {
        // curl's limit is one for all phases of a connection.
        (timeouts.resolve, timeouts.connect, timeouts.handshake) = (None, None, None);
        pool.dial_max = limit;
    }
    let mut builder = Client::builder()
        .context(context)
        .security(security)
        .timeouts(timeouts)
        .pool(pool)
        .proxy(access::proxies(&arguments.access)?)
        .redirects(match transfer.location {
            true => transfer.max_redirs,
            false => 0,
        });
    if arguments.request.compressed {
        builder = builder.decompression(Decompression::default());
    }
    let abstract_name = transfer.abstract_unix_socket.as_ref();
    let socket = transfer.unix_socket.clone();
    if let Some(path) = socket.or(abstract_name.map(|name| abstract_path(name))) {
        builder = builder.unix_socket(path);
    }
    if let Some(jar) = jar {
        builder = builder.cookies(jar);
    }
    if trace.is_read() {
        let trace = trace.clone();
        builder = builder.on_event(move |event| trace.tell(&format!("* {event}")));
    }
    Ok(builder.build())
}

/// The path that an abstract name of a socket has.
fn abstract_path(name: &OsStr) -> PathBuf {
    let mut path = OsString::from("\0");
    path.push(name);
    path.into()
}

struct Job {
    client: Client,
    prepared: Prepared,
    trace: Trace,
    progress: Progress,
    arguments: GetArguments,
}

impl Job {
    /// Gets one URL, again where that was asked for.
    async fn transfer(&self, index: usize) -> Result<(), CommandError> {
        let target = Target::new(&self.arguments.urls[index]);
        let url = &target.shown;
        let destination = Destination::of(&self.arguments.output, url, index)?;
        let begin = self.begin(&destination).await?;
        let mut tries = Tries::new(&self.arguments.transfer);
        if !self.prepared.is_repeatable() {
            tries.left = 0;
        }
        let started = Instant::now();
        loop {
            let answered = self.answer(&target, begin).await?;
            if let Some(asked) = retry::is_passing(&answered)
                && let Some(wait) = tries.next(started.elapsed(), asked)
            {
                let left = tries.left;
                let line = format!("* another try after {wait:?}, then {left} are left");
                self.trace.tell(&line);
                tokio::time::sleep(wait).await;
                continue;
            }
            let mut transfer = Transfer::new(url, started);
            let outcome = match answered {
                Ok(response) => {
                    let taking = self.take(response, &destination, begin, &mut transfer);
                    taking.await
                }
                Err(error) => Err(failure(url, &error)),
            };
            return self.conclude(transfer, outcome);
        }
    }

    /// Behind how many bytes the transfer begins.
    async fn begin(&self, destination: &Destination) -> Result<u64, CommandError> {
        let output = &self.arguments.output;
        match output.continue_at.as_deref() {
            None if !output.continues => Ok(0),
            None | Some("-") => destination.length().await,
            Some(offset) => offset.parse().map_err(|_| {
                CommandError::usage(format!("{offset:?} is no number of bytes, nor -"))
            }),
        }
    }

    async fn answer(
        &self,
        target: &Target,
        begin: u64,
    ) -> Result<Result<Response, Error>, CommandError> {
        let access = &self.arguments.access;
        let reading = match access::may_be_asked(access, target.is_cleartext) {
            true => Reading::Before,
            false => Reading::Meanwhile,
        };
        let url = &target.url;
        let mut request = self.prepared.build(&self.client, url, reading).await?;
        if let Some(credentials) = access::credentials(access, target.login.as_ref()) {
            request = request.credentials(credentials);
        }
        if begin > 0 {
            request = request.header(RANGE, format!("bytes={begin}-"));
        }
        if let Some(limit) = self.arguments.transfer.max_time {
            request = request.timeout(limit);
        }
        if self.trace.is_read() {
            let target = self.prepared.target(&target.shown);
            self.trace
                .tell(&format!("> {} {target}", self.prepared.method()));
            for (name, value) in self.prepared.headers() {
                let value = String::from_utf8_lossy(value.as_bytes());
                self.trace.tell(&format!("> {name}: {value}"));
            }
        }
        Ok(request.send().await)
    }

    /// Writes a response where it belongs.
    async fn take(
        &self,
        mut response: Response,
        destination: &Destination,
        begin: u64,
        transfer: &mut Transfer,
    ) -> Result<(), CommandError> {
        transfer.on_head(&response);
        let head = format::head(&response);
        if self.trace.is_read() {
            let tell = |line| self.trace.tell(&format!("< {line}"));
            head.lines().for_each(tell);
        }
        let status = response.status();
        let is_failure = status.is_client_error() || status.is_server_error();
        // That nothing is left to get is no failure.
        let is_beyond = begin > 0 && status == StatusCode::RANGE_NOT_SATISFIABLE;
        if self.arguments.output.fail && is_failure && !is_beyond {
            let message = format!("{}: the status is {status}", transfer.url());
            return Err(CommandError::with_code(EXIT_STATUS, message));
        }
        if begin > 0 && resume::judge(&response, begin)? == Resumed::Complete {
            return Ok(());
        }
        let bar = match destination.is_file() {
            true => {
                let length = http_body::Body::size_hint(response.body()).exact();
                self.progress.bar(transfer.url(), begin, length)
            }
            false => ProgressBar::hidden(),
        };
        let mut file = destination.open(begin).await?;
        if self.arguments.output.include || self.arguments.request.head {
            file.write(head.as_bytes()).await?;
        }
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    transfer.downloaded += chunk.len() as u64;
                    bar.set_position(begin + transfer.downloaded);
                    self.trace.note(&format!("< {} bytes", chunk.len()));
                    file.write(&chunk).await?;
                }
                Ok(None) => {
                    bar.finish();
                    return file.finish().await;
                }
                Err(error) => {
                    bar.abandon();
                    file.finish().await?;
                    return Err(failure(transfer.url(), &error));
                }
            }
        }
    }

    /// Says afterwards what was asked for.
    fn conclude(
        &self,
        mut transfer: Transfer,
        outcome: Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        transfer.on_end(outcome.as_ref().err());
        self.trace.tell(&format!("* {}", transfer.phases()));
        if let Some(format) = &self.arguments.output.write_out {
            crate::output::print_raw(&transfer.written_out(format))?;
        }
        outcome
    }
}

fn failure(url: &str, error: &Error) -> CommandError {
    let code = match error.class() {
        ErrorClass::InvalidRequest => EXIT_URL,
        ErrorClass::Resolve if error.proxy().is_some() => EXIT_RESOLVE_PROXY,
        ErrorClass::Resolve => EXIT_RESOLVE,
        ErrorClass::Proxy => match error.proxy() {
            Some(ProxyFault::Socks(_)) => EXIT_SOCKS,
            _ => EXIT_RECEIVE,
        },
        ErrorClass::Connect => EXIT_CONNECT,
        ErrorClass::TimedOut(_) => EXIT_TIME,
        ErrorClass::Tls | ErrorClass::Version => EXIT_TLS,
        ErrorClass::Certificate => EXIT_CERTIFICATE,
        ErrorClass::Redirect => EXIT_REDIRECTS,
        ErrorClass::Encoding => EXIT_ENCODING,
        ErrorClass::Protocol | ErrorClass::Closed | ErrorClass::Reset => EXIT_RECEIVE,
        _ => 1,
    };
    let details = error.report().map(crate::error::causes).unwrap_or_default();
    CommandError::with_code_and_details(code, format!("{url}: {error}"), details)
}

const EXIT_URL: u8 = 3;
const EXIT_RESOLVE_PROXY: u8 = 5;
const EXIT_RESOLVE: u8 = 6;
const EXIT_CONNECT: u8 = 7;
const EXIT_STATUS: u8 = 22;
const EXIT_TIME: u8 = 28;
const EXIT_TLS: u8 = 35;
const EXIT_REDIRECTS: u8 = 47;
const EXIT_RECEIVE: u8 = 56;
const EXIT_CERTIFICATE: u8 = 60;
const EXIT_ENCODING: u8 = 61;
const EXIT_SOCKS: u8 = 97;
