//! Items in, files out.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::Arc;

use serde::Serialize;
use tidegate_formats::{Columns, LOOK_AHEAD_BYTES, LOOK_AHEAD_ITEMS};

use crate::destination::Destination;
use crate::error::ExportError;
use crate::part::{Compression, Form, Making, Part, Whole};
use crate::schema::Schema;

/// What lists all parts, once they are there.
const MANIFEST: &str = "manifest.json";

/// How an export is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What files are.
    pub form: Form,
    /// How they are compressed.
    pub compression: Option<Compression>,
    /// Of CSV and Parquet: only these columns.
    pub columns: Option<Columns>,
    /// About how many bytes a file has, of text before it is compressed, or of Parquet.
    pub part_bytes: u64,
    /// An export that stands at the destination is in the way, unless this.
    pub overwrite: bool,
}

/// Writes an export.
pub struct Exporter {
    destination: Destination,
    settings: Settings,
    steps: HashMap<String, Step>,
    parts: Vec<PartLine>,
}

/// What is written of one step.
#[derive(Default)]
struct Step {
    /// Items that are held to find columns in.
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    schema: Option<Arc<Schema>>,
    part: Option<Box<Part>>,
    made: u32,
}

/// All that an export has written; `manifest.json`.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// The job.
    pub job: String,
    /// What files are.
    pub format: &'static str,
    /// Items in all.
    pub items: u64,
    /// The files.
    pub parts: Vec<PartLine>,
}

/// One file.
#[derive(Debug, Clone, Serialize)]
pub struct PartLine {
    /// Its name at the destination.
    pub name: String,
    /// Its step.
    pub step: String,
    /// Its items.
    pub items: u64,
    /// Its size.
    pub bytes: u64,
}

impl Exporter {
    /// Begins an export.
    ///
    /// # Errors
    /// [`ExportError`]: the destination can't be used, or another export stands there.
    pub async fn begin(destination: Destination, settings: Settings) -> Result<Self, ExportError> {
        if destination.has(MANIFEST).await? {
            if !settings.overwrite {
                let path = destination.path_of(MANIFEST);
                let text = format!("an export stands there already ({path}); name another place, or --overwrite");
                return Err(ExportError::Destination(text));
            }
            // From now on it is not whole.
            destination.remove(MANIFEST).await?;
        }
        Ok(Self { destination, settings, steps: HashMap::new(), parts: Vec::new() })
    }

    /// Writes an item of a step.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn item(&mut self, step: &str, item: &[u8]) -> Result<(), ExportError> {
        if !self.steps.contains_key(step) {
            self.steps.insert(step.to_owned(), Step::default());
        }
        let Some(of_step) = self.steps.get_mut(step) else { return Ok(()) };
        if of_step.schema.is_none() {
            of_step.held_bytes += item.len();
            of_step.held.push(item.to_owned());
            let more = of_step.held.len() < LOOK_AHEAD_ITEMS && of_step.held_bytes < LOOK_AHEAD_BYTES;
            if more && self.settings.form == Form::Parquet {
                return Ok(());
            }
            return self.write_held(step).await;
        }
        self.write(step, item).await
    }

    /// Writes what is left, and the manifest.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn finish(mut self, job: String) -> Result<Manifest, ExportError> {
        let mut steps: Vec<String> = self.steps.keys().cloned().collect();
        steps.sort_unstable();
        for step in steps {
            self.write_held(&step).await?;
            let part = self.steps.get_mut(&step).and_then(|of_step| of_step.part.take());
            self.put(part).await?;
        }
        let items = self.parts.iter().map(|part| part.items).sum();
        let parts = self.parts;
        let manifest = Manifest { job, format: self.settings.form.ending(), items, parts };
        let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        let mut file = self.destination.temporary()?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(ExportError::write(MANIFEST))?;
        let bytes = text.len() as u64;
        let whole = Whole { name: MANIFEST.to_owned(), step: String::new(), items, bytes, file };
        self.destination.put(whole).await?;
        Ok(manifest)
    }

    /// Items of each step so far.
    #[must_use]
    pub fn items(&self) -> BTreeMap<String, u64> {
        let mut items = BTreeMap::new();
        self.parts.iter().for_each(|part| *items.entry(part.step.clone()).or_default() += part.items);
        items
    }

    async fn write_held(&mut self, step: &str) -> Result<(), ExportError> {
        let Some(of_step) = self.steps.get_mut(step).filter(|of_step| of_step.schema.is_none()) else { return Ok(()) };
        let held = std::mem::take(&mut of_step.held);
        let columns = self.settings.columns.clone();
        of_step.schema = Some(Arc::new(Schema::of(held.iter().map(Vec::as_slice), columns)));
        for item in held {
            self.write(step, &item).await?;
        }
        Ok(())
    }

    async fn write(&mut self, step: &str, item: &[u8]) -> Result<(), ExportError> {
        let Some(of_step) = self.steps.get_mut(step) else { return Ok(()) };
        if of_step.part.is_none() {
            of_step.made += 1;
            let part = Self::part(&self.destination, &self.settings, step, of_step)?;
            of_step.part = Some(Box::new(part));
        }
        let Some(part) = &mut of_step.part else { return Ok(()) };
        part.item(item)?;
        if part.bytes() >= self.settings.part_bytes {
            let part = of_step.part.take();
            self.put(part).await?;
        }
        Ok(())
    }

    fn part(destination: &Destination, settings: &Settings, step: &str, of_step: &Step) -> Result<Part, ExportError> {
        let ending = settings.form.ending();
        let packed = match (settings.form, settings.compression) {
            (Form::Parquet, _) | (_, None) => "",
            (_, Some(Compression::Zstd)) => ".zst",
            (_, Some(Compression::Gzip)) => ".gz",
        };
        Part::new(Making {
            name: format!("{step}-{:05}.{ending}{packed}", of_step.made),
            step,
            form: settings.form,
            compression: settings.compression,
            columns: settings.columns.clone(),
            schema: of_step.schema.clone().unwrap_or_else(|| Arc::new(Schema::of(std::iter::empty(), None))),
            file: destination.temporary()?,
        })
    }

    async fn put(&mut self, part: Option<Box<Part>>) -> Result<(), ExportError> {
        let Some(part) = part else { return Ok(()) };
        let whole = part.finish()?;
        let Whole { name, step, items, bytes, .. } = &whole;
        let line = PartLine { name: name.clone(), step: step.clone(), items: *items, bytes: *bytes };
        self.destination.put(whole).await?;
        self.parts.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::path::Path;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    use tidegate_formats::Format;

    use super::*;
    use crate::destination::Place;

    fn settings(form: Form) -> Settings {
        Settings { form, compression: None, columns: None, part_bytes: 1 << 30, overwrite: false }
    }

    async fn export(folder: &Path, settings: Settings, items: u64) -> Manifest {
        let place = Place::Folder(folder.to_owned());
        let mut exporter = Exporter::begin(Destination::open(place, None).unwrap(), settings).await.unwrap();
        for id in 0..items {
            let late = if id == 1_500 { r#","late":[1.10]"# } else { "" };
            let item = format!(r#"{{"id":{id},"name":"n\n{id}","ok":true,"score":{id}.5,"home":{{"geo":[1]}}{late}}}"#);
            exporter.item("users", item.as_bytes()).await.unwrap();
        }
        exporter.finish("job_1".to_owned()).await.unwrap()
    }

    fn files(folder: &Path) -> BTreeSet<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn parquet_reads_back_with_types_and_with_what_came_late() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = export(folder.path(), settings(Form::Parquet), 2_000).await;
        assert_eq!((manifest.items, manifest.parts.len()), (2_000, 1));
        let reader = SerializedFileReader::new(File::open(folder.path().join("users-00001.parquet")).unwrap()).unwrap();
        let names: Vec<_> = reader
            .metadata()
            .file_metadata()
            .schema()
            .get_fields()
            .iter()
            .map(|field| field.name().to_owned())
            .collect();
        assert_eq!(names, ["id", "name", "ok", "score", "home", "_rest"]);
        let mut ids = BTreeSet::new();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let id = row.get_long(0).unwrap();
            assert_eq!(row.get_string(1).unwrap(), &format!("n\n{id}"));
            assert_eq!((row.get_bool(2).unwrap(), row.get_double(3).unwrap()), (true, id as f64 + 0.5));
            if id == 1_500 {
                assert!(row.to_string().contains("late") && row.to_string().contains("[1.10]"), "{row}");
            }
            ids.insert(id);
        }
        assert_eq!(ids, (0..2_000).collect());
    }

    #[tokio::test]
    async fn parts_are_cut_by_size_and_stand_there_whole_with_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let gzip = Settings {
            compression: Some(Compression::Gzip),
            part_bytes: 20_000,
            ..settings(Form::Text(Format::Ndjson))
        };
        let manifest = export(folder.path(), gzip.clone(), 1_000).await;
        assert!(manifest.parts.len() > 2, "{manifest:?}");
        let mut lines = 0;
        for part in &manifest.parts {
            let file = File::open(folder.path().join(&part.name)).unwrap();
            assert_eq!(file.metadata().unwrap().len(), part.bytes);
            let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
            assert_eq!(text.lines().count() as u64, part.items);
            lines += part.items;
        }
        assert_eq!(lines, 1_000);
        assert_eq!(files(folder.path()).len(), manifest.parts.len() + 1);
        let open = || Destination::open(Place::Folder(folder.path().to_owned()), None).unwrap();
        let refused = Exporter::begin(open(), gzip.clone()).await.err().unwrap();
        assert!(refused.to_string().contains("--overwrite"), "{refused}");
        Exporter::begin(open(), Settings { overwrite: true, ..gzip }).await.unwrap();
        assert!(!files(folder.path()).contains(MANIFEST), "what is written over is not whole");
    }

    #[tokio::test]
    async fn an_export_that_breaks_off_leaves_nothing_that_looks_whole() {
        let folder = tempfile::tempdir().unwrap();
        let open = Destination::open(Place::Folder(folder.path().to_owned()), None).unwrap();
        let mut exporter = Exporter::begin(open, settings(Form::Text(Format::Csv))).await.unwrap();
        exporter.item("users", b"{\"id\":1}").await.unwrap();
        drop(exporter);
        assert_eq!(files(folder.path()), BTreeSet::new());
    }
}
