//! `tidegate watch`: a job's events until it is finished; on a terminal a picture of how it stands, elsewhere a line for each
//! thing that happened.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate_client::{BudgetQuery, Client, ClientError, JobDetail, JobEvent};
use tidegate_contracts::JobId;
use tidegate_daemon::clock;
use tidegate_limits::Usage;

use super::jobs::{exit, line};
use super::patience::Patience;
use super::screen::Screen;
use crate::cli::JobOf;
use crate::exit::Exit;
use crate::say;

/// Before a stream is taken up again that the gateway ended, to stop or to start anew.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at a job's steps and its provider's limits, which events do not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn watch(args: JobOf) -> anyhow::Result<Exit> {
    let client = super::connect(&args.gateway)?;
    let last = follow(&client, args.id, args.json, Patience::default()).await?;
    say::answer(&if args.json { serde_json::to_string(&last)? } else { line(&last.job) });
    Ok(exit(&last.job))
}

/// Shows how a job goes until it is finished, and returns its last state. A stream that breaks off is taken up again;
/// since every event is all of the job's state, nothing is missed.
pub(super) async fn follow(
    client: &Client,
    job: JobId,
    quiet: bool,
    mut patience: Patience,
) -> Result<JobEvent, ClientError> {
    let mut view = View::new(quiet);
    loop {
        match stream(client, job, &mut view, &mut patience).await {
            Ok(Some(last)) => {
                view.bar.finish_and_clear();
                return Ok(last);
            }
            Ok(None) => tokio::time::sleep(AGAIN_AFTER).await,
            Err(error) => {
                view.bar.set_message(format!("{error}; trying again"));
                patience.wait(error).await?;
            }
        }
    }
}

/// One stream; `None` when it ended before the job did.
async fn stream(
    client: &Client,
    job: JobId,
    view: &mut View,
    patience: &mut Patience,
) -> Result<Option<JobEvent>, ClientError> {
    let Some(mut events) = client.events(job, None).await? else { return Ok(None) };
    while let Some(event) = events.next().await? {
        patience.restore();
        view.show(client, &event).await;
        if event.job.is_final() {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// What somebody sees meanwhile.
struct View {
    bar: ProgressBar,
    quiet: bool,
    screen: Screen,
    detail: Option<JobDetail>,
    limits: Vec<Usage>,
    looked: Option<Instant>,
}

impl View {
    fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(8) };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, quiet, screen: Screen::default(), detail: None, limits: Vec::new(), looked: None }
    }

    async fn show(&mut self, client: &Client, event: &JobEvent) {
        let now_ms = clock::now_ms();
        let news = self.screen.news(event, now_ms);
        if self.bar.is_hidden() {
            if !self.quiet {
                news.iter().for_each(|news| say::note(news));
            }
            return;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look(client, event).await;
        }
        self.bar.set_message(self.screen.text(event, self.detail.as_ref(), &self.limits, now_ms));
        self.bar.tick();
    }

    /// What can't be had this time stays as it was.
    async fn look(&mut self, client: &Client, event: &JobEvent) {
        self.looked = Some(Instant::now());
        self.detail = client.job(event.job.id).await.ok().or(self.detail.take());
        let of_provider = BudgetQuery { provider: Some(event.job.provider.clone()), ..BudgetQuery::default() };
        if let Ok(page) = client.budgets(&of_provider).await {
            self.limits = page.budgets;
        }
    }
}
