//! Budgets in Redis (7 or later) or Valkey, for any number of arbiters.
//!
//! One function call on the server decides over all limits of a question, so nothing comes in between. The functions
//! are the model of `tidegate_limits` written in Lua, held to it by a property test. The server's time counts; what is
//! told and answered is converted to the caller's.
//!
//! **When Redis can't be asked** nothing is granted, or [shares](away) of what was seen last; a permit whose reply was lost comes back as if its call was never
//! reported: a slot by its lease, a window or bucket by time. **When its data is lost** (`FLUSHALL`, a restart without
//! persistence, a replica that lacks the last second) arbiters tell what they [know](known), and budgets go on from there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use secrecy::{ExposeSecret, SecretString};
use tidegate_daemon::clock;
use tidegate_limits::{
    Decision, Down, Learnt, LearntSlots, Override, OverrideKind, Permit, Question, Report, Sharing, Usage, Why,
};
use tokio::sync::RwLock;

pub use self::away::WhileAway;
pub(crate) use self::away::{Calls, Presence};
use self::away::{Local, Return, Spent};
use self::connection::Connection;
use self::function_call::FunctionCall;
use self::keys::Keys;
pub(crate) use self::keys::family;
use self::known::{Known, Life, Sight};
use self::library::LIBRARY;
use crate::metrics::watch_redis;
use crate::{LimitStore, StoreError};

mod away;
mod connection;
mod function_call;
mod keys;
mod known;
mod library;

/// Most budgets that one function call looks at: Redis does nothing else meanwhile.
const BUDGETS_MAX: usize = 500;
/// Most reports that are told by one of them.
const REPORTS_MAX: usize = 256;
/// Budgets that were asked about so lately are looked at, in case Redis goes away.
const LATELY_MS: i64 = 60_000;
/// Most budgets that are restored by one: each may have a thousand calls in flight.
const RESTORED_MAX: usize = 50;
/// How often a family is put into the set of families.
const LIST_AGAIN_MS: i64 = 60_000;
/// How long the set of families is kept: longer than any window.
const FAMILIES_TTL_MS: i64 = 400 * 86_400_000;

/// Where the store is.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Such as `redis://user:password@host:6379/0`, or `rediss://` for TLS (rustls, with the system's certificates).
    pub url: SecretString,
    /// Every key begins with it; two deployments on one Redis need two. No braces. Default `tidegate:`.
    pub prefix: String,
    /// Longest time for an answer, with a new connection if need be. Default 500 ms.
    pub answer_within: Duration,
    /// Longest time for one attempt to connect. Default 1 s.
    pub connect_within: Duration,
    /// How lanes and tenants share; the same for all arbiters.
    pub sharing: Sharing,
    /// What is granted while it can't be asked; the same for all arbiters. Default: nothing.
    pub while_away: WhileAway,
}

impl RedisConfig {
    /// The defaults, with this address.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            prefix: "tidegate:".to_owned(),
            answer_within: Duration::from_millis(500),
            connect_within: Duration::from_secs(1),
            sharing: Sharing::default(),
            while_away: WhileAway::Wait,
        }
    }
}

/// Budgets in Redis.
pub struct RedisStore {
    connection: Connection,
    keys: Keys,
    sharing: Sharing,
    is_caller_s_time: bool,
    known: Known,
    /// Held by all who ask and report, and alone by who tells what is known: all that was answered is known by then.
    telling: RwLock<()>,
    /// When each family was put into the set of families, Unix ms.
    listed: Mutex<HashMap<String, i64>>,
    presence: Arc<Presence>,
}

impl RedisStore {
    /// Connects when it is first asked, so that an arbiter starts without its Redis.
    ///
    /// # Errors
    /// [`StoreError`] when the address is none, or the prefix has braces.
    pub fn new(config: &RedisConfig) -> Result<Self, StoreError> {
        if config.prefix.contains(['{', '}']) {
            return Err(StoreError("the prefix of keys must have no braces".to_owned()));
        }
        let connection = Connection::new(config, config.url.expose_secret())
            .map_err(|error| StoreError(format!("not an address of Redis: {error}")))?;
        let (keys, known, listed) = (Keys::new(&config.prefix), Known::default(), Mutex::default());
        let (sharing, presence) = (config.sharing.clone(), Arc::new(Presence::new(config.while_away)));
        watch_redis(&presence);
        let telling = RwLock::new(());
        Ok(Self { connection, keys, sharing, is_caller_s_time: false, known, telling, listed, presence })
    }

    /// Goes by `now_ms` instead of the server's time: for tests.
    #[must_use]
    pub fn by_caller_s_time(self) -> Self {
        Self { is_caller_s_time: true, ..self }
    }

    fn call<'a>(&'a self, family: &'a str, now_ms: i64) -> FunctionCall<'a> {
        self.call_in(Life::default(), family, now_ms)
    }

    fn call_in<'a>(&'a self, life: Life, family: &'a str, now_ms: i64) -> FunctionCall<'a> {
        FunctionCall::new((&self.keys, &self.sharing), family, life, now_ms, self.is_caller_s_time)
    }

    /// Asks or reports; where the store has lost what is known of the family, tells it and calls again. Returns the server's
    /// time, and the replies.
    async fn decide<'a>(
        &'a self,
        (family, now_ms): (&'a str, i64),
        function: &str,
        fill: impl Fn(&mut FunctionCall<'a>) + Send,
    ) -> Result<(i64, Vec<Value>), StoreError> {
        for _ in 0..2 {
            let answering = self.telling.read().await;
            let life = self.known.life(family);
            let mut call = self.call_in(life.clone(), family, now_ms);
            fill(&mut call);
            let mut reply = self.connection.run::<Vec<Value>>(&call.command(function)).await?.into_iter();
            let server_ms = reply.next().and_then(whole).ok_or_else(nonsense)?;
            if let Some(sight) = reply.next() {
                let sight = Sight::read(sight).ok_or_else(nonsense)?;
                self.known.see(family, call.budgets(), sight, now_ms);
                return Ok((server_ms, reply.collect()));
            }
            drop(answering);
            self.restore(family, &life, now_ms).await?;
        }
        Err(StoreError("Redis has lost its data twice".to_owned()))
    }

    /// Decides questions of one family: with Redis, or without it.
    async fn ask_of(
        &self,
        family: &str,
        now_ms: i64,
        asked: &[&Question],
    ) -> Result<Vec<Option<Decision>>, StoreError> {
        let alone = || {
            let over = (&self.known, &self.sharing);
            self.presence.locally(now_ms, family, over, |local| {
                asked.iter().map(|question| Some(local.decide(now_ms, question))).collect()
            })
        };
        if let Some(decided) = alone() {
            return decided;
        }
        let with_redis = async {
            self.list(family, now_ms).await?;
            let (server_ms, replies) = self.decide((family, now_ms), &LIBRARY.ask, |call| call.ask(asked)).await?;
            let read = |(question, reply): (&&Question, Value)| {
                let reply = redis::from_redis_value(reply).ok()?;
                decision(question, reply).map(|decision| decision.by_clock(now_ms - server_ms))
            };
            Ok(asked.iter().zip(replies).map(read).collect())
        };
        match with_redis.await {
            Ok(decided) => {
                self.presence.answered();
                Ok(decided)
            }
            Err(error) if self.presence.failed(now_ms) => alone().unwrap_or(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Takes reports of one family: with Redis, or without it.
    async fn report_of(&self, family: &str, now_ms: i64, reports: &[&Report]) -> Result<(), StoreError> {
        let alone = || {
            let over = (&self.known, &self.sharing);
            self.presence.locally(now_ms, family, over, |local| {
                reports.iter().for_each(|report| local.report(now_ms, report));
            })
        };
        if let Some(taken) = alone() {
            return taken;
        }
        match self.decide((family, now_ms), &LIBRARY.report, |call| call.report(reports)).await {
            Ok(_) => {
                self.presence.answered();
                Ok(())
            }
            Err(error) if self.presence.failed(now_ms) => alone().unwrap_or(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Whether Redis answers; what is to be told to it and to be known of it, though nobody asks.
    async fn see_to(&self, now_ms: i64) -> Result<(), StoreError> {
        if let Err(error) = self.connection.run::<Value>(&redis::cmd("PING")).await {
            return Err(self.connection.trouble().await.unwrap_or(error));
        }
        if let Some(mut back) = self.presence.returning() {
            self.tell_spent(&mut back, now_ms).await?;
            back.here();
        }
        for family in self.known.names() {
            // An arbiter that nobody asks now tells what it knows of budgets that were lost, too.
            self.decide((&family, now_ms), &LIBRARY.ask, |call| call.ask(&[])).await?;
            if self.presence.shares() {
                self.look(&family, now_ms).await?;
            }
        }
        Ok(())
    }

    /// Tells Redis what was granted without it.
    async fn tell_spent(&self, back: &mut Return<'_>, now_ms: i64) -> Result<(), StoreError> {
        // Also of families of which nothing was granted here: other arbiters may have, and are to be waited for.
        for family in self.known.names() {
            let local = back.family(&family);
            let (spent, last_id) = local.map(|local| local.spent(now_ms)).unwrap_or_default();
            let heard_ms = local.map_or_else(|| self.known.snapshot(&family).heard_ms, Local::heard_ms);
            let none: &[Spent] = &[];
            for spent in spent.chunks(BUDGETS_MAX).chain(spent.is_empty().then_some(none)) {
                self.decide((&family, now_ms), &LIBRARY.charge, |call| call.charge_spent(spent, last_id, heard_ms))
                    .await?;
            }
            let reports: Vec<&Report> = local.into_iter().flat_map(Local::reports).collect();
            for reports in reports.chunks(REPORTS_MAX) {
                self.decide((&family, now_ms), &LIBRARY.report, |call| call.report(reports)).await?;
            }
            back.told(&family);
        }
        Ok(())
    }

    /// Looks at what others made of the budgets that were asked about lately, and what people want of the family's.
    async fn look(&self, family: &str, now_ms: i64) -> Result<(), StoreError> {
        let keys = self.known.asked_since(family, now_ms - LATELY_MS, BUDGETS_MAX);
        let mut call = self.call(family, now_ms);
        call.name(keys.iter().map(String::as_str));
        let found: (i64, Vec<Option<Vec<u8>>>) = split(self.connection.run(&call.command(&LIBRARY.look)).await?)?;
        let (_, overrides) = self.impose(&self.call(family, now_ms), now_ms).await?;
        let states = keys.into_iter().zip(found.1).filter_map(|(key, state)| Some((key, state?))).collect();
        self.known.looked(family, found.0, states, overrides);
        Ok(())
    }

    /// Tells what is known of a family, of which that life was lost, unless somebody has. Idempotent: later sight of a budget
    /// stays.
    async fn restore(&self, family: &str, lost: &Life, now_ms: i64) -> Result<(), StoreError> {
        let _alone = self.telling.write().await;
        let (life, known) = self.known.of(family);
        if life.began != lost.began {
            return Ok(());
        }
        tracing::warn!(provider = family, budgets = known.len(), "Redis has lost budgets; telling what is known");
        let (none, mut reached): (&[_], _) = (&[], None);
        for known in known.chunks(RESTORED_MAX).chain(known.is_empty().then_some(none)) {
            let mut call = self.call_in(life.clone(), family, now_ms);
            call.restore(known);
            let mut reply: Vec<Value> = self.connection.run(&call.command(&LIBRARY.restore)).await?;
            reached = Some(reply.pop().and_then(Sight::read).ok_or_else(nonsense)?);
        }
        // Not before all is told: who is interrupted begins anew.
        reached.iter().for_each(|sight| self.known.told(family, sight));
        self.listed().remove(family);
        self.list(family, now_ms).await
    }

    /// Notes that the family exists, for those who list budgets; now and then again, in case Redis has lost it.
    async fn list(&self, family: &str, now_ms: i64) -> Result<(), StoreError> {
        let is_listed = |at_ms: &i64| (0..LIST_AGAIN_MS).contains(&(now_ms - at_ms));
        if self.listed().get(family).is_some_and(is_listed) {
            return Ok(());
        }
        let families = self.keys.families();
        let _: Value = self.connection.run(redis::cmd("SADD").arg(&families).arg(family)).await?;
        for key in [families, self.keys.life(family)] {
            let _: Value = self.connection.run(redis::cmd("PEXPIRE").arg(key).arg(FAMILIES_TTL_MS)).await?;
        }
        self.listed().insert(family.to_owned(), now_ms);
        Ok(())
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn families(&self) -> Result<Vec<String>, StoreError> {
        self.connection.run(redis::cmd("SMEMBERS").arg(self.keys.families())).await
    }

    /// Whether a call changed a family's overrides, and all that there are.
    async fn impose(&self, call: &FunctionCall<'_>, now_ms: i64) -> Result<(bool, Vec<Override>), StoreError> {
        let (server_ms, replies): (i64, Vec<Vec<Value>>) =
            split(self.connection.run(&call.command(&LIBRARY.impose)).await?)?;
        let mut replies = replies.into_iter();
        let changed = replies.next().and_then(|mut changed| whole(changed.pop()?)).ok_or_else(nonsense)?;
        let wanted = |reply: Vec<Value>| {
            let [until_ms, json] = <[Value; 2]>::try_from(reply).ok()?;
            let wanted: Override = serde_json::from_str(&redis::from_redis_value::<String>(json).ok()?).ok()?;
            Some(Override { until_ms: whole(until_ms), ..wanted }.by_clock(now_ms - server_ms))
        };
        let all = replies.map(wanted).collect::<Option<Vec<_>>>().ok_or_else(nonsense)?;
        Ok((changed == 1, all))
    }

    /// Every family's budgets, by key.
    async fn budgets(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut budgets = BTreeMap::new();
        for family in self.families().await? {
            let states: Vec<String> = self.connection.run(redis::cmd("SMEMBERS").arg(self.keys.index(&family))).await?;
            let keys = states.iter().filter_map(|state| self.keys.of_state(&family, state)).map(str::to_owned);
            budgets.insert(family.clone(), keys.collect());
        }
        Ok(budgets)
    }
}

#[async_trait]
impl LimitStore for RedisStore {
    async fn ask(&self, now_ms: i64, questions: Vec<Question>) -> Result<Vec<Decision>, StoreError> {
        let mut by_family: BTreeMap<&str, Vec<(usize, &Question)>> = BTreeMap::new();
        for (place, question) in questions.iter().enumerate() {
            by_family.entry(family_of(question)?).or_default().push((place, question));
        }
        let mut decisions: Vec<Option<Decision>> = vec![None; questions.len()];
        for (family, asked) in by_family {
            for asked in parts(&asked, |(_, question)| question.choices().map(<[_]>::len).sum()) {
                let (places, asked): (Vec<usize>, Vec<&Question>) = asked.iter().copied().unzip();
                let decided = self.ask_of(family, now_ms, &asked).await?;
                places.into_iter().zip(decided).for_each(|(place, decision)| decisions[place] = decision);
            }
        }
        decisions.into_iter().collect::<Option<Vec<_>>>().ok_or_else(nonsense)
    }

    async fn report(&self, now_ms: i64, reports: Vec<Report>) -> Result<(), StoreError> {
        let mut by_family: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
        for report in &reports {
            let Some(key) = report.permit.keys.first() else { continue };
            by_family.entry(family(key)).or_default().push(report);
        }
        for (family, reports) in by_family {
            for reports in parts(&reports, |report| report.permit.keys.len()) {
                self.report_of(family, now_ms, reports).await?;
            }
        }
        Ok(())
    }

    async fn usage(&self, now_ms: i64) -> Result<Vec<Usage>, StoreError> {
        let mut usage = Vec::new();
        for (family, keys) in self.budgets().await? {
            for keys in keys.chunks(BUDGETS_MAX) {
                let mut call = self.call(&family, now_ms);
                call.name(keys.iter().map(String::as_str));
                let (server_ms, replies): (i64, Vec<Option<Gauge>>) =
                    split(self.connection.run(&call.command(&LIBRARY.usage)).await?)?;
                let ahead_ms = now_ms - server_ms;
                let used = keys.iter().zip(replies).filter_map(|(key, gauge)| Some(usage_of(key, gauge?, ahead_ms)));
                usage.extend(used);
            }
        }
        usage.sort_by(|one: &Usage, other| one.key.cmp(&other.key));
        Ok(usage)
    }

    /// Every key expires by itself; this only makes it sooner.
    async fn forget_idle(&self, now_ms: i64) -> Result<(), StoreError> {
        self.known.forget(now_ms);
        for (family, keys) in self.budgets().await? {
            for keys in keys.chunks(BUDGETS_MAX) {
                let mut call = self.call(&family, now_ms);
                call.name(keys.iter().map(String::as_str));
                let _: i64 = self.connection.run(&call.command(&LIBRARY.forget)).await?;
            }
        }
        Ok(())
    }

    async fn put_override(&self, now_ms: i64, wanted: Override) -> Result<bool, StoreError> {
        let family = family(&wanted.key);
        self.list(family, now_ms).await?;
        let mut call = self.call(family, now_ms);
        call.put_override(&wanted);
        Ok(self.impose(&call, now_ms).await?.0)
    }

    async fn delete_override(&self, now_ms: i64, key: &str, kind: Option<OverrideKind>) -> Result<bool, StoreError> {
        let mut call = self.call(family(key), now_ms);
        let kinds = kind.map_or(vec![OverrideKind::Pause, OverrideKind::Rate], |kind| vec![kind]);
        call.delete_override(key, &kinds);
        Ok(self.impose(&call, now_ms).await?.0)
    }

    async fn overrides(&self, now_ms: i64) -> Result<Vec<Override>, StoreError> {
        let mut all = Vec::new();
        for family in self.families().await? {
            all.extend(self.impose(&self.call(&family, now_ms), now_ms).await?.1);
        }
        all.sort_by(|one, other| (&one.key, one.kind()).cmp(&(&other.key, other.kind())));
        Ok(all)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let now_ms = clock::now_ms();
        match self.see_to(now_ms).await {
            Ok(()) => self.presence.answered(),
            Err(_) if self.presence.failed(now_ms) && self.presence.may_grant(now_ms) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Limit, used, size, when it resets, until when it is blocked, what was learnt, since when it is ill and tried next, what
/// was learnt of slots.
type Gauge =
    (String, u64, Option<u64>, Option<i64>, Option<i64>, Option<Lesson>, Option<(i64, i64)>, Option<SlotLesson>);
/// How long a call takes in µs, when that was measured, when calls last waited at the provider.
type SlotLesson = (Option<u64>, Option<i64>, Option<i64>);
/// Pace an hour, whether it is proven, when it was last refused.
type Lesson = (u64, u8, Option<i64>);

fn usage_of(key: &str, gauge: Gauge, ahead_ms: i64) -> Usage {
    let (limit, used, size, resets_at_ms, blocked_until_ms, lesson, down, slots) = gauge;
    let ahead = |ms: i64| ms.saturating_add(ahead_ms);
    let (resets_at_ms, blocked_until_ms) = (resets_at_ms.map(ahead), blocked_until_ms.map(ahead));
    let learnt = lesson.map(|(per_hour, is_proven, refused_at_ms)| Learnt {
        per_hour,
        is_proven: is_proven == 1,
        refused_at_ms: refused_at_ms.map(ahead),
    });
    let down = down.map(|(since_ms, probe_at_ms)| Down { since_ms: ahead(since_ms), probe_at_ms: ahead(probe_at_ms) });
    let learnt_slots = slots.map(|(base_us, measured_at_ms, queued_at_ms)| LearntSlots {
        slots: size.unwrap_or_default(),
        base_us,
        measured_at_ms: measured_at_ms.map(ahead),
        queued_at_ms: queued_at_ms.map(ahead),
    });
    Usage { key: key.to_owned(), limit, used, size, resets_at_ms, blocked_until_ms, learnt, learnt_slots, down }
}

/// The family of a question; all its budgets are of one.
fn family_of(question: &Question) -> Result<&str, StoreError> {
    let mut families = question.choices().flatten().map(|charge| family(&charge.key));
    let first = families.next().unwrap_or("untagged");
    if families.any(|other| other != first) {
        return Err(StoreError("a question's budgets must be of one provider".to_owned()));
    }
    Ok(first)
}

/// What is asked or told, in parts for one function call each: of [`BUDGETS_MAX`] budgets at most, or of one that has more.
fn parts<T>(all: &[T], budgets: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut from, mut named) = (Vec::new(), 0, 0);
    for (place, one) in all.iter().enumerate() {
        let more = budgets(one);
        if from < place && named + more > BUDGETS_MAX {
            parts.push(&all[from..place]);
            (from, named) = (place, 0);
        }
        named += more;
    }
    parts.push(&all[from..]);
    parts
}

/// The server's time, and one reply for each question.
fn split<T: redis::FromRedisValue>(reply: Vec<Value>) -> Result<(i64, Vec<T>), StoreError> {
    let mut replies = reply.into_iter();
    let server_ms = replies.next().ok_or_else(nonsense)?;
    let server_ms = redis::from_redis_value(server_ms).map_err(|_| nonsense())?;
    let replies =
        replies.map(|reply| redis::from_redis_value(reply).map_err(|_| nonsense())).collect::<Result<_, _>>()?;
    Ok((server_ms, replies))
}

/// What `ask` in `limiter.lua` replies to a question.
fn decision(question: &Question, reply: Vec<Value>) -> Option<Decision> {
    let mut reply = reply.into_iter();
    let (is_granted, number) = (whole(reply.next()?)? == 1, whole(reply.next()?)?);
    let charges = question.choices().nth(place(number)?)?;
    if is_granted {
        let keys = charges.iter().map(|charge| charge.key.clone()).collect();
        let id = u64::try_from(whole(reply.next()?)?).ok()?;
        let (calls, use_within_ms) = (u32::try_from(whole(reply.next()?)?).ok()?, whole(reply.next()?));
        let probe = reply.next().is_some();
        return Some(Decision::Granted(Permit { probe, calls, use_within_ms, ..Permit::new(id, keys) }));
    }
    let limit = charges.get(place(whole(reply.next()?)?)?)?.limit.clone();
    let (until_ms, at_latest_ms) = (whole(reply.next()?)?, whole(reply.next()?)?);
    let why = match reply.next() {
        None => None,
        Some(Value::Int(since_ms)) => Some(Why::Down { since_ms }),
        Some(json) => Some(paused(&redis::from_redis_value::<String>(json).ok()?, reply.next())?),
    };
    Some(Decision::Wait { until_ms, at_latest_ms, limit, why })
}

/// Lua counts from 1.
fn place(number: i64) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

fn paused(json: &str, until_ms: Option<Value>) -> Option<Why> {
    let pause: Override = serde_json::from_str(json).ok()?;
    Some(Why::Paused { reason: pause.reason, until_ms: until_ms.and_then(whole) })
}

fn whole(value: Value) -> Option<i64> {
    redis::from_redis_value(value).ok()
}

fn nonsense() -> StoreError {
    StoreError("Redis gave an answer that makes no sense".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_function_call_names_no_more_budgets_than_redis_may_look_at() {
        let lengths = |all: &[usize]| parts(all, |one| *one).into_iter().map(<[_]>::len).collect::<Vec<_>>();
        for (all, expected) in [
            (vec![], vec![0]),
            (vec![0; 9], vec![9]),
            (vec![5; 64], vec![64]),
            (vec![250, 250, 1, 499, 2], vec![2, 2, 1]),
            (vec![1_024, 1, 1_024], vec![1, 1, 1]),
        ] {
            assert_eq!(lengths(&all), expected, "{all:?}");
        }
    }
}
