"""What `benchmarks/runtime/goals.py` tells is worked out from what was measured, and it goes on working."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from places import REPOSITORY

PATHS = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))

Module = Callable[[str], ModuleType]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    return lambda name: import_module(f"benchmarks.{name}")


def measured(*goals: str) -> dict[str, Any]:
    """The document of a smoke run."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.runtime.goals", "--quick", "--goals", *goals],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_that_of_the_medians(module: Module) -> None:
    ratio = module("measuring").Ratio.of([2.0, 30.0, 9.0], [1.0, 10.0, 9.0])
    assert (ratio.median, ratio.lowest, ratio.highest) == (2.0, 1.0, 3.0)
    assert ratio.text(1) == "2.0x (1.0 to 3.0)"


def test_no_arm_always_comes_after_the_same_one(module: Module) -> None:
    rotated = module("measuring").rotated
    assert [rotated("abc", number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_a_client_that_is_not_installed_is_left_out_and_the_extra_is_named(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = module("runtime.arms")
    monkeypatch.setitem(sys.modules, "openai", None)
    assert arms.missing(arms.SdkAiohttp).startswith("left out: pip install 'fastinstruct[bench]'")
    assert arms.missing(arms.SdkDefault).startswith("left out: pip install 'fastinstruct[bench]'")
    assert arms.missing(arms.Ours) == arms.missing(arms.RawAiohttp) == ""


def test_the_steady_part_of_a_run_ends_with_its_last_stage_1_request(module: Module) -> None:
    pipeline, Span = module("runtime.pipeline"), module("runtime.scripted").Span  # noqa: N806  a class
    looks = [pipeline.Look(at_s=float(second), process_s=0.5 * second, loop_s=0.25 * second) for second in range(12)]
    spans = [
        *(Span(0.1 * number, 0.1 * number + 0.05, 200, "instructions") for number in range(70)),
        *(Span(0.1 * number, 0.1 * number + 0.05, 200, "classification") for number in range(70, 100)),
    ]
    steady = pipeline.steady_part(spans, looks, 2.0)  # from 2 s to 7 s: to the look at or after 6.9 s
    assert steady.seconds == 5.0
    assert steady.requests_per_s == pytest.approx(10.0)
    assert steady.cpu_us == pytest.approx(50_000)
    assert steady.loop_cpu_us == pytest.approx(25_000)
    assert steady.core_share == pytest.approx(0.5)
    assert steady.by_stage == {"instructions": 50}


def test_goodput_counts_what_came_within_the_time_and_was_not_refused(module: Module) -> None:
    limits, Span = module("runtime.limits"), module("runtime.scripted").Span  # noqa: N806  a class
    spans = [Span(float(second), second + 0.5, 429 if second % 5 == 0 else 200, None) for second in range(20)]
    goodput, refused = limits.share_of(spans, 2.0, 5.0, 15.0)
    assert goodput == pytest.approx(0.4)
    assert refused == pytest.approx(0.2)


def test_the_readme_names_each_goal_with_its_bar_and_says_which_are_not_met(module: Module) -> None:
    goal = {"name": "G0", "what": "speed", "bar": "at least 2x", "measured": "1.5x", "is_met": False, "details": {}}
    found = {"versions": {"python": "3.11.0"}, "server": [], "goals": [goal, {**goal, "what": "size", "is_met": None}]}
    assert module("readme").runtime(found).splitlines()[-2:] == [
        "| speed | at least 2x | 1.5x | **no** |",
        "| size | at least 2x | 1.5x | not measured |",
    ]


def test_a_smoke_run_measures_each_goal_it_is_asked_for() -> None:
    goals = ["g1", "g2", "g5", "g6", "g7", "g10", "g19", "e2e"]
    document = measured(*goals)
    assert sorted({goal["name"].lower() for goal in document["goals"]}) == sorted(goals)
    assert all(goal["measured"] for goal in document["goals"])
    assert [row["replies"] for row in document["server"]] == ["canned", "quick"]
    assert document["quick"] is True
