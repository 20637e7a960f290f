//! The content of a request, made anew for each URL and each try.
//!
//! Invariant: a file is read as it is sent, so that its size costs no memory; where the request may
//! have to be sent twice for a challenge, it is held instead, up to a limit.

use crate::arguments::GetRequest;
use crate::error::CommandError;
use bytes::Bytes;
use http::HeaderValue;
use portway_http::client::{Body, Form, Part, RequestBuilder};
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is sent.
pub(super) enum Content {
    None,
    /// These bytes, which are of this type.
    Bytes(Bytes, HeaderValue),
    /// The parts of a form.
    Form(Vec<Field>),
    /// A file; `None` is standard input.
    Upload(Option<PathBuf>),
}

/// When files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As they are sent, which can be done once.
    Meanwhile,
    /// Before, so that the same can be sent again.
    Before,
}

/// One `--form`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    name: String,
    value: Value,
    content_type: Option<String>,
    file_name: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// The content of a file, sent as a field.
    Read(PathBuf),
    /// A file, sent as one.
    File(PathBuf),
}

impl Content {
    pub(super) fn new(arguments: &GetRequest) -> Result<Self, CommandError> {
        if let Some(json) = &arguments.json {
            let kind = HeaderValue::from_static("application/json");
            return Ok(Content::Bytes(bytes(json)?.into(), kind));
        }
        if !arguments.data.is_empty() {
            let parts = arguments.data.iter().map(|data| bytes(data));
            let all = parts.collect::<Result<Vec<_>, _>>()?.join(&b'&');
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            return Ok(Content::Bytes(all.into(), kind));
        }
        if !arguments.form.is_empty() {
            let fields = arguments.form.iter().map(|text| {
                let wrong = || CommandError::usage(format!("{text:?} is not of the form name=..."));
                Field::parse(text).ok_or_else(wrong)
            });
            return Ok(Content::Form(fields.collect::<Result<_, _>>()?));
        }
        Ok(match &arguments.upload_file {
            None => Content::None,
            Some(file) if file.as_os_str() == "-" => Content::Upload(None),
            Some(file) => Content::Upload(Some(file.clone())),
        })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Content::None)
    }

    pub(super) fn is_upload(&self) -> bool {
        matches!(self, Content::Upload(_))
    }

    /// Whether it is the same when it is read once more.
    pub(super) fn is_repeatable(&self) -> bool {
        // One that is not there is told when it is opened.
        let is_file =
            |path: &Path| std::fs::metadata(path).map_or(true, |metadata| metadata.is_file());
        match self {
            Content::None | Content::Bytes(..) => true,
            Content::Form(fields) => fields.iter().all(|field| match &field.value {
                Value::Text(_) => true,
                Value::Read(file) | Value::File(file) => is_file(file),
            }),
            Content::Upload(file) => file.as_deref().is_some_and(is_file),
        }
    }

    /// The file that a URL which ends in a slash is named after.
    pub(super) fn file_name(&self) -> Option<&str> {
        match self {
            Content::Upload(Some(file)) => file.file_name()?.to_str(),
            _ => None,
        }
    }

    pub(super) async fn put_into(
        &self,
        request: RequestBuilder,
        reading: Reading,
    ) -> Result<RequestBuilder, CommandError> {
        Ok(match self {
            Content::None => request,
            Content::Bytes(bytes, _) => request.body(bytes.clone()),
            Content::Upload(None) => request.body(match reading {
                Reading::Meanwhile => Body::from_reader(tokio::io::stdin()),
                Reading::Before => held(tokio::io::stdin(), "standard input").await?,
            }),
            Content::Upload(Some(file)) => request.body(file_body(file, reading).await?),
            Content::Form(fields) => {
                let mut form = Form::new();
                for field in fields {
                    form = form.part(&*field.name, field.part(reading).await?);
                }
                request.multipart(form)
            }
        })
    }
}

impl Field {
    /// `name=text`, `name=@file` or `name=<file`, then `;type=...` and `;filename=...`.
    fn parse(text: &str) -> Option<Self> {
        let (name, mut rest) = text.split_once('=')?;
        let mut content_type = None;
        let mut file_name = None;
        while let Some((before, option)) = rest.rsplit_once(';') {
            if let Some(kind) = option.trim().strip_prefix("type=") {
                content_type.get_or_insert(kind.to_owned());
            } else if let Some(name) = option.trim().strip_prefix("filename=") {
                file_name.get_or_insert(name.trim_matches('"').to_owned());
            } else {
                break;
            }
            rest = before;
        }
        let value = match (rest.strip_prefix('@'), rest.strip_prefix('<')) {
            (Some(file), _) => Value::File(file.into()),
            (_, Some(file)) => Value::Read(file.into()),
            _ => Value::Text(rest.to_owned()),
        };
        Some(Field {
            name: name.to_owned(),
            value,
            content_type,
            file_name,
        })
    }

    async fn part(&self, reading: Reading) -> Result<Part, CommandError> {
        let mut part = match &self.value {
            Value::Text(text) => Part::new(text.clone()),
            Value::Read(file) => Part::new(file_body(file, reading).await?),
            Value::File(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let part = Part::new(file_body(file, reading).await?);
                part.file_name(name)
                    .content_type("application/octet-stream")
            }
        };
        if let Some(kind) = &self.content_type {
            part = part.content_type(kind);
        }
        if let Some(name) = &self.file_name {
            part = part.file_name(name);
        }
        Ok(part)
    }
}

async fn file_body(path: &Path, reading: Reading) -> Result<Body, CommandError> {
    let cannot = |error| cannot_read(&path.display().to_string(), &error);
    let file = File::open(path).await.map_err(cannot)?;
    if reading == Reading::Before {
        return held(file, &path.display().to_string()).await;
    }
    let metadata = file.metadata().await.map_err(cannot)?;
    Ok(match metadata.is_file() {
        true => Body::from_sized_reader(file, metadata.len()),
        false => Body::from_reader(file),
    })
}

/// All that there is, which must not be more than is held.
async fn held(reader: impl AsyncRead + Unpin, name: &str) -> Result<Body, CommandError> {
    let mut all = Vec::new();
    let read = reader.take(HELD_MAX + 1).read_to_end(&mut all).await;
    read.map_err(|error| cannot_read(name, &error))?;
    if all.len() as u64 > HELD_MAX {
        let message = format!(
            "{name} has more than {HELD_MAX} bytes: more is not kept to be sent again to a server \
             that asks who it is from; use --basic"
        );
        return Err(CommandError::usage(message));
    }
    Ok(all.into())
}

fn cannot_read(name: &str, error: &std::io::Error) -> CommandError {
    CommandError::with_code(EXIT_READ, format!("cannot read {name}: {error}"))
}

/// Text as it is, or what is in the file behind an `@`, its line ends left out.
fn bytes(text: &str) -> Result<Vec<u8>, CommandError> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.into());
    };
    let read = std::fs::read(file);
    let mut read = read.map_err(|error| cannot_read(file, &error))?;
    read.retain(|byte| !b"\r\n".contains(byte));
    Ok(read)
}

/// Of one file.
const HELD_MAX: u64 = 64 << 20;
const EXIT_READ: u8 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_text_or_a_file_with_its_type_and_name() {
        let rows = [
            ("a=b=c", Value::Text("b=c".into()), None, None),
            ("a=b;c", Value::Text("b;c".into()), None, None),
            ("a=@f", Value::File("f".into()), None, None),
            ("a=<f;type=x/y", Value::Read("f".into()), Some("x/y"), None),
            (
                "a=@f;type=x/y;filename=\"n\"",
                Value::File("f".into()),
                Some("x/y"),
                Some("n"),
            ),
        ];
        for (text, value, kind, name) in rows {
            let field = Field::parse(text).unwrap();
            assert_eq!(field.name, "a");
            assert_eq!(field.value, value, "{text}");
            assert_eq!(field.content_type.as_deref(), kind);
            assert_eq!(field.file_name.as_deref(), name);
        }
        assert_eq!(Field::parse("no value"), None);
    }
}
