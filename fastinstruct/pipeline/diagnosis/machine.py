"""What the machine offers a run: Python, compiled parts, descriptors, folders.

Knows nothing of seeds or models. Leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from fastinstruct.config import RunConfig
from fastinstruct.config.environment import cache_folder
from fastinstruct.errors import ConfigError
from fastinstruct.lm.descriptors import allowed
from fastinstruct.pipeline.capacity import descriptors_for, num_endpoints
from fastinstruct.pipeline.diagnosis.finding import Finding, Level
from fastinstruct.pipeline.runner import Run
from fastinstruct.pipeline.serving import DEFAULT_IN_FLIGHT
from fastinstruct.similarity import warm_up

__all__ = [
    "check_cache",
    "check_descriptors",
    "check_event_loop",
    "check_http_parser",
    "check_kernels",
    "check_python",
    "check_run_folder",
]

_OLDEST_PYTHON = (3, 11)
_COMPILED_AFTER_S = 5.0  # loading takes well under a second, compiling tens of them
_LEAST_BYTES = 100 * 2**20
_COMFORTABLE_BYTES = 2**30
_BYTES_PER_INSTRUCTION = 30_000  # replies of all stages and their rows, generously
_WEIGHTS_BYTES = 260 * 10**6


def check_python(running: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Whether this Python is recent enough."""
    found = f"{'.'.join(map(str, running))} on {platform.system()} {platform.machine()}, {_num_cores()} cores"
    if running < _OLDEST_PYTHON:
        return Finding(name="python", level=Level.PROBLEM, found=found, advice="use Python 3.11 or later")
    return Finding(name="python", level=Level.OK, found=found)


def check_kernels() -> Finding:
    """Whether the compiled kernels load, and how long it takes."""
    started = time.perf_counter()
    try:
        warm_up()
    except Exception as error:  # noqa: BLE001 - whatever Numba or LLVM raises is what there is to tell
        advice = "reinstall numba and numpy in versions that fit each other"
        return Finding(name="kernels", level=Level.PROBLEM, found=_line(error), advice=advice)
    seconds = time.perf_counter() - started
    found = f"ready in {seconds:.1f} s (numba {version('numba')})"
    if seconds < _COMPILED_AFTER_S:
        return Finding(name="kernels", level=Level.OK, found=found)
    advice = "compiled just now; if that is said again, set NUMBA_CACHE_DIR to a folder that can be written"
    return Finding(name="kernels", level=Level.OK, found=found, advice=advice)


def check_http_parser() -> Finding:
    """Whether aiohttp's compiled parser is in use."""
    from fastinstruct.lm import has_c_parser

    found = f"aiohttp {version('aiohttp')}"
    if has_c_parser():
        return Finding(name="http parser", level=Level.OK, found=f"{found}, compiled")
    advice = "install aiohttp from a wheel and unset AIOHTTP_NO_EXTENSIONS; every request costs 2.6 times the CPU"
    return Finding(name="http parser", level=Level.WARNING, found=f"{found}, pure Python", advice=advice)


def check_event_loop() -> Finding:
    """Whether uvloop is there."""
    if importlib.util.find_spec("uvloop") is not None:
        return Finding(name="event loop", level=Level.OK, found=f"uvloop {version('uvloop')}")
    advice = "" if os.name == "nt" else "pip install uvloop; asyncio's own loop works, and is slower"
    level = Level.OK if os.name == "nt" else Level.WARNING
    return Finding(name="event loop", level=level, found="asyncio's own", advice=advice)


def check_descriptors(config: RunConfig, limit: int | None = None) -> Finding:
    """Whether every request in flight can have its socket; `limit` stands in for what a run can raise its own to."""
    wanted = config.runtime.max_in_flight or num_endpoints(config) * DEFAULT_IN_FLIGHT
    needed = descriptors_for(config, wanted)
    limit = allowed(raised=True) if limit is None else limit
    if limit is None:
        return Finding(name="descriptors", level=Level.OK, found="no limit is known on this platform")
    found = f"{limit} allowed, {needed} suffice for {wanted} requests in flight"
    if limit >= needed:
        return Finding(name="descriptors", level=Level.OK, found=found)
    advice = f"ulimit -n {needed}; else a run has fewer requests in flight"
    return Finding(name="descriptors", level=Level.WARNING, found=found, advice=advice)


def check_run_folder(config: RunConfig, env: Mapping[str, str]) -> Finding:
    """Whether the run's folder can be written and has room."""
    folder = Run(config, env=env).folder
    needed = max(_COMFORTABLE_BYTES, config.target * _BYTES_PER_INSTRUCTION)
    finding = _check_folder("run folder", folder, needed, "give another --out")
    if finding.level is not Level.PROBLEM and (folder / "run.db").exists():
        found = f"{finding.found}; it holds a run, which would go on"
        return Finding(name=finding.name, level=finding.level, found=found, advice=finding.advice)
    return finding


def check_cache(env: Mapping[str, str]) -> Finding:
    """Whether the cache folder can be written and has room for the embedded model's weights."""
    try:
        folder = cache_folder(env)
    except ConfigError as error:
        return Finding(name="cache", level=Level.PROBLEM, found=str(error))
    return _check_folder("cache", folder, _WEIGHTS_BYTES, "set XDG_CACHE_HOME to another folder")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above that exists.

    Raises:
        OSError: no folder can be of that name, or who asks may not look.
    """
    for path in (folder.absolute(), *folder.absolute().parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
            return path
    return Path.cwd()


def _check_folder(name: str, folder: Path, comfortable: int, instead: str) -> Finding:
    """Write into the folder, or into the nearest one above that exists, and look at the space that is left."""
    try:
        above = _nearest(folder)
        with tempfile.TemporaryFile(dir=above) as file:
            file.write(b"x")
        free = shutil.disk_usage(above).free
    except OSError as error:
        found = f"{folder}: cannot be written: {error.strerror}"
        return Finding(name=name, level=Level.PROBLEM, found=found, advice=instead)
    found = f"{folder}: can be written, {_size(free)} free"
    if free < _LEAST_BYTES:
        return Finding(name=name, level=Level.PROBLEM, found=found, advice=f"free some space, or {instead}")
    if free < comfortable:
        advice = f"{_size(comfortable)} would be enough; or {instead}"
        return Finding(name=name, level=Level.WARNING, found=found, advice=advice)
    return Finding(name=name, level=Level.OK, found=found)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
