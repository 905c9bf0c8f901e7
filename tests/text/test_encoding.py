"""Stage 4: the layouts, and the draws in their order."""

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import Example
from fastinstruct.text.encoding import WITH_INPUT, WITHOUT_INPUT, Encoded, encode, encode_all


def example(instruction: str, given: str, output: str) -> Example:
    return Example(id="m0-0", instruction=instruction, input=given, output=output, is_classification=None)


class Rigged(random.Random):
    """Always strips or never, always takes the same layout, never shuffles."""

    def __init__(self, *, strips: bool, layout: int = 4) -> None:
        super().__init__(0)
        self.strips = strips
        self.layout = layout

    def random(self) -> float:
        return 0.0 if self.strips else 0.5

    def choice(self, seq: Any) -> Any:
        return seq[self.layout]

    def shuffle(self, x: object) -> None:
        pass


def prompt_after(given: str, *, strips: bool) -> str:
    (row,) = encode_all([example("I", given, "O")], Rigged(strips=strips))
    return row.prompt


def test_the_seven_layouts_with_input() -> None:
    assert [layout.write("I", "x", "O", "<E>") for layout in WITH_INPUT] == [
        ("I\nInput: x\nOutput:", " O<E>"),
        ("I\n\nInput: x\n\nOutput:", " O<E>"),
        ("Task: I\nInput: x\nOutput:", " O<E>"),
        ("I\n\nx\n\nOutput:", " O<E>"),
        ("I\n\nx\n\n", "O<E>"),
        ("I\nx\n\n", "O<E>"),
        ("Task: I\n\nx\n\n", "O<E>"),
    ]


def test_the_six_layouts_without_input() -> None:
    assert [layout.write("I", "", "O", "<E>") for layout in WITHOUT_INPUT] == [
        ("I Output:", " O<E>"),
        ("I\nOutput:", " O<E>"),
        ("I\n\nOutput:", " O<E>"),
        ("I\n", "O<E>"),
        ("I\n\n", "O<E>"),
        ("Task: I\n\n", "O<E>"),
    ]


def test_every_layout_is_drawn_about_equally_often() -> None:
    rng = random.Random(1)
    with_input = Counter(encode("I", "x", "O", rng) for _ in range(7_000))
    without = Counter(encode("I", " \n", "O", rng) for _ in range(6_000))
    assert len(with_input) == 7
    assert len(without) == 6
    assert all(850 < count < 1150 for count in (with_input + without).values())


def test_completions_end_with_the_end_token() -> None:
    assert encode("I", "", "O", Rigged(strips=False)) == ("I\n\n", "O<|endoftext|>")
    assert encode("I", "", "O", Rigged(strips=False), "</s>") == ("I\n\n", "O</s>")


def test_outer_white_space_goes() -> None:
    assert encode(" I\n", "\tx ", " O\n", Rigged(strips=False)) == ("I\n\nx\n\n", "O<|endoftext|>")


def test_braces_in_texts_are_content() -> None:
    assert encode("{input}", "{0}", "{", Rigged(strips=False)) == ("{input}\n\n{0}\n\n", "{<|endoftext|>")


def test_half_of_the_single_field_names_are_stripped() -> None:
    assert prompt_after("Sentence: I ate.", strips=True) == "I\n\nI ate.\n\n"
    assert prompt_after("Sentence: I ate.", strips=False) == "I\n\nSentence: I ate.\n\n"
    rows = encode_all((example(str(number), "Name: x", "O") for number in range(1000)), random.Random(2))
    assert len(rows) == 1000
    assert 440 < sum("Name:" in row.prompt for row in rows) < 560


def test_several_field_names_stay() -> None:
    assert prompt_after("Name: x\nAge: 3", strips=True) == "I\n\nName: x\nAge: 3\n\n"


def test_one_field_name_that_repeats_loses_its_first_occurrence() -> None:
    assert prompt_after("Line: x\nLine: y", strips=True) == "I\n\nx\nLine: y\n\n"


def test_empty_lines_of_inputs_go_together_with_field_names() -> None:
    assert prompt_after("a\n\nb\n\n\nc", strips=True) == "I\n\na\nb\n\nc\n\n"
    assert prompt_after("a\n\nb", strips=False) == "I\n\na\n\nb\n\n"


def test_equal_rows_are_kept_once() -> None:
    twins = [example("I", "x", "O"), example("I ", "x", "O"), example("I", "x", "P")]
    assert encode_all(twins, Rigged(strips=False)) == [
        Encoded(prompt="I\n\nx\n\n", completion="O<|endoftext|>"),
        Encoded(prompt="I\n\nx\n\n", completion="P<|endoftext|>"),
    ]


def test_the_draws_and_their_order_are_those_of_the_reference() -> None:
    examples = [example("Sort.", "List: b a", "a b"), example("Say hi.", "", "hi"), example("Add.", "1\n\n2", "3")]
    assert encode_all(examples, random.Random(123)) == [
        Encoded(prompt="Task: Add.\n\n1\n2\n\n", completion="3<|endoftext|>"),
        Encoded(prompt="Say hi.\n\nOutput:", completion=" hi<|endoftext|>"),
        Encoded(prompt="Sort.\nInput: b a\nOutput:", completion=" a b<|endoftext|>"),
    ]


@settings(deadline=None)
@given(texts=st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=6), seed=st.integers())
def test_the_same_seed_gives_the_same_rows(texts: list[tuple[str, str, str]], seed: int) -> None:
    examples = [example(*text) for text in texts]
    rows = encode_all(examples, random.Random(seed))
    assert rows == encode_all(examples, random.Random(seed))
    assert len(rows) == len(set(rows)) <= len(examples)
