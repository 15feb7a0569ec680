//! Items out of the ledger into files, while the job runs or afterwards.
//!
//! What is written is always whole: files appear under their name when the job has ended; until then they stand beside
//! it as `.part`. What is no plain file (a pipe, a device) is written where it is. Nothing remembers how far a file was written: one that was not finished is written anew, which costs
//! little, and so every item comes out exactly once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_ledger::{LedgerError, PageRow};
use tidegate_provider::Spec;
use xxhash_rust::xxh3::Xxh3;

use crate::cli::Output;

/// Most items whose keys are remembered, to leave out those that came before; 16 to 32 bytes each.
const KEYS_MAX: usize = 20_000_000;
const BUFFER_BYTES: usize = 256 << 10;

/// The output can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// It can't be made or written.
    #[error("can't write {path}: {source}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A page does not unpack.
    #[error("can't read a stored page")]
    Page(#[source] LedgerError),
}

impl OutputError {
    /// The reader went away (`| head`): nobody is left to tell.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// How many items were written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Lines.
    pub(crate) items: u64,
    /// Items left out because one with the same key, of the same fetch, came before.
    pub(crate) duplicates: u64,
}

/// Writes pages.
pub(crate) struct Writer {
    spec: Arc<Spec>,
    target: Target,
    only: HashSet<String>,
    with_origin: bool,
    keys: HashSet<u64>,
    written: Written,
}

enum Target {
    /// One place for all steps.
    One(Sink),
    /// A file for each step, in this folder.
    Folder(PathBuf, HashMap<String, Sink>),
}

/// One place that is written to.
pub(crate) struct Sink {
    name: String,
    /// Where it will stand; `None` once it does, and for what is written where it is.
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
}

impl Writer {
    /// Opens the output, so that one that can't be written is known before anything is called. `None`: there is none.
    pub(crate) fn open(output: &Output, spec: Arc<Spec>) -> Result<Option<Self>, OutputError> {
        let Some(path) = &output.output else { return Ok(None) };
        let target = if path.as_os_str() == "-" {
            Target::One(Sink::open(path)?)
        } else if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') {
            std::fs::create_dir_all(path).map_err(|source| write_error(path, source))?;
            let wanted = |step: &&str| output.steps.is_empty() || output.steps.iter().any(|only| only == step);
            let steps = spec.steps().iter().map(tidegate_provider::Step::id).filter(wanted);
            let sinks = steps.map(|step| Ok((step.to_owned(), Sink::file(&path.join(format!("{step}.ndjson")))?)));
            Target::Folder(path.clone(), sinks.collect::<Result<_, OutputError>>()?)
        } else {
            Target::One(Sink::file(path)?)
        };
        let only = output.steps.iter().cloned().collect();
        let (keys, written) = (HashSet::new(), Written::default());
        Ok(Some(Self { spec, target, only, with_origin: output.with_origin, keys, written }))
    }

    /// Writes the items of a page.
    pub(crate) fn page(&mut self, page: &PageRow) -> Result<(), OutputError> {
        if !self.only.is_empty() && !self.only.contains(&page.step) {
            return Ok(());
        }
        let lines = page.lines.unpack().map_err(OutputError::Page)?;
        let spec = Arc::clone(&self.spec);
        let reader = spec.step(&page.step).map(|step| spec.reader(step)).filter(|reader| reader.has_key());
        let origin = self.with_origin.then(|| origin(page));
        let sink = match &mut self.target {
            Target::One(sink) => sink,
            Target::Folder(folder, sinks) => match sinks.get_mut(&page.step) {
                Some(sink) => sink,
                None => {
                    return Err(write_error(folder, std::io::Error::other(format!("no file for step {}", page.step))));
                }
            },
        };
        if reader.is_none() && origin.is_none() {
            self.written.items += u64::from(page.items);
            return sink.write(&[&lines]);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let item = line.trim_ascii_end();
            let key = reader.and_then(|reader| reader.item_key(item));
            if let Some(key) = key.filter(|_| self.keys.len() < KEYS_MAX)
                && !self.keys.insert(hash(page, &key))
            {
                self.written.duplicates += 1;
                continue;
            }
            self.written.items += 1;
            match &origin {
                None => sink.write(&[item, b"\n"])?,
                Some(origin) => sink.write(&[origin.as_bytes(), item, b"}\n"])?,
            }
        }
        Ok(())
    }

    /// Writes what is buffered, so that a reader sees it.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.sinks().try_for_each(Sink::flush)
    }

    /// Puts the files under their names.
    pub(crate) fn finish(mut self) -> Result<Written, OutputError> {
        self.sinks().try_for_each(Sink::finish)?;
        Ok(self.written)
    }

    fn sinks(&mut self) -> Box<dyn Iterator<Item = &mut Sink> + '_> {
        match &mut self.target {
            Target::One(sink) => Box::new(std::iter::once(sink)),
            Target::Folder(_, sinks) => Box::new(sinks.values_mut()),
        }
    }
}

impl Sink {
    /// A file, or `-` for standard output.
    pub(crate) fn open(path: &Path) -> Result<Self, OutputError> {
        if path.as_os_str() != "-" {
            return Self::file(path);
        }
        let out = Box::new(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout()));
        Ok(Self { name: "standard output".to_owned(), path: None, out })
    }

    fn file(path: &Path) -> Result<Self, OutputError> {
        let name = path.display().to_string();
        // A link stays what it is: `/dev/stdout` is one.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_plain = std::fs::metadata(&path).map_or(true, |found| found.is_file());
        // A folder in its place can't be opened, which is known now and not when all is fetched.
        let opened = if is_plain { File::create(part(&path)) } else { File::options().write(true).open(&path) };
        let file = opened.map_err(|source| OutputError::Write { path: name.clone(), source })?;
        let out = Box::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        Ok(Self { name, path: is_plain.then_some(path), out })
    }

    pub(crate) fn write(&mut self, pieces: &[&[u8]]) -> Result<(), OutputError> {
        for piece in pieces {
            self.out.write_all(piece).map_err(|source| OutputError::Write { path: self.name.clone(), source })?;
        }
        Ok(())
    }

    /// Writes what is buffered, so that a reader sees it.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.out.flush().map_err(|source| self.error(source))
    }

    /// Puts the file under its name.
    pub(crate) fn finish(&mut self) -> Result<(), OutputError> {
        self.flush()?;
        if let Some(path) = &self.path {
            std::fs::rename(part(path), path).map_err(|source| self.error(source))?;
            self.path = None;
        }
        Ok(())
    }

    fn error(&self, source: std::io::Error) -> OutputError {
        OutputError::Write { path: self.name.clone(), source }
    }
}

impl Drop for Sink {
    /// What was written in part is of no use: the ledger has it all.
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // That it can't be removed harms nobody.
            let _ = std::fs::remove_file(part(path));
        }
    }
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write_error(path: &Path, source: std::io::Error) -> OutputError {
    OutputError::Write { path: path.display().to_string(), source }
}

/// All of a line but the item: `{"step":…,"params":{…},"item":`.
fn origin(page: &PageRow) -> String {
    format!("{{\"step\":{},\"params\":{},\"item\":", serde_json::Value::from(page.step.as_str()), page.params)
}

fn hash(page: &PageRow, key: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(page.fetch.as_bytes());
    hash.update(key.as_bytes());
    hash.digest()
}
