"""Prompts out: fill the templates of `prompts/` with tasks and demonstrations.

Knows nothing of models or runs. A template is plain text with `{placeholders}`; the chat ones are divided by lines
that say `[system]` and `[user]`. The fixed part of every prompt comes first, so that a server's prefix cache serves it.
A template whose name ends with ".json" asks for JSON, and shows tasks and demonstrations as JSON, so that a model sees
the very form it is to write and no numbers that it would put into its strings.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastinstruct.errors import ConfigError
from fastinstruct.reading import whole_text
from fastinstruct.records import Api, Message, Prompt
from fastinstruct.replaceable import is_folder, is_there
from fastinstruct.text.demonstrations import (
    one_line_json,
)
from fastinstruct.text.filters import num_words
from fastinstruct.text.folder import prompt_folder

__all__ = [
    "JSON_SUFFIX",
    "Placeholders",
    "PromptSet",
    "Template",
    "asking_for_tasks",
    "load_templates",
    "parse_template",
    "render",
]

JSON_SUFFIX = ".json"
"""What the name of a template ends with that asks for JSON."""

_MIN_PHRASE_WORDS = 4
_MAX_BYTES = 1 << 24  # of a template
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_SECTION = re.compile(r"^\[(system|user|assistant)\][ \t]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Placeholders:
    """The holes of a template: those that it has to have, and those that it may have."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One prompt with holes: `(role, text)` sections; a completions template has a single one without a role."""

    name: str
    source: str
    sections: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """Return the hash that stands for this template in a run's identity."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def asks_about_an_instruction(self) -> bool:
        """Whether one instruction is what it is to be filled with."""
        return "{instruction}" in self.source


def load_templates(
    api: Api,
    placeholders: Mapping[str, Placeholders],
    folder: Path | None = None,
    *,
    packaged: Mapping[str, Path] | None = None,
) -> dict[str, Template]:
    """Read templates of `api`, each for text and for JSON, from `folder` or else from the packaged prompts.

    `NAME.txt` is the template for text, `NAME.json.txt` the one for JSON, called "NAME.json". Where a folder has only
    the first, there is no "NAME.json": what a person wrote is not answered in a form that they did not ask for. A
    folder may hold templates of other recipes' stages, so that a copy of the packaged one serves each recipe.

    Args:
        api: the route that they are written for.
        placeholders: the name of each template -> what it holds; a name that ends with ".json" asks for JSON.
        folder: a person's own templates, which outrank the packaged ones.
        packaged: name -> the folder that holds it as the packaged ones do, a folder a route, where that is another.

    Raises:
        ConfigError: the folder does not exist or holds no template, or one lacks a placeholder or has an unknown one.
    """
    if folder is not None and not is_folder(folder):
        raise ConfigError(f"prompts: {folder} is no folder")
    files = [f"{name}.txt" for name in placeholders]
    if folder is not None and not any(is_there(folder / file) for file in files):
        raise ConfigError(f"prompts: {folder} holds none of {', '.join(files)}")
    for path in sorted(folder.glob("*.txt")) if folder is not None else ():
        if path.name not in files and not is_there(prompt_folder() / api / path.name):
            raise ConfigError(f"prompts: {path} is no template; they are called {', '.join(files)}")
    found: dict[str, Template] = {}
    for name, holes in placeholders.items():
        if _is_text_only(name, folder):
            continue
        own = None if folder is None else folder / f"{name}.txt"
        path = (
            own
            if own is not None and own.exists()
            else (packaged or {}).get(name, prompt_folder()) / api / f"{name}.txt"
        )
        if is_there(path) or not name.endswith(JSON_SUFFIX):  # a stage may have no template for JSON
            found[name] = _load(name, api, path, holes)
    return found


def _is_text_only(name: str, folder: Path | None) -> bool:
    """Whether a person's folder has the text template and not this one for JSON."""
    if folder is None or not name.endswith(JSON_SUFFIX):
        return False
    as_text, as_json = (folder / f"{each}.txt" for each in (name.removesuffix(JSON_SUFFIX), name))
    return is_there(as_text) and not is_there(as_json)


def parse_template(name: str, api: Api, source: str, placeholders: Placeholders, *, where: str) -> Template:
    """Return a template from its text; `where` is what a message calls it.

    Raises:
        ConfigError: a placeholder is missing or unknown, or a chat template has no sections.
    """
    _check_placeholders(source, placeholders, where)
    return Template(name=name, source=source, sections=_sections(name, api, source, where))


def render(template: Template, values: Mapping[str, str]) -> Prompt:
    """Fill a template's placeholders; braces inside the values stay as they are."""
    return _prompt([(role, _filled(text, values)) for role, text in template.sections])


def asking_for_tasks(template: Template, in_context: Sequence[str], num_items: int) -> Prompt:
    """Ask for `num_items` tasks after the given ones, shown as a numbered list or, by a JSON template, as JSON.

    Source: Self-Instruct, appendix A.1: white space collapsed, a trailing colon removed, numbered from 1.
    """
    shown = [" ".join(text.split()).rstrip(":") for text in in_context]
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(shown, 1))
    values = {
        "tasks": one_line_json(shown) if template.name.endswith(JSON_SUFFIX) else listed,
        "next_number": str(len(shown) + 1),
        "last_number": str(len(shown) + num_items),
        "num_items": str(num_items),
    }
    return render(template, values)


class _Question:
    """A template with its demonstrations in place: what is missing is the instruction that it asks about."""

    def __init__(self, template: Template, demonstrations: str) -> None:
        values = {"demonstrations": demonstrations}
        self._sections = [
            # Cut before it is filled: a demonstration may hold this word in braces.
            (role, [_filled(part, values) for part in text.split("{instruction}")])
            for role, text in template.sections
        ]

    def about(self, instruction: str) -> Prompt:
        """Ask about one instruction."""
        return _prompt([(role, instruction.join(parts)) for role, parts in self._sections])


class PromptSet:
    """The prompts of one run: templates with their demonstrations already written out.

    Args:
        templates: what `load_templates` returned.
        demonstrations: the name of a template -> what it shows, each written out.
    """

    def __init__(self, templates: Mapping[str, Template], demonstrations: Mapping[str, Sequence[str]]) -> None:
        self.templates = dict(templates)
        self._written = {name: list(shown) for name, shown in demonstrations.items()}
        self._demonstrations = {name: _joined(written) for name, written in self._written.items()}
        asking = [name for name, template in self.templates.items() if template.asks_about_an_instruction]
        self._questions = {name: _Question(templates[name], self._demonstrations.get(name, "")) for name in asking}

    def about(self, name: str, instruction: str, share: float = 1.0) -> Prompt:
        """Ask one of the templates about one instruction.

        `share` of the demonstrations are shown, the last ones and one at least.
        """
        question = self._questions[name]
        if share < 1:
            written = self._written.get(name, [])
            question = _Question(self.templates[name], _joined(written[-max(1, int(share * len(written))) :]))
        return question.about(" ".join(instruction.split()))

    def phrases(self, names: Collection[str]) -> tuple[str, ...]:
        """Return the lines of these prompts that are the templates' own, without markers, each once.

        Short ones are left out: a task may well begin as they do.
        """
        asking = [self.templates[name] for name in names if name in self.templates]
        lines = (line for template in asking for _, text in template.sections for line in text.splitlines())
        own = (line.strip().lstrip("-*• ") for line in lines if not _PLACEHOLDER.search(line))
        return tuple(dict.fromkeys(line for line in own if num_words(line) >= _MIN_PHRASE_WORDS))

    def fingerprints(self) -> dict[str, str]:
        """Return, by prompt name, the sha256 of template and demonstrations: what a run's identity holds of them."""
        return {
            name: hashlib.sha256((template.source + self._demonstrations.get(name, "")).encode()).hexdigest()
            for name, template in self.templates.items()
        }


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _prompt(sections: Sequence[tuple[str, str]]) -> Prompt:
    if sections[0][0] == "":
        return sections[0][1]
    return tuple([Message(role=role, content=text) for role, text in sections])


def _joined(demonstrations: Sequence[str]) -> str:
    return "".join(demonstrations).rstrip("\n") + "\n"


def _load(name: str, api: Api, path: Path, placeholders: Placeholders) -> Template:
    try:
        source = whole_text(path, _MAX_BYTES)  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_template(name, api, source, placeholders, where=str(path))


def _check_placeholders(source: str, placeholders: Placeholders, where: str) -> None:
    found = set(_PLACEHOLDER.findall(source))
    for missing in sorted(placeholders.required - found):
        raise ConfigError(f"{where}: the placeholder {{{missing}}} is missing")
    for unknown in sorted(found - placeholders.required - placeholders.optional):
        raise ConfigError(f"{where}: unknown placeholder {{{unknown}}}")


def _sections(name: str, api: Api, source: str, where: str) -> tuple[tuple[str, str], ...]:
    if api is Api.COMPLETIONS:
        # A base model continues the text right after its last visible character, or on the line after the task; JSON
        # begins a line of its own.
        text = source.rstrip()
        ends_line = "}" if name.endswith(JSON_SUFFIX) else "{instruction}"
        return (("", f"{text}\n" if text.endswith(ends_line) else text),)
    parts = _SECTION.split(source)
    if parts[0].strip() or len(parts) < 3:
        raise ConfigError(f"{where}: a chat prompt starts with a line [system] or [user]")
    return tuple((role, text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True))
