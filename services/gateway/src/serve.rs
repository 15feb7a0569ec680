//! Connections: taken, bounded, and ended in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tidegate_daemon::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app::App;

/// Rest after the system refused to accept, such as for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// The least that hyper takes for a buffer.
const HEAD_MIN_BYTES: usize = 8 << 10;

/// Serves until the shutdown is requested, then lets requests in hand end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let builder = builder(&app);
    let service = TowerToHyperService::new(router);
    let connections = Arc::new(Semaphore::new(app.config.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    loop {
        let taken = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shutdown.requested() => break,
            taken = taken => taken,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        // Without it small answers wait for the client's acknowledgement; where it fails they do.
        _ = stream.set_nodelay(true);
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(app.config.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(drain_ms = app.config.drain.as_millis(), "requests were still running at the end");
    }
    Ok(())
}

fn builder(app: &App) -> Builder<TokioExecutor> {
    let head_max_bytes = app.config.head_max_bytes.max(HEAD_MIN_BYTES);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(app.config.head_timeout).max_buf_size(head_max_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(app.config.keep_alive))
        .max_header_list_size(u32::try_from(head_max_bytes).unwrap_or(u32::MAX));
    builder
}
