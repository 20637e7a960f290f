//! The directory that is served: from a request's path to an open file.
//!
//! Invariant: what is opened lies inside of the directory when it is open, whatever links say and
//! whoever changes them meanwhile.

use percent_encoding::percent_decode_str;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Without links in it.
    root: Arc<Path>,
}

/// What a path names.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    /// Where it really is.
    pub(super) path: PathBuf,
}

/// Why a path names nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// It is no path.
    Malformed,
    /// There is nothing that may be seen.
    Nothing,
    /// It is there and cannot be read.
    Unreadable,
}

impl Tree {
    /// The directory at `path`.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let root = path.canonicalize()?;
        match root.is_dir() {
            true => Ok(Tree { root: root.into() }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Opens what a request's path names.
    pub(super) fn open(&self, request_path: &str) -> Result<Found, NotFound> {
        self.open_relative(&relative(request_path)?)
    }

    /// Opens a path below the directory.
    pub(super) fn open_relative(&self, relative: &Path) -> Result<Found, NotFound> {
        let path = self.root.join(relative);
        let found = open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => NotFound::Unreadable,
            _ => NotFound::Nothing,
        })?;
        let is_plain = found.metadata.is_file() || found.metadata.is_dir();
        // A link that leads elsewhere is as if it were not there: it tells nothing of elsewhere.
        match is_plain && found.path.starts_with(&self.root) {
            true => Ok(found),
            false => Err(NotFound::Nothing),
        }
    }

    /// The path of something that was found, below the directory.
    pub(super) fn relative_of<'a>(&self, found: &'a Found) -> &'a Path {
        found.path.strip_prefix(&self.root).unwrap_or(Path::new(""))
    }
}

/// A path below a directory, of plain names only.
fn relative(request_path: &str) -> Result<PathBuf, NotFound> {
    let mut path = PathBuf::new();
    for segment in request_path.split('/').filter(|it| !it.is_empty()) {
        let segment = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| NotFound::Malformed)?;
        if segment.contains(['/', '\0']) || cfg!(windows) && segment.contains(['\\', ':']) {
            return Err(NotFound::Malformed);
        }
        // What begins with a dot is hidden; with it go the ways up. RFC 8615 §3 has the exception.
        if segment.starts_with('.') && !(segment == ".well-known" && path.as_os_str().is_empty()) {
            return Err(NotFound::Nothing);
        }
        path.push(&*segment);
    }
    Ok(path)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<Found> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe without a writer must not hold the server up.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    // Asked when it is open, so that nobody can exchange it afterwards.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = match std::fs::read_link(by_descriptor) {
        Ok(path) => path,
        // A system without /proc.
        Err(_) => path.canonicalize()?,
    };
    Ok(Found {
        file,
        metadata,
        path,
    })
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<Found> {
    let file = OpenOptions::new().read(true).open(path)?;
    let metadata = file.metadata()?;
    let path = path.canonicalize()?;
    Ok(Found {
        file,
        metadata,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_make_a_path() {
        let rows = [
            ("/", Ok("")),
            ("/a/b.txt", Ok("a/b.txt")),
            ("//a///b", Ok("a/b")),
            ("/a%20b", Ok("a b")),
            ("/..", Err(NotFound::Nothing)),
            ("/a/../../b", Err(NotFound::Nothing)),
            ("/%2e%2e/b", Err(NotFound::Nothing)),
            ("/a%2f..%2fb", Err(NotFound::Malformed)),
            ("/a%00", Err(NotFound::Malformed)),
            ("/%ff", Err(NotFound::Malformed)),
            ("/.git/config", Err(NotFound::Nothing)),
            ("/.well-known/x", Ok(".well-known/x")),
            ("/a/.well-known", Err(NotFound::Nothing)),
        ];
        for (asked, expected) in rows {
            assert_eq!(relative(asked), expected.map(PathBuf::from), "{asked}");
        }
    }
}
