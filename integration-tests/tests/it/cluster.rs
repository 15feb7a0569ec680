//! The services as processes of their own, over the real broker and databases.
//!
//! A cluster has a database, a virtual host and a prefix of its own. `TIDEGATE_TEST_POSTGRES`, `TIDEGATE_TEST_REDIS` and
//! `TIDEGATE_TEST_RABBITMQ` say where the servers are, if not at their usual places here; virtual hosts are made with
//! `rabbitmqctl`.

mod faults;
pub(crate) mod fixture;
mod jobs;
mod kills;
mod limits;
mod notify;
mod order;
mod outages;
mod pauses;
mod poison;
mod push;
mod queues;
mod scarce;
mod secrets;
mod servers;
mod since;
mod starts;
mod tls;
mod traces;
mod turns;
