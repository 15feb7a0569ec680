//! Who publishes: a task for a set of queues, with a channel of its own.
//!
//! It takes all that is there, sends it, awaits all confirms, and answers everybody; what comes meanwhile makes the
//! next window. So many who publish one message each share the wait for the disk, and of a batched queue even the
//! message, while nobody waits for a timer.
//!
//! What the broker refuses, since a queue is full or can't store it, is sent again until it is taken or late. It waits
//! for that apart, so that it holds up nobody else's; and what was taken already does not go again with it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, Error};
use tidegate_contracts::Batch;
use tidegate_contracts::topology::Queue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::declare::Need;
use super::link::{Link, Live, failed, is_refusal};
use super::wire::{Letter, Stamp, properties};
use crate::BusError;

/// Letters sent before their confirms are awaited.
const WINDOW_MAX: usize = 1_000;
/// Letters in one message of a batched queue.
const BATCH_MAX: usize = 256;
/// Bytes of the letters in one message of a batched queue; one letter may be larger.
const BATCH_BYTES: usize = 256 * 1024;
/// Requests that wait for the task; beyond, publishers wait.
const BACKLOG: usize = 4_096;
/// Before trying again what failed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Before sending again what the broker refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(250);
/// How often a message may find no queue: the first time it may just have been deleted, and is declared anew.
const UNROUTABLE_MAX: u32 = 2;

/// Where messages go.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub exchange: String,
    pub key: String,
    /// For errors.
    pub queue: Queue,
    /// Bound of the queue, for errors.
    pub queue_max: usize,
    /// What has to be there before.
    pub needs: Vec<Need>,
    /// Whether letters may share a message.
    pub batched: bool,
    /// Whether somebody has to get it.
    pub mandatory: bool,
    /// Whether what the broker refuses is sent again. Else it is told at once.
    pub patient: bool,
}

/// A request to publish letters to one place.
struct Post {
    route: Route,
    letters: Vec<Letter>,
    stamp: Stamp,
    deadline: Instant,
    /// How often one of its window found no queue.
    unroutable: u32,
    /// It was refused before.
    refused: bool,
    done: oneshot::Sender<Result<(), BusError>>,
}

/// The task's door.
pub(super) struct Sender {
    posts: mpsc::Sender<Post>,
}

impl Sender {
    /// Runs until it is dropped.
    pub(super) fn new(link: Arc<Link>) -> Self {
        let (posts, incoming) = mpsc::channel(BACKLOG);
        tokio::spawn(Task { link, door: posts.downgrade(), channel: None }.run(incoming));
        Self { posts }
    }

    /// Sends letters, in this order; they are on disk when this returns.
    pub(super) async fn send(
        &self,
        route: Route,
        letters: Vec<Letter>,
        stamp: Stamp,
        deadline: Instant,
    ) -> Result<(), BusError> {
        let (done, answer) = oneshot::channel();
        let post = Post { route, letters, stamp, deadline, unroutable: 0, refused: false, done };
        match tokio::time::timeout_at(deadline, self.posts.send(post)).await {
            Ok(Ok(())) => answer.await.unwrap_or(Err(BusError::Closed)),
            Ok(Err(_)) => Err(BusError::Closed),
            Err(_) => Err(late(None)),
        }
    }
}

fn late(last: Option<Error>) -> BusError {
    match last {
        Some(error) => failed("confirm messages in time", error),
        None => failed("confirm messages in time", "it is out of reach, or takes nothing for now"),
    }
}

/// What came of a post.
enum Verdict {
    Done(Result<(), BusError>),
    /// It is not known whether it was taken; a message that is sent twice is better than one that is lost.
    Again(Error),
    /// The broker refused some of it.
    Refused,
    /// Something of this window found no queue. The client library may take it for another's, so all go again.
    Unroutable,
}

struct Task {
    link: Arc<Link>,
    /// For what goes again.
    door: mpsc::WeakSender<Post>,
    channel: Option<(Arc<Live>, Channel)>,
}

impl Task {
    async fn run(mut self, mut incoming: mpsc::Receiver<Post>) {
        while let Some(first) = incoming.recv().await {
            let (mut count, mut window) = (first.letters.len(), vec![first]);
            while count < WINDOW_MAX
                && let Ok(post) = incoming.try_recv()
            {
                count += post.letters.len();
                window.push(post);
            }
            self.send(window).await;
        }
    }

    /// Sends posts until each is confirmed, late, or put off since it was refused.
    async fn send(&mut self, mut open: Vec<Post>) {
        let mut last: Option<Error> = None;
        loop {
            let now = Instant::now();
            for post in open.extract_if(.., |post| post.deadline <= now) {
                post.done.send(Err(late(last.clone()))).ok();
            }
            let Some(deadline) = open.iter().map(|post| post.deadline).min() else { return };
            let Ok(live) = tokio::time::timeout_at(deadline, self.link.ready()).await else { continue };
            if live.connection.status().blocked() {
                // What is published now would wait in memory for the broker's alarm to end.
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            let verdicts = self.attempt(&live, &mut open, deadline).await;
            let mut left = Vec::new();
            for (mut post, verdict) in open.into_iter().zip(verdicts) {
                match verdict {
                    // Whoever asked may be gone.
                    Verdict::Done(result) => drop(post.done.send(result)),
                    Verdict::Again(error) => {
                        // It may be that what was there is there no more.
                        post.route.needs.iter().for_each(|need| live.forget(need));
                        last = Some(error);
                        left.push(post);
                    }
                    Verdict::Refused => self.refused(post),
                    Verdict::Unroutable => {
                        post.route.needs.iter().for_each(|need| live.forget(need));
                        post.unroutable += 1;
                        if post.unroutable >= UNROUTABLE_MAX {
                            post.done.send(Err(failed("find the queue of a message", post.route.key))).ok();
                        } else {
                            left.push(post);
                        }
                    }
                }
            }
            open = left;
            if !open.is_empty() {
                self.channel = None;
                self.link.look();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Has a post come again for a later window, if there is time for one.
    fn refused(&self, mut post: Post) {
        if !post.route.patient || Instant::now() + REFUSED_PAUSE >= post.deadline {
            post.done.send(Err(full(&post.route))).ok();
            return;
        }
        if !std::mem::replace(&mut post.refused, true) {
            let (queue, messages) = (&post.route.queue, post.letters.len());
            tracing::warn!(%queue, messages, "the broker takes no messages for a queue; sending them until it does");
        }
        let door = self.door.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REFUSED_PAUSE).await;
            if let Some(door) = door.upgrade() {
                // Dropping it tells whoever waits that the bus is closed.
                door.send(post).await.ok();
            }
        });
    }

    /// One try, with a verdict for each post. Letters that were taken are no longer among its posts.
    async fn attempt(&mut self, live: &Arc<Live>, posts: &mut [Post], deadline: Instant) -> Vec<Verdict> {
        let channel = match self.channel(live).await {
            Ok(channel) => channel,
            Err(error) => return posts.iter().map(|_| Verdict::Again(error.clone())).collect(),
        };
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(posts.len());
        for post in posts.iter() {
            verdicts.push(match live.ensure_all(&post.route.needs).await {
                Ok(()) => Verdict::Done(Ok(())),
                Err(error) if is_refusal(&error) => Verdict::Done(Err(failed("declare a queue", error))),
                Err(error) => Verdict::Again(error),
            });
        }
        let goes: Vec<bool> = verdicts.iter().map(|verdict| matches!(verdict, Verdict::Done(Ok(())))).collect();
        let messages = pack(posts, |place| goes[place]);
        let confirms = confirms(&channel, &messages, deadline).await;
        let returned = confirms
            .iter()
            .any(|confirm| matches!(confirm, Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))));
        let mut taken = Vec::new();
        for (message, confirm) in messages.iter().zip(&confirms) {
            let is_taken = !returned && matches!(confirm, Ok(Confirmation::Ack(_)));
            taken.extend(std::iter::repeat_n(is_taken, message.letters));
            for place in message.posts.clone() {
                let verdict = match confirm {
                    _ if returned => Verdict::Unroutable,
                    Ok(Confirmation::Ack(_)) => continue,
                    Ok(Confirmation::Nack(_)) => Verdict::Refused,
                    Ok(Confirmation::NotRequested) => Verdict::Again(unconfirmed()),
                    Err(error) => Verdict::Again(error.clone()),
                };
                // One that may have been lost outweighs another of the same post that was refused.
                if !matches!(verdicts[place], Verdict::Again(_)) {
                    verdicts[place] = verdict;
                }
            }
        }
        let mut taken = taken.into_iter();
        for (post, _) in posts.iter_mut().zip(goes).filter(|(_, goes)| *goes) {
            post.letters.retain(|_| taken.next() == Some(false));
        }
        verdicts
    }

    async fn channel(&mut self, live: &Arc<Live>) -> Result<Channel, Error> {
        if let Some((of, channel)) = &self.channel
            && Arc::ptr_eq(of, live)
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let channel = live.channel(true).await?;
        self.channel = Some((live.clone(), channel.clone()));
        Ok(channel)
    }
}

fn unconfirmed() -> Error {
    std::io::Error::other("the channel does not confirm").into()
}

fn full(route: &Route) -> BusError {
    BusError::Full { queue: route.queue.clone(), max: route.queue_max }
}

/// A message of the broker's.
struct Packed<'a> {
    route: &'a Route,
    body: std::borrow::Cow<'a, [u8]>,
    properties: BasicProperties,
    /// How many it carries.
    letters: usize,
    /// Places of the posts it carries letters of.
    posts: std::ops::RangeInclusive<usize>,
}

/// Puts letters into messages, in order: those of a batched queue that follow each other share one, within bounds.
fn pack(posts: &[Post], goes: impl Fn(usize) -> bool) -> Vec<Packed<'_>> {
    let mut messages = Vec::new();
    let mut together: Vec<(usize, &Letter)> = Vec::new();
    let mut bytes = 0;
    for (place, post) in posts.iter().enumerate().filter(|(place, _)| goes(*place)) {
        for letter in &post.letters {
            let fits = together.first().is_some_and(|(first, _)| {
                let first = &posts[*first];
                let same = first.route.key == post.route.key && first.route.exchange == post.route.exchange;
                let full = together.len() >= BATCH_MAX || bytes + letter.body.len() > BATCH_BYTES;
                post.route.batched && same && first.stamp == post.stamp && !full
            });
            if !fits {
                messages.extend(seal(posts, std::mem::take(&mut together)));
                bytes = 0;
            }
            bytes += letter.body.len();
            together.push((place, letter));
        }
    }
    messages.extend(seal(posts, together));
    messages
}

fn seal<'a>(posts: &'a [Post], together: Vec<(usize, &'a Letter)>) -> Option<Packed<'a>> {
    let (first, last) = (together.first()?.0, together.last()?.0);
    let post = &posts[first];
    let letters: Vec<&Letter> = together.into_iter().map(|(_, letter)| letter).collect();
    let batch = letters.len() > 1;
    let properties = match letters[..] {
        [Letter { own: Some(properties), .. }] => properties.clone(),
        _ => properties(&post.stamp, &letters, batch),
    };
    let body = match letters[..] {
        [single] => single.body.as_slice().into(),
        _ => Batch::encode(letters.iter().map(|letter| letter.body.as_slice())).into(),
    };
    Some(Packed { route: &post.route, body, properties, letters: letters.len(), posts: first..=last })
}

/// Publishes all, then awaits what the broker says to each.
async fn confirms(channel: &Channel, messages: &[Packed<'_>], deadline: Instant) -> Vec<Result<Confirmation, Error>> {
    let publish = |message: &Packed<'_>| {
        let options = BasicPublishOptions { mandatory: message.route.mandatory, ..BasicPublishOptions::default() };
        let (exchange, key) = (message.route.exchange.as_str().into(), message.route.key.as_str().into());
        let (body, properties) = (message.body.to_vec(), message.properties.clone());
        async move { channel.basic_publish(exchange, key, options, &body, properties).await }
    };
    let all = async {
        // Each is queued for the wire as it is first polled, and that is in order.
        let sent = join_all(messages.iter().map(publish)).await;
        join_all(sent.into_iter().map(async |confirm| confirm?.await)).await
    };
    match tokio::time::timeout_at(deadline, all).await {
        Ok(confirms) => confirms,
        Err(_) => {
            let late: Error = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
            messages.iter().map(|_| Err(late.clone())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(key: &str, batched: bool, bodies: &[usize]) -> Post {
        let queue = Queue::Outcomes;
        let (needs, done) = (Vec::new(), oneshot::channel().0);
        let (exchange, key) = (String::new(), key.to_owned());
        let route = Route { exchange, key, queue, queue_max: 1, needs, batched, mandatory: true, patient: true };
        let letter = |size: &usize| Letter { body: vec![b'1'; *size], ..Letter::default() };
        let (letters, stamp, deadline) = (bodies.iter().map(letter).collect(), Stamp::default(), Instant::now());
        Post { route, letters, stamp, deadline, unroutable: 0, refused: false, done }
    }

    #[test]
    fn letters_of_a_batched_queue_share_messages_within_bounds_and_in_order() {
        let whole = BATCH_BYTES / 2;
        let posts = [
            post("a", true, &[1, 1]),
            post("a", true, &[1]),
            post("b", true, &[whole, whole, 1]),
            post("a", false, &[1, 1]),
            post("c", true, &vec![1; BATCH_MAX + 1]),
        ];
        let packed = pack(&posts, |_| true);
        let seen: Vec<_> = packed.iter().map(|message| (message.route.key.as_str(), message.posts.clone())).collect();
        let expected =
            [("a", 0..=1), ("b", 2..=2), ("b", 2..=2), ("a", 3..=3), ("a", 3..=3), ("c", 4..=4), ("c", 4..=4)];
        assert_eq!(seen, expected);
        assert_eq!(Batch::decode(&packed[0].body).expect("a batch").messages.len(), 3);
        assert_eq!(packed[6].body.as_ref(), b"1");
    }

    #[test]
    fn a_post_that_does_not_go_is_left_out() {
        let posts = [post("a", true, &[1]), post("a", true, &[1]), post("a", true, &[1])];
        let packed = pack(&posts, |place| place != 1);
        assert_eq!(packed.len(), 1);
        assert_eq!(Batch::decode(&packed[0].body).expect("a batch").messages.len(), 2);
    }
}
