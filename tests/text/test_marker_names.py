"""The file of markers, and the lines that are some."""

from pathlib import Path

import pytest

from fastinstruct.errors import ConfigError
from fastinstruct.text.marker_names import Kind, load_marker_names, packaged_marker_names
from fastinstruct.text.markers import read_marker, read_markers

WHOLE = "\n".join(f"[{kind}]\nen: {kind} one, {kind} two" for kind in Kind)


def written(folder: Path, text: str) -> Path:
    path = folder / "markers.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_packaged_file_names_every_part_in_twelve_languages() -> None:
    kinds = packaged_marker_names().kinds
    assert set(kinds.values()) == set(Kind)
    for name in ("input", "输入", "入力", "입력", "eingabe", "entrée", "entrada", "ввод", "المدخل", "इनपुट"):
        assert kinds[name] is Kind.INPUT


def test_a_language_is_added_by_a_line(tmp_path: Path) -> None:
    names = load_marker_names(written(tmp_path, f"# ours\n{WHOLE}\nnl: rol\n"))
    assert names.kinds["rol"] is Kind.ROLE
    marker = read_marker("**ROL 2:** x", names)
    assert marker is not None
    assert (marker.kind, marker.number, marker.rest) == (Kind.ROLE, 2, "x")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{WHOLE}\nde: Rolle, ", "line 17: an empty name; write names between commas"),
        (f"{WHOLE}\nde:", "line 17: an empty name; write names between commas"),
        (f"{WHOLE}\nde: Rolle, \u200b, Wer", "line 17: an empty name; write names between commas"),
        (f"{WHOLE}\nde: Rolle, INPUT  one", "line 17: the name 'INPUT  one' stands on line 4 already"),
        (f"{WHOLE}\nde: Rolle, ｒｏｌｌｅ", "line 17: the name 'ｒｏｌｌｅ' stands on line 17 already"),
        ("[input]\nen: a\n[what]\nen: b", "line 3: [what] is no part; they are called example, input, output"),
        ("en: a", "line 1: is neither a part such as [input] nor `language: name, name`"),
        ("[input]\nInput", "line 2: is neither a part such as [input] nor `language: name, name`"),
        ("[input]\nen: a", ": the part [example] has no names"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_marker_names(path)
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_marker_names(tmp_path / "absent.txt")
    (tmp_path / "latin.txt").write_bytes(b"[input]\nde: \xfc")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_marker_names(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    "line",
    [
        "Input: a",
        "input: a",
        "INPUT: a",
        "**Input:** a",
        "**Input**: a",
        "**Input: a**",
        "__Input:__ a",
        "`Input`: a",
        "- Input: a",
        "* **Input:** a",
        "1. Input: a",
        "1) **Input:** a",
        "> Input: a",
        "### Input: a",
        "   Input: a",
        "Input 1: a",
        "Input #1: a",
        "Input (text): a",
        "Input：a",
        "Input : a",
        "ＩＮＰＵＴ：a",
        "[Input]: a",
        "[Input] a",
        "【输入】a",
        "输入：a",
        "输入 1：a",
        "输入（文本）：a",
        "\u200bInput: a",
        "\u200fالمدخل: a",
        "Entrée : a",
        "📥 Input: a",
    ],
)
def test_an_input_is_one_whatever_stands_around_its_name(line: str) -> None:
    marker = read_marker(line)
    assert marker is not None
    assert (marker.kind, marker.rest) == (Kind.INPUT, "a")


@pytest.mark.parametrize(
    ("line", "number", "title"),
    [
        ("Example 1", 1, ""),
        ("Example #2", 2, ""),
        ("Example One", 1, ""),
        ("Example III:", 3, ""),
        ("Example B", 2, ""),
        ("Example (1)", 1, ""),
        ("First example:", 1, ""),
        ("1st example:", 1, ""),
        ("**Example 1 - Greeting**", 1, "Greeting"),
        ("### Example 1: Greeting", 1, "Greeting"),
        ("Test Case 4.", 4, ""),
        ("示例一：问候", 1, "问候"),
        ("第二个例子", 2, ""),
        ("例1", 1, ""),
        ("예시 1:", 1, ""),
        ("مثال ٢", 2, ""),
        ("उदाहरण 1", 1, ""),
        ("**1.**", 1, ""),
        ("#2", 2, ""),
        ("Example: dog", None, "dog"),
    ],
)
def test_an_example_has_a_number_and_a_title(line: str, number: int | None, title: str) -> None:
    marker = read_marker(line)
    assert marker is not None
    assert (marker.kind, marker.number, marker.rest) == (Kind.EXAMPLE, number, title)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "Inputs are good: x",
        "Example 2 shows it.",
        "For Example 2 see below: x",
        "    Input: code",
        "\tInput: x",
        "The input: a",
        "Examples",
        "Exampled: x",
        "42",
        "例えば: foo",
        "**",
        "- ",
        "input",
        "answer",
        "Task",
    ],
)
def test_a_line_of_content_is_no_marker(line: str) -> None:
    assert read_markers(line) == ()


def test_an_example_and_its_field_may_stand_on_one_line() -> None:
    for line in ("Example 1: Input: a", "Example 1 Input: a", "**Example 1:** **Input:** a"):
        assert [marker.kind for marker in read_markers(line)] == [Kind.EXAMPLE, Kind.INPUT]
