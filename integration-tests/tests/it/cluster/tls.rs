//! Broker, Redis and database over TLS, with certificates of an authority of our own.

use super::fixture::Cluster;
use super::jobs::{third_party, write_job};
use super::servers::{Addresses, Authority, Postgres, Rabbit, Redis};
use crate::world::JOB;

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_may_be_reached_over_tls_and_only_with_certificates_of_an_authority_that_is_trusted() {
    let authority = Authority::new();
    let postgres = Postgres::start_with_tls("secret", &authority).await;
    let (redis, rabbit) = (Redis::start_with_tls(&authority), Rabbit::start_with_tls(&authority));
    let addresses = Addresses::usual().postgres(&postgres).redis(&redis).rabbitmq(&rabbit);
    let (sslmode, certificate) = ("verify-full", authority.certificate());
    let cluster = Cluster::over(addresses).await.set("PGSSLMODE", sslmode);
    let trusting = cluster.set("PGSSLROOTCERT", &certificate).set("SSL_CERT_FILE", &certificate);
    let mut cluster = trusting.started().await;
    let simulator = third_party(10, 0).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], 10 + 120, "{ended}");
    // The system's authorities do not know this one.
    cluster.unset("SSL_CERT_FILE");
    for kind in ["planner", "arbiter"] {
        cluster.stop(kind).await;
        cluster.add(kind).await;
        cluster.says(kind, "UnknownIssuer").await;
        cluster.is_ready(kind, false).await;
        cluster.remove(kind).await;
    }
    cluster.unset("PGSSLROOTCERT");
    cluster.stop("tracker").await;
    cluster.add("tracker").await;
    cluster.says("tracker", "UnknownIssuer").await;
    cluster.is_ready("tracker", false).await;
    cluster.remove("tracker").await;
    simulator.stop().await;
    cluster.finish().await;
}
