//! `portway demo`: the whole of it on loopback, for somebody who sees it for the first time.
//!
//! Invariant: only the stage is set up here (a name server, servers, a dead address); plan,
//! resolution, race, TLS and transfer are the product's own, and what is told is read from them.

mod authority;
mod dead_end;
mod loopback;
mod name_server;
mod narration;
mod progress;
mod stage;
mod transfer;

use crate::arguments::DemoArguments;
use crate::connect::summary;
use crate::error::CommandError;
use crate::output::{self, Style, print};
use crate::waterfall::Waterfall;
use portway::{
    Action, Connection, EstablishmentError, LengthPrefixed, Preconnection, race::Report,
};
use portway::{RemoteEndpoint, Security, TransportProperties};
use stage::Stage;
use std::time::Duration;

pub(crate) async fn run(arguments: DemoArguments) -> Result<(), CommandError> {
    let style = Style::of_stdout();
    print(&style.bold("portway demo: all of it on this machine, over loopback"))?;
    let stage = Stage::set_up().await?;
    heading(1, "The stage")?;
    print(&stage.description())?;

    heading(2, "The plan, before any packet")?;
    let preconnection = preconnection(&stage);
    let plan = preconnection
        .plan(Action::Initiate)
        .map_err(|error| failed(&EstablishmentError::Plan(error)))?;
    print(&plan.to_string())?;

    heading(3, "The race")?;
    let connection = race(&arguments, &preconnection).await?;
    let report = connection
        .report()
        .ok_or_else(|| CommandError::failed("the race left no report"))?;
    tell_race(&report, style)?;
    print(&format!("connected {}", summary(&connection.info())))?;

    heading(4, "A file, over the connection that won")?;
    let moved = transfer::fetch(&connection, &stage.file).await?;
    print(&moved)?;
    connection
        .close()
        .await
        .map_err(|error| CommandError::failed(error.to_string()))?;
    print("closed: the peer has acknowledged everything, or this line would be an error")?;

    heading(5, "The picture")?;
    output::write_file(&arguments.output, &Waterfall::of(&report).svg())?;
    print(&format!(
        "the race as a waterfall: {}\nNow yours: portway explain example.com",
        arguments.output.display()
    ))
}

fn heading(number: u8, words: &str) -> Result<(), CommandError> {
    let line = format!("\n{number}. {words}");
    print(&Style::of_stdout().bold(&line))
}

/// What an application would write.
fn preconnection(stage: &Stage) -> Preconnection {
    let security = Security::tls()
        .with_roots([stage.root.clone()])
        .with_alpn([stage::PROTOCOL]);
    Preconnection::new(security)
        .context(&stage.context)
        .remote(RemoteEndpoint::host_name(stage::NAME).service("https"))
        .properties(TransportProperties::reliable_message())
        .framer(LengthPrefixed::u32())
}

async fn race(
    arguments: &DemoArguments,
    preconnection: &Preconnection,
) -> Result<Connection, CommandError> {
    let mut initiate = preconnection.initiate().timeout(RACE_TIME_MAX);
    if arguments.verbose {
        let style = Style::of_stderr();
        initiate = initiate.on_event(move |event| output::tell(&style.dim(&event.to_string())));
    }
    initiate.await.map_err(|error| failed(&error))
}

fn tell_race(report: &Report, style: Style) -> Result<(), CommandError> {
    print(&crate::explain::tree_text(report, style))?;
    print(&Waterfall::of(report).text(style))?;
    print(&narration::of(report))
}

fn failed(error: &EstablishmentError) -> CommandError {
    CommandError::establishment(stage::NAME, error)
}

/// A machine that is busy must not fail here; the race itself takes well below a second.
const RACE_TIME_MAX: Duration = Duration::from_secs(30);
