"""Growing arrays: nothing that was there changes, what is new is zero, and large ones don't move."""

import gc
from pathlib import Path

import numpy as np
import pytest

import fastinstruct_kernels.growth as growth
from fastinstruct_kernels.growth import grown


@pytest.fixture(params=[True, False], ids=["ranges", "malloc"])
def ranges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(growth, "_HAS_RANGES", False)
    return bool(request.param)


@pytest.mark.parametrize("columns", [None, 2])
def test_what_was_there_stays_and_what_is_new_is_zero(ranges: bool, columns: int | None) -> None:
    array = np.zeros(10 if columns is None else (10, columns), dtype=np.int64)
    rows, values = 10, 1
    array[:] = values
    while array.nbytes < 200 * growth._LARGE:  # through a range and into the next
        array = grown(array, 3 * len(array))
        assert len(array) >= 3 * rows
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert (array[rows - 1] == values).all()
        assert not array[rows:].any()
        assert (array[0] == 1).all()
        rows, values = len(array), values + 1
        array[-1] = values
    assert grown(array, rows) is array


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not growth._HAS_RANGES, reason="arrays are malloc's here")
def test_a_large_array_stays_where_it_is_and_takes_no_memory_before_it_is_written_to() -> None:
    array = grown(np.ones(1000, dtype=np.uint8), growth._LARGE)
    place = array.__array_interface__["data"]
    before = resident_bytes()
    for _ in range(10):
        array = grown(array, len(array) + 1)
        assert array.__array_interface__["data"] == place
    assert resident_bytes() - before < growth._LARGE
    assert array[:1000].all()


@pytest.mark.skipif(not growth._HAS_RANGES, reason="arrays are malloc's here")
def test_its_memory_is_given_back() -> None:
    array = grown(np.ones(1000, dtype=np.uint8), 32 * growth._LARGE)
    array[:] = 1
    before = resident_bytes()
    del array
    gc.collect()
    assert before - resident_bytes() > 30 * growth._LARGE


@pytest.mark.parametrize("times", [1 << 26, 1 << 60])
def test_no_range_of_addresses_is_no_loss(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(growth, "_RANGE", times)  # more than there are addresses, and more than fits into one
    array = grown(np.ones(1000, dtype=np.uint8), 2 * growth._LARGE)
    assert (int(array.sum()), len(array)) == (1000, 2 * growth._LARGE)
