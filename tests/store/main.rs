//! The store against the real engine. One suite of promises (`contract`) runs against the embedded
//! engine, against the same engine as a server at a URL, and, with `--include-ignored`, against the
//! server at `FOOTFALL_TEST_CLICKHOUSE_URL`. The other tests are about the embedded engine.
//!
//! These tests fail if libchdb is missing: run `npm ci`, or set `FOOTFALL_LIBCHDB`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod ageing;
mod coarser;
mod contract;
mod digests;
mod engine;
mod injected;
mod migration;
#[path = "../it/support/open_server.rs"]
mod open_server;
#[path = "../it/support/port.rs"]
mod port;
mod publication;
mod roundtrip;
mod size;
mod support;

macro_rules! promises {
    ($($module:ident::$name:ident,)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                crate::$module::$name(&crate::support::embedded(stringify!($name)).await).await;
            })*
        }

        mod at_a_url {
            $(#[tokio::test]
            async fn $name() {
                crate::$module::$name(&crate::support::other_process(stringify!($name)).await).await;
            })*
        }

        mod on_a_server {
            $(#[tokio::test]
            #[ignore = "needs FOOTFALL_TEST_CLICKHOUSE_URL; run with --include-ignored"]
            async fn $name() {
                crate::$module::$name(&crate::support::server(stringify!($name)).await).await;
            })*
        }
    };
}

promises! {
    contract::counts_come_back_as_they_were_sent,
    contract::a_token_sent_again_adds_nothing,
    contract::a_token_sent_again_after_a_merge_adds_nothing,
    contract::a_token_over_three_months_sent_again_adds_nothing,
    contract::equal_counts_under_two_tokens_are_added,
    contract::a_full_segment_is_one_part_of_each_table,
    contract::integers_of_two_line_ends_are_all_stored,
    contract::text_with_empty_lines_and_nul_is_stored,
    contract::a_long_answer_has_one_header,
    contract::an_error_in_the_middle_of_an_answer_is_an_error,
    contract::a_parameter_may_hold_anything,
    contract::an_insert_that_is_dropped_adds_nothing,
    contract::a_slow_query_holds_up_no_other,
    contract::a_setting_of_one_query_is_gone_with_it,
    contract::errors_tell_the_code_and_never_the_data,
    contract::sums_of_money_do_not_wrap,
    contract::connecting_again_changes_nothing,
    contract::a_database_of_a_later_version_is_refused,
    contract::no_column_could_hold_a_person,
    contract::what_is_acknowledged_is_synced,
    contract::what_was_registered_last_holds_and_what_was_removed_is_gone,
    contract::a_message_is_opened_once_and_what_was_revoked_stays_revoked,
    contract::messages_are_forgotten_after_their_last_day,
    digests::withdrawals_are_read_by_the_days_that_changed,
    digests::withdrawals_and_sign_outs_are_kept_as_long_as_a_cookie_can_live,
    roundtrip::any_counts_come_back_as_they_were_sent,
    publication::a_day_is_published_once_and_again_changes_nothing,
    publication::no_published_lot_is_under_k_and_no_pending_cell_has_a_day,
    publication::counts_that_come_late_join_the_next_day,
    publication::segments_that_arrive_during_a_publication_are_kept_for_the_next,
    publication::zones_that_are_published_together_give_the_same_rows,
    size::halves_that_come_before_and_after_a_publication_count_once,
    publication::two_collectors_that_publish_one_day_at_once_publish_it_once,
    publication::two_collectors_that_publish_different_units_at_once_publish_no_count_twice,
    ageing::an_old_month_keeps_its_days,
    ageing::a_clock_far_ahead_drops_no_month,
    ageing::markers_of_months_that_are_over_are_removed_and_a_segment_of_yesterday_still_counts_once,
    size::a_segment_of_which_some_is_there_is_completed,
    contract::a_name_with_the_id_of_another_site_is_told,
    ageing::months_past_keeping_are_dropped_from_every_table,
    coarser::old_days_become_months_and_every_sum_stays,
    coarser::counts_that_come_late_are_in_the_month_once,
    coarser::two_collectors_that_sum_one_month_at_once_count_it_once,
    coarser::a_month_goes_with_its_first_day_and_its_other_days_stay,
    coarser::the_table_of_months_is_made_again_from_the_days,
}
