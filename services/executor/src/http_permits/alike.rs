//! Calls that are alike ask as one, and tell as one: pure.
//!
//! What travels together is often of one job, with the same limits: then one question wants leave for all of them, and the
//! arbiter looks at the budgets once. Nobody asks for more than waits, so nothing is held that nobody needs.

use tidegate_limits::{Health, LEASE_MAX, Question, Report};

use super::Asked;

/// Calls that are alike, the first of them first; never none.
pub(super) struct Group {
    pub(super) asked: Vec<Asked>,
}

impl Group {
    /// The question of all.
    pub(super) fn question(&self) -> Question {
        Question { want: u32::try_from(self.asked.len()).unwrap_or(LEASE_MAX), ..self.asked[0].question.clone() }
    }

    fn takes(&self, other: &Question) -> bool {
        let own = &self.asked[0].question;
        self.asked.len() < LEASE_MAX as usize && own.by == other.by && own.choices().eq(other.choices())
    }
}

/// Puts calls together that are alike and wait for the first time, where `may_lease` says so of them. A call that was told to
/// wait for its turn asks by itself.
pub(super) fn group(batch: Vec<Asked>, may_lease: impl Fn(&Question) -> bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for asked in batch {
        let is_first = asked.question.by.as_ref().is_some_and(|by| by.waited_for.is_none());
        let like = groups.iter_mut().rev().find(|group| group.takes(&asked.question));
        match like.filter(|_| is_first && may_lease(&asked.question)) {
            Some(group) => group.asked.push(asked),
            None => groups.push(Group { asked: vec![asked] }),
        }
    }
    groups
}

/// One report for all calls that were granted together and of which there is nothing to say but that they went well. What
/// they say does not depend on their order.
pub(super) fn together(reports: Vec<Report>) -> Vec<Report> {
    let (mut well, mut told): (Vec<Report>, Vec<Report>) = reports.into_iter().partition(went_well);
    well.sort_by_key(|report| report.permit.id);
    well.dedup_by(|next, first| {
        let end = first.permit.id + u64::from(first.permit.calls);
        let follows = next.permit.id == end && first.permit.calls + next.permit.calls <= LEASE_MAX;
        let joins = follows && next.permit.keys == first.permit.keys && next.answer == first.answer;
        if joins {
            first.permit.calls += next.permit.calls;
            // Where it counts how long calls take, they are granted one by one.
            first.took_us = None;
        }
        joins
    });
    told.append(&mut well);
    told
}

fn went_well(report: &Report) -> bool {
    let Report { permit, sent, answer, health, took_us: _ } = report;
    let says_nothing = answer.as_ref().is_none_or(|told| told.readings.is_empty() && told.refused.is_none());
    *sent && !permit.probe && says_nothing && *health == Some(Health::Well)
}

#[cfg(test)]
mod tests {
    use tidegate_limits::{By, Charge, Permit, Rate, Told};

    use super::*;

    fn question(key: &str, waited_for: Option<&str>) -> Question {
        let charge =
            Charge { limit: "limit".to_owned(), key: key.to_owned(), rate: Rate::Told {}, cost: 1, headroom: None };
        let waited_for = waited_for.map(str::to_owned);
        Question::new(vec![charge]).by(By {
            lane: 1,
            tenant: "acme".to_owned(),
            job: "job".to_owned(),
            credential: None,
            waited_for,
        })
    }

    fn asked(question: Question) -> Asked {
        Asked { question, traceparent: None, asks_again: false, decided: tokio::sync::oneshot::channel().0 }
    }

    fn wanted(groups: &[Group]) -> Vec<(&str, u32)> {
        groups.iter().map(|group| (group.asked[0].question.charges[0].key.as_str(), group.question().want)).collect()
    }

    fn report(id: u64, health: Health) -> Report {
        let permit = Permit::new(id, vec!["{acme}/limit/".to_owned()]);
        Report { permit, sent: true, answer: Some(Told::default()), health: Some(health), took_us: Some(id) }
    }

    fn ids(reports: &[Report]) -> Vec<(u64, u32)> {
        reports.iter().map(|report| (report.permit.id, report.permit.calls)).collect()
    }

    #[test]
    fn calls_alike_that_have_not_waited_ask_as_one() {
        let calls = [("a", None), ("b", None), ("a", None), ("a", Some("limit")), ("a", Some("limit")), ("a", None)];
        let groups = group(calls.map(|(key, waited)| asked(question(key, waited))).into(), |_| true);
        assert_eq!(wanted(&groups), [("a", 3), ("b", 1), ("a", 1), ("a", 1)]);
    }

    #[test]
    fn calls_of_which_not_all_had_room_ask_one_by_one() {
        let groups = group(vec![asked(question("a", None)), asked(question("a", None))], |_| false);
        assert_eq!(wanted(&groups), [("a", 1), ("a", 1)]);
    }

    #[test]
    fn no_more_ask_as_one_than_are_granted_at_once() {
        let batch = (0..LEASE_MAX + 3).map(|_| asked(question("a", None)));
        assert_eq!(wanted(&group(batch.collect(), |_| true)), [("a", LEASE_MAX), ("a", 3)]);
    }

    #[test]
    fn calls_that_were_granted_together_and_went_well_tell_as_one() {
        let told = [(7, Health::Well), (5, Health::Well), (6, Health::Well), (8, Health::Ill), (9, Health::Well)];
        let told = together(told.map(|(id, health)| report(id, health)).to_vec());
        assert_eq!(ids(&told), [(8, 1), (5, 3), (9, 1)], "what is not well is told by itself");
        let took: Vec<_> = told.iter().map(|report| report.took_us).collect();
        assert_eq!(took, [Some(8), None, Some(9)], "how long each took is told of those alone");
    }

    #[test]
    fn calls_of_other_budgets_tell_by_themselves() {
        let other = Report { permit: Permit::new(2, vec!["{acme}/other/".to_owned()]), ..report(2, Health::Well) };
        let unanswered = Report { answer: None, ..report(4, Health::Well) };
        let told = together(vec![report(1, Health::Well), other, report(3, Health::Well), unanswered]);
        assert_eq!(ids(&told), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    }
}
