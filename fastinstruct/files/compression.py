"""Files that may be compressed: recognised by their first bytes when read, by their name when written.

Knows nothing of what is in them. Guarantees that a compressed file that was cut off is refused, not read as a short
one.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from fastinstruct.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Compressor", "compressing", "damage", "decompressed"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 18
_COMPRESSED_CHUNK = 1 << 10  # a bomb's block of four bytes stands for 128 KiB: so much is held at 32 MiB at most


class Compressor(Protocol):
    """What is written to; closing it ends the compressed stream and leaves the file below open."""

    def write(self, data: bytes, /) -> object:
        """Add to the file."""

    def close(self) -> None:
        """End the stream."""


def decompressed(file: io.BufferedReader) -> IO[bytes]:
    """The content of an open file, as it is or decompressed.

    Raises:
        InputError: it is zstd and zstandard is not installed.
    """
    start = file.peek(4)
    if start.startswith(_GZIP):
        return cast(IO[bytes], io.BufferedReader(gzip.GzipFile(fileobj=file), _CHUNK))
    if start.startswith(_ZSTD):
        return io.BufferedReader(_ZstdReader(file), _CHUNK)
    return file


def compressing(file: IO[bytes], name: str) -> Compressor | None:
    """What compresses into `file` as its name demands; None where it demands nothing.

    Raises:
        InputError: it ends in .zst and zstandard is not installed.
    """
    suffix = Path(name).suffix
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=file, mode="wb", filename="", compresslevel=6, mtime=0)
    if suffix == ".zst":
        return cast(Compressor, _zstandard().ZstdCompressor().stream_writer(file, closefd=False))
    return None


def damage(error: BaseException) -> str | None:
    """What is wrong with a compressed file whose reading failed with `error`; None if it is something else."""
    kind = type(error).__name__
    if isinstance(error, EOFError):
        return "ends in the middle of its compressed content; get the whole file"
    if isinstance(error, gzip.BadGzipFile) or (type(error).__module__, kind) == ("zlib", "error"):
        return "is damaged: not gzip all through; get the file again"
    if kind == "ZstdError":
        return "is damaged: not zstd all through; get the file again"
    return None


class _ZstdReader(io.RawIOBase):
    """Decompressed zstd; unlike zstandard's own reader, it tells an end from a cut."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zstd = _zstandard().ZstdDecompressor()
        self._frame: Any = None
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer)
        while not self._waiting:
            chunk = self._file.read(_COMPRESSED_CHUNK)
            if not chunk:
                if self._frame is not None:
                    raise EOFError
                return 0
            self._waiting = memoryview(self._decompressed(chunk))
        size = min(len(target), len(self._waiting))
        target[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size

    def _decompressed(self, chunk: bytes) -> bytes:
        parts: list[bytes] = []
        while chunk:  # a file may hold several frames, one after another
            if self._frame is None:
                self._frame = self._zstd.decompressobj()
            parts.append(self._frame.decompress(chunk))
            if not self._frame.eof:
                break
            chunk, self._frame = self._frame.unused_data, None
        return b"".join(parts)


def _zstandard() -> Any:  # noqa: ANN401 - an optional module
    try:
        import zstandard
    except ImportError:
        raise InputError("reading and writing .zst needs zstandard; pip install 'fastinstruct[zstd]'") from None
    return zstandard
