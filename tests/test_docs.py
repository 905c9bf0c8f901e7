"""What the README and docs/ say is so: examples run, commands and keys exist, links lead somewhere, lists are whole."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

import configuration_tables
from docs_pages import PAGES, REPOSITORY, Block, anchors, blocks, links, name_of
from fastinstruct.cli.app import app
from fastinstruct.config import RunConfig, load_config
from fastinstruct.config.loading import ENVIRONMENT
from fastinstruct.exports import FORMATS
from fastinstruct.pipeline.recipes import RECIPES
from fastinstruct.records import RejectReason
from fastinstruct.scripted_server import STYLES, Fault, Script, ScriptedServer
from fastinstruct.text.seeds import load_seeds

README, DOCS = REPOSITORY / "README.md", REPOSITORY / "docs"
BASE_URL, MODEL = "http://127.0.0.1:8000/v1", "Qwen/Qwen3-8B"  # of every example that asks a model
NOT_RUN: set[tuple[str, str]] = set()  # page and reason of each example that stands under `<!-- not run: REASON -->`

ALL = [block for page in PAGES for block in blocks(page)]
PATHS = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "kernels")))
INLINE = re.compile(r"`([^`]+)`")
KEYS = {row.key for row in configuration_tables.rows()}
GROUPS = {key.rpartition(".")[0] for key in KEYS} | {key.partition("[")[0] for key in KEYS}


def of(*languages: str) -> list[Any]:
    """The blocks in these languages that are to be tried, each by its place."""
    found = [block for block in ALL if block.language in languages and not block.not_run]
    return [pytest.param(block, id=block.place) for block in found]


def of_page(language: str) -> list[Any]:
    pages = dict.fromkeys(block.page for block in ALL if block.language == language)
    return [pytest.param(page, id=name_of(page)) for page in pages]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of a shell block, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def inline_codes() -> Iterator[tuple[str, str]]:
    """Yield each page's name with what stands in backquotes in its prose."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for match in INLINE.finditer(text):
            yield name_of(page), match[1]


def parsed(words: list[str]) -> dict[str, Any]:
    """What a command line means to its verb; raises what a person would be told."""
    group: Any = typer.main.get_command(app)
    verb, *arguments = words
    return dict(group.commands[verb].make_context(verb, arguments).params)


def options() -> set[str]:
    group: Any = typer.main.get_command(app)
    return {name for verb in [group, *group.commands.values()] for parameter in verb.params for name in parameter.opts}


def between(page: Path, mark: str) -> str:
    """What stands between `<!-- MARK -->` and `<!-- /MARK -->`."""
    found = re.search(rf"<!-- {mark}\b[^>]*-->\n(.*?)<!-- /{mark} -->", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{name_of(page)}: there is no {mark}"
    return found[1]


def first_cells(text: str) -> set[str]:
    """What stands in backquotes in the first cell of each row of the tables in a text."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {code for cell in rows for code in INLINE.findall(cell)}


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    text = page.read_text(encoding="utf-8")
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


# ------------------------------------------------------------------------------------------------------------- examples


def test_every_block_is_in_a_language_that_is_tried_or_shows_what_is_printed() -> None:
    assert {block.language for block in ALL} <= {"python", "yaml", "json", "sh", ""}


def test_the_examples_that_are_not_run_are_these_for_these_reasons() -> None:
    assert {(name_of(block.page), block.not_run) for block in ALL if block.not_run} == NOT_RUN


@pytest.mark.timeout(600)  # the kernels may have to be compiled first
@pytest.mark.parametrize("page", of_page("python"))
async def test_the_python_of_a_page_runs_from_top_to_bottom_and_prints_what_its_comments_say(
    page: Path, tmp_path: Path
) -> None:
    async with ScriptedServer(Script(model=MODEL)) as server:
        for block in blocks(page):
            if block.language == "python" and not block.not_run:
                await run_python(block, server.base_url, tmp_path)


async def run_python(block: Block, base_url: str, folder: Path) -> None:
    """Run a block as a program of its own, in the folder of the page's other blocks; its lines are the page's."""
    program = folder / f"{block.page.name}.py"
    program.write_text("\n" * (block.line - 1) + block.text.replace(BASE_URL, base_url), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FASTINSTRUCT_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(program)),
        cwd=folder,
        env={**env, "PYTHONPATH": PATHS, "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, f"{block.place}: {stderr.decode()[-2000:]}"
    for expected in re.findall(r"^ *print\(.*\)  # (.+)$", block.text, re.MULTILINE):
        assert expected in stdout.decode(), f"{block.place}: does not print {expected!r} but {stdout.decode()[-2000:]}"


@pytest.mark.parametrize("block", of("yaml"))
def test_a_yaml_block_is_a_configuration(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "fastinstruct.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load_config(path) != RunConfig()


@pytest.mark.parametrize("block", of("json"))
def test_a_json_block_is_json_lines_and_seeds_where_it_shows_seeds(block: Block, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in block.text.splitlines()]
    assert rows
    if any("instances" in row for row in rows):
        path = tmp_path / "seeds.jsonl"
        path.write_text(block.text, encoding="utf-8")
        assert len(load_seeds(path)) == len(rows)


@pytest.mark.parametrize("block", of("sh"))
def test_a_command_names_verbs_options_keys_targets_and_scripts_that_exist(block: Block) -> None:
    for words in commands(block):
        match words:
            case ["fastinstruct", *rest]:
                check_settings(parsed(rest))
            case ["make", target]:
                assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            case ["python", "-m", module, *_]:
                assert (REPOSITORY / f"{module.replace('.', '/')}.py").is_file()
            case [program, *_]:
                assert program in {"curl", "export", "llama-server", "pip", "vllm"}


def check_settings(given: dict[str, Any]) -> None:
    for assignment in given.get("assignments") or ():
        assert assignment.partition("=")[0] in KEYS, assignment
    for name in given.get("formats") or ():
        assert name in FORMATS


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["run", "--max-costs", "20"])


def test_options_in_the_text_exist() -> None:
    known = options()
    named = [(page, name) for page, code in inline_codes() for name in re.findall(r"(?:^|(?<= ))--[a-z][a-z-]*", code)]
    assert len(named) > 50
    of_others = {"--check", "--help"}  # a script's; every verb's
    assert [(page, name) for page, name in named if name not in known | of_others] == []


def test_keys_in_the_text_exist() -> None:
    heads = "|".join(sorted({key.partition(".")[0] for key in KEYS if "." in key}))
    dotted = re.compile(rf"(?:--set )?((?:{heads})\.[a-z_.]+[a-z])(?:[=: ].*)?")
    named = [(page, found[1]) for page, code in inline_codes() if (found := dotted.fullmatch(code))]
    assert len(named) > 50
    files = (
        "prompts.txt",
        "instructions.txt",
        "classification.txt",
        "instructions.json.txt",
        "classification.json.txt",
    )
    assert [(page, key) for page, key in named if key not in KEYS | GROUPS and key not in files] == []


# ---------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    lost = []
    for link in links(page):
        if link.target.startswith("https://"):
            continue
        path, _, heading = link.target.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            lost.append(f"{name_of(page)}:{link.line}: {link.target}")
    assert lost == []


def test_every_page_can_be_reached_from_the_readme_and_from_the_index() -> None:
    for index in (README, DOCS / "README.md"):
        linked = {(index.parent / link.target.partition("#")[0]).resolve() for link in links(index)}
        assert [name_of(page) for page in PAGES if page not in {*linked, README, DOCS / "README.md"}] == []


def test_the_contents_of_a_page_are_its_sections() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        contents = re.findall(r"^- \[(.+)\]\(#.+\)$", text, re.MULTILINE)
        if contents:
            assert contents == re.findall(r"^## (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# What is `run.db`, and why?\n## Twice\n```sh\n# no heading\n```\n## Twice\n", encoding="utf-8")
    assert anchors(page) == {"what-is-rundb-and-why", "twice", "twice-1"}


def test_the_readme_is_for_a_first_reader() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


# ------------------------------------------------------------------------------------------------- lists that are whole


def test_the_page_has_every_key_of_the_schema_as_the_schema_has_it() -> None:
    page = configuration_tables.PAGE.read_text(encoding="utf-8")
    assert configuration_tables.with_tables(page) == page, "run `make docs`"


def test_the_tables_of_keys_hold_every_field_of_every_part() -> None:
    schema = RunConfig.model_json_schema()
    fields = {name for part in [schema, *schema["$defs"].values()] for name in part.get("properties", ())}
    assert fields == {part.removesuffix("[]") for key in KEYS for part in key.split(".")} - {"NAME"}


def test_a_key_is_told_with_its_type_bounds_default_and_meaning() -> None:
    rows = {row.key: row for row in configuration_tables.rows()}
    assert rows["model.idle_timeout_s"][1:] == ("number, above 0", "`120`", "seconds without a byte inside a reply")
    assert rows["runtime.commit_order"].type == "`arrival`, `windowed`"
    assert rows["model.endpoints[].base_url"].default == "required"
    assert all(row.meaning for row in rows.values())


def test_the_page_names_every_variable_of_the_environment_with_its_key() -> None:
    text = section(DOCS / "configuration.md", "Environment variables")
    assert dict(re.findall(r"^\| `(FASTINSTRUCT_\w+)` \| `([\w.]+)` \|$", text, re.MULTILINE)) == ENVIRONMENT


def test_the_page_explains_every_reason_of_a_rejection() -> None:
    text = section(DOCS / "filters_and_similarity.md", "Why something was rejected")
    assert first_cells(text) == {str(reason) for reason in RejectReason}


def test_the_page_names_every_fault_and_every_style_of_the_scripted_server() -> None:
    page = DOCS / "rehearsing.md"
    assert INLINE.findall(between(page, "styles")) == list(STYLES)
    assert set(INLINE.findall(between(page, "faults"))) == {str(fault) for fault in Fault}


def test_the_page_names_every_template_with_the_placeholders_it_has_to_hold() -> None:
    rows = [line.split("|") for line in section(DOCS / "extending.md", "Prompts").splitlines() if ".txt` |" in line]
    told = {
        file.removesuffix(".txt"): set(re.findall(r"{(\w+)}", holds.partition("may use")[0]))
        for _, files, _, holds, _ in rows
        for file in INLINE.findall(files)
    }
    used = (recipe.placeholders() for recipe in RECIPES.values())
    assert told == {name: holes.required for placeholders in used for name, holes in placeholders.items()}


def test_the_page_names_every_export_format() -> None:
    assert first_cells(section(DOCS / "formats.md", "What comes out")) == set(FORMATS)


# ------------------------------------------------------------------------------------------------- tables of benchmarks


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return import_module("benchmarks.readme")


def test_each_table_of_figures_has_one_place_and_something_in_it(readme: ModuleType) -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    for name in (name for tables in readme.TABLES.values() for name in tables):
        places = [found for text in texts for found in re.findall(rf"<!-- {name}: .*?<!-- /{name} -->", text, re.S)]
        assert len(places) == 1
        assert places[0].count("\n| ") > 3


def test_the_readmes_rows_are_rows_of_the_whole_table(readme: ModuleType) -> None:
    brief = between(README, "peers_brief").splitlines()
    assert len(brief) == 2 + len(readme.BRIEF)
    assert set(brief) <= set(between(DOCS / "benchmarks.md", "peers").splitlines())


def test_results_are_written_into_whichever_page_has_their_place(readme: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    front, page, other = tmp_path / "README.md", tmp_path / "docs" / "figures.md", tmp_path / "docs" / "other.md"
    place = "before\n<!-- {0}: generated -->\nold\n<!-- /{0} -->\nafter\n"
    front.write_text(place.format("peers_brief"), encoding="utf-8")
    page.write_text(place.format("peers"), encoding="utf-8")
    other.write_text("nothing\n", encoding="utf-8")
    rows = [
        {
            "name": name,
            "settings": settings,
            "cpu_us": 2.61,
            "times_ours": 1.0,
            "recall": 1.0,
            "precision": 1.0,
            "kept": 9,
        }
        for name, settings in (("FastInstruct", "batches of 1,000"), ("FastInstruct", "one text a call"))
    ]
    streams = {name: {"texts": 9, "rows": rows} for name in ("edited", "plain")}
    result = tmp_path / "peers.json"
    result.write_text("a table\n" + json.dumps({"benchmark": "peers", "streams": streams}), encoding="utf-8")
    readme.main([result], tmp_path)
    one, two = (
        f"| FastInstruct, {how} | 2.6 | 1.0 | 1.000 | 1.000 | 9 |" for how in ("batches of 1,000", "one text a call")
    )
    assert one in front.read_text(encoding="utf-8")
    assert two not in front.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").splitlines()[4:6] == [one, two]
    assert "old" not in front.read_text(encoding="utf-8") + page.read_text(encoding="utf-8")
    assert other.read_text(encoding="utf-8") == "nothing\n"


def test_a_table_without_a_place_is_told(readme: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"README\.md: there is no place for the table growth"):
        readme.replaced({Path("README.md"): "nothing"}, "growth", "| a |")
