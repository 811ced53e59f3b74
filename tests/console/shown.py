"""Which tests show each line of the guidance that cannot be checked on a running system.

One idea: a line is answered for by a rule of the sheet, or by tests that are named here; none by nobody.
"""

from collections.abc import Mapping, Sequence

SHOWN: Mapping[str, Sequence[str]] = {
    "000:5": (
        "console/test_rules.py::test_each_rule_comes_with_its_setting_its_state_and_its_evidence",
    ),
    "000:7,10": (
        "faults/test_kill_points.py::test_killed_at_any_point_nothing_is_lost_or_doubled_or_out_of_order",
    ),
    "000:17b": (
        "system/test_main_job.py::test_the_same_change_again_is_no_call",
        "inbox/test_told.py::test_an_expectation_is_confirmed_by_the_feed",
    ),
    "000:19,21": (
        "integration/test_relay.py::test_a_void_of_a_claim_never_seen_here_is_looked_up_first",
    ),
    "000:23": (
        "integration/test_delivery.py::test_a_delivery_is_written_down_with_what_it_was_planned_from",
    ),
    "000:24": ("integration/test_relay.py::test_a_rolled_back_entry_is_never_sent",),
    "000:25": (
        "docs/test_states_page.py::test_the_table_of_what_may_follow_is_the_one_of_the_code",
    ),
    "000:27": (
        "unit/test_fingerprint.py::test_the_spelling_does_not_matter",
        "unit/test_fingerprint.py::test_whatever_differs_in_meaning_differs",
    ),
    "000:43": (
        "inbox/test_walk.py::test_the_first_empty_page_changes_nothing_but_that_it_is_asked_for_again",
        "inbox/test_runs.py::test_a_walk_without_end_is_stopped_at_the_page_ceiling",
    ),
    "000:47b": (
        "simulation_inbox/test_days.py::test_no_seed_leaves_a_stale_row_after_two_windows_or_any_difference_after_a_full_sync",
    ),
    "000:52b": ("inbox/test_window_and_timing.py::test_polls_of_a_key_are_apart",),
    "000:56b": (
        "inbox/test_told.py::test_a_first_poll_primes_what_is_accepted_and_costs_the_first_write_no_look",
    ),
    "000:58,60": (
        "integration/test_delivery.py::test_a_refused_request_is_never_sent_again_unchanged",
    ),
    "000:58,61": (
        "desk/test_deeds.py::test_a_correction_is_an_event_of_the_desk_that_takes_the_old_ones_place",
    ),
    "000:63": (
        "desk/test_commands.py::test_from_the_group_to_the_letter_to_the_correction_that_is_sent",
    ),
    "000:70": (
        "integration/test_delivery.py::test_a_whole_record_that_says_active_does_not_resume_who_is_withdrawn_there",
    ),
    "000:72": ("contracts/test_asks.py::test_a_wrong_snapshot_is_refused_with_the_field_named",),
    "000:78": (
        "simulation_inbox/test_days.py::test_no_seed_leaves_a_stale_row_after_two_windows_or_any_difference_after_a_full_sync",
    ),
    "000:79": ("unit/test_fold.py::test_deferred_and_resumed_before_sending_is_net_zero",),
    "000:80": (
        "unit/test_fingerprint.py::test_the_spelling_does_not_matter",
        "unit/test_fingerprint.py::test_whatever_differs_in_meaning_differs",
    ),
    "001:5,7": (
        "system/test_kills.py::test_killed_in_mid_call_after_it_took_effect_the_claim_is_found_and_not_doubled",
    ),
    "001:26b": (
        "inbox/test_told.py::test_a_full_sync_finds_what_changed_without_its_stamp_and_reports_the_drift",
    ),
    "001:28,30a": (
        "inbox/test_timetable.py::test_a_full_sync_asked_for_by_hand_waits_for_no_hours",
    ),
    "001:31b": ("integration/test_relay.py::test_a_declaration_ends_the_settle_time_of_its_kin",),
    "001:53,55": (
        "contracts/test_guidance.py::test_a_participant_is_created_once_and_then_only_what_changed_is_sent",
    ),
    "001:57-64": ("docs/test_reference.py::test_every_event_is_there_with_an_example_that_enters",),
    "001:66": (
        "contracts/test_guidance.py::test_a_declaration_waits_for_its_participant_and_then_names_it",
    ),
    "001:68-75": (
        "contracts/test_declarations.py::test_from_2025_claims_are_dated_in_the_order_of_their_types",
    ),
    "001:77a": (
        "inbox/test_runs.py::test_a_poll_over_unchanged_rows_changes_nothing_and_says_nothing",
    ),
    "002:2": (
        "sandbox/test_faults.py::test_shifted_pages_skip_or_repeat_rows_but_not_on_page_one",
    ),
    "002:3a": (
        "architecture/test_layout.py::test_importing_a_package_imports_nothing_else_of_ours",
    ),
    "002:3b": ("inbox/test_walk.py::test_every_row_is_seen_in_every_order_whatever_their_number",),
    "002:5": (
        "sandbox/test_faults.py::test_the_first_rule_that_fires_is_the_only_one_and_all_are_counted",
    ),
    "002:6-7a": (
        "simulation_inbox/test_days.py::test_no_seed_leaves_a_stale_row_after_two_windows_or_any_difference_after_a_full_sync",
    ),
    "002:7b": ("sandbox/test_faults.py::test_shuffled_ties_come_in_another_order_each_time",),
    "002:9b": (
        "system/test_kills.py::test_killed_between_answer_and_settling_the_claim_is_found_and_not_doubled",
    ),
    "002:10": ("inbox/test_runs.py::test_killed_at_every_page_it_goes_on_there_and_ends_the_same",),
    "002:11a": ("simulation/test_histories.py::test_a_process_has_died_at_every_point",),
    "002:11b": (
        "inbox/test_runs.py::test_a_poll_over_unchanged_rows_changes_nothing_and_says_nothing",
    ),
    "002:13a": (
        "system/test_polls.py::test_a_poller_that_is_killed_in_the_middle_goes_on_where_it_was",
    ),
    "002:13b": (
        "inbox/test_other_apis.py::test_a_source_with_a_cursor_or_by_stamp_and_id_is_read_followed_and_goes_on_after_a_death",
    ),
    "002:13c": (
        "inbox/test_walk.py::test_equal_stamps_in_an_order_drawn_anew_lose_no_row_that_fits_a_large_page",
    ),
    "002:15": ("docs/test_reference.py::test_every_table_and_column_is_there",),
    "002:16": (
        "inbox/test_other_apis.py::test_a_source_with_a_cursor_or_by_stamp_and_id_is_read_followed_and_goes_on_after_a_death",
    ),
    "002:17-18a": (
        "inbox/test_walk.py::test_every_row_is_seen_in_every_order_whatever_their_number",
    ),
    "002:18b": ("inbox/test_told.py::test_a_merge_that_would_put_two_records_on_one_is_held",),
    "002:19": ("faults/test_redis_is_a_doorbell.py::test_it_ends_the_same_whatever_redis_does",),
    "002:26a": (
        "contracts/test_sources.py::test_all_eight_collections_are_declared_and_schools_are_read_cohort_by_cohort",
    ),
    "002:26b": (
        "inbox/test_runs.py::test_asked_to_end_it_stops_at_a_page_and_another_process_goes_on_at_once",
    ),
    "002:28": (
        "contracts/test_sources.py::test_a_restart_asks_in_order_of_change_and_a_walk_both_ways_never_does",
    ),
    "002:29-31": (
        "inbox/test_walk.py::test_every_row_is_seen_in_every_order_whatever_their_number",
    ),
    "002:36a": ("gateway/test_answers.py::test_each_reply_has_one_outcome",),
    "002:36b": (
        "unit/test_retry.py::test_a_backoff_doubles_from_two_seconds_to_a_minute_and_is_at_most_halved",
    ),
    "002:37": (
        "unit/test_retry.py::test_a_backoff_doubles_from_two_seconds_to_a_minute_and_is_at_most_halved",
    ),
    "002:38": (
        "unit/test_retry.py::test_a_backoff_doubles_from_two_seconds_to_a_minute_and_is_at_most_halved",
    ),
    "002:39": (
        "unit/test_retry.py::test_a_backoff_doubles_from_two_seconds_to_a_minute_and_is_at_most_halved",
    ),
    "002:40": (
        "gateway/test_answers.py::test_a_throttled_call_waits_as_long_as_it_is_told",
        "system/test_stops.py::test_after_a_429_the_wait_it_names_is_kept_and_one_call_goes_first",
    ),
    "002:41": (
        "inbox/test_runs.py::test_a_page_that_cannot_be_had_leaves_the_run_for_later_and_the_watermark_alone",
    ),
    "002:42": ("integration/test_take.py::test_a_doubled_message_finds_nothing",),
    "002:44": ("inbox/test_told.py::test_an_id_that_was_merged_is_followed",),
    "002:45a": ("unit/test_fold.py::test_a_newer_value_supersedes_the_one_not_sent",),
    "002:45b-46": (
        "integration/test_delivery.py::test_a_create_lost_twice_is_never_made_a_third_time",
    ),
    "002:47": (
        "inbox/test_runs.py::test_the_watermark_is_moved_with_the_last_page_and_not_before",
    ),
    "002:50": (
        "contracts/test_against_the_sandbox.py::test_a_claim_is_made_found_voided_and_found_gone",
    ),
    "002:51": (
        "system/test_main_job.py::test_a_burst_on_one_record_is_one_call_with_the_last_word",
    ),
    "002:57b": ("sandbox/test_transport.py::test_void_and_partnership_corrections_look_up_first",),
    "002:58": (
        "inbox/test_runs.py::test_the_watermark_is_moved_with_the_last_page_and_not_before",
    ),
    "002:59": (
        "inbox/test_told.py::test_a_doubt_is_not_settled_as_not_done_while_it_may_still_land",
    ),
    "002:60a": (
        "inbox/test_window_and_timing.py::test_an_hourly_poll_reaches_two_windows_further_back_than_the_last_complete_one_began",
    ),
    "002:60b": (
        "inbox/test_runs.py::test_a_poll_whose_tail_moves_on_without_end_ends_all_the_same",
    ),
    "002:62": (
        "console/test_rules.py::test_each_line_of_the_guidance_is_answered_for_by_a_rule_or_by_a_test",
    ),
    "002:63": (
        "integration/test_delivery.py::test_a_change_of_theirs_under_a_pending_field_is_a_conflict_until_a_newer_event",
    ),
    "002:66": (
        "integration/test_relay.py::test_a_record_without_its_link_waits_and_goes_when_the_link_comes",
    ),
    "002:70": ("faults/test_secrets.py::test_no_canary_is_left_where_it_does_not_belong",),
    "002:71a": ("unit/test_retry.py::test_a_record_is_given_up_only_after_the_tries_and_a_day",),
    "002:71b": (
        "inbox/test_runs.py::test_a_run_over_its_time_stops_at_a_page_and_goes_on_next_time",
    ),
    "002:78": ("simulation/test_histories.py::test_every_kind_of_fault_has_struck",),
    "002:81": ("integration/test_delivery.py::test_a_refused_record_holds_up_nobody_else",),
    "002:82": ("contracts/test_enrolments.py::test_a_change_without_a_link_waits_for_it",),
    "002:83b": ("tutorial/test_events_file.py::test_it_holds_repeats_bursts_and_corrections",),
    "002:86": ("docs/test_pages.py::test_every_page_can_be_reached_from_the_index",),
    "002:88": (
        "integration/test_delivery.py::test_a_change_of_theirs_under_a_pending_field_is_a_conflict_until_a_newer_event",
        "desk/test_commands.py::test_a_conflict_is_settled_one_way_or_the_other",
    ),
    "002:90": ("system/test_polls.py::test_a_full_sync_says_first_what_it_costs",),
    "002:91": (
        "inbox/test_walk.py::test_a_full_sync_of_sixty_thousand_takes_at_most_603_requests",
    ),
    "002:94c": ("system/test_polls.py::test_a_full_sync_says_first_what_it_costs",),
    "002:94d": (
        "inbox/test_runs.py::test_a_poll_over_unchanged_rows_changes_nothing_and_says_nothing",
    ),
    "002:96a": (
        "inbox/test_walk.py::test_a_quiet_poll_costs_two_requests_and_one_with_news_three",
    ),
    "002:98c": (
        "desk/test_commands.py::test_from_the_group_to_the_letter_to_the_correction_that_is_sent",
    ),
    "002:102": (
        "simulation_inbox/test_days.py::test_no_seed_leaves_a_stale_row_after_two_windows_or_any_difference_after_a_full_sync",
    ),
    "002:103a": (
        "tutorial/test_demo_of_the_file.py::test_nine_in_ten_events_cost_no_call_and_none_is_refused_by_the_limiter",
    ),
    "002:103b": (
        "scale/test_scaled_out.py::test_every_record_gets_in_step_though_a_relay_and_a_worker_are_killed",
    ),
}
"""The line of the guidance, and its tests: the file under `tests/`, and the function."""
