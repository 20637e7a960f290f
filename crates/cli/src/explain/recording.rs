//! Recordings of races as files.
//!
//! Invariant: a file that replays gives the recorded decisions byte for byte, or says at which
//! decision it does not.

use super::shown::Shown;
use crate::arguments::ExplainArguments;
use crate::error::CommandError;
use crate::output::{self, Style, print};
use portway::race::{Divergence, Recording};
use serde_json::json;
use std::path::Path;

pub(super) fn write(file: &Path, recording: &Recording) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(recording)
        .map_err(|error| CommandError::failed(format!("cannot be recorded: {error}")))?;
    output::write_file(file, &(text + "\n"))
}

/// Runs a recorded race again and compares.
pub(super) fn replay(file: &Path, arguments: &ExplainArguments) -> Result<(), CommandError> {
    let recording = read(file)?;
    let replayed = recording.replay();
    if arguments.verbose {
        let style = Style::of_stderr();
        for event in &recording.events {
            output::tell(&style.dim(&event.to_string()));
        }
    }
    let report = match replayed {
        Ok(report) => report,
        Err(divergence) => return Err(diverged(file, arguments, &divergence)?),
    };
    super::draw(arguments.svg.as_deref(), Some(&report))?;
    let counts = (
        recording.inputs.len(),
        recording.outputs.len(),
        recording.events.len(),
    );
    let shown = Shown::replayed(report, recording.events);
    if arguments.json {
        let mut value = shown.value()?;
        value["replay"] = json!({
            "is_identical": true,
            "inputs": counts.0,
            "outputs": counts.1,
            "events": counts.2,
        });
        return print(&format!("{value:#}"));
    }
    print(&shown.text(Style::of_stdout()))?;
    print(&format!(
        "\nreplayed {} inputs: the {} outputs and {} events are the recorded ones, byte for byte",
        counts.0, counts.1, counts.2
    ))
}

fn diverged(
    file: &Path,
    arguments: &ExplainArguments,
    divergence: &Divergence,
) -> Result<CommandError, CommandError> {
    if arguments.json {
        let value = json!({
            "replay": {
                "is_identical": false,
                "what": divergence.what.to_string(),
                "index": divergence.index,
                "recorded": divergence.recorded,
                "replayed": divergence.replayed,
            }
        });
        print(&format!("{value:#}"))?;
    }
    let message = format!(
        "{}: the replay takes another way at {} {}",
        file.display(),
        divergence.what,
        divergence.index
    );
    let details = vec![
        format!("recorded: {}", divergence.recorded),
        format!("replayed: {}", divergence.replayed),
    ];
    Ok(CommandError::with_code_and_details(1, message, details))
}

fn read(file: &Path) -> Result<Recording, CommandError> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| CommandError::failed(format!("cannot read {name}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| CommandError::failed(format!("{name} is not a recording: {error}")))
}
