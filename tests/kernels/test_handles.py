"""Handles: a kernel makes each array of its own address and length, with the type and shape that it has."""

import inspect
import re
from typing import Any

import numpy as np
import pytest

import fastinstruct_kernels.one_text as one_text
from fastinstruct_kernels.handles import batch_at, handle_of, pool_at, scratch_at, words_at
from fastinstruct_kernels.judgement import new_scratch
from fastinstruct_kernels.pool import new_pool
from fastinstruct_kernels.words import new_words

COLUMNS = {2: "_pairs", 4: "_fours"}


def leaves(arrays: Any) -> list[np.ndarray]:
    return [leaf for each in arrays for leaf in (leaves(each) if isinstance(each, tuple) else [each])]


def maker(array: np.ndarray) -> str:
    shape = ""
    if array.ndim == 2:
        shape = "_square" if array.shape[0] == array.shape[1] else COLUMNS[array.shape[1]]
    return f"{array.dtype.name}{shape}_at"


@pytest.mark.parametrize(
    ("made", "at"),
    [
        (new_pool(0.7), pool_at),
        (new_scratch(70, 80, 90, 100, 110, np.zeros(1, dtype=np.int64)), scratch_at),
        (one_text.new_text().batch, batch_at),
        (new_words(), words_at),
    ],
    ids=["pool", "scratch", "batch", "words"],
)
def test_each_array_is_made_of_its_own_address_and_length(made: Any, at: Any) -> None:
    arrays = leaves(made)
    calls = re.findall(r"(\w+_at)\(handle\[(\d+)\], handle\[(\d+)\]\)", inspect.getsource(at.py_func))
    assert [(name, int(address), int(rows)) for name, address, rows in calls] == [
        (maker(array), 2 * place, 2 * place + 1) for place, array in enumerate(arrays)
    ]
    handle = handle_of(made).tolist()
    assert handle[::2] == [array.__array_interface__["data"][0] for array in arrays]
    assert handle[1::2] == [len(array) for array in arrays]


def test_the_room_for_one_text_lies_behind_its_batch() -> None:
    arrays = leaves(one_text.new_text())
    calls = re.findall(r"(\w+_at)\(of_text\[(\d+)\], of_text\[(\d+)\]\)", inspect.getsource(one_text))
    places = range(len(one_text.new_text().batch), len(arrays))
    assert [(int(address), int(rows)) for _, address, rows in calls] == [(2 * place, 2 * place + 1) for place in places]
    assert [name for name, *_ in calls] == ["bytes_at", maker(arrays[-1])]
    assert arrays[-2].dtype == np.uint8
