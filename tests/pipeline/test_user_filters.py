"""What a user requires and rules out: rules as they are configured, what they find, and a filter in Python."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.config import FilterConfig, RuleConfig, load_config
from fastinstruct.config.patterns import compiled
from fastinstruct.config.recording import recorded
from fastinstruct.errors import ConfigError, FilterFailed
from fastinstruct.records import (
    Example,
    Instance,
    Rejection,
    RejectReason,
    is_rule_name,
    reason_in,
    rule_reason,
)
from fastinstruct.text.custom_filters import CustomFilter
from fastinstruct.text.word_filters import WordFilters

PLACES = ("instruction", "input", "output")


def filters_of(**filters: Any) -> WordFilters:
    return WordFilters.of(load_config(flags={f"filters.{key}": value for key, value in filters.items()}).filters)


def refused(filters: WordFilters, instruction: str, given: str = "", output: str = "") -> str | None:
    """Why an example is rejected, at whichever stage; None if it is kept."""
    case = Instance(input=given, output=output)
    found = filters.judge_instruction(instruction) or filters.judge_instance(instruction, case)
    return None if found is None else str(found.reason)


def refusal(**filters: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        filters_of(**filters)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---------------------------------------------------------------------------------------------------------------- rules


def test_without_rules_everything_passes() -> None:
    assert refused(filters_of(), "Say hi.", "", "") is None


def test_a_forbidden_word_is_found_in_any_place_as_a_whole_word_in_any_case() -> None:
    filters = filters_of(forbidden=["lorem ipsum", "straße"])
    assert filters.judge_instruction("Write LOREM\n ipsum.") == Rejection(reason=reason_in("forbidden:lorem ipsum"))
    assert refused(filters, "Say hi.", "a lorem ipsum text", "x") == "forbidden:lorem ipsum"
    assert refused(filters, "Say hi.", "", "Die STRASSE, die Straße") == "forbidden:straße"
    assert refused(filters, "Say hi.", "lorem, ipsum", "lorem ipsums in Hauptstraßen") is None


def test_words_of_scripts_without_spaces_are_found_anywhere() -> None:
    filters = filters_of(forbidden=["股票", "คน"])
    assert refused(filters, "推荐一些股票给我。") == "forbidden:股票"
    assert refused(filters, "บอกคนนั้น") == "forbidden:คน"


@pytest.mark.parametrize("place", PLACES)
def test_a_rule_looks_where_it_is_told_to(place: str) -> None:
    forbidden = filters_of(forbidden={"words": "acme", "on": place})
    required = filters_of(required={"words": "acme", "on": place})
    for held in PLACES:
        texts = [f"This is {'Acme' if held == other else 'nothing'}." for other in PLACES]
        assert (refused(forbidden, *texts) == "forbidden:acme") is (held == place)
        assert (refused(required, *texts) == "required:acme") is (held != place)


def test_what_is_required_of_instructions_alone_is_judged_before_there_is_an_example() -> None:
    alone = filters_of(required=[{"name": "topic", "words": ["rain", "snow"], "on": ["instruction"]}])
    assert alone.judge_instruction("Describe the sun.") == Rejection(reason=reason_in("required:topic"))
    assert alone.judge_instruction("Describe a snow storm.") is None
    assert alone.judge_instance("Describe a snow storm.", Instance(input="", output="White.")) is None


def test_a_required_word_may_be_in_any_of_the_places_and_one_rule_each_requires_all() -> None:
    anywhere = filters_of(required="snow")
    assert anywhere.judge_instruction("Describe the winter.") is None  # its output may hold it
    assert refused(anywhere, "Describe the winter.", "", "Snow falls.") is None
    assert refused(anywhere, "Describe the snow.", "", "White.") is None
    assert refused(anywhere, "Describe the winter.", "ice", "White.") == "required:snow"
    both = filters_of(
        required=[{"words": "snow", "on": "input"}, {"name": "snow again", "words": "snow", "on": "output"}]
    )
    assert refused(both, "Count words.", "snow", "one") == "required:snow again"
    assert refused(both, "Count words.", "", "snow") == "required:snow"  # an empty input holds nothing
    assert refused(both, "Count words.", "snow", "snow") is None


def test_what_is_forbidden_in_an_instruction_is_judged_at_once_though_the_rule_looks_elsewhere_too() -> None:
    assert filters_of(forbidden="acme").judge_instruction("Praise Acme.") is not None


def test_the_first_rule_that_applies_is_the_one_that_counts_and_forbidden_ones_come_first() -> None:
    filters = filters_of(required={"words": "x", "on": "output"}, forbidden=["b", "a"])
    assert refused(filters, "Say hi.", "a b", "y") == "forbidden:b"
    assert refused(filters, "Say hi.", "a", "y") == "forbidden:a"
    assert refused(filters, "Say hi.", "", "y") == "required:x"


def test_patterns_are_found_as_they_are_written() -> None:
    filters = filters_of(
        forbidden=[{"pattern": "https?://", "on": ["output"]}, {"name": "id", "pattern": r"(?i)\bid\d"}]
    )
    assert refused(filters, "Say hi.", "http://x", "see https://x") == "forbidden:https?://"
    assert refused(filters, "Say hi.", "http://x", "HTTP://x") is None
    assert refused(filters, "Say hi.", "", "my ID7") == "forbidden:id"


def test_more_rules_than_any_cache_holds_are_searched_by_their_own_words() -> None:
    filters = filters_of(forbidden=[f"word{number}" for number in range(200)])
    assert all(refused(filters, f"Use word{number}.") == f"forbidden:word{number}" for number in range(200))


@given(st.text(), st.text(), st.text())
def test_any_text_is_judged(instruction: str, given: str, output: str) -> None:
    filters = filters_of(required="a", forbidden=["b", {"pattern": "[c-d]"}])
    found = refused(filters, instruction, given, output)
    assert (found == "forbidden:[c-d]") <= bool(re.search("[c-d]", instruction + given + output))


def test_half_of_a_surrogate_pair_is_searched_like_any_other_text() -> None:
    assert refused(filters_of(forbidden={"pattern": "x"}), "\ud800 x") == "forbidden:x"


@pytest.mark.parametrize("pattern", ["(a*)*b", "(x+x+)+y", ".*.*.*=.*", r"(\w+\s*)+!", "(?i)(a|aa)+$"])
@pytest.mark.parametrize("text", ["a", "x", "ab ", "é", "日", "a\n"])
def test_a_megabyte_of_adversarial_text_is_searched_in_under_a_second(pattern: str, text: str) -> None:
    long = text * (1_000_000 // len(text.encode()))
    search = compiled(pattern)
    started_s = time.process_time()
    search(long)
    assert time.process_time() - started_s < 10


@pytest.mark.parametrize("text", ["lorem ", "lorem" + " " * 999, "lorem lorem ipsu ", "x", " "])
def test_phrases_are_searched_in_linear_time(text: str) -> None:
    filters = filters_of(forbidden="lorem lorem lorem ipsum")
    long = text * (1_000_000 // len(text))
    started_s = time.process_time()
    refused(filters, "Say hi.", "", long)
    assert time.process_time() - started_s < 10


# --------------------------------------------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"pattern": "a(b"}, "0.pattern: is no regular expression of RE2 (missing ): a(b), got 'a(b'"),
        ({"pattern": "(?=x)"}, "0.pattern: is no regular expression of RE2 (invalid perl operator: (?=), got '(?=x)'"),
        ({"pattern": ""}, "0.pattern: must not be empty, which is found everywhere, got ''"),
        ({"pattern": 5}, "0.pattern: input should be a valid string, got 5"),
        (["ok", " "], "1.words: must be words or phrases; one of them is empty or holds what cannot be printed"),
        ({"words": ["ok", ""]}, "0.words: must be words or phrases; one of them is empty or holds what cannot be prin"),
        (
            {"words": "a\x1b[2Jb"},
            "0.words: must be words or phrases; one of them is empty or holds what cannot be prin",
        ),
        ({"words": []}, "0: must have either words or a pattern"),
        ({"words": "a", "pattern": "b"}, "0: must have either words or a pattern"),
        ({"words": "a", "on": "title"}, "0.on.0: input should be 'instruction', 'input' or 'output', got 'title'"),
        ({"words": "a", "on": []}, "0.on: must name at least one of instruction, input, output"),
        ({"word": "a"}, "0.word (did you mean filters.forbidden.words?)"),
        (
            {"words": "a", "name": "x" * 41},
            "0.name: must be printable, without white space around it, and at most 40 c",
        ),
        ({"words": "a", "name": "a\nb"}, "0.name: must be printable, without white space around it, and at most 40 ch"),
        ([7], "0: must be a word or phrase, or a group of words or pattern, on and name"),
        (["a", {"words": "A", "name": "a"}], ": 2 rules would be counted as 'a'; give each a name of its own"),
        (["a", "a"], ": 2 rules would be counted as 'a'; give each a name of its own"),
        (5, ": input should be a valid tuple"),
    ],
)
def test_a_bad_rule_is_one_line_that_names_its_key(rules: object, complaint: str) -> None:
    key = f"filters.forbidden{'' if complaint.startswith(':') else '.'}{complaint}"
    assert key in refusal(forbidden=rules)


def test_a_pattern_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    assert "filters.required.0.pattern: needs google-re2 (pip install 'fastinstruct[re2]')" in refusal(
        required={"pattern": "never compiled before"}
    )
    assert refused(filters_of(required="hi"), "Say hi.") is None  # words need no extra


def test_the_profile_of_the_paper_has_its_own_filters() -> None:
    with pytest.raises(ConfigError, match="profile paper has the reference's own"):
        load_config(flags={"profile": "paper", "filters.forbidden": ["acme"]})
    assert load_config(flags={"profile": "paper"}).filters.max_repeated_output is None


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "filters:\n"
        "  forbidden: [lorem  ipsum, {name: competitors, words: [acme, initech], on: [output]}]\n"
        "  required: {pattern: '\\d', on: input}\n"
    )
    filters = load_config(path).filters
    assert [rule.label for rule in (*filters.forbidden, *filters.required)] == ["lorem ipsum", "competitors", r"\d"]
    assert filters.forbidden[1] == RuleConfig(name="competitors", words=("acme", "initech"), on=("output",))
    assert filters.forbidden[0].on == PLACES
    assert filters.required[0].on == ("input",)  # though YAML reads a bare `on` as true
    path.write_text(recorded(load_config(path), tmp_path))
    assert load_config(path).filters == filters


# ---------------------------------------------------------------------------------------------------------------- names


@given(st.text(max_size=80).filter(lambda text: " ".join(text.split()).isprintable() and text.strip() != ""))
def test_a_rule_without_a_name_is_counted_under_what_it_looks_for(word: str) -> None:
    label = RuleConfig(words=(word,)).label
    assert is_rule_name(label)
    folded = " ".join(word.split())
    assert label == folded or (len(folded) > 40 and folded.startswith(label.removesuffix("…")))


@pytest.mark.parametrize("pattern", [" ", "\t+", "a" * 90, " " * 50, "x " * 30, "\x85"])
def test_a_pattern_that_cannot_be_shown_as_it_is_has_a_name_all_the_same(pattern: str) -> None:
    assert is_rule_name(RuleConfig(pattern=pattern).label)


def test_the_reason_of_a_rule_is_stored_and_read_as_one_text() -> None:
    reason = rule_reason(RejectReason.FORBIDDEN, "a:b https?://")
    assert reason == "forbidden:a:b https?://"
    assert reason_in(reason) == reason
    assert type(reason.value) is str
    assert reason_in("too_short") is RejectReason.TOO_SHORT
    for stored in ("", "forbidden:", "too_short:x", "nonsense", "custom: x", "custom:a\nb", "custom:" + "x" * 41):
        with pytest.raises(ValueError, match=r"no rule has|is not a valid RejectReason"):
            reason_in(stored)


def test_an_identity_leaves_out_what_older_versions_did_anyway() -> None:
    assert set(FilterConfig(max_repeated_output=None).identity_fields()) == {"min_words", "max_words", "keywords"}
    identity = load_config(flags={"filters.forbidden": ["acme"]}).identity_fields()["filters"]
    assert identity["max_repeated_output"] == 10
    assert identity["forbidden"] == [{"name": "", "words": ["acme"], "pattern": None, "on": list(PLACES)}]
    assert "required" not in identity


# --------------------------------------------------------------------------------------------------- a filter in Python

EXAMPLE = Example(id="m3", instruction="Say hi.", input="", output="Hi, idiot.", is_classification=None)


def is_rude(example: Example) -> str | None:
    return "too rude" if "idiot" in example.output else None


def test_a_filter_of_ones_own_rejects_under_the_name_it_returns() -> None:
    assert CustomFilter(is_rude).judge(EXAMPLE) == Rejection(reason=reason_in("custom:too rude"))
    polite = Example(id="m3", instruction="Say hi.", input="", output="Hi.", is_classification=False)
    assert CustomFilter(is_rude).judge(polite) is None


class Fussy:
    def __call__(self, example: Example, /) -> str | None:
        raise KeyError(example.output)


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        (Fussy(), "the filter Fussy raised KeyError at m3"),
        (lambda example: True, "the filter <lambda> returned a bool; return None or a short text"),
        (lambda example: "", "the filter <lambda> returned a reason that is not printable, without white space around"),
        (lambda example: example.output * 9, "the filter <lambda> returned a reason that is not printable, without wh"),
        (len, "the filter len raised TypeError at m3"),
    ],
)
def test_a_filter_that_fails_is_named_and_says_nothing_of_the_text(filter_: object, message: str) -> None:
    judge = CustomFilter(cast(Any, filter_))
    with pytest.raises(FilterFailed) as caught:
        judge.judge(EXAMPLE)
    assert str(caught.value).startswith(message)
    assert "idiot" not in str(caught.value)


def test_an_interrupt_inside_a_filter_is_no_failure_of_it() -> None:
    def interrupted(example: Example, /) -> str | None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CustomFilter(interrupted).judge(EXAMPLE)
