"""What a machine allows a run: descriptors raised as far as they can be, fewer requests where that does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastinstruct.config import RunConfig, load_config
from fastinstruct.lm import process
from fastinstruct.pipeline.models import connect as capacity
from run_stages import STAGES

resource = pytest.importorskip("resource")

ENDPOINT = {"model.base_url": "http://h/v1", "model.name": "m"}


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.fixture
def soft_limit() -> Iterator[None]:
    """A soft limit that leaves room to rise, and is put back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 512:
        pytest.skip("the hard limit leaves no room")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("soft_limit")
def test_the_soft_limit_is_raised_to_what_is_wanted_and_never_lowered() -> None:
    assert process.raise_descriptors_to(300) == 300
    assert process.raise_descriptors_to(200) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300


@pytest.mark.usefixtures("soft_limit")
def test_the_hard_limit_is_as_far_as_it_goes() -> None:
    hard = process.descriptors_allowed(raised=True)
    if hard is None:
        pytest.skip("there is no hard limit")
    assert process.raise_descriptors_to(hard + 1) == hard


def test_a_system_that_refuses_leaves_the_limit_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert process.raise_descriptors_to(1000) == 256


def test_enough_descriptors_for_all_requests_are_wanted_twice_and_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wanted: list[int] = []

    def raise_to(num_wanted: int) -> int:
        wanted.append(num_wanted)
        return 1064

    assert capacity.bearable(load_config(flags=ENDPOINT), STAGES, 1000, raise_to) == 1000
    assert wanted == [2128]
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(("limit", "fewer"), [(1063, 999), (256, 192), (100, 50), (10, 5), (1, 1)])
def test_too_few_descriptors_cap_the_requests_with_one_warning_that_names_ulimit(
    limit: int, fewer: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert capacity.bearable(load_config(flags=ENDPOINT), STAGES, 1000, lambda _: limit) == fewer
    told = f"{limit} file descriptors are allowed: {fewer} requests in flight instead of 1000; `ulimit -n 1064` "
    assert warnings_of(caplog) == [f"{told}allows them all"]


def test_a_system_without_a_limit_bears_everything() -> None:
    assert capacity.bearable(load_config(flags=ENDPOINT), STAGES, 100_000, lambda _: None) == 100_000


def test_an_embedded_server_takes_two_descriptors_a_request() -> None:
    assert capacity.descriptors_for(RunConfig(), STAGES, 100) == 264
    assert capacity.bearable(RunConfig(), STAGES, 100, lambda _: 164) == 50


def test_endpoints_of_all_stages_are_counted_once() -> None:
    more = {"model.endpoints": [{"base_url": "http://g/v1"}, {"base_url": "http://i/v1"}]}
    assert capacity.num_endpoints(load_config(flags={**ENDPOINT, **more}), STAGES) == 3
    own = {"instances.model": {"base_url": "http://j/v1", "name": "n"}}
    assert capacity.num_endpoints(load_config(flags={**ENDPOINT, **more, **own}), STAGES) == 4


def test_a_parser_in_pure_python_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    capacity.warn_of_slow_parser(lambda: True)
    assert warnings_of(caplog) == []
    capacity.warn_of_slow_parser(lambda: False)
    (warning,) = warnings_of(caplog)
    assert "AIOHTTP_NO_EXTENSIONS" in warning


def test_memory_is_told_by_the_system_or_by_its_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    used = process.memory_bytes()
    assert used is not None
    assert 10 * 2**20 < used < 2**36
    monkeypatch.setattr(process, "_STATM", tmp_path / "none")
    peak = process.memory_bytes()
    assert peak is not None
    assert 10 * 2**20 < peak < 2**36
