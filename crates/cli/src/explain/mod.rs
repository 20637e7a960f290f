//! `portway explain`: what would be tried and why, and how it went.
//!
//! Invariant: everything that is said comes from the plan, the race's report or its recording;
//! nothing is told that the engine did not decide.

mod recording;
mod shown;
mod tree;

pub(crate) use tree::text as tree_text;

use crate::arguments::ExplainArguments;
use crate::client;
use crate::connect::summary;
use crate::error::CommandError;
use crate::output::{self, Style, print};
use crate::waterfall::Waterfall;
use portway::race::{Event, Recording, Report};
use portway::{Action, Plan};
use portway::{Connection, EstablishmentError, Preconnection, TransportProperties};
use shown::Shown;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

pub(crate) async fn run(arguments: ExplainArguments) -> Result<(), CommandError> {
    if let Some(file) = &arguments.replay {
        return recording::replay(file, &arguments);
    }
    let remote = arguments.remote().map_err(CommandError::usage)?;
    let properties =
        client::set_properties(TransportProperties::new(), &arguments.network.properties)?;
    let preconnection = Preconnection::new(client::security(&arguments.security)?)
        .context(&client::context(&arguments.network))
        .remote(remote.clone())
        .properties(properties);
    let target = remote.to_string();
    let plan = preconnection
        .plan(Action::Initiate)
        .map_err(|error| CommandError::establishment(&target, &EstablishmentError::Plan(error)))?;
    if !arguments.json {
        print(&plan.to_string())?;
    }
    match arguments.dry_run {
        true => dry_run(&arguments, &preconnection, &plan, &target).await,
        false => live(&arguments, &preconnection, &plan, &target).await,
    }
}

/// Resolves, and shows the tree that a race would start from.
async fn dry_run(
    arguments: &ExplainArguments,
    preconnection: &Preconnection,
    plan: &Plan,
    target: &str,
) -> Result<(), CommandError> {
    let tree = timeout(arguments.network.timeout, preconnection.candidate_tree());
    let report = match tree.await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => return Err(CommandError::establishment(target, &error)),
        Err(_) => {
            let message = format!("{target}: the resolver did not answer in time");
            return Err(CommandError::failed(message));
        }
    };
    let has_leaves = !report.tree.is_empty();
    let shown = Shown::dry_run(plan, report);
    match arguments.json {
        true => print(&shown.json()?)?,
        false => print(&shown.text(Style::of_stdout()))?,
    }
    match has_leaves {
        true => Ok(()),
        false => Err(CommandError::failed(format!(
            "{target}: nothing could be attempted"
        ))),
    }
}

/// Races for real.
async fn live(
    arguments: &ExplainArguments,
    preconnection: &Preconnection,
    plan: &Plan,
    target: &str,
) -> Result<(), CommandError> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut initiate = preconnection
        .initiate()
        .timeout(arguments.network.timeout)
        .on_event(sink(events.clone(), arguments.verbose));
    if arguments.record.is_some() {
        initiate = initiate.record();
    }
    let outcome = initiate.await;
    let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
    match outcome {
        Ok(connection) => {
            let recording = connection.take_recording();
            let report = connection.report();
            keep(arguments, recording.as_ref(), report.as_ref())?;
            let mut shown = Shown::live(plan, report, events);
            shown.connection = Some(connection.info());
            tell(arguments, &shown)?;
            leave(&connection).await;
            Ok(())
        }
        Err(error) => {
            keep(arguments, error.recording(), error.report())?;
            let mut shown = Shown::live(plan, error.report().cloned(), events);
            shown.failure = Some(error.failure());
            tell(arguments, &shown)?;
            Err(CommandError::establishment(target, &error))
        }
    }
}

/// Collects events, and tells them if asked to.
fn sink(events: Arc<Mutex<Vec<Event>>>, is_verbose: bool) -> impl FnMut(&Event) + Send + 'static {
    let style = Style::of_stderr();
    move |event| {
        if is_verbose {
            output::tell(&style.dim(&event.to_string()));
        }
        let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
    }
}

/// Writes the files that were asked for.
fn keep(
    arguments: &ExplainArguments,
    recording: Option<&Recording>,
    report: Option<&Report>,
) -> Result<(), CommandError> {
    if let (Some(file), Some(recording)) = (&arguments.record, recording) {
        recording::write(file, recording)?;
    }
    draw(arguments.svg.as_deref(), report)
}

/// Draws the waterfall, if that was asked for and there was a race.
fn draw(file: Option<&Path>, report: Option<&Report>) -> Result<(), CommandError> {
    let (Some(file), Some(report)) = (file, report) else {
        return Ok(());
    };
    output::write_file(file, &Waterfall::of(report).svg())
}

fn tell(arguments: &ExplainArguments, shown: &Shown<'_>) -> Result<(), CommandError> {
    match arguments.json {
        true => print(&shown.json()?),
        false => {
            print(&shown.text(Style::of_stdout()))?;
            match &shown.connection {
                Some(info) => print(&format!("connected {}", summary(info))),
                None => Ok(()),
            }
        }
    }
}

/// Leaves politely; a peer that does not answer is not waited for.
async fn leave(connection: &Connection) {
    let _ = timeout(LEAVE_TIME_MAX, connection.close()).await;
}

const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);
