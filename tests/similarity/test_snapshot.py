"""A saved index answers as the one that was saved, and a file that is not whole is refused."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, RougeIndex
from fastinstruct.similarity.snapshot import method_of, read_snapshot, write_snapshot
from related_texts import judgements, rebuilding_index, related_texts, texts_of_few_words, thresholds

scripts = st.lists(st.text("ab é\u200b\u0301写ب\u064e ", max_size=8), max_size=6)
Kind = type[RougeIndex] | type[LSHIndex]
KINDS = [RougeIndex, LSHIndex]


@given(texts_of_few_words, texts_of_few_words, thresholds)
@settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the file is replaced for each example
)
def test_a_loaded_index_goes_on_as_the_saved_one(
    tmp_path: Path, first: list[str], then: list[str], threshold: float
) -> None:
    index = rebuilding_index(threshold)
    index.admit(first)
    index.save(tmp_path / "pool.index")
    loaded = RougeIndex.load(tmp_path / "pool.index")
    assert (len(loaded), loaded.threshold, loaded.tokenizer) == (len(index), threshold, "unicode-2")
    assert judgements(loaded.admit(then)) == judgements(index.admit(then))
    assert judgements(loaded.query(first)) == judgements(index.query(first))


def test_a_large_pool_survives_saving_growing_and_saving_again(tmp_path: Path) -> None:
    texts = related_texts(6_000, longest=14, seed=4)
    index, reference = rebuilding_index(0.6, "rouge"), RougeIndex(0.6, "rouge")
    expected = judgements(reference.admit(texts))
    verdicts = judgements(index.admit(texts[:2_000]))
    for first in (2_000, 4_000):
        index.save(tmp_path / "pool.index")
        before = (tmp_path / "pool.index").read_bytes()
        index = RougeIndex.load(tmp_path / "pool.index", threads=2)
        verdicts += judgements(index.admit(texts[first : first + 2_000]))
        assert (tmp_path / "pool.index").read_bytes() == before
    assert verdicts == expected
    assert index.average_similarity("w1 w2") == reference.average_similarity("w1 w2")
    assert [path.name for path in tmp_path.iterdir()] == ["pool.index"]


@given(texts_of_few_words, texts_of_few_words, st.sampled_from([0.5, 0.7, 0.9]), st.integers(0, 9))
@settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the file is replaced for each example
)
def test_a_loaded_lsh_index_goes_on_as_the_saved_one(
    tmp_path: Path, first: list[str], then: list[str], threshold: float, seed: int
) -> None:
    index = LSHIndex(threshold, target_recall=0.8, num_perm=64, seed=seed)
    index.admit(first)
    index.save(tmp_path / "pool.index")
    loaded = LSHIndex.load(tmp_path / "pool.index")
    assert (repr(loaded), loaded.tokenizer) == (repr(index), "unicode-2")
    assert loaded.signatures(then).tolist() == index.signatures(then).tolist()
    assert judgements(loaded.admit(then)) == judgements(index.admit(then))
    assert judgements(loaded.query(first)) == judgements(index.query(first))
    assert loaded.measured_recall(20) == index.measured_recall(20)


def test_a_large_lsh_pool_survives_saving_growing_and_saving_again(tmp_path: Path) -> None:
    texts = related_texts(6_000, longest=14, seed=4)
    index, reference = LSHIndex(0.6, "rouge"), LSHIndex(0.6, "rouge")
    expected = judgements(reference.admit(texts))
    verdicts = judgements(index.admit(texts[:1_000]))
    for first in range(1_000, 6_000, 1_000):
        index.save(tmp_path / "pool.index")
        before = (tmp_path / "pool.index").read_bytes()
        index = LSHIndex.load(tmp_path / "pool.index")
        verdicts += judgements(index.admit(texts[first : first + 1_000]))
        assert (tmp_path / "pool.index").read_bytes() == before
    assert verdicts == expected
    assert index.average_similarity("w1 w2") == reference.average_similarity("w1 w2")
    assert [path.name for path in tmp_path.iterdir()] == ["pool.index"]


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_other_scripts_survive(tmp_path: Path, kind: Kind) -> None:
    index = kind()
    index.add(["写一首关于春天的诗", "Напиши стихи"])
    index.save(tmp_path / "pool.index")
    assert not kind.load(tmp_path / "pool.index").query(["写一首关于春天的歌"])[0].admitted


def name_tokenizer(path: Path, name: str) -> None:
    """Have a snapshot name another tokenizer, as older programs or newer ones would have written it."""
    settings, arrays = read_snapshot(path, method_of(path))
    write_snapshot(path, settings | {"tokenizer": name}, arrays, method_of(path))


@pytest.mark.parametrize("kind", KINDS)
@given(scripts, scripts)
@settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the file is replaced for each example
)
def test_an_index_that_says_unicode_goes_on_as_the_first_version(
    tmp_path: Path, kind: Kind, first: list[str], then: list[str]
) -> None:
    index = kind(0.7, "unicode-1")
    index.admit(first)
    index.save(tmp_path / "pool.index")
    name_tokenizer(tmp_path / "pool.index", "unicode")
    older = kind.load(tmp_path / "pool.index")
    assert older.tokenizer == "unicode-1"
    assert judgements(older.admit(then)) == judgements(index.admit(then))
    older.save(tmp_path / "pool.index")
    assert kind.load(tmp_path / "pool.index").tokenizer == "unicode-1"


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_a_tokenizer_to_come_is_refused(tmp_path: Path, kind: Kind) -> None:
    kind().save(tmp_path / "pool.index")
    name_tokenizer(tmp_path / "pool.index", "unicode-9")
    message = r"pool\.index: the index can't be used here: tokenizer must be one of .*; got 'unicode-9'$"
    with pytest.raises(InputError, match=message):
        kind.load(tmp_path / "pool.index")


@pytest.fixture(params=KINDS)
def saved(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    index = request.param()
    index.admit(related_texts(50, longest=12, seed=1))
    index.save(tmp_path / "pool.index")
    return tmp_path / "pool.index"


def loaded(path: Path) -> RougeIndex | LSHIndex:
    return LSHIndex.load(path) if b'"method": "lsh"' in path.read_bytes() else RougeIndex.load(path)


def is_padding(path: Path) -> bool:
    """Whether the index still loads: between arrays there is nothing to damage."""
    try:
        return len(loaded(path)) > 0
    except InputError:
        return False


def test_a_flipped_bit_anywhere_is_found(saved: Path) -> None:
    whole = saved.read_bytes()
    for place in range(0, len(whole) - 64, 1 + len(whole) // 300):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        if whole[place] == 0 and is_padding(saved):
            continue
        with pytest.raises(InputError, match=r"damaged|no FastInstruct index"):
            loaded(saved)


@pytest.mark.parametrize("kept", [0, 4, 12, 100, 5_000])
def test_a_file_cut_short_is_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(
        InputError, match=r"pool\.index: (the index is damaged|can't read|this is no FastInstruct index)"
    ):
        loaded(saved)


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_file_is_refused(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not an index at all, whatever its name says")
    with pytest.raises(InputError, match=r"notes\.txt: this is no FastInstruct index"):
        kind.load(path)


def test_an_index_of_another_method_is_refused(tmp_path: Path) -> None:
    RougeIndex().save(tmp_path / "exact.index")
    LSHIndex().save(tmp_path / "lsh.index")
    assert method_of(tmp_path / "exact.index") == "exact"
    assert method_of(tmp_path / "lsh.index") == "lsh"
    with pytest.raises(InputError, match=r"exact\.index: the index is one of method exact, not lsh"):
        LSHIndex.load(tmp_path / "exact.index")
    with pytest.raises(InputError, match=r"lsh\.index: the index is one of method lsh, not exact"):
        RougeIndex.load(tmp_path / "lsh.index")


def test_another_version_is_refused_by_number(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinstruct.similarity.snapshot.VERSION", 5)
    with pytest.raises(InputError, match="the index has version 4; this is version 5"):
        read_snapshot(saved)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_a_version_before_is_carried_over(
    tmp_path: Path, kind: Kind, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = related_texts(900, longest=150, seed=8)
    index = kind(0.6)
    index.admit(texts[:200])
    index.save(tmp_path / "new.index")
    method = method_of(tmp_path / "new.index")
    settings, arrays = read_snapshot(tmp_path / "new.index", method)
    if kind is RougeIndex:
        assert (arrays["pool.free"] >= 0).any()
        arrays["pool.free"] = np.repeat(arrays["pool.free"], 2)[:64]  # the same rooms under the names of others
    if kind is RougeIndex and version == 2:
        for name in ("pool.lengths", "pool.long_marks", "pool.longs", "pool.bags"):
            arrays.pop(name)
        arrays["pool.counters"] = arrays["pool.counters"][:5]
    with monkeypatch.context() as older:
        older.setattr("fastinstruct.similarity.snapshot.VERSION", version)
        write_snapshot(tmp_path / "old.index", settings, arrays, method)
    found = kind.load(tmp_path / "old.index")
    assert judgements(found.admit(texts[200:])) == judgements(index.admit(texts[200:]))
    found.save(tmp_path / "again.index")
    again = kind.load(tmp_path / "again.index")
    assert judgements(again.query(texts)) == judgements(index.query(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_and_a_missing_folder_are_refused(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(InputError, match="can't read the index: No such file or directory"):
        kind.load(tmp_path / "none.index")
    with pytest.raises(InputError, match="can't write the index: No such file or directory"):
        kind().save(tmp_path / "none" / "pool.index")


@pytest.mark.parametrize("name", [".", "folder", "pipe", "device", "loop", "no\0name", "long" * 100])
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_takes_the_place_of_a_regular_file_or_of_nothing(tmp_path: Path, kind: Kind, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(path.name for path in tmp_path.iterdir())
    index = kind()
    index.add(["some text"])
    path = tmp_path / name
    with pytest.raises(InputError):
        index.save(path)
    with pytest.raises(InputError):
        kind.load(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_link_to_an_index_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "pool.index")
    RougeIndex().save(link)
    assert link.is_symlink()
    assert len(RougeIndex.load(tmp_path / "pool.index")) == 0


def test_an_index_saved_beside_its_file_takes_its_place_or_leaves_nothing(tmp_path: Path) -> None:
    path, index = tmp_path / "pool.index", RougeIndex()
    index.saved_beside(path).discard()
    assert list(tmp_path.iterdir()) == []
    beside = index.saved_beside(path)
    assert not path.exists()
    beside.put()
    beside.discard()
    assert list(tmp_path.iterdir()) == [path]
