"""What the live display and the summary say of slots, endpoints and machine."""

from __future__ import annotations

from dataclasses import replace

from fastinstruct.cli.display import endpoints, progress_line
from fastinstruct.lm.scheduling.channel import ChannelStatistics
from fastinstruct.pipeline.monitoring.progress import Progress
from fastinstruct.pipeline.monitoring.telemetry import Telemetry
from shown_progress import PROGRESS

CHANNEL = ChannelStatistics(
    endpoint="m at http://a/v1 (chat)",
    address="http://a/v1",
    limit=64,
    num_in_flight=60,
    why="fixed",
    is_asked=True,
    is_closed=False,
    outcomes={"ok": 1200, "transient: server": 3},
    latency_p50_s=2.13,
    latency_p90_s=3.0,
    latency_p99_s=4.0,
    prompt_tokens=1,
    completion_tokens=1,
    busy_s=1.0,
    oldest_s=29.9,
)
TELEMETRY = Telemetry(
    slot_use=0.9,
    num_slots=64,
    num_in_flight=60,
    oldest_s=29.9,
    num_waiting=0,
    num_delivering=1,
    tokens_per_s=99.6,
    loop_lag_p99_ms=1.0,
    cpu_share=0.5,
    memory_mib=100.0,
    held_back="",
    channels=(CHANNEL,),
)
HEAD = "40/100 instructions, 30 examples, accepted 50%, in flight 61"


def told(telemetry: Telemetry | None) -> Progress:
    return replace(PROGRESS, telemetry=telemetry)


def test_before_the_first_second_the_line_is_as_short_as_can_be() -> None:
    assert progress_line(PROGRESS) == f"{HEAD}, 100 tokens/s"
    assert endpoints(PROGRESS) == []


def test_tokens_are_those_of_late_where_they_are_watched_and_else_of_the_sitting() -> None:
    assert progress_line(told(replace(TELEMETRY, tokens_per_s=0.0))).endswith(", 0 tokens/s")
    assert progress_line(told(replace(TELEMETRY, tokens_per_s=None))).endswith(", 100 tokens/s")
    ended = replace(told(replace(TELEMETRY, tokens_per_s=0.0)), phase="done")
    assert progress_line(ended).endswith(", 100 tokens/s")


def test_a_sole_endpoint_has_its_slots_and_latency_in_the_line() -> None:
    assert progress_line(told(TELEMETRY)) == f"{HEAD} of 64 (p50 2.1 s), 100 tokens/s"
    assert endpoints(told(TELEMETRY)) == []


def test_the_line_says_why_a_sole_endpoint_is_not_asked_and_what_holds_back() -> None:
    paused = replace(CHANNEL, is_asked=False, why="failures: server", latency_p50_s=None)
    found = told(replace(TELEMETRY, channels=(paused,), held_back="client-bound: limits don't grow"))
    assert progress_line(found) == (f"{HEAD} of 64 (failures: server, client-bound: limits don't grow), 100 tokens/s")


def test_the_line_says_how_long_the_oldest_request_is_in_flight_where_it_may_hang() -> None:
    assert progress_line(told(replace(TELEMETRY, oldest_s=245.0))) == (
        f"{HEAD} of 64 (p50 2.1 s, the oldest for 4 min 05 s), 100 tokens/s"
    )
    several = told(replace(TELEMETRY, oldest_s=31.0, channels=(CHANNEL, CHANNEL)))
    assert progress_line(several) == f"{HEAD} of 64 (the oldest for 31 s), 100 tokens/s"


def test_several_endpoints_have_a_line_each() -> None:
    fresh = replace(
        CHANNEL,
        address="http://longer/v1",
        limit=None,
        num_in_flight=1,
        outcomes={},
        latency_p50_s=None,
        is_asked=False,
        why="told to wait 300 s",
    )
    found = told(replace(TELEMETRY, channels=(CHANNEL, fresh)))
    assert progress_line(found) == f"{HEAD} of 64, 100 tokens/s"
    assert endpoints(found) == [
        "http://a/v1       60/64 in flight, 1,200 ok, 3 failed, p50 2.1 s",
        "http://longer/v1  1 in flight, 0 ok, not asked: told to wait 300 s",
    ]


def test_two_models_at_one_address_are_told_apart_by_their_names() -> None:
    other = replace(CHANNEL, endpoint="n at http://a/v1 (chat)")
    lines = endpoints(told(replace(TELEMETRY, channels=(CHANNEL, other))))
    assert [line.partition("  ")[0] for line in lines] == [CHANNEL.endpoint, other.endpoint]


def test_a_long_reason_is_shortened_and_steers_no_terminal() -> None:
    wrong = replace(CHANNEL, is_asked=False, why="x" * 79 + "\x1b[2J and more")
    lines = endpoints(told(replace(TELEMETRY, channels=(wrong, CHANNEL))))
    assert lines[0].endswith("x\\x1b … (12 more characters)")
