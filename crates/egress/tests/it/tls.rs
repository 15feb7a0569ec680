use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use tidegate_egress::{AllowPrivate, Egress, EgressConfig, EgressError, Failure, RedirectError, Sent};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::hostile::{Hostile, answer};
use crate::{egress, egress_with, get, refused};

/// A self-signed certificate for `localhost`, valid until the given year.
fn certificate(until_year: i32) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(until_year, 1, 1);
    CertifiedKey { cert: params.self_signed(&signing_key).expect("a certificate"), signing_key }
}

async fn server(certificate: &CertifiedKey<KeyPair>, bytes: Vec<u8>) -> (Hostile, String) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Hostile::start_tls(acceptor, move |_| vec![crate::hostile::Act::Send(bytes.clone())]).await;
    let url = format!("https://localhost:{}/", server.address.port());
    (server, url)
}

fn trusting(certificate: &CertifiedKey<KeyPair>) -> Egress {
    let extra_roots_pem = certificate.cert.pem().into_bytes();
    egress_with(EgressConfig { allow_private: AllowPrivate::All, extra_roots_pem, ..EgressConfig::default() })
}

fn is_tls(error: &EgressError) -> bool {
    matches!(error.failure, Failure::Tls { .. }) && error.sent() == Sent::NotSent
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_called() {
    let certificate = certificate(2100);
    let (_server, url) = server(&certificate, answer("200 OK", &[], b"secure")).await;
    assert_eq!(trusting(&certificate).call(get(&url)).await.expect("an answer").body, "secure");
}

#[tokio::test]
async fn an_unknown_an_expired_and_a_foreign_certificate_are_refused() {
    let certificate_now = certificate(2100);
    let (unknown, url) = server(&certificate_now, answer("200 OK", &[], b"")).await;
    let error = egress().call(get(&url)).await.expect_err("unknown");
    assert!(is_tls(&error), "{error:?}");
    let by_address = format!("https://{}/", unknown.address);
    let error = trusting(&certificate_now).call(get(&by_address)).await.expect_err("another name");
    assert!(is_tls(&error), "{error:?}");
    assert!(unknown.seen().is_empty());

    let expired = certificate(2020);
    let (server, url) = server(&expired, answer("200 OK", &[], b"")).await;
    let error = trusting(&expired).call(get(&url)).await.expect_err("expired");
    assert!(is_tls(&error), "{error:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_tls_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let speaker = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert!(stream.read(&mut [0; 4096]).await.expect("a hello") > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("a client");
        while stream.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let error = refused(get(&url)).await;
    assert!(is_tls(&error), "{error:?}");
    speaker.await.expect("no panic");
}

#[tokio::test]
async fn https_never_falls_back_to_http() {
    let plain = Hostile::sending(answer("200 OK", &[], b"")).await;
    let certificate = certificate(2100);
    let location = format!("location: {}", plain.url("/"));
    let (_server, url) = server(&certificate, answer("302 Found", &[&location], b"")).await;
    let error = trusting(&certificate).call(get(&url)).await.expect_err("a downgrade");
    assert!(matches!(error.failure, Failure::Redirect(RedirectError::Downgrade { .. })), "{error:?}");
    assert!(plain.seen().is_empty());
}
