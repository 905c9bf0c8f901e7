"""A run's folder: created, locked to one writer, and tied to one identity.

Holds `manifest.json` (identity and versions), `config.yaml` (the effective configuration of the latest sitting) and
`run.db`. Knows nothing of what the identity's fields mean. Guarantees: a folder that it makes is its owner's alone
(0700, its files 0600) whatever the umask, unless another mode is asked for; one that was there keeps its mode, and its
files have what is asked for, or new ones the folder's.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from fastinstruct.errors import RunFolderError, StoreError
from fastinstruct.reading import regular_descriptor, whole_text
from fastinstruct.replaceable import is_file
from fastinstruct.store.identities import exact_identity
from fastinstruct.store.locking import is_still, lock_exclusively
from fastinstruct.store.schema import has_answers

__all__ = ["RunFolder", "read_manifest"]

_FOLDER_MODE = 0o700
_MISSING = "not set"
_ANSWERED = "answered"  # in the manifest: there are answers, so a database without any has been lost
_EARLIER = "earlier"
_OURS = ("run.lock", "run.db", "run.db-wal", "run.db-shm", "manifest.json", "config.yaml")
_KEPT = frozenset({"run.lock", _EARLIER})
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_ASKING_S = 0.05  # a reader that asks whether somebody writes holds the lock for an instant


class RunFolder:
    """An open, locked run folder; a context manager.

    Args:
        path: where it is, or is to be.
        mode: of the folder, if it is made, and of its files without the right to execute; None for the owner's alone.

    Raises:
        RunFolderError: it cannot be created or written, another process has it open, or it is another run's.
    """

    def __init__(self, path: Path, mode: int | None = None) -> None:
        self.path = path
        self._mode = mode
        self._lock: IO[str] | None = None

    @property
    def database(self) -> Path:
        """Return the path of the run's database."""
        return self.path / "run.db"

    def __enter__(self) -> RunFolder:
        try:
            self._make()
            self._lock = open(self.path / "run.lock", "a+", opener=self._opener)
        except OSError as error:
            if is_file(self.path):
                raise RunFolderError(f"{self.path}: is a file; give a folder as --out") from error
            raise RunFolderError(
                f"{self.path}: cannot be written: {error.strerror}; give another --out or change its permissions"
            ) from error
        try:
            _lock_patiently(self._lock)
        except OSError as error:
            self._lock.close()
            self._lock = None
            if error.errno not in _TAKEN:  # some network file systems have no locks
                raise RunFolderError(
                    f"{self.path}: cannot be locked: {error.strerror}; give an --out on a local disk"
                ) from error
            raise RunFolderError(
                f"{self.path}: another process is writing to this run; wait for it, or give another --out"
            ) from error
        self._open_files()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()  # closing releases the lock, as does the death of the process
            self._lock = None

    def _make(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=_FOLDER_MODE)
        except FileExistsError:
            if not self.path.is_dir():
                raise
        else:
            _open_to(self.path, self._mode or _FOLDER_MODE)

    def _open_files(self) -> None:
        """Give what earlier sittings left the mode that is asked for."""
        if self._mode is None:
            return
        for name in _OURS:
            with suppress(OSError):  # it is not there, or another user's, who said who may read it
                (self.path / name).chmod(self._mode & 0o666)

    def _opener(self, path: str, flags: int) -> int:
        """Open a file of the folder; a new one has the mode that is asked for, or the folder's, without x."""
        return self._opened(path, flags, self._mode or self.path.stat().st_mode)

    def _opener_like(self, target: Path) -> Callable[[str, int], int]:
        """Open what is to replace a file, with the same mode unless another is asked for."""
        alike = target if target.exists() else self.path
        return partial(self._opened, mode=self._mode or alike.stat().st_mode)

    def _opened(self, path: str, flags: int, mode: int) -> int:
        mode &= 0o666
        try:
            descriptor = regular_descriptor(path, flags | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            return regular_descriptor(path, flags & ~os.O_EXCL)
        if os.name != "nt":
            os.fchmod(descriptor, mode)
        return descriptor

    def prepare_database(self, path: Path | None = None) -> Path:
        """Make the database's file, empty, with the folder's mode; SQLite gives its companions the same. Return it."""
        path = path or self.database
        if not path.exists():
            os.close(self._opener(str(path), os.O_RDWR))
        return path

    def claim(self, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Write the manifest of a new run, or check that an existing one is the same run.

        A folder in which nothing was ever answered (a wrong key, a mistyped model) is nobody's: it is made anew.

        Raises:
            RunFolderError: the folder belongs to a run of another identity; the message says what differs. Or its
                manifest says that requests were answered, and the database holds no answer any more.
        """
        manifest = self.path / "manifest.json"
        identity = json.loads(json.dumps(identity))  # as it will be read: tuples are lists, keys are text
        differences = []
        is_answered = has_answers(self.database)
        if manifest.exists():
            there = read_manifest(self.path)
            if there.get(_ANSWERED) and not is_answered:
                raise RunFolderError(self._lost())
            differences = _differences(_flat(exact_identity(there["identity"])), _flat(identity))
        if differences and not is_answered:
            for path in (self.database, *self.path.glob("run.db-*"), self.path / "config.yaml", manifest):
                path.unlink(missing_ok=True)
            differences = []
        if not manifest.exists():
            self._refuse_foreign_files()
            self._write_manifest(identity, about)
        if differences:
            raise RunFolderError(
                f"{self.path}: belongs to another run ({'; '.join(differences[:4])}); "
                f"give another --out, or use the same settings to resume it{_advice(differences)}"
            )
        if is_answered:  # by a version that did not record it
            self.record_answers()

    def record_answers(self) -> None:
        """Let the manifest say that requests were answered, so that a lost database is known from a new run.

        Raises:
            StoreError: the disk is full or fails, or the folder is not this run's any more.
        """
        manifest = read_manifest(self.path)
        if not manifest.get(_ANSWERED):
            self.write("manifest.json", _json({**manifest, _ANSWERED: True}))

    def set_aside(self) -> Path | None:
        """Move all that an earlier run has left into a new folder below `earlier`; None if there was no run.

        Raises:
            StoreError: it cannot be moved.
        """
        if not self.database.exists() and not (self.path / "manifest.json").exists():
            return None
        earlier = self.path / _EARLIER
        try:
            earlier.mkdir(exist_ok=True)
            _open_to(earlier, mode := self._mode or self.path.stat().st_mode & 0o777)
            number = next(n for n in itertools.count(1) if not (earlier / str(n)).exists())
            place = earlier / str(number)
            place.mkdir()
            _open_to(place, mode)
            # The manifest goes last: if this is cut off, the folder is still known as the run's.
            for name in sorted(_visible(self.path), key=lambda name: name == "manifest.json"):
                (self.path / name).rename(place / name)
            _sync(place)
            _sync(self.path)
        except OSError as error:
            raise StoreError(f"{earlier}: cannot be moved to: {error.strerror}") from error
        return place

    def check_held(self) -> None:
        """See that the folder and its lock are still those that were opened.

        Raises:
            StoreError: one is gone or replaced, so that another process may take the folder for its own.
        """
        if self._lock is None:
            return
        path = self.path / "run.lock"
        if not is_still(path, os.fstat(self._lock.fileno())):
            raise StoreError(
                f"{path}: was removed or replaced while the run went on; nothing more is written to the folder"
            )

    def _lost(self) -> str:
        what = "is missing"
        if self.database.exists():
            what = "holds no answer" if self.database.stat().st_size else "is empty"
        return (
            f"{self.path}: manifest.json says that requests were answered, but run.db {what}; "
            "restore it from a copy, or start over with --restart"
        )

    @contextmanager
    def building(self, identity: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Path]:
        """Yield where to build the database of a new run; it takes its name, and the manifest is written, at the end.

        If the block fails, the folder is as empty as before, so half a run is never taken for a whole one.

        Raises:
            RunFolderError: the folder is not empty.
            StoreError: the disk is full or fails.
        """
        if others := _visible(self.path):
            raise RunFolderError(f"{self.path}: is not empty, it holds {others[0]}; give a new folder as --out")
        unfinished = self.path / f".{self.database.name}.new"
        self._remove(unfinished.name)  # of a process that was killed
        try:
            yield self.prepare_database(unfinished)
            if unfinished.with_name(f"{unfinished.name}-wal").exists():  # SQLite could not bring it into the file
                raise StoreError(f"{unfinished}: cannot be completed; look whether the disk is full")
            self._rename(unfinished, self.database)
            self._write_manifest(identity, about)
        except BaseException:
            self._remove(unfinished.name, self.database.name, "config.yaml", "manifest.json")
            raise

    def _remove(self, *names: str) -> None:
        for path in (path for name in names for path in [self.path / name, *self.path.glob(f"{name}-*")]):
            path.unlink(missing_ok=True)

    def _rename(self, old: Path, new: Path) -> None:
        try:
            old.replace(new)
            _sync(self.path)
        except OSError as error:
            raise _write_error(new, error) from error

    def _write_manifest(self, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.write("manifest.json", _json({"identity": identity, **about}))

    def _refuse_foreign_files(self) -> None:
        """Keep a new run out of a folder that is used for something else: its files must not be replaced."""
        if self.database.exists():
            raise RunFolderError(f"{self.path}: holds a run.db but no manifest.json; give another --out")
        if others := _visible(self.path):
            raise RunFolderError(f"{self.path}: holds {others[0]} and no run; give an empty or a new folder as --out")

    def write(self, name: str, text: str) -> None:
        """Replace a file of the folder atomically.

        Raises:
            StoreError: the disk is full or fails, or the folder is not this run's any more.
        """
        self.check_held()
        target = self.path / name
        temporary = self.path / f".{name}.new"  # the lock is ours: nobody else writes it
        try:
            opener = self._opener_like(target)
            try:
                # A path that is no text is escaped as JSON does it.
                with open(temporary, "w", encoding="utf-8", errors="backslashreplace", opener=opener) as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
                _sync(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise _write_error(target, error) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the run in `folder`: its `identity`, and what else is said of it.

    Raises:
        RunFolderError: there is no manifest, or it is damaged.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(whole_text(path))
        if not isinstance(manifest["identity"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunFolderError(f"{path}: is damaged; restore it from a copy, or give another --out") from error
    return dict(manifest)


def _open_to(folder: Path, mode: int) -> None:
    """Set a new folder's mode: the umask may have taken some of it away. The group that it inherits stays inherited."""
    folder.chmod(mode | folder.stat().st_mode & stat.S_ISGID)


def _visible(folder: Path) -> list[str]:
    """The names of what a folder holds, but for the lock, what was set aside and hidden files."""
    return sorted(path.name for path in folder.iterdir() if path.name not in _KEPT and path.name[0] != ".")


def _write_error(path: Path, error: OSError) -> StoreError:
    advice = "; free some space and run the same command to go on" if error.errno == errno.ENOSPC else ""
    return StoreError(f"{path}: cannot be written: {error.strerror}{advice}")


def _sync(folder: Path) -> None:
    """Make a replaced file's name as durable as its content; Windows does that by itself."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_patiently(file: IO[str]) -> None:
    try:
        lock_exclusively(file)
    except OSError:
        time.sleep(_ASKING_S)
        lock_exclusively(file)


def _json(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say what differs, key by key: `similarity.threshold is 0.7 there and 0.6 here`; the outermost keys first."""
    return [
        _difference(key, there.get(key, _MISSING), here.get(key, _MISSING))
        for key in sorted({*there, *here}, key=lambda key: (key.count("."), key))
        if there.get(key, _MISSING) != here.get(key, _MISSING)
    ]


def _difference(key: str, there: object, here: object) -> str:
    from fastinstruct.config.secret_words import secret_in  # with it comes pydantic, which a view does without

    if secret_in({key: [there, here]}) is not None:  # older versions let extra_body hold one
        return f"{key} differs"
    return f"{key} is {_show(there)} there and {_show(here)} here"


def _advice(differences: list[str]) -> str:
    """Name `refilter` where nothing differs but what it can change."""
    can_change = ("similarity.", "filters.", "instances.max_instances ")
    is_refiltering = all(difference.startswith(can_change) for difference in differences)
    return "; `fastinstruct refilter` judges its answers anew, into a new folder" if is_refiltering else ""


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= 24 else f"{text[:16]}…"
