//! Where an export goes: a folder, or a bucket.

use std::path::PathBuf;

use tempfile::NamedTempFile;

use crate::error::ExportError;
use crate::part::Whole;

/// Bytes of an upload's part; an object may have 10,000 of them.
#[cfg(feature = "s3")]
const UPLOAD_PART_BYTES: usize = 16 << 20;
/// Most parts of an object on their way at once.
#[cfg(feature = "s3")]
const UPLOADS_MAX: usize = 4;

/// A destination as it is named: a folder, or `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and what names of objects begin with.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Without `/` at either end.
        prefix: String,
    },
}

/// A destination that can be written to.
#[derive(Debug)]
pub enum Destination {
    /// A folder that is there.
    Folder(PathBuf),
    /// A bucket of Amazon S3, or of what speaks like it.
    #[cfg(feature = "s3")]
    Bucket {
        /// How it is reached.
        store: object_store::aws::AmazonS3,
        /// What names of objects begin with.
        prefix: String,
        /// For people.
        url: String,
    },
}

impl Place {
    /// What a text names.
    ///
    /// # Errors
    /// [`ExportError::Destination`]: an address of something else, or a bucket without a name.
    pub fn parse(text: &str) -> Result<Self, ExportError> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return match text.split_once("://") {
                Some((scheme, _)) => {
                    Err(ExportError::Destination(format!("expected a folder or s3://BUCKET/PREFIX, found {scheme}://")))
                }
                None => Ok(Self::Folder(text.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(ExportError::Destination(format!("expected s3://BUCKET/PREFIX, found {text}")));
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl Destination {
    /// Makes the folder if need be; a bucket must be there, and is reached by the usual variables `AWS_…`.
    /// `endpoint`: where what speaks like S3 listens.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn open(place: Place, endpoint: Option<&str>) -> Result<Self, ExportError> {
        match place {
            Place::Folder(path) => {
                std::fs::create_dir_all(&path).map_err(ExportError::write(&path.display().to_string()))?;
                Ok(Self::Folder(path))
            }
            #[cfg(feature = "s3")]
            Place::Bucket { bucket, prefix } => {
                use object_store::aws::AmazonS3Builder;
                // An `Err` means that another part of the process chose a provider before, which serves as well.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let url = format!("s3://{bucket}/{prefix}");
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                let store = builder.build().map_err(|source| ExportError::Store { path: url.clone(), source })?;
                Ok(Self::Bucket { store, prefix, url })
            }
            #[cfg(not(feature = "s3"))]
            Place::Bucket { .. } => {
                let _ = endpoint;
                Err(ExportError::Destination("this build has no S3 (feature `s3`); export to a folder".to_owned()))
            }
        }
    }

    /// A file to write a part to: beside its place, or where temporary files are.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile, ExportError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tidegate-").suffix(".part");
        match self {
            Self::Folder(path) => {
                // As any file of this process: its umask decides.
                #[cfg(unix)]
                builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
                builder.tempfile_in(path).map_err(ExportError::write(&path.display().to_string()))
            }
            #[cfg(feature = "s3")]
            Self::Bucket { .. } => builder.tempfile().map_err(ExportError::write("a temporary file")),
        }
    }

    /// Whether an export stands here that is whole.
    pub(crate) async fn has(&self, name: &str) -> Result<bool, ExportError> {
        match self {
            Self::Folder(path) => Ok(path.join(name).exists()),
            #[cfg(feature = "s3")]
            Self::Bucket { store, .. } => {
                use object_store::ObjectStoreExt as _;
                match store.head(&self.object(name)).await {
                    Ok(_) => Ok(true),
                    Err(object_store::Error::NotFound { .. }) => Ok(false),
                    Err(source) => Err(ExportError::Store { path: self.path_of(name), source }),
                }
            }
        }
    }

    /// Removes a part.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ExportError> {
        match self {
            Self::Folder(path) => {
                std::fs::remove_file(path.join(name)).map_err(ExportError::write(&self.path_of(name)))
            }
            #[cfg(feature = "s3")]
            Self::Bucket { store, .. } => {
                use object_store::ObjectStoreExt as _;
                let removed = store.delete(&self.object(name)).await;
                removed.map_err(|source| ExportError::Store { path: self.path_of(name), source })
            }
        }
    }

    /// Puts a whole part at its place, in one step for whoever looks.
    pub(crate) async fn put(&self, whole: Whole) -> Result<(), ExportError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(&whole.name);
                let shown = path.display().to_string();
                whole.file.persist(&path).map_err(|error| ExportError::write(&shown)(error.error))?;
                Ok(())
            }
            #[cfg(feature = "s3")]
            Self::Bucket { store, .. } => {
                let object = self.object(&whole.name);
                let path = self.path_of(&whole.name);
                let refused = |source| ExportError::Store { path: path.clone(), source };
                upload(store, &object, whole.file.path()).await.map_err(|error| match error {
                    Upload::Store(source) => refused(source),
                    Upload::Read(source) => ExportError::write(&path)(source),
                })
            }
        }
    }

    #[cfg(feature = "s3")]
    fn object(&self, name: &str) -> object_store::path::Path {
        match self {
            Self::Bucket { prefix, .. } if !prefix.is_empty() => {
                object_store::path::Path::from(format!("{prefix}/{name}"))
            }
            _ => object_store::path::Path::from(name),
        }
    }

    /// For people.
    pub(crate) fn path_of(&self, name: &str) -> String {
        match self {
            Self::Folder(path) => path.join(name).display().to_string(),
            #[cfg(feature = "s3")]
            Self::Bucket { url, .. } => format!("{}/{name}", url.trim_end_matches('/')),
        }
    }
}

#[cfg(feature = "s3")]
enum Upload {
    Store(object_store::Error),
    Read(std::io::Error),
}

/// Uploads a file: an object is there when all of it is. An upload that breaks off is given up, and its parts with it; those
/// of a process that dies stay, unseen, until the bucket's rule for incomplete uploads removes them.
#[cfg(feature = "s3")]
async fn upload(
    store: &object_store::aws::AmazonS3,
    object: &object_store::path::Path,
    file: &std::path::Path,
) -> Result<(), Upload> {
    use object_store::{ObjectStoreExt as _, WriteMultipart};
    use tokio::io::AsyncReadExt as _;

    let mut file = tokio::fs::File::open(file).await.map_err(Upload::Read)?;
    let length = file.metadata().await.map_err(Upload::Read)?.len();
    if length <= UPLOAD_PART_BYTES as u64 {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.map_err(Upload::Read)?;
        store.put(object, bytes.into()).await.map_err(Upload::Store)?;
        return Ok(());
    }
    let upload = store.put_multipart(object).await.map_err(Upload::Store)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, UPLOAD_PART_BYTES);
    let mut buffer = vec![0; 1 << 20];
    let broken = loop {
        if let Err(error) = upload.wait_for_capacity(UPLOADS_MAX).await {
            break Upload::Store(error);
        }
        match file.read(&mut buffer).await {
            Ok(0) => return upload.finish().await.map(drop).map_err(Upload::Store),
            Ok(read) => upload.write(&buffer[..read]),
            Err(error) => break Upload::Read(error),
        }
    };
    // What broke is told, and not what came of giving up.
    let _ = upload.abort().await;
    Err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_folder_or_a_bucket() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(Place::parse("out/here").unwrap(), Place::Folder("out/here".into()));
        assert_eq!(Place::parse("s3://b").unwrap(), bucket("b", ""));
        assert_eq!(Place::parse("s3://b/a/c/").unwrap(), bucket("b", "a/c"));
        assert!(Place::parse("s3:///x").is_err());
        assert!(Place::parse("gs://b/x").unwrap_err().to_string().contains("gs://"));
    }
}
