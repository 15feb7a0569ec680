//! Starting and stopping a simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::Api;
use crate::connection::{Caller, Door};
use crate::stats::Stats;
use crate::visit::Site;
use crate::{SimulatorSpec, SpecError, TokenEndpoint, admin, serve};

/// Longest that [`Running::stop`] waits for connections to end.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A simulator that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spec cannot be simulated.
    #[error("cannot simulate the spec")]
    Spec(#[from] SpecError),
    /// No listener at the address.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
}

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that runs. Dropped, it ends, and its connections with it.
#[derive(Debug)]
pub struct Running {
    site: Arc<Site>,
    address: SocketAddr,
    notes: Vec<String>,
    serving: JoinHandle<io::Result<()>>,
    stop: DropGuard,
}

impl Simulator {
    /// Starts on a free port of this machine's own address.
    ///
    /// # Errors
    /// A spec that cannot be simulated, or no port.
    pub async fn start(spec: &SimulatorSpec) -> Result<Running, StartError> {
        Self::start_on(spec, TcpListener::bind(("127.0.0.1", 0)).await?).await
    }

    /// Starts on `listener`. Reads the provider file, if the spec names one.
    ///
    /// # Errors
    /// A spec that cannot be simulated, or a listener without an address.
    pub async fn start_on(spec: &SimulatorSpec, listener: TcpListener) -> Result<Running, StartError> {
        let address = listener.local_addr()?;
        let (mut spec, notes) = spec.clone().completed()?;
        let quirks = std::mem::take(&mut spec.quirks);
        quirks.lay_over(&mut spec);
        let site = Arc::new(Site::new(Api::of(&spec)?, quirks, spec));
        let stop = CancellationToken::new();
        let app = admin::routes().fallback(serve::serve).with_state(Arc::clone(&site));
        let door = Door { listener, stop: stop.child_token() };
        let serving = axum::serve(door, app.into_make_service_with_connect_info::<Caller>())
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let serving = tokio::spawn(serving.into_future());
        Ok(Running { site, address, notes, serving, stop: stop.drop_guard() })
    }
}

impl Running {
    /// Where it listens, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What of the provider file is not simulated, and why; for people.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What it counted since it was started or reset.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.site.stats()
    }

    /// Ids of all items that who pages through the whole list of `parent` is served, in order. `parent` is the values
    /// of the path's parameters joined by `/`, empty for an endpoint without.
    ///
    /// # Panics
    /// If there is no such endpoint: a mistake of the test.
    #[must_use]
    pub fn ids(&self, endpoint: &str, parent: &str) -> Vec<String> {
        let ids = self.site.ids(endpoint, parent);
        ids.unwrap_or_else(|| panic!("the simulator has no endpoint `{endpoint}`"))
    }

    /// Forgets what it counted, what was taken of the limits, and which faults pages met.
    pub fn reset(&self) {
        self.site.reset();
    }

    /// Accepts another token from now on; any if none.
    pub fn set_token(&self, token: Option<&str>) {
        self.site.book().token = token.map(str::to_owned);
    }

    /// What the token endpoint does from now on.
    pub fn set_token_endpoint(&self, does: TokenEndpoint) {
        self.site.book().token_endpoint = does;
    }

    /// Takes no token any more that was issued until now.
    pub fn revoke_tokens(&self) {
        self.site.book().issuer.revoke();
    }

    /// All tokens that were issued, made-up as they are.
    #[must_use]
    pub fn issued_tokens(&self) -> Vec<String> {
        self.site.book().issuer.secrets()
    }

    /// Ends it and all its connections, whatever they are at.
    pub async fn stop(self) {
        let Self { stop, mut serving, .. } = self;
        stop.disarm().cancel();
        if tokio::time::timeout(STOP_MAX, &mut serving).await.is_err() {
            serving.abort();
        }
    }

    /// Waits until it ends, which it does only when it is stopped from elsewhere.
    ///
    /// # Errors
    /// Whatever ended it.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.serving).await.map_err(io::Error::other)?
    }
}
