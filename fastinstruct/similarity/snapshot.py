"""Arrays in one file that is mapped into memory, not read.

Knows nothing of what the arrays mean. Guarantees that a file appears whole or not at all, and that a file which is
damaged, of another version or no snapshot at all is refused.

    8 bytes    magic
    4 bytes    length of the header, little endian
    4 bytes    CRC-32 of the header
    header     JSON: version, method of the index, its settings, place and type of each array, checksum of the arrays
    arrays     each at a multiple of 64 bytes from the start of the file
"""

import json
import mmap
import os
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.reading import regular_descriptor, regular_file
from fastinstruct.replaceable import regular_target
from fastinstruct.tokenizer_names import stored_tokenizer
from fastinstruct_kernels.checksum import checksum

VERSION = 4
_CONVERTED = (2, 3)
"""Versions that are carried over: a `RougeIndex` had fewer kinds of room, and in 2 no bitmaps of long texts."""
EXACT = "exact"
"""The method of a `RougeIndex`, and of every snapshot that doesn't say."""
_MAGIC = b"FI-index"
_PREFIX = len(_MAGIC) + 8
_ALIGNMENT = 64
_PARTIAL = ".part"


class NewSnapshot:
    """A snapshot, durable under a hidden name beside `path`; `put` lets it replace what is there, `discard` removes it.

    Raises:
        InputError: the file can't be written, or `path` names what is no regular file.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], method: str = EXACT
    ) -> None:
        self._path = path
        self._target = regular_target(path)
        self._partial = self._target.with_name(f".{self._target.name}.{os.getpid()}{_PARTIAL}")
        try:
            with os.fdopen(regular_descriptor(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                _write(file, {"method": method, "settings": settings}, arrays)
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise self._failure(error) from error
            raise

    def put(self) -> None:
        """Replace what is at the path at one stroke.

        Raises:
            InputError: it can't be replaced; what was there still is, and the snapshot is gone.
        """
        try:
            self._partial.replace(self._target)
        except OSError as error:
            self.discard()
            raise self._failure(error) from error

    def discard(self) -> None:
        """Remove the snapshot, unless it is in its place."""
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> InputError:
        return InputError(f"{self._path}: can't write the index: {error.strerror or error}")


def write_snapshot(
    path: Path, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], method: str = EXACT
) -> None:
    """Write the arrays of an index of that method, replacing what is at `path` at one stroke.

    Raises:
        InputError: the file can't be written; what was at `path` is still there then.
    """
    NewSnapshot(path, settings, arrays, method).put()


def _write(file: BinaryIO, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    places, offset, total = [], 0, 0
    for name, array in arrays.items():
        data = _words_of(array)
        places.append({"name": name, "dtype": array.dtype.str, "shape": array.shape, "offset": offset})
        total ^= int(checksum(data)) + offset
        offset += len(data) * 8 + -len(data) * 8 % _ALIGNMENT
    header = {"version": VERSION, **about, "arrays": places, "size": offset, "checksum": total}
    text = json.dumps(header).encode()
    file.write(_MAGIC + len(text).to_bytes(4, "little") + zlib.crc32(text).to_bytes(4, "little") + text)
    start = _start(len(text))
    for place, array in zip(places, arrays.values(), strict=True):
        file.seek(start + int(str(place["offset"])))
        file.write(_words_of(array).data)
    file.truncate(start + offset)


def _start(header_length: int) -> int:
    return (_PREFIX + header_length + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


def _words_of(array: NDArray[Any]) -> NDArray[np.uint64]:
    """The array's bytes as uint64, filled up with zeros."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if len(flat) % 8:
        flat = np.concatenate([flat, np.zeros(-len(flat) % 8, dtype=np.uint8)])
    return flat.view(np.uint64)


def remove_leftovers(path: Path) -> None:
    """Remove what processes left behind that were killed while they wrote a snapshot; none may be writing one now."""
    path = Path(os.path.realpath(path))
    with suppress(OSError):
        for each in path.parent.iterdir():
            middle = each.name.removeprefix(f".{path.name}.").removesuffix(_PARTIAL)
            if middle.isdecimal() and each.name == f".{path.name}.{middle}{_PARTIAL}":
                each.unlink(missing_ok=True)


def method_of(path: Path) -> str:
    """The method of the index in a snapshot, by its header alone.

    Raises:
        InputError: there is no such file, or it is no snapshot, of another version, or its header is damaged.
    """
    return str(_header(path, _mapped(path)).get("method", EXACT))


def read_snapshot(path: Path, method: str = EXACT) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Settings and arrays of a snapshot; the arrays may be written to, which leaves the file as it is.

    Raises:
        InputError: there is no such file, or it is no snapshot, of another version or method, or damaged.
    """
    mapped = _mapped(path)
    header = _header(path, mapped)
    if (found := header.get("method", EXACT)) != method:
        raise InputError(f"{path}: the index is one of method {found}, not {method}; load it as what it is")
    start = _start(int.from_bytes(mapped[len(_MAGIC) : len(_MAGIC) + 4], "little"))
    if len(mapped) != start + header["size"]:
        raise InputError(f"{path}: the index is damaged: its size is wrong")
    arrays, total = {}, 0
    for place in header["arrays"]:
        shape, dtype, offset = place["shape"], np.dtype(place["dtype"]), place["offset"]
        array = np.ndarray(shape, dtype, buffer=mapped, offset=start + offset)
        words = np.ndarray(((array.nbytes + 7) // 8,), np.uint64, buffer=mapped, offset=start + offset)
        total ^= int(checksum(words)) + offset
        arrays[place["name"]] = array
    if total != header["checksum"]:
        raise InputError(f"{path}: the index is damaged: its checksum is wrong")
    return header["settings"], arrays


def tokenizer_in(settings: Mapping[str, Any], path: Path) -> str:
    """The exact name of the tokenizer that a snapshot's settings name; older ones name the first `unicode` without one.

    Raises:
        InputError: this version has no such tokenizer.
    """
    try:
        return stored_tokenizer(settings["tokenizer"])
    except InputError as error:
        raise InputError(f"{path}: the index can't be used here: {error}") from error


def part_of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, under the rest of their names."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _mapped(path: Path) -> mmap.mmap:
    regular_target(path)
    try:
        with regular_file(path) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped
        raise InputError(f"{path}: can't read the index: {getattr(error, 'strerror', None) or error}") from error


def _header(path: Path, mapped: mmap.mmap) -> dict[str, Any]:
    if mapped[: len(_MAGIC)] != _MAGIC:
        raise InputError(f"{path}: this is no FastInstruct index")
    length, crc = (int.from_bytes(mapped[at : at + 4], "little") for at in (len(_MAGIC), len(_MAGIC) + 4))
    text = mapped[_PREFIX : _PREFIX + length]
    if not length or zlib.crc32(text) != crc or len(mapped) < _PREFIX or sys.byteorder != "little":
        raise InputError(f"{path}: the index is damaged: its header is wrong")
    header: dict[str, Any] = json.loads(text)
    if header["version"] not in (VERSION, *_CONVERTED):
        raise InputError(f"{path}: the index has version {header['version']}; this is version {VERSION}")
    return header
