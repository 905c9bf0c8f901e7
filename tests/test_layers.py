"""The house as it is built: an arrow never points up, heavy and dangerous imports have one home each.

Reads imports from the sources, those inside functions and under TYPE_CHECKING included.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

import fastinstruct
import fastinstruct_kernels

PACKAGE = Path(str(files("fastinstruct")))
KERNELS = Path(next(iter(fastinstruct_kernels.__path__)))
REPO = PACKAGE.parent

# Which parts of the package a part may import, besides itself.
NOUNS = {"_version", "escaping", "errors", "reading", "records", "tokenizer_names", "replaceable", "config"}
BELOW: dict[str, set[str]] = {
    "_version": set(),
    "escaping": set(),
    "errors": {"escaping"},
    "reading": set(),
    "records": set(),
    "tokenizer_names": {"errors"},
    "replaceable": {"errors"},
    "config": {"escaping", "errors", "reading", "records", "tokenizer_names"},
    "text": NOUNS,
    "lm": NOUNS | {"text"},
    "similarity": NOUNS | {"text"},
    "store": NOUNS | {"text"},
    "files": NOUNS | {"text"},
    "pipeline": NOUNS | {"text", "lm", "similarity", "store", "files"},
}
VIEWS = ("benchmarking", "deduplication", "exports", "doctor", "views")
BELOW |= {view: set(BELOW) for view in VIEWS}
BELOW["testing"] = {"errors", "escaping", "tokenizer_names"}  # oracles that knew the kernels would share their faults
BELOW["scripted_server"] = {"escaping", "errors", "records"}  # what runs are rehearsed against knows nothing of them
BELOW["cli"] = set(BELOW) - {"testing"}

HOMES = {
    "fastinstruct_kernels": {"similarity"},
    "aiohttp": {"lm"},
    "multidict": {"lm"},
    "yarl": {"lm"},
    "openai": {"lm"},
    "httpx2": {"lm"},
    "azure": {"lm"},
    "genai_prices": {"pipeline"},
    "hypothesis": {"testing"},
    "xllamacpp": {"lm"},
    "datasketch": {"benchmarking", "similarity"},
    "rapidfuzz": {"benchmarking"},
    "rensa": {"benchmarking"},
    "rouge_score": {"benchmarking"},
    "sqlite3": {"store"},
    "numba": set[str](),
    "pydantic": {"config"},
    "re2": {"config"},
    "typer": {"cli"},
    "rich": {"cli"},
    "uvloop": {"cli"},
}
SQL = re.compile(r"\bSELECT\b.*\bFROM\b|\bINSERT (OR \w+ )?INTO\b|\bUPDATE \w+ SET\b|\bPRAGMA\b", re.DOTALL)
MOST_LINES, MOST_LINES_OF_FUNCTION = 400, 60
HEAVY = ("numba", "numpy", "aiohttp", "pydantic", "yaml", "rich", "typer", "orjson", "sqlite3")


def modules(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Yield the full name of every module, or name in a module, that a file imports; relative ones begin with a dot."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to: its folder, or its name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def shown(path: Path) -> str:
    return str(path.relative_to(REPO)) if path.is_relative_to(REPO) else path.name


OURS = modules(PACKAGE)
PARTS = sorted({part_of(path) for path in OURS} - {"__init__", "__main__"})
Strangers = dict[str, list[str]]  # file -> what it should not hold


def test_the_sources_are_found() -> None:
    assert len(OURS) > 50
    assert len(modules(KERNELS)) > 4
    assert set(PARTS) >= {"cli", "config", "lm", "pipeline", "scripted_server", "similarity", "store", "text"}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_a_place_in_the_layers(part: str) -> None:
    assert part in BELOW


def test_an_arrow_never_points_up() -> None:
    strangers: Strangers = {}
    for path in OURS:
        part = part_of(path)
        if part in {"__init__", "__main__"}:  # the package's front door names its contents, lazily
            continue
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("fastinstruct.")}
        if upward := ours - BELOW[part] - {part}:
            strangers[shown(path)] = sorted(upward)
    assert strangers == {}


def test_no_modules_import_one_another_in_a_circle() -> None:
    """Those under TYPE_CHECKING and inside functions included: a circle is one thing in several files."""
    names = {".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path for path in OURS}
    arrows = {
        name: {
            (full if full in names else full.rpartition(".")[0])
            for full in imported(path)
            if full in names or full.rpartition(".")[0] in names
        }
        - {name}
        for name, path in names.items()
    }
    while leaves := {name for name, found in arrows.items() if not found & arrows.keys()}:
        arrows = {name: found for name, found in arrows.items() if name not in leaves}
    reached_by = {name for found in arrows.values() for name in found}
    assert sorted(arrows.keys() & reached_by) == []


def test_modules_and_functions_can_be_held_in_mind() -> None:
    long = {shown(path): lines for path in OURS if (lines := len(path.read_text("utf-8").splitlines())) > MOST_LINES}
    for path in OURS:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and part_of(path) != "cli":  # option lists
                num_lines = (node.end_lineno or 0) - node.lineno + 1
                if num_lines > MOST_LINES_OF_FUNCTION:
                    long[f"{shown(path)}:{node.name}"] = num_lines
    assert long == {}


def test_pipeline_and_lm_are_few_rooms() -> None:
    """Besides the stages, the recipes and the transports, of which there will be more."""
    more = {"stages", "recipes", "transports", "__init__.py"}
    rooms = [path for part in ("pipeline", "lm") for path in modules(PACKAGE / part) if not more & set(path.parts)]
    assert 40 < len(rooms) <= 55


def test_a_library_is_imported_only_where_it_is_at_home() -> None:
    strangers: Strangers = {}
    for path in OURS:
        libraries = {name.split(".")[0] for name in imported(path)}
        if away := {name for name in libraries & set(HOMES) if part_of(path) not in HOMES[name]}:
            strangers[shown(path)] = sorted(away)
    assert strangers == {}


def test_kernels_import_numba_numpy_and_the_standard_library() -> None:
    allowed = {"fastinstruct_kernels", "llvmlite", "numba", "numpy", *sys.stdlib_module_names}  # llvmlite is Numba's
    found = {name.split(".")[0] for path in modules(KERNELS) for name in imported(path)}
    assert found - allowed == set()
    assert found >= {"numba", "numpy"}


def test_nothing_is_imported_relatively_or_by_a_star() -> None:
    strangers: Strangers = {}
    for path in [*OURS, *modules(KERNELS)]:
        if names := [name for name in imported(path) if name.startswith(".") or name.endswith(".*")]:
            strangers[shown(path)] = names
    assert strangers == {}


def test_sql_is_written_in_the_store_alone() -> None:
    strangers: Strangers = {}
    for path in OURS:
        texts = [node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)]
        statements = [text for text in texts if isinstance(text, str) and SQL.search(text)]
        if statements and part_of(path) != "store":
            strangers[shown(path)] = statements
    assert strangers == {}


def test_only_config_reads_the_environment() -> None:
    readers = {
        part_of(path)
        for path in OURS
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (isinstance(node, ast.Name) and node.id in {"environ", "getenv"})
    }
    assert readers == {"config"}


def test_only_the_command_line_prints_or_reads_argv() -> None:
    talkers = {
        shown(path)
        for path in OURS
        for node in ast.walk(tree_of(path))
        if part_of(path) != "cli"
        and (
            (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")
            or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.argv", "sys.stdout", "sys.stderr"})
        )
    }
    assert talkers == set()


# What opens a file beside `reading`, and why it may.
OPENERS = {
    "cli/init.py": {
        "(files('fastinstruct') / 'cli' / 'config_template.yaml').read_text(encoding='utf-8')",  # the package's own
        "path.open('x', encoding='utf-8')",  # new, or refused
    },
    "cli/scripted_server.py": {"os.fdopen(regular_descriptor(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 'w')"},
    "cli/terminal.py": {
        "os.open(os.devnull, os.O_WRONLY)",
        "os.open(os.devnull, flags)",
        "os.fdopen(descriptor, mode, encoding='utf-8', closefd=False)",
    },
    "deduplication/index_file.py": {
        "os.fdopen(regular_descriptor(lock, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 'ab')"
    },
    "deduplication/outputs.py": {"self._replacement.open()"},
    "exports/files.py": {"self._replacement.open()"},
    "lm/transports/embedded.py": {"os.fdopen(descriptor, 'wb')", "part.read_bytes()"},  # new; another package's own
    "pipeline/models/threshold.py": {"os.fdopen(descriptor, 'w', encoding='utf-8')"},  # new
    "lm/process.py": {"_STATM.read_bytes()"},  # of /proc
    "scripted_server/log.py": {  # without waiting
        "os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | at_once, 438)",
        "os.fdopen(descriptor, 'ab', buffering=0)",
    },
    "scripted_server/server.py": {"self._log.open()", "self._listener.open(lambda: Connection(self))"},
    "similarity/memory.py": {  # of /proc and /sys
        "Path('/proc/meminfo').read_text(encoding='ascii')",
        "(group / 'memory.max').read_text(encoding='ascii')",
        "(group / 'memory.current').read_text(encoding='ascii')",
        "(group / 'memory.stat').read_text(encoding='ascii')",
    },
    "similarity/snapshot.py": {
        "os.fdopen(regular_descriptor(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 'wb')"
    },
    "store/folder.py": {
        "os.open(folder, os.O_RDONLY)",  # a folder, to be made durable
        "open(self.path / 'run.lock', 'a+', opener=self._opener)",  # which goes through `reading`
        "open(temporary, 'w', encoding='utf-8', errors='backslashreplace', opener=opener)",
    },
    "store/replacement.py": {
        "self._written.open('xb')",  # new
        "self.target.open('wb')",  # a pipe or a device on purpose: whoever reads it is waited for
        "leftover.open('r+b')",  # for reading and writing no pipe is waited for
    },
}
OPENING = {
    "open",
    "open_code",
    "fdopen",
    "FileIO",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "fromfile",
    "memmap",
}


def test_files_are_opened_through_one_door() -> None:
    """Else a pipe or a device that a user, or somebody else, put there keeps a process waiting, or fills its memory."""
    found: dict[str, set[str]] = {}
    for path in OURS:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in OPENING:
                found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(ast.unparse(node))
    assert len(found.pop("reading.py")) == 4
    assert found == OPENERS


def test_what_limits_the_requests_has_no_clock_no_tasks_and_no_connections_of_its_own() -> None:
    """Time is passed in, so that minutes can be tested in milliseconds and the event loop stays the scheduler's."""
    limits = modules(PACKAGE / "lm" / "limits")
    assert len(limits) == 9
    away = {"aiohttp", "asyncio", "datetime", "logging", "threading", "time"}
    strangers = {
        shown(path): found for path in limits if (found := {name.split(".")[0] for name in imported(path)} & away)
    }
    assert strangers == {}


@pytest.mark.skipif(not (REPO / "kernels").is_dir(), reason="the package is installed, its checkout is not here")
def test_the_source_root_of_the_kernels_is_no_package_and_prompts_hold_no_code() -> None:
    assert not (REPO / "kernels" / "__init__.py").exists()
    assert list((REPO / "prompts").rglob("*.py")) == []
    assert {path.suffix for path in (REPO / "prompts").rglob("*") if path.is_file()} == {".txt", ".jsonl"}


# ------------------------------------------------------------------------------------------------------ the front door


def test_all_is_the_sorted_public_names_and_each_resolves() -> None:
    assert fastinstruct.__all__ == sorted(fastinstruct.__all__)
    for name in fastinstruct.__all__:
        assert getattr(fastinstruct, name).__module__.startswith("fastinstruct.")
    assert set(fastinstruct.__all__) <= set(dir(fastinstruct))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = fastinstruct.absent


def test_what_a_module_calls_public_is_defined_in_it_once() -> None:
    strangers: Strangers = {}
    for path in OURS:
        for node in tree_of(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                if absent := set(names) - set(bound(tree_of(path))):
                    strangers[shown(path)] = sorted(absent)
                assert len(set(names)) == len(names)
    assert strangers == {}


def bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module binds, under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                pass


@pytest.mark.parametrize(
    "name",
    ["fastinstruct", "fastinstruct.lm", "fastinstruct.errors", "fastinstruct.records", "fastinstruct.scripted_server"],
)
def test_importing_loads_nothing_heavy_and_does_nothing(name: str) -> None:
    takes_orjson = name in {"fastinstruct.lm", "fastinstruct.scripted_server"}
    heavy = ("numba", "aiohttp", "pydantic", "yaml", "rich", "typer") if takes_orjson else HEAVY
    script = (
        f"import logging, sys; before = logging.getLogger().handlers[:]; import {name}; "
        f"assert logging.getLogger().handlers == before; print(*({set(heavy)!r} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_links_are_followed_by_what_no_loop_can_stop() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ".resolve()" not in path.read_text(encoding="utf-8"), f"{path}: os.path.realpath raises for no loop"
