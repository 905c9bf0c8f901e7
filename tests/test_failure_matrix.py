"""The failure matrix, row by row: what can go wrong while a run goes on, what the runtime does, and what proves it.

Each row names tests that make the fault happen, most of them against the scripted server over real HTTP. Five rows are
a line of code each and have no test of their own here: 22, 25, 31, 32 and 34; some have one all the same.
"""

from __future__ import annotations

import ast

import pytest

from places import TESTS

MATRIX: dict[str, list[str]] = {
    "1 a kept connection turns out dead before any byte: sent again at once on a new one, once": [
        "test_transport.test_a_stale_connection_is_resent_once_on_a_new_one",
        "test_transport.test_a_resend_does_not_meet_a_second_stale_connection",
    ],
    "2 no connection, no such host, no TLS: backoff; all endpoints down for too long end the run": [
        "test_classify.test_exceptions_before_a_reply_are_transient",
        "test_scheduler.test_an_outage_that_lasts_ends_the_run",
        "test_fleet.test_an_endpoint_that_dies_in_the_middle_and_comes_back_is_asked_again",
    ],
    "3 the connection breaks inside a reply: truncated, asked again in full": [
        "test_transport.test_a_connection_lost_inside_the_body_is_truncated_and_not_resent",
        "test_scripted_faults.test_a_fault_is_what_the_failure_matrix_calls_it",
    ],
    "4 connecting takes too long: as 2": [
        "test_classify.test_exceptions_before_a_reply_are_transient",
        "test_scripted_faults.test_before_it_is_ready_a_server_may_be_unconnectable",
    ],
    "5 a reply stalls: closed, another attempt": ["test_transport.test_a_hang_inside_the_body_is_idle"],
    "6 blank lines drip without content: closed, another attempt": [
        "test_transport.test_a_drip_of_blank_lines_ends_after_half_of_the_total_deadline",
        "test_transport.test_a_reply_after_a_drip_of_blank_lines_is_read",
    ],
    "7 the total time is over: tried once more": ["test_scheduler.test_a_deadline_is_tried_once_more"],
    "8 429: waits as long as the server says, which is no attempt; the limit is cut once an episode": [
        "test_scheduler.test_a_servers_hint_is_waited_for_with_a_tenth_of_jitter",
        "test_scheduler.test_waits_for_a_rate_limit_cost_no_attempts_but_end_at_their_own_limit",
        "test_concurrency.test_an_episode_cuts_once_however_many_are_refused",
        "test_breaker.test_a_hint_of_more_than_two_minutes_opens_it_for_so_long",
    ],
    "9 the quota is spent: the run ends cleanly, and can go on": [
        "test_scheduler.test_a_fatal_answer_ends_the_run_and_what_is_in_flight_is_delivered",
        "test_classify.test_what_no_request_can_pass_is_fatal",
    ],
    "10 too many at once, a full queue: as 8 with a short wait": [
        "test_classify.test_a_busy_server_is_waited_for",
        "test_concurrency.test_a_refusal_cuts_once_an_episode_and_stops_growth_for_a_while",
    ],
    "11 the server fails: backoff with full jitter; a breaker pauses and probes": [
        "test_scheduler.test_backoff_doubles_and_attempts_end_at_the_limit",
        "test_fleet.test_a_breaker_opens_pauses_and_probes",
        "test_concurrency.test_failures_never_cut_and_freeze_growth",
    ],
    "12 the prompt does not fit the model's context: asked again smaller, once": [
        "test_fleet.test_a_prompt_that_overflows_the_context_is_made_smaller_once",
        "test_classify.test_a_context_overflow_is_told_from_other_refusals",
    ],
    "13 a filter takes the content: dropped": ["test_classify.test_a_content_filter_is_told_from_other_refusals"],
    "14 other refusals: five alike without one success end the run with the server's words": [
        "test_scheduler.test_five_identical_refusals_without_a_success_end_the_run",
        "test_run.test_an_unknown_model_ends_the_run_with_its_name",
    ],
    "15 the key is refused: the run ends; a key that worked is asked once more": [
        "test_scheduler.test_a_key_that_never_worked_ends_the_run_at_once",
        "test_scheduler.test_a_refused_key_that_worked_before_is_asked_once_more",
    ],
    "16 an error inside a 200, in whatever shape: as its own code, with the server's words": [
        "test_classify.test_an_error_inside_a_200_is_judged_by_its_own_code",
        "test_classify.test_a_200_with_a_foreign_error_shows_the_servers_own_words",
    ],
    "17 no JSON, HTML, nothing: another attempt": [
        "test_transport.test_replies_are_classified",
        "test_scripted_faults.test_a_malformed_answer_is_html_with_status_200",
    ],
    "18 no choices, no content: another attempt; reasoning alone is kept for what it is, and its JSON is the answer": [
        "test_classify.test_reasoning_without_content_is_not_paid_for_again",
        "test_decoding.test_json_in_a_field_of_reasoning_is_the_answer_where_the_content_is_empty",
        "test_scripted_faults.test_null_content_is_a_reply_without_text",
    ],
    "19 the reply reached its length, whatever it says: its last, torn item is dropped": [
        "test_decoding.test_a_reply_that_reaches_what_was_asked_for_is_torn",
        "test_parsing.test_length_drops_only_the_torn_item",
    ],
    "20 a sound reply that holds nothing: counted; a model that has run dry ends the run": [
        "test_scripted_faults.test_prose_is_a_sound_reply_that_holds_nothing",
        "test_run.test_a_model_that_gives_nothing_new_ends_the_run",
    ],
    "21 out of descriptors: fewer at once for good, told once": [
        "test_fleet.test_running_out_of_descriptors_or_ports_lowers_the_limit_for_good_and_costs_no_attempts",
        "test_cli_run.test_too_few_descriptors_mean_fewer_requests_at_once_and_one_warning",
    ],
    "22 out of ports: as 21, for one endpoint": [
        "test_fleet.test_descriptors_are_shared_by_all_endpoints_and_ports_are_not",
    ],
    "23 the event loop is late: limits stop growing, one warning": [
        "test_watchdog.test_a_late_loop_keeps_limits_from_growing_warns_once_and_is_forgiven",
    ],
    "24 judge or store are slower than the network: dispatch stops": [
        "test_watchdog.test_a_slow_consumer_stops_dispatch_at_the_slots_and_growth_with_it",
    ],
    "25 too much memory: as 24": ["test_watchdog.test_over_the_memory_limit_nothing_is_sent_until_it_is_less"],
    "26 SIGINT, SIGTERM: drains; the second aborts": [
        "test_cli_run.test_the_first_signal_drains_and_the_same_command_goes_on",
        "test_cli_run.test_the_second_signal_aborts",
    ],
    "27 SIGKILL: what was not acknowledged is asked again": [
        "test_kill.test_killed_14_times_every_acknowledged_response_is_there_once",
        "test_windowed.test_killed_8_times_with_16_in_flight_the_data_equals_an_uninterrupted_runs",
    ],
    "28 the disk is full: the run ends and loses nothing": [
        "test_run.test_a_full_disk_ends_the_run_and_loses_nothing",
        "test_committer.test_a_store_failure_reaches_everybody_and_nothing_is_acted_upon",
    ],
    "29 a bug in a parser: the reply stays, its siblings go on; one in a hundred ends the run": [
        "test_budgets.test_replies_that_cannot_be_parsed_stop_the_run_with_one_error",
    ],
    "30 cancelled by the runtime: its socket is closed, and it is not delivered": [
        "test_transport.test_cancelling_closes_the_socket",
        "test_scheduler.test_aborting_drops_what_is_in_flight_at_once",
        "test_budgets.test_what_was_dropped_counts_in_full",
    ],
    "31 the clock jumps: no wait follows it; hints are clamped": [
        "test_classify.test_hints_are_read_from_every_header_that_gives_them",
    ],
    "32 limits shrink in mid-run: the ceiling comes down": [
        "test_rate_budget.test_a_limit_that_shrinks_brings_the_ceiling_down_and_never_above_what_is_configured",
    ],
    "33 a redirect: not followed; what to change is said": [
        "test_transport.test_redirects_are_not_followed",
        "test_classify.test_a_redirect_names_its_target_without_its_query",
    ],
    "34 the server was given another model: a warning, or the end of a strict run": [
        "test_fleet.test_another_model_than_before_is_a_warning_for_each_name",
        "test_fleet.test_another_model_ends_a_strict_run_and_what_is_in_flight_is_delivered",
    ],
    "35 the form of the replies is refused: the run ends, and what to set is said": [
        "test_form_refusals.test_a_refused_form_of_replies_is_fatal_and_says_what_to_set",
        "test_form_refusals.test_a_single_generation_that_is_no_json_is_a_bad_reply_and_no_refusal_of_the_form",
        "test_fleet.test_a_refused_form_of_replies_ends_the_run_even_where_others_take_it",
    ],
    "36 the role system is refused: its message goes into the user's, told once": [
        "test_form_refusals.test_a_refused_role_is_told_from_other_refusals",
        "test_transport.test_a_server_that_refuses_the_role_system_gets_its_message_in_the_users_with_one_notice",
    ],
    "37 thoughts take all the room: paid for once; a lane whose replies are all empty ends the run": [
        "test_decoding.test_an_empty_reply_is_not_paid_for_again_and_says_what_to_do",
        "test_scheduler.test_a_lane_whose_replies_are_all_empty_ends_the_run_though_others_are_answered",
    ],
    "38 a body is nested, or of any other shape: an outcome like any other, and no exception": [
        "test_hostile_replies.test_any_json_in_any_place_of_a_reply_is_an_outcome",
        "test_hostile_replies.test_any_json_in_any_place_of_a_refusal_is_an_outcome",
        "test_hostile_replies.test_a_transport_raises_nothing_for_nested_bodies",
    ],
    "39 a body is a hostile megabyte: read beside the loop, as far as it can be needed; signals are heard": [
        "test_hostile_replies.test_a_hostile_megabyte_is_read_beside_the_loop",
        "test_hostile_replies.test_only_what_max_tokens_can_need_is_read",
        "test_hostile_replies.test_signals_are_heard_while_hostile_megabytes_are_read",
    ],
    "40 a server's words hold control characters: written out, wherever they leave": [
        "test_escaping.test_no_error_of_ours_steers_a_terminal_or_forges_a_line",
        "test_escaping.test_what_is_logged_is_safe_before_any_handler_sees_it",
    ],
    "41 usage is told in part, or not as it can be: what is not told counts in full": [
        "test_wire.test_a_part_of_usage_that_is_not_told_is_known_as_such",
        "test_budget.test_what_an_attempt_counts_as",
        "test_budget.test_counts_that_cannot_be_right_are_told_of_once",
    ],
    "42 folder, lock or database go while the run is on, or the database is lost: told, nothing is mixed": [
        "test_lost_store.test_what_is_lost_while_a_run_is_on_ends_it_at_the_next_commit_and_mixes_nothing",
        "test_lost_store.test_a_lost_database_is_refused_and_does_not_start_over",
    ],
    "43 the disk changes a bit: the row is named, and left out on demand only": [
        "test_checksums.test_a_flip_anywhere_in_the_file_is_named_or_changes_no_export",
        "test_checksums.test_a_damaged_row_is_named_and_left_out_on_demand_only",
    ],
}


def test_the_matrix_has_43_rows() -> None:
    assert [int(row.split()[0]) for row in MATRIX] == list(range(1, 44))


@pytest.mark.parametrize("row", MATRIX)
def test_each_row_is_proven_by_tests_that_exist(row: str) -> None:
    assert MATRIX[row]
    for test in MATRIX[row]:
        module, name = test.split(".")
        (path,) = TESTS.rglob(f"{module}.py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
