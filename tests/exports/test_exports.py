"""Exports: what is in the files, that they show one moment, and that they are whole or not there."""

import json
import os
import random
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from built_run import SEEDS, BuiltRun
from fastinstruct.errors import InputError, RunFolderError, StoreError
from fastinstruct.exports import FORMATS, format_named
from fastinstruct.exports.alpaca import ALPACA
from fastinstruct.exports.files import NewFile
from fastinstruct.exports.messages import MESSAGES
from fastinstruct.exports.prompt_completion import PROMPT_COMPLETION
from fastinstruct.exports.reference import REFERENCE
from fastinstruct.exports.replay import PoolReplay
from fastinstruct.files.json_rows import json_row, on_one_line
from fastinstruct.records import Example, Instance, SeedTask
from fastinstruct.store import RunReader
from fastinstruct.text.encoding import encode_all
from fastinstruct.text.seeds import load_seeds
from places import SHARED

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "upstream_run").is_dir(), reason="shared/data is not there")

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07 red",
    "nul\x00inside",
    "line\u2028separator\r\nand \u202eright to left",
    '"quotes", {braces} and \\backslash',
    "日本語とемодзи 🎉",
    "many " * 400_000 + "words",
]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def write_all(folder: Path, into: Path, *, include_seeds: bool = False) -> dict[str, bytes]:
    """Every format's files, by name."""
    written: dict[str, bytes] = {}
    with RunReader(folder) as reader:
        for each in FORMATS.values():
            exported = each.write(reader, into / each.default_name, include_seeds=include_seeds)
            written |= {str(file.relative_to(into)): file.read_bytes() for file in exported.files}
    return written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two instructions with three examples."""
    folder = tmp_path / "run"
    with BuiltRun(folder) as built:
        built.admit("Name a colour.", ("", "Red."), ("of the sky", "Blue."))
        built.admit("Is it a fruit?", ("apple", "yes"), is_classification=True, in_context=(1, 2, 0))
    return folder


def test_alpaca_is_one_json_array(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        exported = ALPACA.write(reader, tmp_path / "a" / "alpaca.json")
    assert exported.num_examples == 3
    assert json.loads(exported.files[0].read_text(encoding="utf-8")) == [
        {"id": "m0-0", "instruction": "Name a colour.", "input": "", "output": "Red."},
        {"id": "m0-1", "instruction": "Name a colour.", "input": "of the sky", "output": "Blue."},
        {"id": "m1-0", "instruction": "Is it a fruit?", "input": "apple", "output": "yes"},
    ]


def test_alpaca_is_json_lines_where_the_path_ends_in_jsonl(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        ALPACA.write(reader, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == (
        '{"id": "m0-0", "instruction": "Name a colour.", "input": "", "output": "Red."}\n'
        '{"id": "m0-1", "instruction": "Name a colour.", "input": "of the sky", "output": "Blue."}\n'
        '{"id": "m1-0", "instruction": "Is it a fruit?", "input": "apple", "output": "yes"}\n'
    )


def test_messages_join_instruction_and_input_with_an_empty_line(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        MESSAGES.write(reader, tmp_path / "m.jsonl")
    rows = lines_of(tmp_path / "m.jsonl")
    assert rows[0] == {
        "id": "m0-0",
        "messages": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Red."}],
    }
    assert rows[1]["messages"][0] == {"role": "user", "content": "Name a colour.\n\nof the sky"}


def test_prompts_end_with_an_empty_line_and_completions_have_no_end_token(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        PROMPT_COMPLETION.write(reader, tmp_path / "p.jsonl")
    assert lines_of(tmp_path / "p.jsonl")[:2] == [
        {"id": "m0-0", "prompt": "Name a colour.\n\n", "completion": "Red."},
        {"id": "m0-1", "prompt": "Name a colour.\n\nof the sky\n\n", "completion": "Blue."},
    ]


@pytest.mark.parametrize("name", ["alpaca", "messages", "prompt-completion"])
def test_seeds_come_first_under_their_own_ids(run: Path, tmp_path: Path, name: str) -> None:
    with RunReader(run) as reader:
        exported = FORMATS[name].write(reader, tmp_path / "x.jsonl", include_seeds=True)
    ids = [row["id"] for row in lines_of(tmp_path / "x.jsonl")]
    assert ids == ["seed_0-0", "seed_0-1", "seed_1-0", "m0-0", "m0-1", "m1-0"]
    assert exported.num_examples == 6


LINE_ENDS = "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg\x1dh\x1ei\r\nj"


def test_every_file_read_by_splitlines_gives_as_many_rows_as_by_line_feeds(tmp_path: Path) -> None:
    seed = SeedTask(
        id=f"s{LINE_ENDS}",
        name=LINE_ENDS,
        instruction=f"Seed {LINE_ENDS}",
        instances=(Instance(input=LINE_ENDS, output=LINE_ENDS),),
        is_classification=None,
    )
    folder = tmp_path / "run"
    with BuiltRun(folder, seeds=(seed,)) as built:
        for number in range(4):
            built.admit(f"Task {number} {LINE_ENDS}", (LINE_ENDS, f"x {LINE_ENDS}"), ("", LINE_ENDS), in_context=(0,))
    written = write_all(folder, tmp_path / "out", include_seeds=True)
    assert len(written) == 3 + 6
    for name, content in written.items():
        text = content.decode()
        assert len(text.splitlines()) == text.count("\n"), name
        if name.endswith(".jsonl"):
            assert [json.loads(line) for line in text.splitlines()] == lines_of(tmp_path / "out" / name)
    (row, *_) = lines_of(tmp_path / "out" / "messages.jsonl")
    assert row["messages"][1]["content"] == LINE_ENDS  # escapes mean what they stand for
    assert len(written["messages.jsonl"].decode().splitlines()) == 9
    assert len(written["alpaca.json"].decode().splitlines()) == 9 + 2


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_a_row_is_one_line_and_means_the_same(row: dict[str, Any]) -> None:
    line = json_row(row)
    assert json.loads(line) == row
    assert line.splitlines() == [line]
    assert not any("\x7f" <= character <= "\x9f" for character in line)  # nor does a look at it steer a terminal
    assert len(line.replace("\\u007f", "\x7f")) <= len(json.dumps(row))  # else nothing is escaped that JSON would leave


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_the_bytes_of_a_line_change_only_where_they_would_end_it(text: str) -> None:
    line = json.dumps([text], ensure_ascii=False)
    escaped = on_one_line(line.encode()).decode()
    assert escaped == re.sub(r"[\x85\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", line)
    assert json.loads(escaped) == [text]


def test_seeds_without_an_input_are_exported_without_one_also_from_a_run_of_an_older_version(tmp_path: Path) -> None:
    seed = SeedTask(
        id="s",
        name="",
        instruction="Write a haiku.",
        instances=(Instance(input="<noinput>", output="Snow"), Instance(input="N/A", output="Rain")),
        is_classification=None,
    )
    with BuiltRun(tmp_path / "run", seeds=(seed,)) as built:
        built.admit("Name a colour.", ("", "Red."), in_context=(0,))
    written = write_all(tmp_path / "run", tmp_path / "out", include_seeds=True)
    assert not any(b"noinput" in content or b"N/A" in content for content in written.values())
    seeds = load_seeds(tmp_path / "out" / "reference" / "seed_tasks.jsonl")
    assert [(task.instances[0].input, task.is_classification) for task in seeds] == [("", None)]


def test_ids_and_rows_are_the_same_in_a_later_export_of_a_longer_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with BuiltRun(folder) as built, RunReader(folder) as reader:
        built.admit("Name a colour.", ("", "Red.")).result()
        before = list(ALPACA.rows(reader))
        built.admit("Name a river.", ("", "Elbe.")).result()
        after = list(ALPACA.rows(reader))
    assert after[:1] == before
    assert [row["id"] for row in after] == ["m0-0", "m1-0"]


def test_two_exports_of_one_run_are_equal_to_the_byte(run: Path, tmp_path: Path) -> None:
    first, second = (write_all(run, tmp_path / name, include_seeds=True) for name in ("one", "two"))
    assert first == second
    assert len(first) == 9


# The reference's files


def reference_of(folder: Path, into: Path, *, include_seeds: bool = False) -> dict[str, list[dict[str, Any]]]:
    with RunReader(folder) as reader:
        exported = REFERENCE.write(reader, into, include_seeds=include_seeds)
    return {file.name: lines_of(file) for file in exported.files}


def test_the_reference_format_has_the_references_file_names(run: Path, tmp_path: Path) -> None:
    assert sorted(reference_of(run, tmp_path / "ref")) == [
        "all_generated_instances.jsonl",
        "gpt3_finetuning_data_3.jsonl",
        "is_clf_or_not_scripted_template_1.jsonl",
        "machine_generated_instances.jsonl",
        "machine_generated_instructions.jsonl",
        "seed_tasks.jsonl",
    ]


def test_an_instruction_has_the_references_fields_and_the_prompt_it_came_from(run: Path, tmp_path: Path) -> None:
    second = reference_of(run, tmp_path / "ref")["machine_generated_instructions.jsonl"][1]
    assert list(second) == ["instruction", "most_similar", "avg_similarity_score", "metadata", "request_idx"]
    assert second["instruction"] == "Is it a fruit?"
    # "is" alone is shared with the second seed: 2 * (1/4) * (1/9) / (1/4 + 1/9); "a" with the first machine task: 2/7.
    assert second["most_similar"] == {
        "Name a colour.": 0.28571428571428575,
        "Is the mood of the text happy or sad?": 0.15384615384615383,
        "Greet the guest politely.": 0.0,
    }
    assert second["avg_similarity_score"] == pytest.approx(0.14652014652014653, abs=1e-15)
    assert second["metadata"] == {
        "prompt": "Tasks:\n"
        "1. Is the mood of the text happy or sad?\n"
        "2. Name a colour.\n"
        "3. Greet the guest politely.\n"
        "4.",
        "response": {"choices": [{"text": " Is it a fruit?", "index": 0, "finish_reason": "stop"}]},
        "created_at": "2023-11-14 22:13:20.250000",
    }
    assert second["request_idx"] == 1


def test_a_chat_prompt_is_written_as_its_messages(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run", api="chat") as built:
        built.admit("Name a colour.", in_context=(0,))
    (row,) = reference_of(tmp_path / "run", tmp_path / "ref")["machine_generated_instructions.jsonl"]
    assert row["metadata"]["prompt"] == [
        {"role": "system", "content": "You write tasks."},
        {"role": "user", "content": "1. Greet the guest politely.\nNow 2 to 5."},
    ]


def test_classification_is_yes_no_or_empty_and_unanswered_stages_are_left_out(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run", model="org/model:7b") as built:
        built.admit("One.", ("", "1"), is_classification=True)
        built.admit("Two.", ("", "2"), is_classification=False)
        built.admit("Three.", ("", "3"), is_classification=None)
        built.admit("Four.", up_to=2)
        built.admit("Five.", up_to=1)
    files = reference_of(tmp_path / "run", tmp_path / "ref")
    assert files["is_clf_or_not_org_model_7b_template_1.jsonl"] == [
        {"instruction": "One.", "is_classification": " Yes"},
        {"instruction": "Two.", "is_classification": " No"},
        {"instruction": "Three.", "is_classification": ""},
        {"instruction": "Four.", "is_classification": " No"},
    ]
    assert len(files["machine_generated_instructions.jsonl"]) == 5
    assert [row["instruction"] for row in files["machine_generated_instances.jsonl"]] == ["One.", "Two.", "Three."]


def test_raw_instances_carry_the_replies_of_both_stages(run: Path, tmp_path: Path) -> None:
    files = reference_of(run, tmp_path / "ref")
    row = files["machine_generated_instances.jsonl"][0]
    assert list(row) == [
        "instruction", "raw_instances", "instance_metadata", "instruction_metadata", "most_similar",
        "avg_similarity_score",
    ]  # fmt: skip
    assert row["raw_instances"] == "raw instances of 0"
    assert row["instance_metadata"]["response"]["choices"][0]["text"] == "raw instances of 0"
    assert row["instruction_metadata"] == files["machine_generated_instructions.jsonl"][0]["metadata"]


def test_examples_and_seeds_are_in_the_references_shape(run: Path, tmp_path: Path) -> None:
    files = reference_of(run, tmp_path / "ref")
    assert files["all_generated_instances.jsonl"][1] == {
        "instruction": "Name a colour.", "input": "of the sky", "output": "Blue.",
    }  # fmt: skip
    assert load_seeds(tmp_path / "ref" / "seed_tasks.jsonl") == SEEDS


def test_finetuning_data_is_stage_4_with_the_runs_seed(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        expected = encode_all(list(reader.examples()), random.Random(7))
    rows = reference_of(run, tmp_path / "ref")["gpt3_finetuning_data_3.jsonl"]
    assert rows == [{"prompt": row.prompt, "completion": row.completion} for row in expected]


def test_seeds_join_the_references_finetuning_data_only(run: Path, tmp_path: Path) -> None:
    files = reference_of(run, tmp_path / "ref", include_seeds=True)
    assert len(files["gpt3_finetuning_data_6.jsonl"]) == 6
    assert len(files["all_generated_instances.jsonl"]) == 3


def test_a_later_export_replaces_finetuning_data_of_another_size_inside_the_runs_exports_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "run" / "exports" / "reference", tmp_path / "elsewhere"
    with BuiltRun(tmp_path / "run") as built, RunReader(tmp_path / "run") as reader:
        for text in ("Name a colour.", "Name a river."):
            built.admit(text, ("", f"{text} done")).result()
            REFERENCE.write(reader, inside)
            REFERENCE.write(reader, outside)
    assert [file.name for file in inside.glob("gpt3*")] == ["gpt3_finetuning_data_2.jsonl"]
    assert len(list(outside.glob("gpt3*"))) == 2


def test_a_damaged_manifest_is_named(run: Path, tmp_path: Path) -> None:
    (run / "manifest.json").write_text('{"identity": []}', encoding="utf-8")
    with RunReader(run) as reader, pytest.raises(RunFolderError, match=r"manifest\.json: is damaged; restore"):
        REFERENCE.write(reader, tmp_path / "ref")
    assert not (tmp_path / "ref").exists()


# The reference's own figures


def upstream() -> tuple[tuple[SeedTask, ...], list[dict[str, Any]]]:
    return load_seeds(DATA / "seed_tasks.jsonl"), lines_of(DATA / "upstream_run/machine_generated_instructions.jsonl")


@needs_data
def test_recomputed_similarities_equal_the_references_bit_for_bit() -> None:
    seeds, rows = upstream()
    pool = PoolReplay([seed.instruction for seed in seeds], "rouge")
    for row in rows:
        similarity = pool.admit(row["instruction"])
        assert similarity.average == row["avg_similarity_score"]
        assert list(similarity.most_similar.values()) == list(row["most_similar"].values())
        tenth = min(row["most_similar"].values())  # of texts that tie for the last place any may be listed
        above = {text: score for text, score in row["most_similar"].items() if score > tenth}
        assert {text: score for text, score in similarity.most_similar.items() if score > tenth} == above
    assert len(rows) == 30


@needs_data
def test_a_run_with_the_references_seeds_exports_the_references_figures(tmp_path: Path) -> None:
    seeds, rows = upstream()
    with BuiltRun(tmp_path / "run", seeds=seeds) as built:
        for row in rows:
            built.admit(row["instruction"])
    exported = reference_of(tmp_path / "run", tmp_path / "ref")["machine_generated_instructions.jsonl"]
    for ours, theirs in zip(exported, rows, strict=True):
        assert ours["instruction"] == theirs["instruction"]
        assert ours["avg_similarity_score"] == theirs["avg_similarity_score"]
        assert list(ours["most_similar"].values()) == list(theirs["most_similar"].values())


# Hostile and empty runs


def test_texts_survive_every_format_unchanged(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built:
        for text in HOSTILE:
            built.admit(text, (text, text))
    write_all(tmp_path / "run", tmp_path)
    (alpaca, messages, plain) = (
        json.loads((tmp_path / "alpaca.json").read_bytes()),
        lines_of(tmp_path / "messages.jsonl"),
        lines_of(tmp_path / "prompt-completion.jsonl"),
    )
    assert [row["instruction"] for row in alpaca] == HOSTILE
    assert [row["input"] for row in alpaca] == HOSTILE
    assert [row["messages"][1]["content"] for row in messages] == HOSTILE
    assert [row["completion"] for row in plain] == HOSTILE
    raw = lines_of(tmp_path / "reference" / "machine_generated_instructions.jsonl")
    assert [row["instruction"] for row in raw] == HOSTILE


def test_an_empty_run_exports_files_that_load(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run"):
        pass
    written = write_all(tmp_path / "run", tmp_path)
    assert json.loads(written["alpaca.json"]) == []
    assert written["messages.jsonl"] == written["prompt-completion.jsonl"] == b""
    assert written["reference/gpt3_finetuning_data_0.jsonl"] == b""
    assert len(written["reference/seed_tasks.jsonl"].splitlines()) == 2


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        RunReader(tmp_path)


def test_an_unknown_format_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError) as caught:
        format_named("alpacca")
    assert str(caught.value) == (
        "no such format: 'alpacca' (did you mean alpaca?); there are alpaca, messages, prompt-completion, reference"
    )


# While the run goes on


def test_an_export_shows_the_moment_it_began(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with BuiltRun(folder) as built, RunReader(folder) as reader:
        built.admit("One.", ("", "1"), ("a", "2")).result()
        rows = ALPACA.rows(reader)
        first = next(rows)
        built.admit("Two.", ("", "3")).result()
        assert [first["id"], *(row["id"] for row in rows)] == ["m0-0", "m0-1"]
        assert [row["id"] for row in ALPACA.rows(reader)] == ["m0-0", "m0-1", "m1-0"]


def test_snapshots_nest(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built, RunReader(built.folder) as reader:
        with reader.snapshot():
            with reader.snapshot():
                built.admit("One.").result()
                assert reader.totals().num_admitted == 0
            assert reader.totals().num_admitted == 0
        assert reader.totals().num_admitted == 1


def test_the_files_of_a_live_export_agree_with_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with BuiltRun(folder) as built:
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                built.admit(f"Task number {number} of many.", ("", str(number))).result()
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        sizes = []
        try:
            for _ in range(5):
                files = reference_of(folder, tmp_path / "ref")
                sizes.append({len(rows) for name, rows in files.items() if name != "seed_tasks.jsonl"})
        finally:
            stop.set()
            writer.join()
    assert [len(each) for each in sizes] == [1] * 5


def test_a_reader_tells_whether_a_process_is_writing(tmp_path: Path) -> None:
    with BuiltRun(tmp_path / "run") as built, RunReader(built.folder) as reader:
        assert reader.is_being_written()
    with RunReader(tmp_path / "run") as reader:
        assert not reader.is_being_written()
        (tmp_path / "run" / "run.lock").unlink()
        assert not reader.is_being_written()


def test_rows_may_be_dropped_half_read_after_the_reader_is_closed(run: Path) -> None:
    with RunReader(run) as reader:
        examples, rows = reader.examples(), ALPACA.rows(reader)
        assert (next(examples).id, next(rows)["id"]) == ("m0-0", "m0-0")
    del examples, rows  # an exception in a generator's end would fail this test as a warning


# Whole files or none


def test_a_failed_export_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out" / "file.jsonl"
    target.parent.mkdir()
    target.write_text("before", encoding="utf-8")

    def write_half() -> None:
        with NewFile(target) as file:
            file.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [each.name for each in target.parent.iterdir()] == ["file.jsonl"]
    assert target.read_text(encoding="utf-8") == "before"


def test_nothing_temporary_stays_behind(run: Path, tmp_path: Path) -> None:
    write_all(run, tmp_path / "out")
    names = [file.name for file in (tmp_path / "out").rglob("*")]
    assert [name for name in names if name.startswith(".")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_with_the_path(run: Path) -> None:
    with RunReader(run) as reader, pytest.raises(StoreError) as caught:
        ALPACA.write(reader, Path("/dev/full"))
    assert str(caught.value) == (
        "/dev/full: cannot be written: No space left on device; what was there before is unchanged"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/null")
def test_a_device_is_written_to_and_never_replaced(run: Path) -> None:
    with RunReader(run) as reader:
        ALPACA.write(reader, Path("/dev/null"))
    assert not Path("/dev/null").is_file()


def test_a_path_below_a_file_is_refused_with_its_name(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with RunReader(run) as reader:
        for each in FORMATS.values():
            with pytest.raises(InputError, match=r"file.*: cannot be written: .*; give another path"):
                each.write(reader, tmp_path / "file" / "x")
        with pytest.raises(InputError, match="is a folder; name a file in it"):
            ALPACA.write(reader, tmp_path)


def test_a_symbolic_link_keeps_pointing_to_the_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    with RunReader(run) as reader:
        MESSAGES.write(reader, tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len(lines_of(tmp_path / "real.jsonl")) == 3


def test_formats_know_what_they_would_replace(run: Path, tmp_path: Path) -> None:
    with RunReader(run) as reader:
        assert REFERENCE.existing(reader, tmp_path / "ref") == []
        assert ALPACA.existing(reader, tmp_path / "a.json") == []
        REFERENCE.write(reader, tmp_path / "ref")
        (tmp_path / "ref" / "notes.txt").write_text("mine", encoding="utf-8")
        assert len(REFERENCE.existing(reader, tmp_path / "ref")) == 6


def test_examples_of_seeds_keep_their_classification(tmp_path: Path) -> None:
    from fastinstruct.exports.single_file import seed_examples

    seeds = (
        SeedTask(
            id="s", name="", instruction="I", instances=(Instance(input="x", output="y"),), is_classification=True
        ),
    )
    with BuiltRun(tmp_path / "run", seeds=seeds) as built, RunReader(built.folder) as reader:
        assert list(seed_examples(reader)) == [
            Example(id="s-0", instruction="I", input="x", output="y", is_classification=True)
        ]
