"""What the settings `filters` say: the heuristics of stage 1, and what a user requires and rules out.

Knows nothing of how texts are judged (text/filters.py, text/word_filters.py). Every problem names its key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fastinstruct.config.part import Part
from fastinstruct.config.patterns import compiled
from fastinstruct.records import MAX_RULE_NAME, is_rule_name

__all__ = ["IMPLIED", "PAPER_FILTERS", "FilterConfig", "Place", "RuleConfig"]

# What a text model cannot do (paper, section 3.1), with the words Stanford Alpaca added.
KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to", "video", "audio", "music", "flowchart", "diagram",
)  # fmt: skip

Place = Literal["instruction", "input", "output"]
"""A part of an example that a rule looks at."""


class RuleConfig(Part):
    """What one rule of `required` or `forbidden` looks for; a word or phrase alone will do, too.

    Either `words` or `pattern`; it finds something where any of the places `on` holds it.
    """

    name: str = Field("", description="what it is counted under; empty takes what it looks for")
    words: tuple[str, ...] = Field((), description="words or phrases, each as a whole and in any case; one will do")
    pattern: str | None = Field(
        None, description="instead of words, a regular expression in RE2's syntax (needs the extra re2)"
    )
    on: tuple[Place, ...] = Field(("instruction", "input", "output"), description="where it looks, in any of these")

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_word_alone(cls, value: object) -> object:
        if isinstance(value, str):
            return {"words": (value,)}
        if isinstance(value, Mapping):  # YAML reads a bare `on` as true
            return {"on" if key is True else key: of_key for key, of_key in value.items()}
        if isinstance(value, RuleConfig):
            return value
        msg = "must be a word or phrase, or a group of words or pattern, on and name"
        raise ValueError(msg)

    @field_validator("words", "on", mode="before")
    @classmethod
    def _may_be_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("words")
    @classmethod
    def _words_hold_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        words = tuple(" ".join(word.split()) for word in value)
        if not all(word and word.isprintable() for word in words):
            msg = "must be words or phrases; one of them is empty or holds what cannot be printed"
            raise ValueError(msg)
        return words

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value == "":
            msg = "must not be empty, which is found everywhere"
            raise ValueError(msg)
        if value is not None:
            compiled(value)
        return value

    @field_validator("on")
    @classmethod
    def _looks_somewhere(cls, value: tuple[Place, ...]) -> tuple[Place, ...]:
        if not value:
            msg = "must name at least one of instruction, input, output"
            raise ValueError(msg)
        return tuple(dict.fromkeys(value))

    @field_validator("name")
    @classmethod
    def _name_can_be_shown(cls, value: str) -> str:
        if value and not is_rule_name(value):
            msg = f"must be printable, without white space around it, and at most {MAX_RULE_NAME} characters long"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _looks_for_one_thing(self) -> RuleConfig:
        if bool(self.words) == (self.pattern is not None):
            msg = "must have either words or a pattern"
            raise ValueError(msg)
        return self

    @property
    def label(self) -> str:
        """Return what the rule is counted under."""
        return self.name or _shown(self.pattern or ", ".join(self.words))


def _shown(text: str) -> str:
    """What a rule looks for, as a name that `is_rule_name` takes."""
    text = (text if text.isprintable() else ascii(text)[1:-1]).strip()
    return text[: MAX_RULE_NAME - 1].strip() + "…" if len(text) > MAX_RULE_NAME else text or "white space"


class FilterConfig(Part):
    """What is rejected, beside near-duplicates.

    Words are counted as `text.filters` documents. At most `max_repeated_output` instructions of a run may have one and
    the same output; what is counted is said in `text.repeated_outputs`. null: any number. A sitting ends when more than
    the share `max_unreadable` of a stage's last 40 replies gives nothing, kept or rejected; null lets it go on.
    """

    min_words: int = Field(4, ge=0)
    max_words: int = Field(150, ge=1)
    keywords: tuple[str, ...] = KEYWORDS
    required: tuple[RuleConfig, ...] = ()
    forbidden: tuple[RuleConfig, ...] = ()
    max_repeated_output: int | None = Field(10, ge=1)
    max_unreadable: float | None = Field(0.5, ge=0, le=1)

    @field_validator("required", "forbidden", mode="before")
    @classmethod
    def _may_be_one_rule(cls, value: object) -> object:
        return (value,) if isinstance(value, str | Mapping | RuleConfig) else value

    @field_validator("required", "forbidden")
    @classmethod
    def _are_counted_apart(cls, value: tuple[RuleConfig, ...]) -> tuple[RuleConfig, ...]:
        for label, count in Counter(rule.label for rule in value).items():
            if count > 1:
                msg = f"{count} rules would be counted as {label!r}; give each a name of its own"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> FilterConfig:
        if self.min_words > self.max_words:
            msg = f"min_words must be at most max_words ({self.max_words})"
            raise ValueError(msg)
        return self

    def identity_fields(self) -> dict[str, Any]:
        """Return what of it decides the data of a run.

        A key is left out where it says what versions implied that did not know it, so that their runs stay the runs
        they are.
        """
        fields = self.model_dump(mode="json", exclude={"max_unreadable"})
        return {key: value for key, value in fields.items() if key not in IMPLIED or value != IMPLIED[key]}


IMPLIED: Mapping[str, Any] = {"required": [], "forbidden": [], "max_repeated_output": None}
"""What versions that did not know a key of `filters` did, as the value of that key."""

PAPER_FILTERS = FilterConfig(keywords=KEYWORDS[: KEYWORDS.index("go to") + 1], max_repeated_output=None)
