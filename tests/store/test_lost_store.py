"""A run whose database, lock or folder is gone is never taken for a new one, and never mixed with another."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.store import Commit, RequestRow, RunFolder, RunStore

IDENTITY = {"rng_seed": 7}


def answered(id_: int, outcome: str = "ok") -> Commit:
    return Commit(
        request=RequestRow(
            id=id_, stage="instructions", number=id_, template="instructions", in_context=(), outcome=outcome
        )
    )


def manifest_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def begun(folder: Path, *outcomes: str) -> None:
    with RunFolder(folder) as opened:
        opened.claim(IDENTITY, {})
        store = RunStore(opened.database, opened)
        for number, outcome in enumerate(outcomes, 1):
            store.submit([answered(number, outcome)]).result()
        store.close()


def empty(database: Path) -> None:
    database.write_bytes(b"")


@pytest.mark.parametrize(("lose", "what"), [(Path.unlink, "is missing"), (empty, "is empty")])
def test_a_lost_database_is_refused_and_does_not_start_over(
    tmp_path: Path, lose: Callable[[Path], None], what: str
) -> None:
    begun(tmp_path, "ok")
    lose(tmp_path / "run.db")
    before = manifest_of(tmp_path)
    for identity in (IDENTITY, {"rng_seed": 8}):
        with RunFolder(tmp_path) as folder, pytest.raises(RunFolderError) as caught:
            folder.claim(identity, {})
        assert f"run.db {what}; restore it from a copy, or start over with --restart" in str(caught.value)
        assert caught.value.exit_code == 2
    assert manifest_of(tmp_path) == before


def test_a_database_whose_answers_are_gone_is_refused(tmp_path: Path) -> None:
    begun(tmp_path, "ok")
    (tmp_path / "run.db").unlink()
    RunStore(tmp_path / "run.db").close()
    with RunFolder(tmp_path) as folder, pytest.raises(RunFolderError, match=r"run\.db holds no answer"):
        folder.claim(IDENTITY, {})


def test_the_manifest_records_the_first_answer_and_no_failure(tmp_path: Path) -> None:
    begun(tmp_path, "timeout")
    assert "answered" not in manifest_of(tmp_path)
    begun(tmp_path)
    with RunFolder(tmp_path) as opened:
        store = RunStore(opened.database, opened)
        store.submit([answered(2)]).result()
        assert manifest_of(tmp_path) == {"identity": IDENTITY, "answered": True}
        store.close()


def test_a_run_of_an_older_version_records_its_answers_when_it_goes_on(tmp_path: Path) -> None:
    begun(tmp_path, "ok")
    (tmp_path / "manifest.json").write_text(json.dumps({"identity": IDENTITY, "format": 1}))
    begun(tmp_path)
    assert manifest_of(tmp_path) == {"identity": IDENTITY, "format": 1, "answered": True}


def test_starting_over_moves_everything_aside_and_deletes_nothing(tmp_path: Path) -> None:
    begun(tmp_path, "ok")
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "alpaca.json").write_text("[]")
    for number in (1, 2):
        held = (tmp_path / "run.db").read_bytes()
        with RunFolder(tmp_path) as folder:
            place = folder.set_aside()
            assert place == tmp_path / "earlier" / str(number)
            folder.claim({"rng_seed": number}, {})
            RunStore(folder.database).close()
        assert (place / "run.db").read_bytes() == held
    assert (tmp_path / "earlier" / "1" / "exports" / "alpaca.json").read_text() == "[]"
    assert manifest_of(tmp_path) == {"identity": {"rng_seed": 2}}


def test_starting_over_leaves_alone_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with RunFolder(tmp_path) as folder:
        assert folder.set_aside() is None
        with pytest.raises(RunFolderError, match=r"thesis\.txt"):
            folder.claim(IDENTITY, {})


def replaced(folder: Path) -> None:
    """Remove the folder, and let another run take its name."""
    shutil.rmtree(folder)
    begun(folder)


@pytest.mark.parametrize(
    "lose",
    [
        shutil.rmtree,
        replaced,
        lambda folder: (folder / "run.lock").unlink(),
        lambda folder: (folder / "run.db").unlink(),
    ],
    ids=["folder", "folder replaced", "lock", "database"],
)
def test_what_is_lost_while_a_run_is_on_ends_it_at_the_next_commit_and_mixes_nothing(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    with RunFolder(folder) as opened:
        opened.claim(IDENTITY, {})
        store = RunStore(opened.database, opened)
        store.submit([answered(1)]).result()
        lose(folder)
        there = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None
        with pytest.raises(StoreError, match="was removed or replaced while the run went on") as caught:
            store.submit([answered(2)]).result()
        assert caught.value.exit_code == 1
        if not (folder / "run.lock").exists() or lose is replaced:
            with pytest.raises(StoreError):
                opened.write("config.yaml", "target: 9\n")
        if there is not None and lose is replaced:
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == there
        store.close()
    if lose is replaced:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == there
