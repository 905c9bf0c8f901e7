"""Seed files: what is read, and what is refused with file, line and advice."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.errors import SeedError
from fastinstruct.records import Instance, SeedTask
from fastinstruct.text.folder import prompt_folder
from fastinstruct.text.seeds import input_of, kind_notice, load_seeds, num_unknown, packaged_seeds
from places import REPOSITORY

REPO = REPOSITORY
DATA = REPO.parent / "shared" / "data"
GOOD = {
    "id": "seed_task_0",
    "name": "rhyme",
    "instruction": "Find a rhyme.",
    "instances": [{"input": "cat", "output": "hat"}, {"input": "", "output": "log, dog"}],
    "is_classification": False,
}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "seeds.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(SeedError) as caught:
        load_seeds(path)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(str(path))


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name != key}


def test_a_task_is_read_as_it_stands(tmp_path: Path) -> None:
    assert load_seeds(write(tmp_path, GOOD)) == (
        SeedTask(
            id="seed_task_0",
            name="rhyme",
            instruction="Find a rhyme.",
            instances=(Instance(input="cat", output="hat"), Instance(input="", output="log, dog")),
            is_classification=False,
        ),
    )


def test_outer_white_space_of_texts_is_kept(tmp_path: Path) -> None:
    row = GOOD | {"instruction": " Sort:\n", "instances": [{"input": "b a ", "output": " a b"}]}
    (task,) = load_seeds(write(tmp_path, row))
    assert task.instruction == " Sort:\n"
    assert task.instances == (Instance(input="b a ", output=" a b"),)


def test_an_alpaca_row_is_a_task_with_one_instance(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Sort the numbers.", "input": "2 1", "output": "1 2"},
        {"instruction": "Hi.", "output": "Yo."},
    ]
    first, second = load_seeds(write(tmp_path, *rows))
    assert (first.id, first.name, first.is_classification) == ("seed_0", "", None)
    assert first.instances == (Instance(input="2 1", output="1 2"),)
    assert second.instances == (Instance(input="", output="Yo."),)


def test_optional_keys_may_be_absent_or_null_and_others_are_ignored(tmp_path: Path) -> None:
    bare = {"instruction": "Say hi.", "instances": [{"output": "hi", "score": 3}], "source": ["x"]}
    null = bare | {"id": None, "name": None, "is_classification": None, "instances": [{"input": None, "output": "hi"}]}
    first, second = load_seeds(write(tmp_path, bare, null))
    assert (first.id, second.id) == ("seed_0", "seed_1")
    assert first.instances == second.instances == (Instance(input="", output="hi"),)
    assert first.is_classification is None
    assert second.is_classification is None


@pytest.mark.parametrize("nothing", ["<noinput>", "<NoInput>", "N/A", " n/a ", "None", "No input", " \n", "", None])
def test_an_input_that_says_there_is_none_is_empty(tmp_path: Path, nothing: str | None) -> None:
    alpaca = {"instruction": "Say hi.", "input": nothing, "output": "hi"}
    paper = {"instruction": "Say ho.", "instances": [{"input": nothing, "output": "N/A"}]}
    first, second = load_seeds(write(tmp_path, alpaca, paper))
    assert first.instances == (Instance(input="", output="hi"),)
    assert second.instances == (Instance(input="", output="N/A"),)


@pytest.mark.parametrize("text", ["N/A means what?", " None of these", "0", "nonexistent"])
def test_an_input_that_says_more_is_kept_as_it_is(text: str) -> None:
    assert input_of(text) == text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (without("is_classification") | {"is_clasification": True}, "'is_clasification' (did you mean is_classificat"),
        (without("is_classification") | {"isClassification": True}, "'isClassification' (did you mean is_classificat"),
        (without("instruction") | {"instuction": "Hi."}, "'instuction' (did you mean instruction?); rename it, or rem"),
        (without("instruction") | {"Instruction": "Hi."}, "'Instruction' (did you mean instruction?); rename it, or "),
        (without("instances") | {"instanses": []}, "'instanses' (did you mean instances?); rename it, or remove it"),
        ({"instruction": "Hi.", "ouput": "Yo."}, "'ouput' (did you mean output?); rename it, or remove it"),
        ({"instruction": "Hi.", "inptu": "x", "output": "y"}, "'inptu' (did you mean input?); rename it, or remove it"),
        (
            GOOD | {"instances": [{"inputs": "a", "output": "b"}]},
            "instances[0].'inputs' (did you mean input?); rename ",
        ),
        (
            without("instruction") | {"instruction\u2028": "x"},
            r"'instruction\u2028' (did you mean instruction?); renam",
        ),
    ],
)
def test_a_misspelt_key_is_told_with_the_nearest_known_one(tmp_path: Path, line: object, expected: str) -> None:
    assert complaint(write(tmp_path, GOOD, line)).startswith(f":2: unknown key {expected}")


@pytest.mark.parametrize(
    "extra",
    [
        {"text": "Below is an instruction", "source": "x", "category": "y", "context": "", "idx": 3, "uid": "a"},
        {"instruction_zh": "你好", "output_2": "hey", "inputs": [], "instance_id": "a", "label": "x", "names": []},
    ],
)
def test_keys_of_other_tools_are_ignored_also_where_they_are_near_a_key_that_is_there(
    tmp_path: Path, extra: dict[str, object]
) -> None:
    (task,) = load_seeds(write(tmp_path, {"instruction": "Hi.", "input": "x", "output": "Yo."} | extra))
    assert task.instances == (Instance(input="x", output="Yo."),)


def test_a_list_of_several_lines_is_told_from_a_damaged_line(tmp_path: Path) -> None:
    rows = [{"instruction": "Hi.", "output": "Yo."}, GOOD]
    advice = "but begins a list; write one JSON object a line (jq -c '.[]' splits a list)"
    assert complaint(write(tmp_path, json.dumps(rows, indent=2))) == f":1: is not JSON (column 2), {advice}"
    assert complaint(write(tmp_path, "[" + ",\n".join(map(json.dumps, rows)) + "]")).endswith(f"), {advice}")


def test_seeds_that_do_not_say_their_kind_are_counted_and_told(tmp_path: Path) -> None:
    alpaca = {"instruction": "Hi.", "output": "Yo."}
    assert kind_notice(load_seeds(write(tmp_path, GOOD))) == ""
    one = load_seeds(write(tmp_path, GOOD, alpaca))
    assert num_unknown(one) == 1
    assert kind_notice(one).startswith("1 of 2 seeds does not say is_classification: stages 2 and 3 show others in ")
    two = load_seeds(write(tmp_path, alpaca, alpaca))
    assert num_unknown(two) == 2
    assert kind_notice(two).startswith("2 of 2 seeds do not say is_classification")


CASES = DATA / "replies" / "34-seeds-alpaca-file"
needs_cases = pytest.mark.skipif(not CASES.exists(), reason="shared/data/replies is not next to this checkout")


@needs_cases
def test_the_shared_files_of_alpaca_rows_are_read_or_refused_with_advice() -> None:
    tasks = load_seeds(CASES / "noinput.jsonl") + load_seeds(CASES / "crlf_bom.jsonl")
    assert [case.input for task in tasks for case in task.instances] == ["", "", "", ""]
    assert complaint(CASES / "number.jsonl") == ":1: output is a number; write a string"
    assert complaint(CASES / "array.json").startswith(":1: is not JSON (column 2), but begins a list; write one")


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n  \r\n" + json.dumps(without("id")).encode() + b"\r\n\r\n")
    assert [task.id for task in load_seeds(path)] == ["seed_2"]


def test_line_separators_inside_a_text_do_not_end_a_line(tmp_path: Path) -> None:
    (task,) = load_seeds(write(tmp_path, GOOD | {"instruction": "One\u2028two\x85three."}))
    assert task.instruction == "One\u2028two\x85three."


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "is not JSON (column 2); write one JSON object a line, without line breaks inside it"),
        (
            '{"instruction": NaN}',
            "is not JSON (column 17); write one JSON object a line, without line breaks inside it",
        ),
        ([GOOD], "is a list, not an object; write one JSON object a line (jq -c '.[]' splits a list)"),
        ("12", "is a number, not an object; write one JSON object a line (jq -c '.[]' splits a list)"),
        (without("instruction"), "instruction is missing; write a string"),
        (GOOD | {"instruction": 5}, "instruction is a number; write a string"),
        (GOOD | {"instruction": " \n"}, "instruction is empty; write a text or remove the line"),
        (without("instances"), "instances is missing; give a list of at least one object with input and output"),
        (GOOD | {"instances": []}, "instances is empty; give a list of at least one object with input and output"),
        (GOOD | {"instances": "x"}, "instances is a string; give a list of at least one object with input and output"),
        (GOOD | {"instances": [3]}, "instances[0] is a number; write an object with input and output"),
        (GOOD | {"instances": [{"input": "a"}]}, "instances[0].output is missing; write a string"),
        (GOOD | {"instances": [{"output": ""}]}, "instances[0].output is empty; write a text or remove the line"),
        (GOOD | {"instances": [{"input": [], "output": "a"}]}, "instances[0].input is a list; write a string"),
        (GOOD | {"is_classification": "yes"}, "is_classification is a string; write true or false"),
        (GOOD | {"id": 7}, "id is a number; write a string"),
        (GOOD | {"id": " "}, "id is empty; give the task a name of its own, or leave id out"),
        (GOOD | {"name": {}}, "name is an object; write a string"),
        ({"instruction": "Hi.", "output": 5}, "output is a number; write a string"),
        ({"instruction": "Hi.", "output": None}, "output is missing; write a string"),
        ({"instruction": "Hi.", "output": " "}, "output is empty; write a text or remove the line"),
        (
            '{"instruction": "a", "instruction": "b", "output": "c"}',
            "has the key 'instruction' twice; keep one of them",
        ),
        (GOOD | {"output": "a"}, "has instances and output, which say what is asked twice; keep one of them"),
        (GOOD, "id 'seed_task_0' is already that of line 1; make ids unique"),
    ],
)
def test_a_bad_line_is_refused_with_its_place_and_what_to_do(tmp_path: Path, line: object, expected: str) -> None:
    assert complaint(write(tmp_path, GOOD, "", line)) == f":3: {expected}"


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    assert complaint(write(tmp_path, "[" * 100_000)).startswith(":1: is not JSON (column ")
    assert complaint(write(tmp_path, '{"a":' * 5_000)).startswith(":1: is not JSON (column ")


@pytest.mark.parametrize("escape", [r"\ud83d", r"\ude00", r"\ud83d\ud83d"])
def test_half_of_a_surrogate_pair_is_refused_by_name(tmp_path: Path, escape: str) -> None:
    line = f'{{"instruction": "Say {escape}.", "instances": [{{"output": "x"}}]}}'
    advice = r"has half of a surrogate pair (\ud800 to \udfff); write the character itself or remove the escape"
    assert complaint(write(tmp_path, line)) == f":1: {advice}"


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    line = r'{"instruction": "Say \ud83d\ude00.", "instances": [{"output": "x"}]}'
    assert load_seeds(write(tmp_path, line))[0].instruction == "Say 😀."


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"instruction": "caf\xe9"}\n')
    assert complaint(path) == ":2: is not UTF-8 (byte 21 of the line); save the file as UTF-8"


def test_files_that_hold_nothing_or_cannot_be_read_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n \n")
    nothing = ": holds no seed task; write at least one JSON object with instruction and instances"
    assert complaint(empty) == nothing
    assert complaint(tmp_path / "absent.jsonl") == ": there is no such file; check the path"
    assert complaint(tmp_path) == ": is a folder; name the JSONL file in it"
    assert complaint(empty / "below.jsonl") == ": cannot be read (Not a directory); check the path and its permissions"
    assert complaint(Path("a\0b")) == "a\\x00b: cannot be read (not a valid path); check the path and its permissions"


def test_the_packaged_seeds_are_175_of_which_40_classify() -> None:
    tasks = packaged_seeds()
    assert prompt_folder().joinpath("seed_tasks.jsonl").is_file()
    assert len(tasks) == 175
    assert sum(task.is_classification is True for task in tasks) == 40
    assert tasks[174].id == "seed_task_174"


@pytest.mark.parametrize("name", ["seed_tasks.jsonl", "zh_seed_tasks.jsonl"])
def test_seed_files_of_others_load(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"shared/data/{name} is not next to this checkout")
    assert len(load_seeds(DATA / name)) == 175


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_load_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(SeedError):
        load_seeds(path)
