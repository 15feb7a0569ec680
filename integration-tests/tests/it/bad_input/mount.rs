//! A small file system of a test's own: one that is full, or may only be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small file system. Dropped, it is gone.
pub(crate) struct Mount {
    folder: TempDir,
}

impl Mount {
    /// One of so many KiB in memory; `None`, with the reason printed, where this user may not mount.
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    pub(crate) fn of_kib(kib: u32) -> Option<Self> {
        let folder = TempDir::with_prefix("tidegate-mount-").expect("a temporary folder");
        let path = folder.path().to_string_lossy().into_owned();
        match mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tidegate-test", &path]) {
            Ok(()) => Some(Self { folder }),
            Err(why) => {
                println!("skipped, as no file system can be mounted here: {why}");
                None
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes it as large as this.
    pub(crate) fn grow_to_kib(&self, kib: u32) {
        self.remount(&format!("size={kib}k"));
    }

    /// Nothing can be written any more.
    pub(crate) fn make_read_only(&self) {
        self.remount("ro");
    }

    fn remount(&self, options: &str) {
        let path = self.folder.path().to_string_lossy().into_owned();
        mount(&["-o", &format!("remount,{options}"), &path]).expect("what was mounted can be mounted anew");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once for all who come now; in fact when the last file in it is closed.
        let unmounted = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "it can be unmounted");
    }
}

fn mount(args: &[&str]) -> Result<(), String> {
    let output = Command::new("mount").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// A folder that this user can't write to; `None`, with the reason printed, where there is no way to make one.
pub(crate) struct ReadOnly {
    mount: Option<Mount>,
    folder: Option<TempDir>,
}

impl ReadOnly {
    /// Holds copies of these files.
    pub(crate) fn with(files: &[&Path]) -> Option<Self> {
        let folder = TempDir::with_prefix("tidegate-read-only-").expect("a temporary folder");
        copy(files, folder.path());
        permissions(folder.path(), true);
        if std::fs::write(folder.path().join("probe"), "").is_err() {
            return Some(Self { mount: None, folder: Some(folder) });
        }
        // Permissions are nothing to root; a file system is.
        let mount = Mount::of_kib(8 << 10)?;
        copy(files, &mount.path(""));
        mount.make_read_only();
        Some(Self { mount: Some(mount), folder: None })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let of_mount = || self.mount.as_ref().map(|mount| mount.path(name));
        self.folder.as_ref().map(|folder| folder.path().join(name)).or_else(of_mount).expect("one of them is there")
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            permissions(folder.path(), false);
        }
    }
}

fn copy(files: &[&Path], folder: &Path) {
    for file in files {
        let name = file.file_name().expect("a file has a name");
        std::fs::copy(file, folder.join(name)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn permissions(folder: &Path, read_only: bool) {
    let mut permissions = std::fs::metadata(folder).expect("a folder of the test's own").permissions();
    permissions.set_readonly(read_only);
    std::fs::set_permissions(folder, permissions).expect("a folder of the test's own");
}
