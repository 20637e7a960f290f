//! A file from a server to the client, as messages, with its digest.
//!
//! Protocol: the client sends `get`; the server answers with the length and the SHA-256 digest in
//! one message, then with the file in messages of [`CHUNK_BYTES`].

use super::progress::Progress;
use crate::error::CommandError;
use aws_lc_rs::digest::{Context as Digest, SHA256};
use portway::{Connection, Listener};
use std::fmt::Display;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A file of random bytes in a directory of its own, which goes with it.
pub(super) struct SentFile {
    directory: PathBuf,
    digest: String,
}

impl SentFile {
    pub(super) fn make() -> Result<SentFile, CommandError> {
        let mut name = [0; 8];
        random(&mut name)?;
        let directory = std::env::temp_dir().join(format!("portway-demo-{}", hex(&name)));
        std::fs::create_dir(&directory)
            .map_err(|error| cannot("make", &directory.display(), &error))?;
        // From here on the directory goes with the value, whatever fails.
        let mut file = SentFile {
            directory,
            digest: String::new(),
        };
        let mut bytes = vec![0; FILE_BYTES];
        random(&mut bytes)?;
        let path = file.path();
        std::fs::write(&path, &bytes).map_err(|error| cannot("write", &path.display(), &error))?;
        file.digest = digest_of(&path)?;
        Ok(file)
    }

    pub(super) fn length(&self) -> u64 {
        FILE_BYTES as u64
    }

    fn path(&self) -> PathBuf {
        self.directory.join("sent")
    }

    fn received_path(&self) -> PathBuf {
        self.directory.join("received")
    }
}

impl Drop for SentFile {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own care for temporary files.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Serves `file` to everybody until the runtime ends.
pub(super) fn serve(mut listener: Listener, file: Arc<SentFile>) {
    tokio::spawn(async move {
        while let Some(connection) = listener.accept().await {
            let file = file.clone();
            tokio::spawn(async move {
                // The client's side tells whatever goes wrong.
                let _ = send(&connection, &file).await;
            });
        }
    });
}

async fn send(connection: &Connection, file: &SentFile) -> Result<(), CommandError> {
    let request = connection.receive().await.map_err(failed)?;
    if &request[..] != b"get" {
        connection.abort();
        return Ok(());
    }
    let header = format!("{} {}", file.length(), file.digest);
    drop(connection.send(header).await.map_err(failed)?);
    let path = file.path();
    let mut source = File::open(&path)
        .await
        .map_err(|error| cannot("read", &path.display(), &error))?;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = source
            .read(&mut chunk)
            .await
            .map_err(|error| cannot("read", &path.display(), &error))?;
        if read == 0 {
            break;
        }
        chunk.truncate(read);
        drop(connection.send(chunk).await.map_err(failed)?);
    }
    connection.close().await.map_err(failed)
}

/// Fetches the file and compares its digest; tells how it went.
pub(super) async fn fetch(
    connection: &Connection,
    file: &SentFile,
) -> Result<String, CommandError> {
    let started = Instant::now();
    drop(connection.send("get").await.map_err(failed)?);
    let header = connection.receive().await.map_err(failed)?;
    let (length, digest) = parse_header(&header)?;
    let path = file.received_path();
    let mut target = File::create(&path)
        .await
        .map_err(|error| cannot("write", &path.display(), &error))?;
    let mut progress = Progress::new(length);
    let (mut received, mut messages) = (0, 0);
    while received < length {
        let chunk = connection.receive().await.map_err(failed)?;
        target
            .write_all(&chunk)
            .await
            .map_err(|error| cannot("write", &path.display(), &error))?;
        received += chunk.len() as u64;
        messages += 1;
        progress.show(received);
    }
    drop(progress);
    target
        .flush()
        .await
        .map_err(|error| cannot("write", &path.display(), &error))?;
    let took = started.elapsed();
    let actual = digest_of(&path)?;
    if actual != digest || received != length {
        return Err(CommandError::failed(format!(
            "the file arrived damaged: SHA-256 {actual} instead of {digest}"
        )));
    }
    Ok(format!(
        "{received} bytes in {messages} messages and {:.2} s\nSHA-256 {actual}: as sent",
        took.as_secs_f64()
    ))
}

fn parse_header(header: &[u8]) -> Result<(u64, String), CommandError> {
    let text = String::from_utf8_lossy(header);
    text.split_once(' ')
        .and_then(|(length, digest)| Some((length.parse().ok()?, digest.to_owned())))
        .ok_or_else(|| CommandError::failed("the server's answer is not that of the demo"))
}

fn digest_of(path: &std::path::Path) -> Result<String, CommandError> {
    let failed = |error: std::io::Error| cannot("read", &path.display(), &error);
    let mut source = std::fs::File::open(path).map_err(failed)?;
    let mut digest = Digest::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = source.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            return Ok(hex(digest.finish().as_ref()));
        }
        digest.update(&chunk[..read]);
    }
}

fn random(out: &mut [u8]) -> Result<(), CommandError> {
    aws_lc_rs::rand::fill(out).map_err(|_| CommandError::failed("the system has no randomness"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(error: impl Display) -> CommandError {
    CommandError::failed(format!("the transfer failed: {error}"))
}

fn cannot(verb: &str, what: &dyn Display, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot {verb} {what}: {error}"))
}

const FILE_BYTES: usize = 8 * 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
