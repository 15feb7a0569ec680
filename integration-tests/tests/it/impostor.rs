//! What a third party proves that it is itself with, and what another has in its place.

use std::io;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::process::Cli;
use crate::world::World;

/// A certificate that the program is told to trust, and one that it is not; both of this machine.
#[derive(Clone)]
pub(crate) struct Certificates {
    right: TlsAcceptor,
    wrong: TlsAcceptor,
    /// The one to trust.
    pub(crate) pem: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let ((right, pem), (wrong, _)) = (acceptor(), acceptor());
        Self { right, wrong, pem }
    }

    /// A command line that trusts the right one, and nothing else.
    pub(crate) fn trusted_by(&self, world: &World, cli: Cli) -> Cli {
        cli.env("SSL_CERT_FILE", &world.write("trusted.pem", &self.pem).to_string_lossy())
    }

    pub(crate) async fn accept(&self, guest: TcpStream, is_impostor: bool) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = if is_impostor { &self.wrong } else { &self.right };
        acceptor.accept(guest).await
    }
}

/// One with a key of its own, and its certificate.
fn acceptor() -> (TlsAcceptor, String) {
    let own = generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a server");
    (TlsAcceptor::from(Arc::new(config)), own.cert.pem())
}
