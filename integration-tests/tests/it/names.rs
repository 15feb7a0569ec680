//! A name that is known for a while.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The machine's names as the program sees them, in a mount namespace of its own (needs `unshare`): [`Names::HOST`] is
/// this machine while it is known, and nobody else is asked for names.
pub(crate) struct Names {
    folder: TempDir,
}

impl Names {
    pub(crate) const HOST: &str = "third-party.test";

    /// It is known.
    pub(crate) fn new() -> Self {
        let names = Self { folder: TempDir::new().expect("a folder") };
        // Nobody answers there.
        std::fs::write(names.path("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            .expect("written");
        names.set_known(true);
        names
    }

    /// Whether it resolves from now on.
    pub(crate) fn set_known(&self, is_known: bool) {
        let host = if is_known { Self::HOST } else { "" };
        std::fs::write(self.path("hosts"), format!("127.0.0.1 localhost {host}\n")).expect("written");
    }

    /// Where files are that stand in the place of those in `/etc`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
