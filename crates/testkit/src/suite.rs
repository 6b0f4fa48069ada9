//! The behaviour suite: the same cases for every warehouse, each also run on the model and compared with it.

use crate::harness::{Checked, Failed, Harness, Model};
use crate::room::Room;
use std::io::Write;
use tablecast_core::BoxFuture;

/// One case: some events, and what must then be in the tables.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, unique in the suite.
    pub name: &'static str,
    /// What it is about: a module of [`cases`](crate::cases).
    pub group: &'static str,
    /// Plays it in an empty schema.
    pub run: for<'r, 'h> fn(&'r Room<'h>) -> BoxFuture<'r, Checked>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.group, self.name)
    }
}

/// How a case came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Why it cannot pass here, if the harness says so.
    pub gap: Option<&'static str>,
    /// Whether it held.
    pub held: Checked,
}

impl Outcome {
    /// What is wrong: a case that does not hold and is no gap, or a gap that has closed.
    pub fn fault(&self) -> Option<String> {
        match (&self.held, self.gap) {
            (Ok(()), None) | (Err(_), Some(_)) => None,
            (Err(failed), None) => Some(failed.to_string()),
            (Ok(()), Some(reason)) => Some(format!("passes now: take it off the list of gaps ({reason})")),
        }
    }
}

/// All cases.
pub fn cases() -> Vec<Case> {
    crate::every_case! { __cases [] }
}

/// Runs the cases whose group or name contains `filter`, each in empty schemas of its own.
pub fn run(harness: &dyn Harness, filter: &str) -> Vec<Outcome> {
    let chosen = cases().into_iter().filter(|case| format!("{case:?}").contains(filter));
    chosen.map(|case| outcome(harness, case)).collect()
}

/// Runs one case by name and panics with what is wrong; a gap is announced on standard error.
///
/// # Panics
/// If the case does not hold, if it is a gap that has closed, or if there is no such case.
pub fn check(harness: &dyn Harness, name: &str) {
    let Some(case) = cases().into_iter().find(|case| case.name == name) else { panic!("there is no case {name}") };
    let outcome = outcome(harness, case);
    if let Some(fault) = outcome.fault() {
        panic!("{case:?}: {fault}");
    }
    if let Some(reason) = outcome.gap {
        // past the capture of the test harness, so that a gap is never silent; a closed stderr is no reason to fail
        let _ = writeln!(std::io::stderr(), "gap: {case:?} does not hold here: {reason}");
    }
}

fn outcome(harness: &dyn Harness, case: Case) -> Outcome {
    let gap = harness.gaps().iter().find(|gap| gap.case == case.name).map(|gap| gap.reason);
    let mut held = Err(Failed::new("the harness did not run the case to its end"));
    harness.block_on(Box::pin(async { held = play(harness, case).await }));
    Outcome { case, gap, held }
}

async fn play(harness: &dyn Harness, case: Case) -> Checked {
    let room = Room::open(harness).await?;
    let model = Model::like(room.dialect());
    let model_room = Room::open(&model).await?;
    (case.run)(&model_room).await.map_err(|failed| Failed(format!("on the model, {failed}")))?;
    (case.run)(&room).await?;
    let (is, should) = (room.dumps().await?, model_room.dumps().await?);
    for (is, should) in is.iter().zip(&should) {
        is.must_equal(should, "differs from the model")?;
    }
    Ok(())
}

/// Makes one `#[test]` per case of the suite. The expression makes the [`Harness`]; it is evaluated in each test.
///
/// ```ignore
/// tablecast_testkit::suite_tests!(MyHarness::new());
/// ```
#[macro_export]
macro_rules! suite_tests {
    ($harness:expr) => {
        $crate::every_case! { __suite_tests [$harness] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ([$harness:expr] $($group:ident { $($case:ident)+ })+) => {
        $(mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::suite::check(&$harness, stringify!($case));
            })+
        })+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ([] $($group:ident { $($case:ident)+ })+) => {
        vec![$($($crate::suite::Case {
            name: stringify!($case),
            group: stringify!($group),
            run: |room| Box::pin($crate::cases::$group::$case(room)),
        }),+),+]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! every_case {
    ($then:ident [$($given:tt)*]) => {
        $crate::$then! {
            [$($given)*]
            calls {
                identifies_and_users
                an_exit_changes_one_cell
                tracks_and_event_tables
                renamed_events_make_other_tables
                a_new_trait_is_a_new_column
                anonymous_identifies_make_no_user
                clock_skew_is_taken_out
                groups_and_accounts
                pages_and_screens
                aliases
                identities_of_calls_with_several_ids
                a_batch_body_is_its_calls
            }
            names {
                awkward_names_stay_apart_from_ours
                spellings_of_one_name_share_a_column
                two_keys_of_one_event_that_meet
                a_nested_key_that_meets_a_flat_one
                a_property_of_a_page_does_not_shadow_its_name
                events_named_like_standard_tables
                awkward_event_names
                more_columns_than_a_table_can_have
            }
            values {
                objects_are_flattened_and_arrays_are_json
                deep_nesting_ends_as_json
                numbers_widen_and_stay_exact
                a_big_integer_is_exact_until_a_float_comes
                a_float_first_then_a_big_integer
                decimals
                numbers_beyond_everything
                a_word_in_a_number_column_is_kept_aside
                a_conflict_can_widen_to_text_instead
                a_new_column_of_mixed_kinds_is_text
                a_type_can_be_decided_before_any_value
                timestamps_and_years_that_are_none
                text_as_it_is_but_without_nul
                ids_have_one_form
                text_beyond_the_limit_is_discarded
            }
            merge {
                absent_is_not_null
                a_trait_that_is_only_null_has_no_column
                a_null_keeps_older_values_out
                a_late_older_value_does_not_overwrite
                equal_times_are_decided_by_the_id
                a_clock_ahead_does_not_win_for_ever
                a_discarded_value_does_not_hide_an_older_one
                a_user_without_traits_is_a_row
            }
            once {
                the_same_id_in_one_cut
                the_same_id_in_two_commits
                the_same_id_two_days_apart
                the_same_commit_again
                a_commit_is_repeated_whole
                two_writers_with_plans_of_the_same_moment
                a_stale_plan_is_refused
                a_null_planned_before_its_column_came
                a_null_planned_before_a_table_planned_earlier_came
                counts_that_do_not_add_up_roll_everything_back
                lost_answers_change_nothing
                two_writers_at_the_same_time
            }
            selection {
                a_table_switched_off_and_on
                a_column_switched_off_and_on
                a_gap_is_filled
                a_column_off_in_every_table
                core_columns_cannot_be_switched_off
                a_column_that_is_off_fixes_no_type
                a_computation_switched_off
                routing_to_warehouses
            }
            lines {
                broken_lines_are_kept_with_a_reason
                calls_that_cannot_be_loaded_are_kept
                a_body_of_the_wrong_shape_loses_only_itself
                a_commit_without_rows
            }
        }
    };
}
