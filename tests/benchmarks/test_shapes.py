"""The suite of shapes: every arm gives the same verdicts, and two results are compared against the scan of each run."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def shapes() -> ModuleType:
    return import_module("benchmarks.similarity.shapes")


@pytest.mark.parametrize("name", ["permutations", "zipf", "one word", "mixed"])
def test_index_and_plain_scan_reject_the_same(shapes: ModuleType, name: str) -> None:
    row = shapes.measure(name, 0.02, 1)
    assert row["rejected"]["batch"] == row["rejected"]["single"] == row["rejected"]["scan"] >= row["rejected"]["lsh"]
    assert set(row["us"]) == {"batch", "single", "scan", "lsh"}


def test_a_comparison_names_what_got_slower_beside_the_scan_of_its_own_run(
    shapes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def result(name: str, **us: float) -> Path:
        rows: list[dict[str, Any]] = [{"shape": "zipf", "us": {"single": 9.0, "lsh": 9.0, "scan": 10.0, **us}}]
        path = tmp_path / name
        path.write_text("a table for people\n" + json.dumps({"rows": rows}) + "\n")
        return path

    before = result("before.json", batch=5.0)
    twice_as_slow_a_machine = result("after.json", batch=10.0, single=18.0, lsh=18.0, scan=20.0)
    assert shapes.compare(before, twice_as_slow_a_machine) == 0
    assert capsys.readouterr().out == ""
    assert shapes.compare(before, result("slow.json", batch=7.0, single=2.0)) == 1
    assert capsys.readouterr().out == "SLOWER zipf, batch: 1.40 x the time\nfaster zipf, single: 0.22 x the time\n"
