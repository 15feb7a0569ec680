//! What has to be there before a message is sent or taken: exchanges, queues and bindings with their arguments, as
//! steps. Pure; `docs/topology.md` is held to them.

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};
use tidegate_contracts::topology::Queue;

use super::config::RabbitConfig;
use super::ladder;
use crate::DEAD_MAX;

/// The broker's own last fence against a message that comes back for ever; ours comes much earlier.
const DELIVERY_LIMIT: i64 = 100;
/// No fence: each look at the dead letters counts as a delivery, and from RabbitMQ 4.0 on the default is 20.
const DEAD_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// Something that has to be there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Need {
    /// A queue, to publish to or to consume. For [`Queue::Events`] and [`Queue::Results`] the exchange alone.
    Queue(Queue),
    /// A queue, and the way to it from the end of the ladder.
    Due(Queue),
    /// The ladder from this level down. What enters it needs [`Need::Due`] first.
    Ladder(u32),
    /// A watcher's own queue, of this name.
    Watcher(String),
}

/// One thing to declare. All are idempotent.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Exchange { name: String, kind: ExchangeKind, arguments: FieldTable },
    Queue { name: String, exclusive: bool, arguments: FieldTable },
    Bind { queue: String, exchange: String, key: String },
    BindExchange { to: String, from: String, key: String },
}

/// Names and arguments of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    prefix: String,
    queue_max: i64,
    events_max: i64,
}

impl Plan {
    pub(super) fn new(config: &RabbitConfig) -> Self {
        Self { prefix: config.prefix.clone(), queue_max: config.queue_max.into(), events_max: config.events_max.into() }
    }

    /// A name on the broker.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn queue(&self, queue: &Queue) -> String {
        self.name(&queue.to_string())
    }

    /// The exchange of a level; below the lowest is the delivery exchange.
    pub(super) fn level(&self, level: Option<u32>) -> String {
        match level {
            Some(level) => self.name(&format!("tidegate.delay.level-{level:02}")),
            None => self.name("tidegate.delivery"),
        }
    }

    /// The queue of a level.
    pub(super) fn level_queue(&self, level: u32) -> String {
        self.name(&format!("tidegate.delay.1.level-{level:02}"))
    }

    /// Exchange and routing key that lead to a queue.
    pub(super) fn way(&self, queue: &Queue) -> (String, String) {
        let (exchange, key) = match queue {
            Queue::Outcomes => ("tidegate.outcomes", "outcomes".to_owned()),
            Queue::Plans(partition) => ("tidegate.plans", partition.to_string()),
            Queue::Calls { provider, lane } => ("tidegate.calls", format!("{provider}.{lane}")),
            Queue::Events => ("tidegate.events", "#".to_owned()),
            Queue::Results => ("tidegate.results", "#".to_owned()),
            Queue::Dead => ("tidegate.dead", "#".to_owned()),
        };
        (self.name(exchange), key)
    }

    /// The steps to what is needed, in order.
    pub(super) fn steps(&self, need: &Need) -> Vec<Step> {
        match need {
            Need::Queue(queue @ (Queue::Events | Queue::Results)) => vec![self.exchange(queue)],
            Need::Queue(Queue::Dead) => self.dead(),
            Need::Queue(queue) => [self.dead(), self.work(queue)].concat(),
            Need::Due(queue) => [self.dead(), self.work(queue), self.delivery(queue)].concat(),
            // From below, so that nothing expires to where nothing is.
            Need::Ladder(highest) => {
                let end = std::iter::once(self.delivered());
                end.chain((0..=*highest).flat_map(|level| self.rung(level))).collect()
            }
            Need::Watcher(name) => vec![self.exchange(&Queue::Events), self.watcher(name), self.watching(name)],
        }
    }

    fn exchange(&self, queue: &Queue) -> Step {
        let kind = match queue {
            Queue::Events | Queue::Results | Queue::Dead => ExchangeKind::Topic,
            _ => ExchangeKind::Direct,
        };
        Step::Exchange { name: self.way(queue).0, kind, arguments: FieldTable::default() }
    }

    fn bound(&self, queue: &Queue, arguments: FieldTable) -> Vec<Step> {
        let ((exchange, key), name) = (self.way(queue), self.queue(queue));
        vec![
            self.exchange(queue),
            Step::Queue { name: name.clone(), exclusive: false, arguments },
            Step::Bind { queue: name, exchange, key },
        ]
    }

    fn dead(&self) -> Vec<Step> {
        let mut arguments = quorum();
        number(&mut arguments, "x-delivery-limit", DEAD_DELIVERY_LIMIT);
        // The oldest makes room: refusing the newest would hold up those who reject.
        number(&mut arguments, "x-max-length", i64::try_from(DEAD_MAX).unwrap_or(i64::MAX));
        text(&mut arguments, "x-overflow", "drop-head");
        self.bound(&Queue::Dead, arguments)
    }

    fn work(&self, queue: &Queue) -> Vec<Step> {
        let mut arguments = self.kept(&self.name("tidegate.dead"));
        number(&mut arguments, "x-delivery-limit", DELIVERY_LIMIT);
        if matches!(queue, Queue::Plans(_)) {
            // One writer for each job at a time.
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        self.bound(queue, arguments)
    }

    /// Arguments of a queue that loses nothing: who publishes too much hears so, and what leaves by itself is kept
    /// until its next queue has it (which needs `reject-publish`).
    fn kept(&self, next: &str) -> FieldTable {
        let mut arguments = quorum();
        text(&mut arguments, "x-dead-letter-exchange", next);
        text(&mut arguments, "x-dead-letter-strategy", "at-least-once");
        number(&mut arguments, "x-max-length", self.queue_max);
        text(&mut arguments, "x-overflow", "reject-publish");
        arguments
    }

    /// What is due goes to its queue; what has none is not lost but goes to the dead letters.
    fn delivered(&self) -> Step {
        let mut arguments = FieldTable::default();
        text(&mut arguments, "alternate-exchange", &self.name("tidegate.dead"));
        Step::Exchange { name: self.level(None), kind: ExchangeKind::Topic, arguments }
    }

    fn delivery(&self, queue: &Queue) -> Vec<Step> {
        let name = self.queue(queue);
        let key = format!("#.{}", ladder::address(&name));
        vec![self.delivered(), Step::Bind { queue: name, exchange: self.level(None), key }]
    }

    fn rung(&self, level: u32) -> Vec<Step> {
        let (exchange, below) = (self.level(Some(level)), self.level(level.checked_sub(1)));
        let queue = self.level_queue(level);
        let mut arguments = self.kept(&below);
        number(&mut arguments, "x-message-ttl", ladder::ttl_ms(level));
        let none = FieldTable::default();
        vec![
            Step::Exchange { name: exchange.clone(), kind: ExchangeKind::Topic, arguments: none },
            Step::Queue { name: queue.clone(), exclusive: false, arguments },
            Step::Bind { queue, exchange: exchange.clone(), key: ladder::pattern(level, 1) },
            Step::BindExchange { to: below, from: exchange, key: ladder::pattern(level, 0) },
        ]
    }

    fn watcher(&self, name: &str) -> Step {
        let mut arguments = FieldTable::default();
        // Said, since a vhost's default may be another, which can't be exclusive.
        text(&mut arguments, "x-queue-type", "classic");
        // Old news give way, so that a watcher that hangs fills nothing.
        number(&mut arguments, "x-max-length", self.events_max);
        text(&mut arguments, "x-overflow", "drop-head");
        Step::Queue { name: name.to_owned(), exclusive: true, arguments }
    }

    fn watching(&self, name: &str) -> Step {
        let (exchange, key) = self.way(&Queue::Events);
        Step::Bind { queue: name.to_owned(), exchange, key }
    }
}

/// Replicated, and on disk before it is confirmed.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    text(&mut arguments, "x-queue-type", "quorum");
    arguments
}

fn text(arguments: &mut FieldTable, key: &str, value: &str) {
    arguments.insert(key.into(), AMQPValue::LongString(value.into()));
}

fn number(arguments: &mut FieldTable, key: &str, value: i64) {
    arguments.insert(key.into(), AMQPValue::LongLongInt(value));
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use tidegate_contracts::Lane;
    use tidegate_contracts::topology::{DELAY_LEVELS, EXCHANGES, QUEUES};

    use super::*;

    fn plan() -> Plan {
        Plan::new(&RabbitConfig::new(SecretString::from("amqp://localhost")))
    }

    fn calls() -> Queue {
        Queue::Calls { provider: "PROVIDER".into(), lane: Lane::Normal }
    }

    fn all_steps() -> Vec<Step> {
        let watcher = Need::Watcher("tidegate.events.1.WATCHER".into());
        let queues = [Queue::Outcomes, Queue::Plans(0), calls(), Queue::Events, Queue::Results, Queue::Dead];
        let parking = [Need::Due(calls()), Need::Ladder(DELAY_LEVELS - 1)];
        let needs = queues.map(Need::Queue).into_iter().chain(parking).chain([watcher]);
        needs.flat_map(|need| plan().steps(&need)).collect()
    }

    /// A step's name as the page has it: one row for all partitions, lanes and levels.
    fn row_name(name: &str) -> String {
        let name = match name.split_once("level-") {
            Some((head, level)) if !head.is_empty() && level.len() == 2 => format!("{head}level-NN"),
            _ => name.to_owned(),
        };
        name.replace("plans.1.0", "plans.1.P").replace("PROVIDER.normal", "PROVIDER.LANE")
    }

    fn render(arguments: &FieldTable, exclusive: bool) -> String {
        let mut shown: Vec<String> = arguments
            .inner()
            .iter()
            .map(|(key, value)| match value {
                AMQPValue::LongString(text)
                    if text.to_string().starts_with("tidegate.delay.level-")
                        || text.to_string() == "tidegate.delivery" =>
                {
                    format!("{key}=tidegate.delay.level-(NN-1)")
                }
                AMQPValue::LongString(text) => format!("{key}={text}"),
                AMQPValue::LongLongInt(_) if key.as_str() == "x-message-ttl" => format!("{key}=2^NN s"),
                AMQPValue::LongLongInt(number) => format!("{key}={number}"),
                AMQPValue::Boolean(flag) => format!("{key}={flag}"),
                other => panic!("{other:?}"),
            })
            .collect();
        shown.sort_by_key(|argument| !argument.starts_with("x-queue-type"));
        if exclusive {
            shown.insert(0, "exclusive, auto-delete".into());
        }
        shown.join(", ")
    }

    #[test]
    fn what_is_declared_is_what_the_topology_says() {
        let mut queues = std::collections::BTreeMap::new();
        let mut exchanges = std::collections::BTreeMap::new();
        for step in all_steps() {
            match step {
                Step::Queue { name, exclusive, arguments } => {
                    queues.insert(row_name(&name), render(&arguments, exclusive));
                }
                Step::Exchange { name, kind, .. } => {
                    exchanges.insert(row_name(&name), format!("{kind:?}").to_lowercase());
                }
                _ => {}
            }
        }
        let said = QUEUES.iter().map(|row| (row.name.to_owned(), row.arguments.to_owned())).collect();
        assert_eq!(queues, said);
        let said = EXCHANGES.iter().map(|row| (row.name.to_owned(), row.kind.to_owned())).collect();
        assert_eq!(exchanges, said);
    }

    #[test]
    fn what_is_bound_is_declared_before() {
        let mut declared = std::collections::HashSet::new();
        for step in all_steps() {
            match step {
                Step::Queue { name, .. } | Step::Exchange { name, .. } => {
                    declared.insert(name);
                }
                Step::Bind { queue, exchange, .. } => {
                    assert!(declared.contains(&queue) && declared.contains(&exchange))
                }
                Step::BindExchange { to, from, .. } => assert!(declared.contains(&to) && declared.contains(&from)),
            }
        }
    }
}
