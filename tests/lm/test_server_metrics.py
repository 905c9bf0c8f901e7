"""Reading a server's queue from Prometheus text, whatever else stands there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.transports.queue_metrics import QueueMetrics, parse_queue_metrics

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-8B"} 200.0
vllm:num_requests_running{engine="1",model_name="Qwen/Qwen3-8B"} 56.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-8B"} 7.0
vllm:num_requests_waiting{engine="1",model_name="Qwen/Qwen3-8B"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:iteration_tokens_total_bucket{le="+Inf",model_name="Qwen/Qwen3-8B"} 3.0
"""
SGLANG = """\
sglang:num_running_reqs{engine_type="unified",model_name="meta-llama/Llama-3.1-8B-Instruct"} 32.0
sglang:num_queue_reqs{engine_type="unified",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1826.0
"""
LLAMA_CPP = """\
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 8
llamacpp:requests_deferred 2
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (VLLM, QueueMetrics(server="vllm", running=256, waiting=10)),
        (SGLANG, QueueMetrics(server="sglang", running=32, waiting=1826)),
        (SGLANG.replace("sglang:", "sglang_"), QueueMetrics(server="sglang", running=32, waiting=1826)),
        (LLAMA_CPP, QueueMetrics(server="llama.cpp", running=8, waiting=2)),
        (LLAMA_CPP.replace("\n", "\r\n"), QueueMetrics(server="llama.cpp", running=8, waiting=2)),
        (LLAMA_CPP + VLLM, QueueMetrics(server="vllm", running=256, waiting=10)),
    ],
)
def test_all_label_sets_of_a_known_server_are_summed(text: str, expected: QueueMetrics) -> None:
    assert parse_queue_metrics(text) == expected


def sample(running: str) -> str:
    return f"vllm:num_requests_running{running}\nvllm:num_requests_waiting 1\n"


@pytest.mark.parametrize(
    "running",
    [
        " 4",
        "\t4.0",
        "{} 4e0",
        '{a="b"}4',
        '{a="b",} 4 1700000000000',
        '{a="}",b="{ 9",c="\\"} 9\\\\"} +4',
        '{model_name="vllm:num_requests_waiting 9"} 4',
    ],
)
def test_labels_timestamps_and_ways_to_write_a_number_are_read(running: str) -> None:
    assert parse_queue_metrics(sample(running)) == QueueMetrics(server="vllm", running=4, waiting=1)


@pytest.mark.parametrize(
    "running",
    [
        "",
        " ",
        " NaN",
        " +Inf",
        " -1",
        " 1e999",
        " 1.2.3",
        " 4 5 6",
        " four",
        '{a="b} 4',
        "{a} } 4",
        "s 4",
        " 0x4",
        " 1_0",
        "４",
    ],
)
def test_lines_that_make_no_sense_count_for_nothing(running: str) -> None:
    assert parse_queue_metrics(sample(running)) is None


@pytest.mark.parametrize("text", ["", "\x00", "<html>", "vllm:num_requests_running 4", "#vllm:num_requests_waiting 4"])
def test_without_both_gauges_nothing_is_known(text: str) -> None:
    assert parse_queue_metrics(text) is None


PIECE = st.sampled_from(
    ["vllm:num_requests_running", "vllm:num_requests_waiting", "{", "}", '"', "\\", " ", "\n", "9", "=", ","]
)


@given(st.lists(PIECE | st.text(max_size=3), max_size=60).map("".join))
def test_any_text_gives_counts_or_nothing(text: str) -> None:
    metrics = parse_queue_metrics(text)
    assert metrics is None or (metrics.running >= 0 and metrics.waiting >= 0)


@pytest.mark.parametrize("piece", ['{a="', "{" + "a=b," * 9, '{a="\\', '{a="b"', " 1 ", "\t"])
def test_a_hostile_megabyte_is_read_in_linear_time(piece: str) -> None:
    """A pattern that backtracked would run into the suite's time-out."""
    assert parse_queue_metrics("vllm:num_requests_running" + piece * (2**20 // len(piece))) is None
    assert parse_queue_metrics(("vllm:num_requests_running" + piece) * (2**20 // (25 + len(piece)))) is None
