//! Items out of the ledger into files, while the job runs or afterwards.
//!
//! What is written is always whole: files appear under their name when the job has ended; until then they stand beside
//! it as `.part`. What is no plain file (a pipe, a device) is written where it is. Nothing remembers how far a file was
//! written: one that was not finished is written anew, which costs little, and so every item comes out exactly once. Only
//! what is appended to is copied first ([`crate::appended`]).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_answer::Seen;
use tidegate_formats::{Encoder, Format, LeftOut, Origin};
use tidegate_ledger::{LedgerError, PageRow};
use tidegate_provider::Spec;

use crate::cli::Output;

/// Most items whose keys are remembered, to leave out those that came before ([`Seen`]).
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
    /// It is appended to, and its format has an end or a head.
    #[error("can't append to {path}: expected ndjson, found {format}; name another file, or run without --extend")]
    Append {
        /// Which.
        path: String,
        /// How it is written.
        format: &'static str,
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    /// Lines.
    pub(crate) items: u64,
    /// Items left out because one with the same key, of the same fetch, came before.
    pub(crate) duplicates: u64,
    /// Fields that have no column of their own.
    pub(crate) left_out: LeftOut,
}

/// Writes pages.
pub(crate) struct Writer {
    spec: Arc<Spec>,
    target: Target,
    only: HashSet<String>,
    seen: Seen,
    written: Written,
}

enum Target {
    /// One place for all steps.
    One(Outlet),
    /// A file for each step, in this folder.
    Folder(PathBuf, HashMap<String, Outlet>),
}

/// One place that is written to, in a format.
pub(crate) struct Outlet {
    sink: Sink,
    encoder: Encoder,
    /// It has the items of the run whose pages come, or is not for them.
    skips: bool,
}

/// One place that is written to.
pub(crate) struct Sink {
    name: String,
    /// Where it will stand; `None` once it does, and for what is written where it is.
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
}

/// The plain files that an output is written to.
pub(crate) fn plain_files(output: &Output, spec: &Spec) -> Vec<PathBuf> {
    let Some(path) = output.output.as_ref().filter(|path| path.as_os_str() != "-") else { return Vec::new() };
    let files = if is_folder(path) { outlets_of(output, spec, path) } else { vec![(String::new(), path.clone())] };
    files.into_iter().filter_map(|(_, path)| plain(&path)).collect()
}

/// The steps of a folder's files, with their files.
fn outlets_of(output: &Output, spec: &Spec, folder: &Path) -> Vec<(String, PathBuf)> {
    let format = output.format.unwrap_or_default();
    let wanted = |step: &&str| output.steps.is_empty() || output.steps.iter().any(|only| only == step);
    let steps = spec.steps().iter().map(tidegate_provider::Step::id).filter(wanted);
    steps.map(|step| (step.to_owned(), folder.join(format!("{step}.{}", format.name())))).collect()
}

impl Writer {
    /// Opens the output, so that one that can't be written is known before anything is called. `None`: there is none.
    pub(crate) fn open(output: &Output, spec: Arc<Spec>) -> Result<Option<Self>, OutputError> {
        let Some(path) = &output.output else { return Ok(None) };
        let outlet = |sink, format| Outlet {
            sink,
            encoder: Encoder::new(format, output.columns.clone(), output.with_origin),
            skips: false,
        };
        let target = if is_folder(path) {
            std::fs::create_dir_all(path).map_err(|source| write_error(path, source))?;
            let format = output.format.unwrap_or_default();
            let outlets = outlets_of(output, &spec, path).into_iter();
            let outlets = outlets.map(|(step, path)| Ok((step, outlet(Sink::file(&path)?, format))));
            Target::Folder(path.clone(), outlets.collect::<Result<_, OutputError>>()?)
        } else {
            Target::One(outlet(Sink::open(path)?, output.format_of(path)))
        };
        let only = output.steps.iter().cloned().collect();
        let (seen, written) = (Seen::new(KEYS_MAX), Written::default());
        Ok(Some(Self { spec, target, only, seen, written }))
    }

    /// Appends to what stands in its files already.
    pub(crate) fn append(&mut self) -> Result<(), OutputError> {
        self.outlets().try_for_each(|outlet| {
            let Some(path) = outlet.sink.path.clone().filter(|path| path.exists()) else { return Ok(()) };
            let is_empty = std::fs::metadata(&path).map_or(true, |found| found.len() == 0);
            if !is_empty && outlet.encoder.format() != Format::Ndjson {
                let (path, format) = (outlet.sink.name.clone(), outlet.encoder.format().name());
                return Err(OutputError::Append { path, format });
            }
            let copied = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut outlet.sink.out));
            copied.map(drop).map_err(|source| outlet.sink.error(source))
        })
    }

    /// From now on pages of another run come, which these of its plain files have already; what is no plain file has them
    /// if `elsewhere` says so.
    pub(crate) fn next_run(&mut self, has: impl Fn(&Path) -> bool, elsewhere: bool) {
        self.outlets().for_each(|outlet| outlet.skips = outlet.sink.path.as_deref().map_or(elsewhere, &has));
    }

    /// Writes the items of a page.
    pub(crate) fn page(&mut self, page: &PageRow) -> Result<(), OutputError> {
        if !self.only.is_empty() && !self.only.contains(&page.step) {
            return Ok(());
        }
        let lines = page.lines.unpack().map_err(OutputError::Page)?;
        let spec = Arc::clone(&self.spec);
        let reader = spec.step(&page.step).map(|step| spec.reader(step)).filter(|reader| reader.has_key());
        let origin = Origin { cursor: None, step: &page.step, params: &page.params };
        let outlet = match &mut self.target {
            Target::One(outlet) => outlet,
            Target::Folder(folder, outlets) => match outlets.get_mut(&page.step) {
                Some(outlet) => outlet,
                None => {
                    return Err(write_error(folder, std::io::Error::other(format!("no file for step {}", page.step))));
                }
            },
        };
        if outlet.skips {
            return Ok(());
        }
        if reader.is_none() && outlet.encoder.copies_lines() {
            self.written.items += u64::from(page.items);
            return outlet.sink.write(&[&lines]);
        }
        let items = &mut self.written.items;
        let mut write = |item: &[u8]| {
            *items += 1;
            outlet.encoder.item(&origin, item);
        };
        match reader {
            Some(reader) => self.seen.fresh(reader, page.fetch, &lines).for_each(|(_, item)| write(item)),
            None => lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(write),
        }
        self.written.duplicates = self.seen.left_out();
        outlet.write()
    }

    /// Writes what is buffered, so that a reader sees it.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.outlets().try_for_each(|outlet| outlet.sink.flush())
    }

    /// Puts the files under their names.
    pub(crate) fn finish(mut self) -> Result<Written, OutputError> {
        self.outlets().try_for_each(Outlet::finish)?;
        let mut left_out = LeftOut::default();
        self.outlets().filter_map(|outlet| outlet.encoder.left_out()).for_each(|more| left_out.add(more));
        Ok(Written { left_out, ..self.written })
    }

    fn outlets(&mut self) -> Box<dyn Iterator<Item = &mut Outlet> + '_> {
        match &mut self.target {
            Target::One(outlet) => Box::new(std::iter::once(outlet)),
            Target::Folder(_, outlets) => Box::new(outlets.values_mut()),
        }
    }
}

impl Outlet {
    /// Opens one, a file or `-`.
    pub(crate) fn open(output: &Output, path: &Path) -> Result<Self, OutputError> {
        let encoder = Encoder::new(output.format_of(path), output.columns.clone(), output.with_origin);
        Ok(Self { sink: Sink::open(path)?, encoder, skips: false })
    }

    /// Writes a line that says itself where its item is from, if the output was told so.
    pub(crate) fn line(&mut self, line: &[u8], with_origin: bool) -> Result<(), OutputError> {
        if with_origin {
            self.encoder.item_with_origin(line);
        } else {
            self.encoder.item(&Origin { cursor: None, step: "", params: "{}" }, line);
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), OutputError> {
        self.sink.write(&[&self.encoder.take()])
    }

    /// Writes what is buffered, so that a reader sees it.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.sink.flush()
    }

    /// Writes the end and puts the file under its name.
    pub(crate) fn finish(&mut self) -> Result<(), OutputError> {
        self.encoder.finish();
        self.write()?;
        self.sink.finish()
    }

    /// Fields that have no column of their own.
    pub(crate) fn left_out(&self) -> LeftOut {
        self.encoder.left_out().cloned().unwrap_or_default()
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
        let plain = plain(path);
        // A folder in its place can't be opened, which is known now and not when all is fetched.
        let opened = match &plain {
            Some(path) => File::create(part(path)),
            None => File::options().write(true).open(path),
        };
        let file = opened.map_err(|source| OutputError::Write { path: name.clone(), source })?;
        let out = Box::new(BufWriter::with_capacity(BUFFER_BYTES, file));
        Ok(Self { name, path: plain, out })
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

/// Where a plain file stands or will stand; `None` where something else does. A link stays what it is: `/dev/stdout` is one.
fn plain(path: &Path) -> Option<PathBuf> {
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| absolute());
    std::fs::metadata(&path).map_or(true, |found| found.is_file()).then_some(path)
}

/// Where a plain file stands until it is whole.
pub(crate) fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write_error(path: &Path, source: std::io::Error) -> OutputError {
    OutputError::Write { path: path.display().to_string(), source }
}

/// What is meant as a folder: one that is there, or a name with `/` at its end.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/')
}

/// What is told of fields that have no column of their own; nothing where there are none.
pub(crate) fn told(left_out: &LeftOut) -> Option<String> {
    (!left_out.is_empty()).then(|| {
        format!("fields that the first items did not have are in the column _rest: {left_out}; --columns names columns")
    })
}
