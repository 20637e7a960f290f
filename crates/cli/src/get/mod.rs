//! `portway get`: URLs fetched as curl's users expect it.
//!
//! Invariant: each URL is a transfer with a curl exit code of its own; the command ends with the
//! code of the last one that failed.

mod access;
mod format;
mod output;
mod request;

use crate::arguments::GetArguments;
use crate::client;
use crate::error::CommandError;
use crate::output::tell;
use format::Transfer;
use output::Destination;
use portway::security::Trust;
use portway::{Context, Security};
use portway_http::Client;
use portway_http::client::{ClientEvent, Error, ErrorClass, ProxyFault, Response, Timeouts};
use portway_http::pool;
use portway_transport::tls::load_certificates;
use request::Prepared;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub(crate) async fn run(arguments: GetArguments) -> Result<(), CommandError> {
    let context = client::context_with(arguments.transfer.resolver);
    let done = get_all(&context, arguments).await;
    client::say_goodbye(&context).await;
    done
}

async fn get_all(context: &Context, arguments: GetArguments) -> Result<(), CommandError> {
    let client = http_client(context, &arguments)?;
    let prepared = Prepared::new(&arguments.request)?;
    let job = Arc::new(Job {
        client,
        prepared,
        arguments,
    });
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

fn http_client(context: &Context, arguments: &GetArguments) -> Result<Client, CommandError> {
    let mut security = Security::tls();
    if let Some(file) = &arguments.trust.cacert {
        security = security.with_roots(load_certificates(file)?);
    }
    if arguments.trust.insecure {
        security = security.with_trust(Trust::DangerousAnyone);
    }
    let mut timeouts = Timeouts::default();
    let mut pool = pool::Config::default();
    if let Some(limit) = arguments.transfer.connect_timeout {
        // curl's limit is one for all phases of a connection.
        (timeouts.resolve, timeouts.connect, timeouts.handshake) = (None, None, None);
        pool.dial_max = limit;
    }
    let builder = Client::builder()
        .context(context)
        .security(security)
        .timeouts(timeouts)
        .pool(pool)
        .proxy(access::proxies(&arguments.access)?)
        .redirects(match arguments.transfer.location {
            true => arguments.transfer.max_redirs,
            false => 0,
        });
    Ok(match arguments.verbose {
        true => builder
            .on_event(|event: &ClientEvent| tell(&format!("* {event}")))
            .build(),
        false => builder.build(),
    })
}

struct Job {
    client: Client,
    prepared: Prepared,
    arguments: GetArguments,
}

impl Job {
    /// Gets one URL, again where that was asked for.
    async fn transfer(&self, index: usize) -> Result<(), CommandError> {
        let url = &self.arguments.urls[index];
        let destination = Destination::of(&self.arguments.output, url, index)?;
        let mut left = self.arguments.transfer.retry;
        let mut pause = Duration::from_secs(1);
        let started = Instant::now();
        loop {
            let answered = self.answer(url).await;
            if left > 0
                && let Some(asked) = worth_another_try(&answered)
            {
                left -= 1;
                let wait = asked.unwrap_or(pause);
                pause *= 2;
                if self.arguments.verbose {
                    tell(&format!(
                        "* another try after {wait:?}, then {left} are left"
                    ));
                }
                tokio::time::sleep(wait).await;
                continue;
            }
            let mut transfer = Transfer::new(url, started);
            let outcome = match answered {
                Ok(response) => self.take(response, &destination, &mut transfer).await,
                Err(error) => Err(failure(url, &error)),
            };
            return self.conclude(transfer, outcome);
        }
    }

    async fn answer(&self, url: &str) -> Result<Response, Error> {
        let mut request = self.prepared.build(&self.client, url)?;
        if let Some(credentials) = access::credentials(&self.arguments.access) {
            request = request.credentials(credentials);
        }
        if let Some(limit) = self.arguments.transfer.max_time {
            request = request.timeout(limit);
        }
        if self.arguments.verbose {
            tell(&format!("> {} {url}", self.prepared.method()));
            for (name, value) in self.prepared.headers() {
                tell(&format!(
                    "> {name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                ));
            }
        }
        request.send().await
    }

    /// Writes a response where it belongs.
    async fn take(
        &self,
        mut response: Response,
        destination: &Destination,
        transfer: &mut Transfer,
    ) -> Result<(), CommandError> {
        transfer.on_head(&response);
        let head = format::head(&response);
        if self.arguments.verbose {
            head.lines().for_each(|line| tell(&format!("< {line}")));
        }
        let status = response.status();
        let is_failure = status.is_client_error() || status.is_server_error();
        if self.arguments.output.fail && is_failure {
            let message = format!("{}: the status is {status}", transfer.url());
            return Err(CommandError::with_code(EXIT_STATUS, message));
        }
        let mut file = destination.open().await?;
        if self.arguments.output.include || self.arguments.request.head {
            file.write(head.as_bytes()).await?;
        }
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    transfer.downloaded += chunk.len() as u64;
                    file.write(&chunk).await?;
                }
                Ok(None) => return file.finish().await,
                Err(error) => {
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
        if self.arguments.verbose {
            tell(&format!("* {}", transfer.phases()));
        }
        if let Some(format) = &self.arguments.output.write_out {
            crate::output::print_raw(&transfer.written_out(format))?;
        }
        outcome
    }
}

/// Whether curl would try again, and for how long the server asks to wait.
fn worth_another_try(answered: &Result<Response, Error>) -> Option<Option<Duration>> {
    match answered {
        Ok(response) => {
            let is_passing = [408, 429, 500, 502, 503, 504].contains(&response.status().as_u16());
            let asked = response.headers().get("retry-after");
            let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
            is_passing.then_some(asked.map(Duration::from_secs))
        }
        Err(error) => matches!(error.class(), ErrorClass::TimedOut(_)).then_some(None),
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
const EXIT_SOCKS: u8 = 97;
