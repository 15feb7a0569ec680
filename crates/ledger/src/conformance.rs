//! What every ledger must do, as checks that each take an empty ledger and panic where it does otherwise.
//!
//! ```no_run
//! use tidegate_ledger::{Ledger, SqliteLedger, Sync, conformance};
//!
//! macro_rules! tests {
//!     ($($check:ident)*) => { $(
//!         #[tokio::test]
//!         async fn $check() {
//!             let dir = tempfile::tempdir().expect("a directory");
//!             let ledger = SqliteLedger::open(&dir.path().join("state"), Sync::Normal).await.expect("opens");
//!             conformance::$check(&ledger).await;
//!         }
//!     )* };
//! }
//! tidegate_ledger::conformance_checks!(tests);
//! # fn main() {}
//! ```
//!
//! *To add a check*: a function in the file of its subject, its name in [`conformance_checks!`](crate::conformance_checks).

mod barriers;
mod bounds;
mod chance;
mod children;
mod dead;
mod ends;
mod finish;
mod jobs;
mod keys;
mod marks;
mod new_pages;
mod notices;
mod out;
mod pause;
mod prune;
mod release;
mod report;
mod retry;
mod scene;
mod simulation;
mod stored;
mod sweep;
mod tree;
mod unmatched;

use std::sync::Arc;

pub use barriers::*;
pub use bounds::*;
pub use children::*;
pub use dead::*;
pub use ends::*;
pub use finish::*;
pub use jobs::*;
pub use keys::*;
pub use marks::*;
pub use new_pages::*;
pub use notices::*;
pub use out::*;
pub use pause::*;
pub use prune::*;
pub use release::*;
pub use report::*;
pub use retry::*;
pub use simulation::*;
pub use stored::*;
pub use sweep::*;
pub use tree::*;
pub use unmatched::*;

use crate::Ledger;

/// Hands the names of all checks to a macro, so that no list of them is ever short of one.
#[macro_export]
macro_rules! conformance_checks {
    ($with:ident) => {
        $with! {
            a_job_is_submitted_once
            what_is_unknown_is_none
            stopped_jobs_are_known
            jobs_come_newest_first
            jobs_are_found_by_what_they_are
            lanes_are_open_while_jobs_are
            a_key_makes_one_job
            a_key_is_its_tenants_own
            a_key_submitted_at_once_makes_one_job
            small_texts_are_kept_by_name
            a_first_plan_begins_once
            a_plan_of_nothing_known_changes_nothing
            calls_go_out_in_order_and_only_into_the_window
            a_released_call_says_all_that_an_executor_needs
            many_jobs_share_what_may_be_out
            each_lane_has_its_own_window
            a_whale_is_moved_to_bulk_and_back
            every_end_is_counted
            a_plan_that_comes_twice_changes_nothing
            plans_take_effect_in_any_order
            a_deferred_call_stays_open
            a_deferral_after_the_end_is_ignored
            an_earlier_deferral_never_replaces_a_later_one
            requests_are_counted_once
            a_message_of_any_length_is_kept_in_part
            one_page_follows_another
            a_range_is_planned_whole
            pages_that_are_known_are_not_counted_again
            first_pages_that_overlap_are_counted_once
            a_chain_that_leads_back_ends
            a_guard_stays_whatever_ends_after_it
            two_calls_that_name_the_same_next_page_plan_it_once
            a_parent_finishes_after_its_children
            a_child_met_on_two_pages_is_one
            a_child_that_cannot_begin_is_a_failed_call
            a_tolerated_child_that_cannot_begin_fails_nothing
            a_root_that_cannot_begin_fails_the_job
            a_fetch_without_pages_holds_nobody_up
            a_job_succeeds_when_all_is_done
            a_job_with_nothing_to_do_succeeds
            a_job_fails_by_one_call
            a_job_succeeds_with_failures_it_tolerates
            a_stopped_job_fails_when_its_calls_are_back
            a_job_that_cannot_be_planned_fails
            a_cancelled_job_ends_when_its_calls_are_back
            calls_of_a_stopped_job_come_back_unmade
            a_job_is_cancelled_before_it_was_planned
            a_finished_job_is_not_cancelled
            jobs_finish_apart_from_each_other
            a_paused_job_sends_out_nothing_until_it_is_resumed
            a_call_that_comes_back_to_a_job_that_goes_on_is_released_again
            a_paused_job_may_finish_and_is_paused_no_more
            a_paused_job_is_cancelled
            a_job_is_paused_before_it_was_planned
            failed_calls_are_tried_again
            those_that_failed_alike_are_tried_again_alone
            what_was_cancelled_is_made_with_what_failed
            tolerated_failures_are_tried_again
            a_cancelled_job_is_taken_up_where_it_was
            what_cannot_begin_is_not_tried_again
            only_finished_jobs_are_tried_again
            a_sweep_of_everything_returns_all_that_is_out
            a_sweep_returns_what_is_past_its_lease
            a_swept_call_has_a_new_lease
            a_sweep_lists_jobs_that_nobody_planned
            a_sweep_fills_windows
            a_page_is_stored_only_once
            a_page_without_its_call_is_refused
            a_page_twice_in_a_batch_is_stored_once
            a_page_is_repeated_within_its_fetch_only
            lines_read_back_as_they_were_stored
            pages_come_in_the_order_of_storing
            failures_are_grouped
            steps_are_counted
            fetches_are_shown_level_by_level
            failed_calls_are_shown_one_by_one
            a_guard_that_stopped_a_fetch_is_remembered
            waits_are_told_by_reason
            what_is_out_is_told_by_what_it_waits_for
            a_fetch_is_shown_by_its_id
            the_pace_is_that_of_the_last_pages
            the_tree_of_a_job_that_finished_long_ago_is_pruned
            a_job_is_pruned_whole_with_its_key
            only_finished_jobs_are_pruned
            a_prune_that_was_interrupted_goes_on
            what_waits_is_held_until_its_blocker_finishes
            what_waits_for_nothing_open_goes_out_at_once
            what_waits_for_several_waits_for_the_last
            a_failure_below_a_blocker_gives_up_what_comes_after
            a_tolerated_failure_holds_nobody
            what_was_given_up_gets_its_chance_after_a_retry
            what_comes_after_what_cannot_begin_is_not_tried_again
            what_is_held_is_given_up_by_a_stop_and_held_again
            a_barrier_may_span_the_whole_job
            a_job_makes_no_more_calls_than_it_may
            a_job_that_needs_all_calls_it_may_make_succeeds
            a_job_whose_time_is_over_fails
            a_job_whose_time_is_over_ends_wherever_it_stands
            what_is_left_out_is_counted_by_step
            a_call_that_comes_back_unmade_is_none_of_those_a_job_may_make
            a_paused_job_stops_when_its_time_is_over
            what_a_paused_job_holds_no_more_goes_out_when_it_goes_on
            what_waited_for_what_is_pruned_with_the_tree
            a_mark_is_the_highest_value_that_a_run_has_seen
            what_a_fetch_began_from_stays
            a_fetch_that_is_not_whole_keeps_its_mark
            a_list_that_was_cut_keeps_its_mark
            what_failed_below_keeps_the_marks_above_it
            marks_are_shared_by_jobs_of_one_name_only
            marks_are_listed_and_forgotten
            a_mark_is_of_one_kind
            a_fetch_without_a_mark_moves_none
            runs_are_listed_from_the_one_that_takes_all
            whatever_happens_the_account_balances
        }
    };
}

/// The same for checks of a ledger that keeps notices too ([`Notices`](crate::Notices)).
#[macro_export]
macro_rules! notice_checks {
    ($with:ident) => {
        $with! {
            a_finished_job_is_told_of_until_it_is_taken
            each_finishing_of_a_job_is_told_of
        }
    };
}

/// The same for checks of a ledger that keeps dead letters too ([`DeadLetters`](crate::DeadLetters)).
#[macro_export]
macro_rules! dead_checks {
    ($with:ident) => {
        $with! {
            a_dead_letter_is_kept_once_and_listed
            a_dead_letter_is_replayed_and_dropped
            dead_letters_are_bounded
        }
    };
}

/// The same for checks of a ledger that keeps samples of answers, too ([`UnmatchedAnswers`](crate::UnmatchedAnswers)).
#[macro_export]
macro_rules! unmatched_checks {
    ($with:ident) => {
        $with! {
            samples_of_one_error_are_one
            samples_are_bounded_by_number_and_age
        }
    };
}

/// Runs every check, each with a ledger of its own.
///
/// # Panics
/// Where the ledger does not conform.
pub async fn all<F, Fut>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Ledger>>,
{
    macro_rules! run {
        ($($check:ident)*) => { $( Box::pin($check(&*fresh().await)).await; )* };
    }
    conformance_checks!(run);
}
