//! Makes calls: checks the target, sends, follows redirects and takes the body in, each under its limits.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Certificate, Client, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::address::AddressRules;
use crate::answer::Answer;
use crate::body::Inflow;
use crate::config::{ConfigError, EgressConfig};
use crate::encoding::{ACCEPT_ENCODING, Coding, coding};
use crate::error::{EgressError, Failure, Phase, Refusal};
use crate::fault::{Limits, classify, host_text};
use crate::mask::origin_text;
use crate::redirect::{RedirectError, check_port, turn};
use crate::request::Request;
use crate::request_headers::{check_size, drop_connection_headers};
use crate::resolver::{GuardedResolver, Lookup, MAX_LOOKUPS, system_lookup};
use crate::url_check::{Passage, inspect, inspect_method};
use crate::via::Via;

/// How often an HTTP/2 connection with calls under way is asked whether it lives, and how long it may take to say so. A
/// dead one would otherwise swallow call after call.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
const HTTP2_PING_WITHIN: Duration = Duration::from_secs(10);

/// Longest deadline; longer ones count as this.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The one client for outgoing calls; clones share connections.
#[derive(Debug, Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// For https, and for plain http that may leave the house.
    open: Client,
    /// For plain http that may not: its resolver refuses public addresses.
    house: Client,
    /// What judges names for `open` and for `house` where a proxy looks them up.
    judges: Option<(GuardedResolver, GuardedResolver)>,
    rules: Arc<AddressRules>,
    max_redirects: u8,
    limits: Limits,
}

/// How far a call has come.
struct Progress {
    started: Instant,
    total_at: Instant,
    redirects: u8,
}

impl Egress {
    /// Builds the client. If the process has no rustls crypto provider yet, it gets *ring*: the HTTP client looks for
    /// a process-wide one.
    ///
    /// # Errors
    /// [`ConfigError`] if the User-Agent or the extra certificates are malformed, or the system has no certificates.
    pub fn new(config: EgressConfig) -> Result<Self, ConfigError> {
        Self::with_lookup(config, system_lookup)
    }

    fn with_lookup(config: EgressConfig, lookup: Lookup) -> Result<Self, ConfigError> {
        // An `Err` means that another part of the process chose a provider before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::UserAgent)?;
        let roots = Certificate::from_pem_bundle(&config.extra_roots_pem).map_err(ConfigError::Roots)?;
        let rules = Arc::new(AddressRules { allow: config.allow_private.clone(), deny: config.deny.clone() });
        let lookups = Arc::new(Semaphore::new(MAX_LOOKUPS));
        let resolver = |private_only| {
            let (rules, lookups) = (rules.clone(), lookups.clone());
            GuardedResolver { lookup, rules, private_only, lookups }
        };
        let builder = |private_only| {
            let builder = client_builder(&config, &user_agent).dns_resolver(resolver(private_only));
            Ok(match &config.via {
                Via::Direct => builder,
                Via::Address(address) => builder.local_address(*address),
                Via::Proxy(proxy) => builder.proxy(proxy.for_client().map_err(ConfigError::Proxy)?),
            })
        };
        let judges = matches!(config.via, Via::Proxy(_)).then(|| (resolver(false), resolver(true)));
        let open = builder(false)?.tls_certs_merge(roots.clone()).build().map_err(ConfigError::Client)?;
        // It never speaks TLS but to a proxy, so the system's certificates need not be loaded a second time.
        let house = match config.via {
            Via::Proxy(_) => builder(true)?.tls_certs_merge(roots),
            Via::Direct | Via::Address(_) => builder(true)?.tls_certs_only([]),
        };
        let house = house.build().map_err(ConfigError::Client)?;
        let limits = Limits {
            connect_ms: millis(config.connect),
            max_headers: config.max_headers,
            max_header_bytes: config.max_header_bytes,
        };
        Ok(Self { inner: Arc::new(Inner { open, house, judges, rules, max_redirects: config.max_redirects, limits }) })
    }

    /// Makes one call and waits for its whole answer. It is never repeated in here.
    ///
    /// Every answer that arrives whole is `Ok`, whatever its status; redirects are followed (301, 302, 303, 307, 308
    /// with a Location).
    ///
    /// # Errors
    /// [`EgressError`] says what went wrong and whether anything may have been sent.
    pub async fn call(&self, mut request: Request) -> Result<Answer, EgressError> {
        let started = Instant::now();
        let total_at = started + request.deadlines.total.min(MAX_DEADLINE);
        let mut progress = Progress { started, total_at, redirects: 0 };
        drop_connection_headers(&mut request.headers);
        match self.inner.follow(&mut request, &mut progress).await {
            Ok(response) => self.inner.take_in(response, request, &progress).await,
            Err(failure) => Err(failure),
        }
        .map_err(|failure| EgressError { failure, redirects: progress.redirects })
    }
}

impl Inner {
    /// Sends the request, and the next one as long as it is sent on; gives the first answer that is no redirect.
    async fn follow(&self, request: &mut Request, progress: &mut Progress) -> Result<Response, Failure> {
        let mut passage = self.inspect(request)?;
        loop {
            let response = self.send(passage, request, progress).await?;
            let Limits { max_headers, max_header_bytes, .. } = self.limits;
            check_size(response.headers(), max_headers, max_header_bytes).map_err(Failure::TooLarge)?;
            let next = turn(request, response.status(), response.headers()).map_err(Failure::Redirect)?;
            let Some(turn) = next else { return Ok(response) };
            if progress.redirects == self.max_redirects {
                return Err(Failure::Redirect(RedirectError::TooMany { max: self.max_redirects }));
            }
            progress.redirects += 1;
            let (status, from) = (response.status().as_u16(), request.url.clone());
            turn.take(request);
            passage = self.inspect(request)?;
            check_port(&from, &request.url, passage.reach).map_err(Failure::Redirect)?;
            tracing::debug!(status, from = origin_text(&from), to = origin_text(&request.url), "redirect followed");
        }
    }

    fn inspect(&self, request: &Request) -> Result<Passage, Failure> {
        inspect_method(&request.method)
            .and_then(|()| inspect(&request.url, &self.rules, request.insecure_http))
            .map_err(|reason| Failure::Blocked { host: host_text(&request.url), reason })
    }

    fn client(&self, passage: Passage) -> &Client {
        if passage.private_only { &self.house } else { &self.open }
    }

    async fn send(&self, passage: Passage, request: &Request, progress: &Progress) -> Result<Response, Failure> {
        self.judge(passage, &request.url, progress).await?;
        let mut sent = reqwest::Request::new(request.method.clone(), request.url.clone());
        // One clone for each request: a redirect, which nobody can foresee, needs the headers again.
        *sent.headers_mut() = request.headers.clone();
        *sent.body_mut() = request.body.clone().map(Into::into);
        let answer = self.client(passage).execute(sent);
        match progress.within(request.deadlines.first_byte, Phase::FirstByte, answer).await? {
            Ok(response) => Ok(response),
            Err(error) => Err(classify(error, &request.url, self.limits)),
        }
    }

    /// Judges the host's addresses, where a proxy looks them up and not the client.
    async fn judge(&self, passage: Passage, url: &Url, progress: &Progress) -> Result<(), Failure> {
        let (Some((open, house)), Some(Host::Domain(name))) = (&self.judges, url.host()) else { return Ok(()) };
        let judge = if passage.private_only { house } else { open };
        let within = Duration::from_millis(self.limits.connect_ms);
        let judged = progress.within(within, Phase::Connect, judge.judge(name)).await?;
        judged.map_err(|source| match source.downcast::<Refusal>() {
            Ok(reason) => Failure::Blocked { host: host_text(url), reason: *reason },
            Err(source) => Failure::Dns { host: host_text(url), source },
        })
    }

    async fn take_in(&self, mut response: Response, request: Request, progress: &Progress) -> Result<Answer, Failure> {
        let first_byte_ms = millis(progress.started.elapsed());
        let coding = coding(response.headers()).map_err(Failure::Encoding)?;
        let mut inflow = Inflow::new(coding, response.content_length(), request.limits)?;
        let idle = request.deadlines.idle;
        while let Some(piece) = progress
            .within(idle, Phase::Idle, response.chunk())
            .await?
            .map_err(|error| Failure::Broken { source: error.without_url() })?
        {
            inflow.push(piece)?;
        }
        let (body, wire_bytes) = inflow.finish()?;
        let mut headers = std::mem::take(response.headers_mut());
        if coding != Coding::Identity {
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Answer {
            status: response.status(),
            headers,
            body,
            url: request.url,
            redirects: progress.redirects,
            first_byte_ms,
            total_ms: millis(progress.started.elapsed()),
            wire_bytes,
        })
    }
}

impl Progress {
    /// Waits for one stretch of the call, for as long as it or the whole call may take.
    async fn within<F: Future>(&self, limit: Duration, phase: Phase, stretch: F) -> Result<F::Output, Failure> {
        let stretch_at = Instant::now() + limit.min(MAX_DEADLINE);
        timeout_at(stretch_at.min(self.total_at), stretch).await.map_err(|_| {
            if stretch_at < self.total_at {
                Failure::Timeout { phase, limit_ms: millis(limit) }
            } else {
                Failure::Timeout { phase: Phase::Total, limit_ms: millis(self.total_at - self.started) }
            }
        })
    }
}

/// The settings both clients share.
#[expect(clippy::disallowed_methods, reason = "this is the one place that builds the HTTP client")]
fn client_builder(config: &EgressConfig, user_agent: &HeaderValue) -> reqwest::ClientBuilder {
    let accept = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPT_ENCODING))]);
    let max_header_list_bytes = u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX);
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(user_agent)
        .default_headers(accept)
        .connect_timeout(config.connect)
        .pool_idle_timeout(config.keep_idle)
        .pool_max_idle_per_host(config.max_idle_per_host)
        .http1_max_headers(config.max_headers)
        .http2_max_header_list_size(max_header_list_bytes)
        .http2_keep_alive_interval(HTTP2_PING_EVERY)
        .http2_keep_alive_timeout(HTTP2_PING_WITHIN)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
