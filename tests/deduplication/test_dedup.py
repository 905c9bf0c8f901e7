"""`dedup`, from Python and from the command line: what it keeps, what it says, and what it refuses."""

import gzip
import io
import json
import math
import os
import random
import re
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinstruct
from fastinstruct import Decision, LSHIndex, Neighbour, RougeIndex, dedup
from fastinstruct.deduplication import DedupPlan, DedupSummary, dedup_files, memory
from fastinstruct.deduplication.decisions import new_index
from fastinstruct.errors import FastInstructError, InputError, StoreError
from fastinstruct.files.rows import Source
from fastinstruct.similarity.memory import available_bytes
from fastinstruct.similarity.snapshot import VERSION, read_snapshot, write_snapshot
from typed import invoke

claim = settings(deadline=None, max_examples=100, derandomize=True, database=None)
texts_of_few_words = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9).map(" ".join), max_size=25)

TEXTS = ["Name three red fruits.", "name THREE red fruits", "Write a poem about spring.", "Name three red fruits now"]
ROWS = [{"instruction": text, "id": number} for number, text in enumerate(TEXTS)]
KEPT = [ROWS[0], ROWS[2]]
EXISTS = "there: exists already; give --overwrite to replace it, or another path"


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text(jsonl(rows), encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "data.jsonl", ROWS)


def refusal(*arguments: object, stdin: bytes | None = None) -> str:
    result = invoke(*arguments, stdin=stdin)
    assert isinstance(result.exception, FastInstructError)
    assert result.exception.exit_code == 2
    message = str(result.exception)
    assert "\n" not in message
    return message


# From Python


def test_decisions_come_in_order_with_the_neighbour_and_its_score() -> None:
    kept, copy, other, near = dedup(TEXTS)
    assert (kept.position, kept.item, kept.kept, kept.nearest) == (0, TEXTS[0], True, None)
    assert math.isnan(kept.score)
    assert copy == Decision(
        position=1, item=TEXTS[1], kept=False, nearest=Neighbour(source="input", position=0), score=1.0
    )
    assert other.kept
    assert (near.nearest, near.score) == (Neighbour(source="input", position=0), 0.888888888888889)


@pytest.mark.parametrize("key", ["instruction", lambda row: row["instruction"]])
def test_items_may_be_anything_with_a_text(key: Any) -> None:
    assert [decision.item for decision in dedup(ROWS, key) if decision.kept] == KEPT


def test_a_neighbour_is_a_position_of_the_input_not_of_the_pool() -> None:
    decisions = list(dedup(["a b c", "a b c", "a b c", "x y z", "x y z"]))
    assert [decision.nearest and decision.nearest.position for decision in decisions] == [None, 0, 0, None, 3]


@given(texts_of_few_words, st.sampled_from([0.3, 0.7, 0.9]), st.integers(1, 30))
@claim
def test_decisions_are_those_of_the_index_for_any_batch_size(
    texts: list[str], threshold: float, batch_size: int
) -> None:
    expected = RougeIndex(threshold).admit(texts).admitted.tolist()
    decisions = list(dedup(iter(texts), threshold=threshold, batch_size=batch_size))
    assert [decision.kept for decision in decisions] == expected
    assert [decision.position for decision in decisions] == list(range(len(texts)))


@given(texts_of_few_words, texts_of_few_words, st.integers(1, 9))
@claim
def test_nothing_kept_is_near_what_to_stay_away_from(texts: list[str], avoided: list[str], batch_size: int) -> None:
    away = RougeIndex()
    away.add(avoided)
    for decision in dedup(texts, against=iter(avoided), batch_size=batch_size):
        verdict = away.query([decision.item])[0]
        if decision.kept:
            assert verdict.admitted
        elif not verdict.admitted:
            assert verdict.nearest is not None
            assert decision.nearest == Neighbour(source="against", position=verdict.nearest)
            assert decision.score == verdict.score


def test_an_index_goes_on_from_call_to_call() -> None:
    index = RougeIndex()
    assert [decision.kept for decision in dedup(TEXTS[:1], index=index)] == [True]
    (again, fresh) = dedup([TEXTS[1], "all other words"], index=index)
    assert again.nearest == Neighbour(source="index", position=0)
    assert fresh.kept
    assert len(index) == 2


def test_what_to_stay_away_from_does_not_get_into_the_index() -> None:
    index = RougeIndex()
    assert not any(decision.kept for decision in dedup(TEXTS[:2], index=index, against=TEXTS[:1]))
    assert len(index) == 0


@pytest.mark.parametrize("index", [None, LSHIndex()])
def test_lsh_decides_these_like_the_exact_index(index: LSHIndex | None) -> None:
    assert [decision.kept for decision in dedup(TEXTS, method="lsh", index=index)] == [True, False, True, False]


def test_texts_without_tokens_are_kept() -> None:
    assert all(decision.kept for decision in dedup(["", "", "?!", "?!"]))


def test_input_is_read_no_further_than_a_batch_ahead() -> None:
    drawn: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            drawn.append(1)
            yield f"text{len(drawn)} of{len(drawn)} its{len(drawn)} own{len(drawn)}"

    decisions = dedup(endless(), batch_size=10)
    for _ in range(25):
        next(decisions)
    assert len(drawn) == 30


def test_what_came_before_a_bad_item_is_decided_first() -> None:
    decisions = dedup(["a b c", "d e f", cast(str, 7), "g"], batch_size=100)
    assert [next(decisions).kept, next(decisions).kept] == [True, True]
    with pytest.raises(InputError, match=r"^every text must be a str; got int$"):
        next(decisions)


def test_memory_is_the_index_not_the_stream() -> None:
    draw = random.Random(1)
    words = [f"word{number}" for number in range(400)]
    pool = [" ".join(draw.choices(words, k=60)) for _ in range(50)]
    stream = (pool[number % 50] + f" {number % 7}" for number in range(60_000))
    list(dedup(pool))  # compile, and let caches fill
    tracemalloc.start()
    try:
        num_kept = sum(decision.kept for decision in dedup(stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert num_kept == 50
    assert peak < 5_000_000  # the stream has 23 MB of text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, "threshold must be a number from 0 to 1; got 1.5"),
        ({"tokenizer": "bert"}, "tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bert'"),
        ({"method": "simhash"}, "method must be one of exact, lsh; got 'simhash'"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"against": "one text"}, "against must be an iterable of str; got one str"),
    ],
)
def test_a_bad_argument_is_refused_at_the_call(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        dedup(TEXTS, **arguments)
    assert str(error.value) == message


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match=r"^an item has no 'text'; give the key of its text$"):
        list(dedup(ROWS, "text"))


def test_the_names_are_the_packages_own() -> None:
    assert {"Decision", "LSHIndex", "Neighbour", "Recall", "dedup"} <= set(fastinstruct.__all__)
    assert fastinstruct.dedup is dedup
    assert fastinstruct.__all__ == sorted(fastinstruct.__all__)


# From the command line


def test_kept_rows_go_to_stdout_in_order_and_everything_else_to_stderr(data: Path) -> None:
    result = invoke(data)
    assert result.exit_code == 0
    assert result.stdout == jsonl(KEPT)
    assert result.stderr.startswith("4 rows, kept 2, near-duplicates 2; ")


def test_kept_rows_are_the_files_own_bytes(tmp_path: Path) -> None:
    line = '{"instruction" : "\\u004eame",  "big": 123456789012345678901234567890, "x": 1.10}'
    (tmp_path / "data.jsonl").write_text(f"{line}\n{line}\n")
    result = invoke(tmp_path / "data.jsonl", "--rejected", tmp_path / "rejected.jsonl")
    assert result.stdout == f"{line}\n"
    place = json.dumps(str(tmp_path / "data.jsonl"))
    rejected = f'{line[:-1]}, "_nearest": {{"file": {place}, "line": 1}}, "_score": 1.0}}\n'
    assert (tmp_path / "rejected.jsonl").read_text() == rejected


def test_rows_hold_nothing_that_ends_a_line_for_other_readers_and_mean_the_same(tmp_path: Path) -> None:
    rows = [{"instruction": text, "\u2028": "a\x85b\u2029"} for text in ("one two\u2028three", "one two\x85three")]
    file, out = written(tmp_path / "line\u2028.jsonl", rows), tmp_path / "out.jsonl"
    rejected = tmp_path / "rejected.jsonl"
    printed = invoke(file, "--rejected", rejected)
    invoke(file, "--out", out)
    for text in (printed.stdout, out.read_text(encoding="utf-8")):
        assert [json.loads(line) for line in text.splitlines()] == rows[:1]
    (line,) = rejected.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {**rows[1], "_nearest": {"file": str(file), "line": 1}, "_score": 1.0}


def test_rejected_rows_say_what_they_are_near_and_how_near(data: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(f"\n\n{jsonl([{'instruction': 'all other words here'}])}\n{jsonl([ROWS[2]])}")
    last = written(tmp_path / "last.jsonl", [{"instruction": "all other words"}])
    out, rejected = tmp_path / "new" / "kept.jsonl", tmp_path / "rejected.jsonl"
    assert invoke(data, more, last, "--out", out, "--rejected", rejected).exit_code == 0
    assert read(out) == [*KEPT, {"instruction": "all other words here"}]
    first, third = {"file": str(data), "line": 1}, {"file": str(data), "line": 3}
    assert read(rejected) == [
        {**ROWS[1], "_nearest": first, "_score": 1.0},
        {**ROWS[3], "_nearest": first, "_score": 0.888888888888889},
        {**ROWS[2], "_nearest": third, "_score": 1.0},
        {"instruction": "all other words", "_nearest": {"file": str(more), "line": 3}, "_score": 6 / 7},
    ]


def test_rows_near_an_evaluation_set_are_dropped_and_its_own_rows_never_written(data: Path, tmp_path: Path) -> None:
    evaluation = written(tmp_path / "eval.jsonl", [{"question": "other"}, {"question": "Write a poem about spring!"}])
    rejected = tmp_path / "rejected.jsonl"
    result = invoke(data, "--against", evaluation, "--against-field", "question", "--rejected", rejected)
    assert result.stdout == jsonl([ROWS[0]])
    assert "near-duplicates 2, near --against 1; " in result.stderr
    assert read(rejected)[1] == {**ROWS[2], "_nearest": {"file": str(evaluation), "line": 2}, "_score": 1.0}


def test_several_evaluation_sets_share_the_files_field(data: Path, tmp_path: Path) -> None:
    sets = [written(tmp_path / f"{number}.jsonl", [ROWS[number]]) for number in (0, 2)]
    result = invoke(data, "--against", sets[0], "--against", sets[1])
    assert (result.stdout, result.exit_code) == ("", 0)


def test_a_field_may_lie_inside(tmp_path: Path) -> None:
    rows = [{"messages": [{"content": "system"}, {"content": text}]} for text in TEXTS]
    result = invoke(written(tmp_path / "data.jsonl", rows), "--field", "messages.1.content")
    assert result.stdout == jsonl([rows[0], rows[2]])


def test_a_key_with_a_dot_goes_before_a_path(tmp_path: Path) -> None:
    rows = [{"a.b": text, "a": {"b": "same"}} for text in TEXTS]
    assert invoke(written(tmp_path / "data.jsonl", rows), "--field", "a.b").stdout == jsonl([rows[0], rows[2]])


def test_settings_reach_the_index(data: Path) -> None:
    assert invoke(data, "--threshold", 0.95).stdout == jsonl([ROWS[0], ROWS[2], ROWS[3]])
    assert invoke(data, "--method", "lsh").stdout == jsonl(KEPT)


def test_other_scripts_are_compared_by_default(tmp_path: Path) -> None:
    rows = [{"instruction": "写一首关于春天的诗"}, {"instruction": "写一首关于春天的歌"}]
    path = written(tmp_path / "data.jsonl", rows)
    assert invoke(path).stdout == jsonl(rows[:1])
    result = invoke(path, "--tokenizer", "rouge")
    assert result.stdout == jsonl(rows)
    assert f"{path}:1: has no word in instruction; such rows are kept and counted\n" in result.stderr
    assert "without words 2 (kept)" in result.stderr


@pytest.mark.parametrize("name", ["data.jsonl.gz", "data.jsonl.zst", "unnamed"])
def test_compressed_files_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    content = jsonl(ROWS).encode()
    halves = content[:100], content[100:]  # two members, two frames: both formats allow them
    compress = zstandard.ZstdCompressor().compress if "zst" in name else gzip.compress
    (tmp_path / name).write_bytes(b"".join(map(compress, halves)))
    assert invoke(tmp_path / name).stdout == jsonl(KEPT)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_outputs_are_compressed_as_their_name_says(data: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"kept.jsonl{suffix}"
    invoke(data, "-o", out)
    content = out.read_bytes()
    plain = gzip.decompress(content) if suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(content).read()
    assert plain.decode() == jsonl(KEPT)


def test_files_to_stay_away_from_may_be_lines_of_text(data: Path, tmp_path: Path) -> None:
    away = tmp_path / "away.txt.gz"
    away.write_bytes(gzip.compress(b"Something else.\n\nwrite a poem about spring\n"))
    result = invoke(data, "--against", away, "--rejected", tmp_path / "rejected.jsonl")
    assert result.stdout == jsonl([ROWS[0]])
    assert read(tmp_path / "rejected.jsonl")[1] == {
        **ROWS[2], "_nearest": {"file": str(away), "line": 3}, "_score": 1.0
    }  # fmt: skip


def test_the_field_of_files_to_stay_away_from_has_an_option_of_its_own(data: Path, tmp_path: Path) -> None:
    away = written(tmp_path / "away.jsonl", [{"question": TEXTS[0]}])
    message = ":1: has no field instruction; name the text with --against-field (it has question)"
    assert refusal(data, "--against", away) == f"{away}{message}"
    assert invoke(data, "--against", away, "--against-field", "question").stdout == jsonl([ROWS[2]])


def test_stdin_is_a_file() -> None:
    assert invoke("-", stdin=jsonl(ROWS).encode()).stdout == jsonl(KEPT)
    assert invoke("-", stdin=gzip.compress(jsonl(ROWS).encode())).stdout == jsonl(KEPT)


def test_a_byte_order_mark_blank_lines_and_crlf_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b'\xef\xbb\xbf{"instruction":"a b"}\r\n\r\n{"instruction":"c d"}')
    assert invoke(tmp_path / "data.jsonl").stdout == '{"instruction":"a b"}\n{"instruction":"c d"}\n'


def test_blank_lines_are_counted_and_told_of_while_they_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b"\n" * 200_000 + b'{"instruction":"a b"}\n')
    told: list[DedupSummary] = []
    summary = dedup_files(DedupPlan(files=(tmp_path / "data.jsonl",)), io.BytesIO(), on_progress=told.append)
    assert [so_far.num_blank for so_far in told if so_far.num_rows == 0] == [65_536, 131_072, 196_608, 200_000] * 2
    assert (summary.num_rows, summary.num_blank) == (1, 200_000)  # the first four: while the memory is estimated
    assert ", blank lines 200,000; " in invoke(tmp_path / "data.jsonl").stderr


def test_a_row_that_says_twice_what_to_compare_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(
        '{"instruction":"a b","input":"the \\"instruction\\" is there"}\n{"instruction":"c","instruction":"d"}\n'
    )
    assert refusal(file) == f"{file}:2: has the key instruction twice; keep one of them"
    file.write_text('{"instruction":"a b","nested":{"instruction":"c"}}\n')
    assert invoke(file).stdout == file.read_text()


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").touch()
    result = invoke(tmp_path / "data.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("0 rows, kept 0, near-duplicates 0; ")


def test_empty_texts_are_kept_counted_and_said_once(tmp_path: Path) -> None:
    rows = [{"instruction": text} for text in ["a", "", "?!", ""]]
    result = invoke(written(tmp_path / "data.jsonl", rows), "-o", tmp_path / "out", "--json")
    assert read(tmp_path / "out") == rows
    assert json.loads(result.stdout)["num_tokenless"] == 3
    assert result.stderr.count("has no word") == 1


def test_the_json_summary_is_on_stdout_when_the_rows_are_not(data: Path, tmp_path: Path) -> None:
    summary = json.loads(invoke(data, "-o", tmp_path / "kept.jsonl", "--json").stdout)
    assert summary.pop("elapsed_s") >= 0
    assert summary == {
        "num_rows": 4,
        "num_kept": 2,
        "num_rejected": 2,
        "num_against": 0,
        "num_tokenless": 0,
        "num_blank": 0,
        "threshold": 0.7,
        "tokenizer": "unicode-2",
        "method": "exact",
        "recall": None,
        "out": str(tmp_path / "kept.jsonl"),
        "rejected": None,
        "index": None,
    }
    result = invoke(data, "--json")
    assert result.stdout == jsonl(KEPT)
    assert json.loads(result.stderr)["num_kept"] == 2


def test_lsh_reports_the_recall_it_measured(tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [{"instruction": " ".join(f"w{draw.randrange(500)}" for _ in range(12))} for _ in range(300)]
    path = written(tmp_path / "data.jsonl", rows)
    recall = json.loads(invoke(path, "-o", tmp_path / "kept.jsonl", "--method", "lsh", "--json").stdout)["recall"]
    assert recall["num_pairs"] == 1000
    assert 0.99 < recall["low"] <= recall["value"] <= recall["high"] <= 1
    assert "recall of lsh, measured on edited rows: " in invoke(path, "--method", "lsh").stderr


def test_progress_is_called_as_rows_are_decided(tmp_path: Path) -> None:
    path = written(tmp_path / "data.jsonl", [{"instruction": f"a{number}"} for number in range(2_500)])
    seen: list[DedupSummary] = []
    dedup_files(DedupPlan(files=(path,)), io.BytesIO(), on_progress=seen.append)
    assert [summary.num_rows for summary in seen] == [1_000, 2_000, 2_500]


def test_an_interrupt_leaves_the_rows_so_far(tmp_path: Path) -> None:
    def interrupt(summary: DedupSummary) -> None:
        raise KeyboardInterrupt

    path = written(tmp_path / "data.jsonl", [{"instruction": f"a{number}"} for number in range(1_500)])
    with pytest.raises(KeyboardInterrupt):
        dedup_files(DedupPlan(files=(path,), out=tmp_path / "kept.jsonl"), io.BytesIO(), on_progress=interrupt)
    assert read(tmp_path / "kept.jsonl.partial") == read(path)[:1_000]
    assert not (tmp_path / "kept.jsonl").exists()


def test_rows_that_could_not_be_written_are_not_remembered(data: Path, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"^stdout: cannot be written: No space left on device$"):
        dedup_files(DedupPlan(files=(data,), index=tmp_path / "kept.index"), Full())
    assert not (tmp_path / "kept.index").exists()


def test_a_file_name_that_is_no_text_can_be_named(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff.jsonl"))
    try:
        written(path, ROWS)
    except OSError:
        pytest.skip("this file system takes no such name")
    invoke(path, "--rejected", tmp_path / "rejected.jsonl")
    assert read(tmp_path / "rejected.jsonl")[0]["_nearest"] == {"file": f"{tmp_path}/d?.jsonl", "line": 1}


def test_help_needs_no_heavy_import() -> None:
    code = "import sys, fastinstruct.cli.dedup; print(sorted({'numpy', 'numba', 'orjson', 'rich'} & set(sys.modules)))"
    paths = os.pathsep.join(path for path in sys.path if path)
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"


# The index file


BOTH_METHODS = pytest.mark.parametrize("method", ["exact", "lsh"])


@BOTH_METHODS
def test_an_index_file_remembers_what_was_kept(data: Path, tmp_path: Path, method: str) -> None:
    index = tmp_path / "kept.index"
    settings = ["--index", index, "--method", method]
    assert invoke(data, *settings).stdout == jsonl(KEPT)
    more = written(tmp_path / "more.jsonl", [ROWS[2], {"instruction": "all other words"}])
    result = invoke(more, *settings, "--rejected", tmp_path / "rejected.jsonl")
    assert result.stdout == jsonl([{"instruction": "all other words"}])
    assert read(tmp_path / "rejected.jsonl") == [
        {**ROWS[2], "_nearest": {"index": str(index), "position": 1}, "_score": 1.0}
    ]
    assert invoke(more, *settings).stdout == ""
    assert {path.name for path in tmp_path.iterdir()} - {"data.jsonl", "more.jsonl", "rejected.jsonl"} == {
        "kept.index",
        "kept.index.lock",
    }


@BOTH_METHODS
def test_rows_in_many_calls_with_an_index_file_are_kept_as_in_one_call(tmp_path: Path, method: str) -> None:
    draw = random.Random(5)
    words = [f"w{number}" for number in range(60)]
    texts = [draw.choices(words, k=10) for _ in range(300)]
    texts += [[*text[:8], draw.choice(words), *text[9:]] for text in draw.choices(texts, k=300)]
    rows = [{"instruction": " ".join(text)} for text in draw.sample(texts, 600)]
    expected = invoke(written(tmp_path / "all.jsonl", rows), "--method", method).stdout
    assert len(expected.splitlines()) == 300
    kept = ""
    for number in range(0, 600, 50):
        part = written(tmp_path / "part.jsonl", rows[number : number + 50])
        kept += invoke(part, "--index", tmp_path / "kept.index", "--method", method).stdout
    assert kept == expected


@BOTH_METHODS
@pytest.mark.parametrize(
    ("name", "here", "there"),
    [("--threshold", "0.8", "0.7"), ("--tokenizer", "rouge", "unicode-2"), ("--tokenizer", "unicode-1", "unicode-2")],
)
def test_an_index_file_of_other_settings_is_refused(
    data: Path, tmp_path: Path, method: str, name: str, here: str, there: str
) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index, "--method", method)
    message = f"was made with {name[2:]} {there}, not {here}; give {name} {there}, or another --index"
    assert refusal(data, "--index", index, "--method", method, name, here) == f"{index}: {message}"


@BOTH_METHODS
@pytest.mark.parametrize("name", ["unicode", "unicode-1"])
def test_an_older_index_file_goes_on_with_its_tokenizer_and_says_so(tmp_path: Path, method: str, name: str) -> None:
    index = tmp_path / "kept.index"
    texts = [{"instruction": text} for text in ("Explain ocean tides", "Explain ocean ti\u200bdes")]
    invoke(written(tmp_path / "1.jsonl", texts[:1]), "--index", index, "--method", method, "--tokenizer", "unicode-1")
    settings, arrays = read_snapshot(index, method)
    write_snapshot(index, settings | {"tokenizer": name}, arrays, method)
    path = written(tmp_path / "2.jsonl", texts[1:])
    result = invoke(path, "--index", index, "--method", method, "--json")
    note = f"{index}: was made with tokenizer unicode-1 and goes on with it; a new index would have unicode-2\n"
    assert result.stderr.startswith(note)
    assert json.loads(result.stderr.removeprefix(note))["tokenizer"] == "unicode-1"
    assert result.stdout == jsonl(texts[1:])  # the first version takes the copy for another text
    assert "goes on" not in invoke(path, "--index", index, "--method", method, "--tokenizer", "unicode-1").stderr


def test_copies_that_read_alike_are_found(tmp_path: Path) -> None:
    texts = ["Résumé du café à Orléans", "اكتب قصيدة عن البحر", "בראשית ברא אלהים", "एक कविता लिखें", "एक कविता लिखो"]
    copies = [
        "Re\u0301sume\u0301 du cafe\u0301 a\u0300 Orle\u0301ans",
        "اُكْتُبْ قَصِيدَةً عَنِ البَحْرِ",
        "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
        "\u2067एक क\u200bविता लि\u00adखें\u2069",
    ]
    path = written(tmp_path / "data.jsonl", [{"instruction": text} for text in [*texts, *copies]])
    assert invoke(path).stdout == jsonl([{"instruction": text} for text in texts])


@pytest.mark.parametrize(("there", "here"), [("exact", "lsh"), ("lsh", "exact")])
def test_an_index_file_of_the_other_method_is_refused(data: Path, tmp_path: Path, there: str, here: str) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index, "--method", there)
    before = index.read_bytes()
    message = f"was made with method {there}, not {here}; give --method {there}, or another --index"
    assert refusal(data, "--index", index, "--method", here) == f"{index}: {message}"
    assert index.read_bytes() == before


@BOTH_METHODS
def test_an_index_file_of_another_version_is_refused(
    data: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index, "--method", method)
    monkeypatch.setattr("fastinstruct.similarity.snapshot.VERSION", 99)
    message = f"{index}: the index has version {VERSION}; this is version 99"
    assert refusal(data, "--index", index, "--method", method) == message


@BOTH_METHODS
def test_a_failed_call_leaves_the_index_file_as_it_was(data: Path, tmp_path: Path, method: str) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index, "--method", method)
    before = index.read_bytes()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"instruction": "never met before"}\nnothing\n')
    refusal(bad, "--index", index, "--method", method)
    refusal(bad, "--index", index, "--method", method, "--force")  # seen in the midst of the work
    assert index.read_bytes() == before


@BOTH_METHODS
def test_a_damaged_index_file_is_refused(data: Path, tmp_path: Path, method: str) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index, "--method", method)
    whole = index.read_bytes()
    place = whole.rindex(b"fruits")  # among the words
    for damaged in (b"no index at all", whole[:-64], whole[:place] + b"F" + whole[place + 1 :]):
        index.write_bytes(damaged)
        assert str(index) in refusal(data, "--index", index, "--method", method)
        assert index.read_bytes() == damaged


@BOTH_METHODS
def test_two_calls_never_use_one_index_file(data: Path, tmp_path: Path, method: Any) -> None:
    from fastinstruct.deduplication.index_file import IndexFile

    index = tmp_path / "kept.index"
    with IndexFile(index, 0.7, "unicode", method):
        message = f"{index}: another process is using this index; wait for it"
        assert refusal(data, "--index", index, "--method", method) == message


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", ":2: is not JSON (column 1); write one JSON object a line, without line breaks inside it"),
        (b'"text"', ":2: is a string, not an object; write one JSON object a line (jq -c '.[]' splits a list)"),
        (b'{"instruction": 7}', ":2: instruction is a number; name a string with --field"),
        (b'{"instruction": null}', ":2: instruction is null; name a string with --field"),
        (
            b'{"prompt": "", "re\\u001b[31mply": "", "id": 1}',
            ":2: has no field instruction; name the text with --field (it has prompt, id)",
        ),
        (b"{}", ":2: has no field instruction; name the text with --field (it has none)"),
        (b'{"instruction": "\xff"}', ":2: is not UTF-8 (byte 18 of the line); save the file as UTF-8"),
        (
            b'{"instruction": "\\ud800"}',
            r":2: has half of a surrogate pair (\ud800 to \udfff); write the character itself or remove the escape",
        ),
    ],
)
@pytest.mark.parametrize("forced", [False, True])  # seen before the work begins, and in the midst of it
def test_a_bad_line_is_named_and_what_was_there_stays(
    tmp_path: Path, content: bytes, message: str, forced: bool
) -> None:
    path, out = tmp_path / "data.jsonl", tmp_path / "kept.jsonl"
    path.write_bytes(b'{"instruction": "fine"}\n' + content + b"\n")
    out.write_text("of an earlier call\n")
    arguments = ["--force"] if forced else []
    assert refusal(path, "-o", out, "--overwrite", *arguments) == f"{path}{message}"
    assert out.read_text() == "of an earlier call\n"
    partial = tmp_path / "kept.jsonl.partial"
    assert partial.exists() == forced
    assert not forced or read(partial) == [{"instruction": "fine"}]
    assert {file.name for file in tmp_path.iterdir()} <= {"data.jsonl", "kept.jsonl", "kept.jsonl.partial"}


def test_what_was_written_to_stdout_before_a_bad_line_is_whole(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(jsonl(ROWS) + "nothing\n")
    result = invoke(tmp_path / "data.jsonl", "--force")
    assert result.stdout == jsonl(KEPT)
    assert isinstance(result.exception, InputError)


@pytest.mark.parametrize(
    ("compressed", "message"),
    [
        (gzip.compress(b'{"instruction": "a"}\n' * 9, mtime=0)[:-9], "ends in the middle of its compressed content"),
        (b"\x1f\x8b" + b"x" * 40, "is damaged: not gzip all through"),
        (zstandard.ZstdCompressor().compress(b'{"instruction": "a"}\n' * 9)[:-3], "ends in the middle of its"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "is damaged: not zstd all through"),
    ],
)
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, compressed: bytes, message: str) -> None:
    (tmp_path / "data").write_bytes(compressed)
    assert message in refusal(tmp_path / "data")


def test_zst_without_zstandard_says_what_to_install(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.zst").write_bytes(zstandard.ZstdCompressor().compress(b"{}"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    message = "reading and writing .zst needs zstandard; pip install 'fastinstruct[zstd]'"
    assert refusal(tmp_path / "data.zst") == message
    assert refusal(data, "-o", tmp_path / "kept.zst") == message
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.jsonl", "data.zst"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: there is no such file; check the path"),
        (["."], ".: is a folder; name the JSONL file in it"),
        (["data.jsonl", "--against", "missing"], "missing: there is no such file; check the path"),
        (["data.jsonl", "--threshold", "1.5"], "threshold must be a number from 0 to 1; got 1.5"),
        (
            ["data.jsonl", "--tokenizer", "bert"],
            "tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bert'",
        ),
        (["data.jsonl", "--method", "simhash"], "method must be one of exact, lsh; got 'simhash'"),
        (["data.jsonl", "-o", "."], ".: is a folder; name a file in it"),
        (["data.jsonl", "-o", "there"], EXISTS),
        (
            ["data.jsonl", "--rejected", "there"],
            "there: exists already; give --overwrite to replace it, or another path",
        ),
        (
            ["data.jsonl", "-o", "data.jsonl", "--overwrite"],
            "data.jsonl: is already used by this call; give each file a name of its own",
        ),
        (
            ["data.jsonl", "-o", "new", "--rejected", "new"],
            "new: is already used by this call; give each file a name of its own",
        ),
        (["-", "-"], "-: stdin can be read once, as one of the files"),
        (["data.jsonl", "--rejected", "-"], "--rejected -: stdout is for kept rows; name a file"),
        (["data.jsonl", "-o", "there/new"], "there/new: cannot be written: File exists; give another path"),
    ],
)
def test_a_bad_command_line_is_refused_in_one_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(data.parent)
    written(data.parent / "there", ROWS)
    assert refusal(*arguments) == message
    assert sorted(file.name for file in data.parent.iterdir()) == ["data.jsonl", "there"]
    assert read(data) == ROWS


@pytest.mark.parametrize(("method", "needed"), [("exact", "4 MiB"), ("lsh", "13 MiB")])
def test_a_pool_larger_than_memory_is_refused_with_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, needed: str
) -> None:
    rows = [{"instruction": f"{'word ' * 10}{number}"} for number in range(10_000, 30_000)]
    path = written(tmp_path / "data.jsonl", rows)
    monkeypatch.setattr("fastinstruct.deduplication.files.available_bytes", lambda: 2 << 20)
    expected = (
        f"about 20,000 texts would need {needed} of memory, and 2 MiB are free; split the input, or give --force to try"
    )
    assert refusal(path, "-o", tmp_path / "kept.jsonl", "--method", method) == expected
    assert not (tmp_path / "kept.jsonl").exists()
    assert invoke(path, "-o", tmp_path / "kept.jsonl", "--method", method, "--force").exit_code == 0


def test_what_an_index_file_holds_already_counts_as_needed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "kept.index"
    invoke(data, "--index", index)
    with index.open("r+b") as file:
        file.truncate(5 << 20)
    monkeypatch.setattr("fastinstruct.deduplication.files.available_bytes", lambda: 4 << 20)
    assert "would need 7 MiB of memory, and 4 MiB are free" in refusal(data, "--index", index)


RESIDENT = """
import ctypes, gc, json, sys
from fastinstruct.deduplication.decisions import new_index

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(open("/proc/self/statm").read().split()[1]) * 4096

texts = [json.loads(line)["instruction"] for line in open(sys.argv[1], encoding="utf-8")]
for index in new_index(0.7, "unicode", sys.argv[2]), new_index(0.7, "unicode", sys.argv[2]):
    before = resident()
    for first in range(0, len(texts) if "after" in globals() else 2_000, 1_000):  # the first loads the kernels
        index.add(texts[first : first + 1_000])
    after = resident()
print(after - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel, and glibc to give back what is free")
@pytest.mark.parametrize("method", ["exact", "lsh"])
@pytest.mark.parametrize(("num_texts", "num_words", "joint"), [(60_000, 10, " "), (15_000, 80, " "), (60_000, 20, "")])
def test_the_estimate_is_near_what_an_index_takes(
    tmp_path: Path, method: Any, num_texts: int, num_words: int, joint: str
) -> None:
    draw = random.Random(1)
    words = [f"w{number}" for number in range(20_000)] if joint else [chr(0x4E00 + number) for number in range(3_000)]
    texts = [
        joint.join(words[int(len(words) ** draw.random()) - 1] for _ in range(num_words)) for _ in range(num_texts)
    ]
    path = written(tmp_path / "data.jsonl", [{"instruction": text} for text in texts])
    estimate = memory.estimated_bytes([Source(path, "instruction")], new_index(0.7, "unicode", method))
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(path), method], capture_output=True, text=True, check=True
    )
    near = (0.85, 1.15) if method == "exact" else (0.6, 1.4)  # the tables of `lsh` have a power of two of slots
    assert near[0] < int(done.stdout) / estimate < near[1]


def test_free_memory_is_known_or_said_to_be_unknown() -> None:
    available = available_bytes()
    assert available is None or available > 1 << 20


def test_that_nobody_reads_on_is_no_failure_of_the_disk(data: Path) -> None:
    class Closed(io.BytesIO):
        def write(self, line: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        dedup_files(DedupPlan(files=(data,)), Closed())


def test_a_full_disk_is_no_fault_of_the_input(data: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    result = invoke(data, "-o", "/dev/full")
    assert isinstance(result.exception, StoreError)
    assert str(result.exception) == (
        "/dev/full: cannot be written: No space left on device; what was there before is unchanged"
    )


def test_a_disk_that_is_full_at_the_end_leaves_the_rows_so_far(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastinstruct.store.replacement.os.fsync", full)
    result = invoke(data, "-o", tmp_path / "kept.jsonl")
    assert isinstance(result.exception, StoreError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "kept.jsonl.partial"]


def full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("module", ["fastinstruct.similarity.snapshot", "fastinstruct.store.replacement"])
def test_of_a_disk_that_is_full_at_the_end_no_output_and_no_index_appears_and_the_next_call_mends_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    index, out, rejected = (tmp_path / name for name in ("kept.index", "kept.jsonl", "rejected.jsonl"))
    assert invoke(written(tmp_path / "before.jsonl", [{"instruction": "all else"}]), "--index", index).exit_code == 0
    old = index.read_bytes()
    plan = DedupPlan(files=(data,), index=index, out=out, rejected=rejected)
    with monkeypatch.context() as patched:
        patched.setattr(f"{module}.os", SimpleNamespace(**{**vars(os), "fsync": full}))
        with pytest.raises((StoreError, InputError), match="No space left on device"):
            dedup_files(plan, io.BytesIO())
    assert index.read_bytes() == old
    assert not out.exists()
    assert not rejected.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    summary = dedup_files(plan, io.BytesIO())
    assert summary.num_kept == len(read(out)) > 0
    assert len(RougeIndex.load(index)) == 1 + summary.num_kept


@pytest.mark.parametrize("name", [".", "..", "folder", "pipe", "/dev/null", "loop"])
def test_an_index_is_a_regular_file_or_a_new_one(data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    result = invoke(data, "--index", name if name[0] in "./" else tmp_path / name)
    assert isinstance(result.exception, InputError)
    assert re.search("is a folder; name a file in it|is no regular file", str(result.exception))
    assert not Path("/dev/null.lock").exists()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
