"""`fastinstruct init`: the template says what the schema says, and nothing is overwritten unasked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from fastinstruct.cli.init import init
from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import InputError

COMMENTED_KEY = re.compile(r"^( *)# ([a-z_]+:(?: .*)?)$", re.MULTILINE)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "fastinstruct.yaml"
    init(path)
    return path


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def keys_in(text: str) -> list[str]:
    """The dotted keys of the template, commented-out ones included, by their indentation."""
    found: list[str] = []
    parents: dict[int, str] = {}
    for line in COMMENTED_KEY.sub(r"\1\2", text).splitlines():
        match = re.match(r"( *)([a-z_]+):(.*)", line)
        if match is None:
            continue
        indent, name, value = len(match[1]), match[2], match[3].partition("#")[0].strip()
        path = parents.get(indent - 2, "") + name
        parents[indent] = f"{path}."
        if value:
            found.append(path)
    return found


def test_the_template_as_written_is_the_default_configuration(written: Path) -> None:
    assert load_config(written) == RunConfig()


def test_the_template_with_every_line_uncommented_is_the_default_configuration(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    uncommented, count = COMMENTED_KEY.subn(r"\1\2", text)
    written.write_text(uncommented, encoding="utf-8")
    assert count == len(leaves(RunConfig)) - 1  # the target is not commented out
    assert load_config(written) == RunConfig()


def test_the_template_holds_every_key_of_the_schema_once(written: Path) -> None:
    keys = keys_in(written.read_text(encoding="utf-8"))
    assert sorted(keys) == sorted(leaves(RunConfig))


@pytest.mark.parametrize("key", sorted(leaves(RunConfig)))
def test_uncommenting_one_line_alone_is_valid(written: Path, key: str) -> None:
    lines = written.read_text(encoding="utf-8").splitlines()
    *_, name = key.split(".")
    for number, line in enumerate(lines):
        if re.match(rf" *# {name}: ", line):
            changed = [*lines[:number], COMMENTED_KEY.sub(r"\1\2", line), *lines[number + 1 :]]
            written.write_text("\n".join(changed), encoding="utf-8")
            assert load_config(written) == RunConfig()


def test_every_key_says_what_it_means(written: Path) -> None:
    lines = written.read_text(encoding="utf-8").splitlines()
    assert [line.strip() for line in lines if re.match(r" *# \w+: [^#]*$", line)] == []


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("target: 7\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml: exists already; --force overwrites it"):
        init(path)
    assert path.read_text(encoding="utf-8") == "target: 7\n"


def test_force_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("target: 7\n", encoding="utf-8")
    init(path, force=True)
    assert load_config(path) == RunConfig()


def test_a_missing_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory; check its folder"):
        init(tmp_path / "nowhere" / "fastinstruct.yaml")


@pytest.mark.parametrize("name", ["fastinstruct.json", "fastinstruct.TOML"])
def test_a_name_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"written in YAML; give it a name that ends in \.yaml"):
        init(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_verb_writes_fastinstruct_yaml_here_and_says_what_is_next_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(init)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.startswith("wrote fastinstruct.yaml;")
    assert "fastinstruct doctor --config fastinstruct.yaml" in result.stderr
    assert "fastinstruct run --config fastinstruct.yaml" in result.stderr
    assert load_config(tmp_path / "fastinstruct.yaml") == RunConfig()
