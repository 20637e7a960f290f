//! Where a response is written.

use crate::arguments::GetOutput;
use crate::error::CommandError;
use std::io::{SeekFrom, Write};
use std::path::PathBuf;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter, Stdout};

pub(super) enum Destination {
    Standard,
    File(PathBuf),
}

pub(super) enum Sink {
    Standard(Stdout),
    File(PathBuf, BufWriter<File>),
}

impl Destination {
    pub(super) fn of(output: &GetOutput, url: &str, index: usize) -> Result<Self, CommandError> {
        if output.remote_name {
            let name = remote_name(url).ok_or_else(|| {
                CommandError::usage(format!("{url} does not end in a name: use --output"))
            })?;
            return Ok(Destination::File(name.into()));
        }
        Ok(match output.output.get(index) {
            Some(file) => Destination::File(file.clone()),
            None => Destination::Standard,
        })
    }

    /// Whether a person could not see the content come by itself.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Destination::File(_))
    }

    /// How much of it is there already.
    pub(super) async fn length(&self) -> Result<u64, CommandError> {
        let Destination::File(path) = self else {
            let message = "standard output has no end to go on from: use --output";
            return Err(CommandError::usage(message));
        };
        match tokio::fs::metadata(path).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(cannot_write(path, &error)),
        }
    }

    /// Opens it; with `begin`, behind so much of what is there.
    pub(super) async fn open(&self, begin: u64) -> Result<Sink, CommandError> {
        Ok(match self {
            Destination::Standard => Sink::Standard(tokio::io::stdout()),
            Destination::File(path) => {
                let file = match begin {
                    0 => File::create(path).await,
                    _ => open_behind(path, begin).await,
                };
                let file = file.map_err(|error| cannot_write(path, &error))?;
                Sink::File(path.clone(), BufWriter::new(file))
            }
        })
    }
}

impl Sink {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        match self {
            Sink::Standard(out) => {
                let written = out.write_all(bytes).await;
                written.map_err(|error| crate::output::cannot_write(&error))
            }
            Sink::File(path, file) => {
                let written = file.write_all(bytes).await;
                written.map_err(|error| cannot_write(path, &error))
            }
        }
    }

    pub(super) async fn finish(&mut self) -> Result<(), CommandError> {
        match self {
            Sink::Standard(out) => {
                let flushed = out.flush().await;
                flushed.map_err(|error| crate::output::cannot_write(&error))
            }
            Sink::File(path, file) => {
                let flushed = file.flush().await;
                flushed.map_err(|error| cannot_write(path, &error))
            }
        }
    }
}

async fn open_behind(path: &std::path::Path, begin: u64) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let mut file = options.open(path).await?;
    file.set_len(begin).await?;
    file.seek(SeekFrom::Start(begin)).await?;
    Ok(file)
}

fn cannot_write(path: &std::path::Path, error: &std::io::Error) -> CommandError {
    let message = format!("cannot write {}: {error}", path.display());
    CommandError::with_code(EXIT_WRITE, message)
}

/// The last part of a URL's path, which never leaves the directory.
fn remote_name(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    (!matches!(name, "" | "." | "..") && !name.contains('\\')).then_some(name)
}

/// Writes the cookies that are kept.
pub(super) fn write_cookies(file: &std::path::Path, text: &str) -> Result<(), CommandError> {
    if file.as_os_str() == "-" {
        return crate::output::print_raw(text);
    }
    let written = create_private(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| cannot_write(file, &error))
}

/// Creates a file that nobody else may read, or empties the one that is there.
pub(super) fn create_private(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(super) const EXIT_WRITE: u8 = 23;

#[cfg(test)]
mod tests {
    use super::remote_name;

    #[test]
    fn a_file_is_named_as_the_end_of_the_url() {
        let rows = [
            ("https://a.test/b/c.tar.gz", Some("c.tar.gz")),
            ("https://a.test/b?file=../../x", Some("b")),
            ("https://a.test/b#/x", Some("b")),
            ("https://a.test/", None),
            ("https://a.test", None),
            ("https://a.test/..", None),
            ("https://a.test/..\\x", None),
        ];
        for (url, name) in rows {
            assert_eq!(remote_name(url), name, "{url}");
        }
    }
}
