"""What callers pass to an index is checked alike, whatever it is called."""

import numpy as np
import pytest

from fastinstruct.errors import InputError
from fastinstruct.similarity.arguments import checked_count, checked_number, checked_texts


@pytest.mark.parametrize("number", [1, 7, np.int64(7), np.uint8(7), np.int32(1)])
def test_a_count_may_be_an_int_of_python_or_numpy_and_is_pythons_then(number: int) -> None:
    assert checked_count("threads", number, 1) == number
    assert type(checked_count("threads", number, 1)) is int


@pytest.mark.parametrize("value", [0, -1, np.int64(0), True, np.True_, 1.0, np.float64(2), "1", None])
def test_what_is_no_count_is_refused_by_name_and_bound(value: object) -> None:
    with pytest.raises(InputError) as error:
        checked_count("threads", value, 1)
    assert str(error.value) == f"threads must be an int of at least 1; got {value!r}"


def test_a_count_has_an_upper_bound_where_one_is_given() -> None:
    assert checked_count("num_perm", 4, 1, 4) == 4
    with pytest.raises(InputError, match=r"^num_perm must be an int from 1 to 4; got 5$"):
        checked_count("num_perm", 5, 1, 4)


def test_a_number_is_none_where_it_is_no_number() -> None:
    assert [checked_number(value) for value in (1, 0.5, np.float32(0.5), True, "1", None)] == [
        1.0,
        0.5,
        0.5,
        *[None] * 3,
    ]


def test_texts_come_in_any_sequence() -> None:
    assert list(checked_texts(("a", "b"))) == ["a", "b"]
    assert list(checked_texts(np.array(["a", "b"], dtype=object))) == ["a", "b"]  # type: ignore[arg-type]  # a sequence in all but name
