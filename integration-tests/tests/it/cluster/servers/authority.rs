//! An authority of a test's own, and the certificate of the servers here.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::give;
use super::server_user;

/// An authority, with one certificate for this machine that servers share.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let server = server.signed_by(&server_key, &issuer).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("written");
        write("authority.pem", certificate.pem());
        write("server.pem", server.pem());
        write("server.key", server_key.serialize_pem());
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> String {
        self.path("authority.pem")
    }

    /// The servers' certificate and key.
    pub(crate) fn server(&self) -> (String, String) {
        (self.path("server.pem"), self.path("server.key"))
    }

    /// The same, as PostgreSQL takes them: its user's property, and for nobody else to read.
    pub(crate) fn server_of_postgres(&self, folder: &std::path::Path) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        for (from, to) in [("server.pem", &certificate), ("server.key", &key)] {
            std::fs::copy(self.path(from), to).expect("copied");
            std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).expect("closed");
            server_user().into_iter().for_each(|user| give(to, user));
        }
        (certificate, key)
    }
}
