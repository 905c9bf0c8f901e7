"""Where the repository is, and the data beside it, which a checkout may lack."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BENCHMARKS", "REPOSITORY", "SHARED", "TESTS"]

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
BENCHMARKS = REPOSITORY / "benchmarks"
SHARED = REPOSITORY.parent / "shared"
