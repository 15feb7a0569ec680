//! Waiting for what a service needs.

use std::sync::Arc;
use std::time::Duration;

use tidegate_daemon::{Flag, Health, Shutdown, Status};

/// The first pause before trying again; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause before trying again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The process was asked to stop while it waited.
#[derive(Debug, thiserror::Error)]
#[error("asked to stop while waiting for {0}")]
pub(crate) struct Stopped(&'static str);

/// Tries until it works, telling once why it does not, or until the shutdown is requested. `may_pass` says whether an
/// error may pass by itself; others end it at once.
pub(crate) async fn reach<T, E, Tried>(
    name: &'static str,
    (health, shutdown): (&Health, &Shutdown),
    may_pass: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Tried,
) -> anyhow::Result<(T, Arc<Flag>)>
where
    E: std::error::Error + Send + Sync + 'static,
    Tried: Future<Output = Result<T, E>>,
{
    let flag = Flag::down("not reached yet");
    health.register(name, flag.clone());
    let (mut pause, mut told) = (FIRST_PAUSE, String::new());
    loop {
        let error = tokio::select! {
            () = shutdown.requested() => return Err(Stopped(name).into()),
            tried = attempt() => match tried {
                Ok(reached) => {
                    flag.set(Status::Up);
                    if !told.is_empty() {
                        tracing::info!(part = name, "reached");
                    }
                    return Ok((reached, flag));
                }
                Err(error) => error,
            },
        };
        if !may_pass(&error) {
            return Err(anyhow::Error::new(error).context(format!("can't use {name}")));
        }
        let text = format!("{error:#}", error = anyhow::Error::new(error));
        if text != told {
            tracing::warn!(part = name, reason = text, "waiting");
            flag.set(Status::Down(text.clone()));
            told = text;
        }
        tokio::select! {
            () = shutdown.requested() => return Err(Stopped(name).into()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
