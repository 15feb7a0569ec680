//! Why an export failed.

/// Why an export failed. What stands at the destination by then is whole, file by file; there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file can't be made or written.
    #[error("can't write {path}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Parquet can't be written.
    #[error("can't write {path}")]
    Parquet {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The bucket refuses, or is not there.
    #[cfg(feature = "s3")]
    #[error("can't write {path}")]
    Store {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The destination can't be used.
    #[error("{0}")]
    Destination(String),
}

impl ExportError {
    pub(crate) fn write(path: &str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
