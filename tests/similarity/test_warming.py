"""Compiling beforehand, and being told where a text waits for it: in processes of their own, with caches of their own.

Each compiles a few kernels only, which takes seconds; all of them are compiled where the tests themselves need them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from typer.testing import CliRunner

import fastinstruct_kernels
from fastinstruct.cli.app import app

PATHS = os.pathsep.join(
    [str(files("fastinstruct").joinpath("..")), str(Path(fastinstruct_kernels.__file__).parents[1])]
)
ONE_KERNEL = "import numpy; from fastinstruct_kernels.pool import new_pool"
TOLD = "compiling the kernels, about a minute"


def ran(code: str, cache: Path) -> str:
    """What a process with that cache says on stderr; a second is a millisecond to it."""
    program = f"from fastinstruct_kernels import compilation\ncompilation.LONG_S = 0.001\n{code}"
    env = {**os.environ, "PYTHONPATH": PATHS, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    return done.stderr


def test_the_library_says_once_that_it_compiles(tmp_path: Path) -> None:
    code = """
from fastinstruct.similarity import RougeIndex
RougeIndex(), RougeIndex()
from fastinstruct_kernels.checksum import checksum
import numpy; checksum(numpy.zeros(1, numpy.uint64))
"""
    assert ran(code, tmp_path).count(TOLD) == 1
    assert ran(code, tmp_path) == ""  # from the cache


def test_whoever_listens_is_not_told_twice(tmp_path: Path) -> None:
    code = """
import fastinstruct.similarity
from fastinstruct_kernels.compilation import listening
from fastinstruct_kernels.rouge import f_measure
with listening(lambda: None):
    f_measure(1, 2, 3)
"""
    assert ran(code, tmp_path) == ""


def test_kernels_of_others_are_not_told_of(tmp_path: Path) -> None:
    code = """
import fastinstruct.similarity, numba
numba.njit(lambda a: a + 1)(1)
"""
    assert ran(code, tmp_path) == ""


def test_warm_up_says_where_the_kernels_are() -> None:
    done = CliRunner().invoke(app, ["warm-up"])
    assert done.exit_code == 0
    assert "the kernels are compiled" in done.stderr
    assert "they are kept in" in done.stderr
