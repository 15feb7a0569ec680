//! One file of an export, while it is written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use flate2::write::GzEncoder;
use tempfile::NamedTempFile;
use tidegate_formats::{Columns, Encoder, Format, Origin};

use crate::error::ExportError;
use crate::schema::Schema;
use crate::table::Table;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text(Format),
    /// Apache Parquet.
    Parquet,
}

/// How a file is compressed. Parquet is compressed within, by Snappy unless it is to be zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.zst`.
    Zstd,
    /// `.gz`.
    Gzip,
}

impl Form {
    /// The ending of its files.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Text(format) => format.name(),
            Self::Parquet => "parquet",
        }
    }
}

/// One file while it is written.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) step: String,
    pub(crate) items: u64,
    /// Bytes of items so far, before they are compressed.
    text_bytes: u64,
    writer: Writer,
    file: NamedTempFile,
}

enum Writer {
    Text { encoder: Encoder, out: Out },
    Parquet(Box<Table<File>>),
}

enum Out {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
    Gzip(GzEncoder<BufWriter<File>>),
}

/// What a part is made with.
pub(crate) struct Making<'a> {
    pub(crate) name: String,
    pub(crate) step: &'a str,
    pub(crate) form: Form,
    pub(crate) compression: Option<Compression>,
    pub(crate) columns: Option<Columns>,
    /// Of Parquet.
    pub(crate) schema: Arc<Schema>,
    pub(crate) file: NamedTempFile,
}

impl Part {
    pub(crate) fn new(making: Making<'_>) -> Result<Self, ExportError> {
        let Making { name, step, form, compression, columns, schema, file } = making;
        let opened = file.reopen().map_err(ExportError::write(&name))?;
        let writer = match form {
            Form::Parquet => {
                let table = Table::new(opened, schema, compression == Some(Compression::Zstd));
                Writer::Parquet(Box::new(table.map_err(|source| ExportError::Parquet { path: name.clone(), source })?))
            }
            Form::Text(format) => {
                let plain = BufWriter::new(opened);
                let out = match compression {
                    None => Out::Plain(plain),
                    Some(Compression::Gzip) => Out::Gzip(GzEncoder::new(plain, flate2::Compression::default())),
                    Some(Compression::Zstd) => {
                        Out::Zstd(zstd::Encoder::new(plain, 0).map_err(ExportError::write(&name))?)
                    }
                };
                Writer::Text { encoder: Encoder::new(format, columns, false), out }
            }
        };
        Ok(Self { name, step: step.to_owned(), items: 0, text_bytes: 0, writer, file })
    }

    pub(crate) fn item(&mut self, item: &[u8]) -> Result<(), ExportError> {
        self.items += 1;
        self.text_bytes += item.len() as u64;
        match &mut self.writer {
            Writer::Text { encoder, out } => {
                encoder.item(&Origin { cursor: None, step: &self.step, params: "{}" }, item);
                let text = encoder.take();
                out.write().write_all(&text).map_err(ExportError::write(&self.name))
            }
            Writer::Parquet(table) => {
                table.item(item).map_err(|source| ExportError::Parquet { path: self.name.clone(), source })
            }
        }
    }

    /// About how large it is: its text, or for Parquet what is written and what waits.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.writer {
            Writer::Text { .. } => self.text_bytes,
            Writer::Parquet(table) => table.bytes(),
        }
    }

    /// Writes the end, to the disk.
    pub(crate) fn finish(self) -> Result<Whole, ExportError> {
        let Self { name, step, items, writer, file, .. } = self;
        let write = || ExportError::write(&name);
        let done = match writer {
            Writer::Text { mut encoder, mut out } => {
                encoder.finish();
                out.write().write_all(&encoder.take()).map_err(write())?;
                let plain = match out {
                    Out::Plain(plain) => plain,
                    Out::Zstd(zstd) => zstd.finish().map_err(write())?,
                    Out::Gzip(gzip) => gzip.finish().map_err(write())?,
                };
                plain.into_inner().map_err(|error| write()(error.into_error()))?
            }
            Writer::Parquet(table) => {
                table.finish().map_err(|source| ExportError::Parquet { path: name.clone(), source })?
            }
        };
        done.sync_all().map_err(write())?;
        let bytes = done.metadata().map_err(write())?.len();
        Ok(Whole { name, step, items, bytes, file })
    }
}

/// A part that is whole, not at its place yet.
pub(crate) struct Whole {
    pub(crate) name: String,
    pub(crate) step: String,
    pub(crate) items: u64,
    /// Of the file.
    pub(crate) bytes: u64,
    pub(crate) file: NamedTempFile,
}

impl Out {
    fn write(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            Self::Zstd(out) => out,
            Self::Gzip(out) => out,
        }
    }
}
