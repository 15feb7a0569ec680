//! The arbiter behind HTTP.
//!
//! Many calls ask at a time, so their questions travel together: while as many requests are on their way as may be, what
//! comes meanwhile gathers, and goes with the next. At rest a question goes at once, alone. Calls that are alike ask for
//! one lease, and tell in one report where there is nothing to tell apart ([`alike`]).
//!
//! A permit that nobody waits for any more is given back. A report that can't be told is told again for a while: until
//! then the permit holds its slot.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tidegate_daemon::Clock;
use tidegate_limits::{Decision, Question, Report};
use tidegate_telemetry::inject;
use tokio::sync::{mpsc, oneshot};
use url::Url;

use self::arbiters::Arbiters;
use crate::permits::{Permits, PermitsError};

mod alike;
mod arbiters;
mod asking;
mod telling;

/// How the arbiter is asked.
#[derive(Debug, Clone)]
pub struct HttpPermitsConfig {
    /// Addresses of arbiters, over one store, asked in turn; at least one. Only origin and path prefix count.
    pub urls: Vec<Url>,
    /// What arbiters ask for as `Authorization: Bearer`.
    pub token: Option<SecretString>,
    /// Most questions or reports in a request; no more than arbiters take. Default 64.
    pub batch_max: usize,
    /// Most requests on their way at once, for questions and for reports each. Default 4.
    pub requests_max: usize,
    /// Most questions, and most reports, that wait to be sent. Default 4,096.
    pub waiting_max: usize,
    /// Longest time to connect. Default 500 ms.
    pub connect_within: Duration,
    /// Longest time for one request. Default 1 s: more than arbiters wait for their store.
    pub request_within: Duration,
    /// Longest time that a call waits for its decision, or for its report to be told. Default 2 s.
    pub answer_within: Duration,
    /// How long a report is told again. Default 1 min.
    pub report_for: Duration,
}

impl HttpPermitsConfig {
    /// The defaults, with these addresses.
    #[must_use]
    pub fn new(urls: Vec<Url>) -> Self {
        Self {
            urls,
            token: None,
            batch_max: 64,
            requests_max: 4,
            waiting_max: 4_096,
            connect_within: Duration::from_millis(500),
            request_within: Duration::from_secs(1),
            answer_within: Duration::from_secs(2),
            report_for: Duration::from_mins(1),
        }
    }
}

/// The arbiter behind HTTP. What was taken in is still sent after it is dropped.
pub struct HttpPermits {
    questions: mpsc::Sender<Asked>,
    reports: mpsc::Sender<Told>,
    answer_within: Duration,
}

/// A question on its way, and who waits for the decision.
struct Asked {
    question: Question,
    /// Trace context of the call.
    traceparent: Option<String>,
    /// Its permit came too late once.
    asks_again: bool,
    decided: oneshot::Sender<Result<Decision, PermitsError>>,
}

/// A report on its way, and who waits until it is told.
struct Told {
    report: Report,
    told: Option<oneshot::Sender<()>>,
}

impl HttpPermits {
    /// A client; connects when it is first asked. To be made within a Tokio runtime.
    ///
    /// # Errors
    /// When there is no address, or the HTTP client can't be made.
    pub fn new(config: &HttpPermitsConfig, clock: Clock) -> Result<Self, PermitsError> {
        let arbiters = Arc::new(Arbiters::new(config)?);
        let (questions, asked) = mpsc::channel(config.waiting_max.max(1));
        let (reports, told) = mpsc::channel(config.waiting_max.max(1));
        let lanes = (config.batch_max.max(1), config.requests_max.max(1));
        let asking = asking::Asking {
            arbiters: Arc::clone(&arbiters),
            clock: Arc::clone(&clock),
            back: reports.downgrade(),
            tight: Arc::default(),
        };
        tokio::spawn(asking::ask_all(asking, asked, lanes));
        let telling = telling::Telling { arbiters, clock, tell_for: config.report_for };
        tokio::spawn(telling::tell_all(telling, told, lanes));
        Ok(Self { questions, reports, answer_within: config.answer_within })
    }
}

#[async_trait]
impl Permits for HttpPermits {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        let (decided, decision) = oneshot::channel();
        let asked = async {
            self.questions.send(Asked { question, traceparent: inject(), asks_again: false, decided }).await.ok()?;
            decision.await.ok()
        };
        match tokio::time::timeout(self.answer_within, asked).await {
            Ok(Some(decision)) => decision,
            Ok(None) => Err(PermitsError("nobody takes questions any more".to_owned())),
            Err(_) => Err(PermitsError(format!("no decision within {} ms", self.answer_within.as_millis()))),
        }
    }

    /// Returns when the arbiter knows, so that who asks next is told what this report changed.
    async fn report(&self, report: Report) -> Result<(), PermitsError> {
        let (told, heard) = oneshot::channel();
        let reported = async {
            self.reports.send(Told { report, told: Some(told) }).await.ok()?;
            heard.await.ok()
        };
        match tokio::time::timeout(self.answer_within, reported).await {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(PermitsError("the report could not be told".to_owned())),
            Err(_) => Err(PermitsError(format!("not told within {} ms", self.answer_within.as_millis()))),
        }
    }
}
