"""A configuration file becomes a tree of plain values: YAML, JSON or TOML, its variables put in, its paths anchored.

Knows nothing of what most keys do. Guarantees that whatever a file holds, the result is a tree of bounded size and
depth or a `ConfigError` of one line, which never repeats a value: it may be a key.
"""

from __future__ import annotations

import errno
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fastinstruct.errors import ConfigError
from fastinstruct.reading import whole_file

__all__ = ["Tree", "parse_yaml", "read_tree"]

Tree = dict[str, Any]

_PATH_KEYS = (
    "seeds",
    "prompts",
    "out",
    "model.gguf",
    "instructions.model.gguf",
    "classification.model.gguf",
    "instances.model.gguf",
    "similarity.against",
)
_VARIABLE = re.compile(r"\$\{(\w+)(?::([^}]*))?\}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand in a path for bytes that are no UTF-8
_MAX_BYTES = 256 * 1024
_MAX_VALUES = 20_000  # with aliases written out: ten lines of them can stand for a billion values
_MAX_DEPTH = 40


def read_tree(path: Path, env: Mapping[str, str]) -> Tree:
    """Return what a file says; an empty one says nothing.

    Raises:
        ConfigError: it cannot be read, is broken (with the line), too large, or needs a variable that is not set.
    """
    tree = _parse(path, _text(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold keys and values at the top level, not a {type(tree).__name__}")
    interpolated: Tree = _interpolate(tree, env, str(path))
    for key in _PATH_KEYS:
        _anchor(interpolated, key, path)
    return interpolated


def parse_yaml(text: str, source: str) -> object:
    """Return the one document of a YAML text as plain values.

    Raises:
        ConfigError: `SOURCE:LINE: what is wrong` for a text that is broken, repeats a key or is no plain data.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, source, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{source}:{line}: not valid YAML: {_without_quotes(error.problem)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    except ConfigError:
        raise  # it is a ValueError, too
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # The constructors of dates, numbers and explicit tags raise whatever their text makes them raise.
        complaint = "not valid YAML: a date, a number or a tag is malformed, or a character is not allowed; quote it"
        raise ConfigError(f"{source}: {complaint}") from None


def _text(path: Path) -> str:
    try:
        content = whole_file(path, _MAX_BYTES)
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `fastinstruct init` writes one to start from") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigError(f"{path}: is larger than {_MAX_BYTES // 1024} KiB; is this the configuration?") from None
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return text


def _parse(path: Path, text: str) -> object:
    try:
        match path.suffix.lower():
            case ".toml":
                return tomllib.loads(text)
            case ".json":
                return json.loads(text, object_pairs_hook=_unique_pairs)
            case _:
                return parse_yaml(text, str(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {_without_quotes(str(error))}") from None
    except _RepeatedKeyError as error:
        raise ConfigError(f"{path}: the key {_shown(error.args[0])} is given twice; remove one") from None
    except ConfigError:
        raise  # it is a ValueError, too
    except (RecursionError, ValueError):
        raise ConfigError(f"{path}: nested too deeply, or a number in it is too long") from None


class _RepeatedKeyError(Exception):
    """A JSON object gives this key twice."""


def _unique_pairs(pairs: list[tuple[str, Any]]) -> Tree:
    tree: Tree = {}
    for key, value in pairs:
        if key in tree:
            raise _RepeatedKeyError(key)
        tree[key] = value
    return tree


def _measure(node: yaml.Node, source: str, sizes: dict[int, int], depth: int = 0) -> int:
    """Return how many values a node stands for with aliases written out; refuse what is too large or repeats a key."""
    line = node.start_mark.line + 1
    if sizes.get(id(node)) == 0:
        raise ConfigError(f"{source}:{line}: holds itself; an alias must not refer to what it is part of")
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{source}:{line}: nested more than {_MAX_DEPTH} levels deep")
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = 0
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _refuse_repeated_keys(node, source)
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = 1 + sum(_measure(child, source, sizes, depth + 1) for child in children)
    if size > _MAX_VALUES:
        raise ConfigError(f"{source}:{line}: stands for more than {_MAX_VALUES} values; is this the configuration?")
    sizes[id(node)] = size
    return size


def _refuse_repeated_keys(node: yaml.MappingNode, source: str) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if (key.tag, key.value) in seen:
            line = key.start_mark.line + 1
            raise ConfigError(f"{source}:{line}: the key {_shown(key.value)} is given twice; remove one")
        seen.add((key.tag, key.value))


def _interpolate(value: Any, env: Mapping[str, str], source: str, *at: object) -> Any:  # noqa: ANN401 - any value
    """Replace `${VAR}` and `${VAR:default}` in strings; `at` are the keys above the value, None for a list."""
    if len(at) > _MAX_DEPTH:
        raise ConfigError(f"{source}: nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _interpolate(item, env, source, *at, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, env, source, *at, None) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = env.get(name, default)
        if found is None:
            raise ConfigError(f"{source}: ${{{name}}} is not set; export it or write ${{{name}:default}}")
        return found

    is_path = ".".join(str(key) for key in at if key is not None).removesuffix(".path") in _PATH_KEYS
    if (_NO_BYTE if is_path else _SURROGATE).search(value):
        raise ConfigError(f"{source}: a text holds half of a surrogate pair (\\ud800 to \\udfff); write the character")
    end = value.rfind("}") + 1  # beyond it no variable ends, and looking for one there would take quadratic time
    return _VARIABLE.sub(replace, value[:end]) + value[end:]


def _anchor(tree: Tree, dotted: str, file: Path) -> None:
    """Make a relative path of a file, or a list of them, relative to that file's folder."""
    *parents, leaf = dotted.split(".")
    for parent in parents:
        child = tree.get(parent)
        if not isinstance(child, dict):
            return
        tree = child
    if leaf not in tree:
        return
    try:
        tree[leaf] = _anchored(tree[leaf], file.parent)
    except RuntimeError:
        raise ConfigError(f"{file}: {dotted}: ~ stands for a home folder that does not exist") from None


def _anchored(value: Any, folder: Path) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, str):
        return str(folder / Path(value).expanduser())
    if isinstance(value, list):
        return [_anchored(item, folder) for item in value]
    if isinstance(value, dict) and "path" in value:
        return {**value, "path": _anchored(value["path"], folder)}
    return value


def _without_quotes(problem: str | None) -> str:
    """Return a parser's complaint without the text that it quotes: that may be a value, and a value a key."""
    return re.sub(r"'[^']{3,}'|\"[^\"]{3,}\"", "(…)", " ".join((problem or "broken").split()))


def _shown(key: str) -> str:
    return key if key.isprintable() and len(key) <= 80 else ascii(key)[:80]
