"""What a user requires of the data and rules out, by words or regular expressions.

Knows nothing of runs. A rejection is a value, never an exception; the same arguments always give the same verdict, in
time linear in the text.

A rule looks at one or more places of an example, its instruction, input and output, and *finds* what it looks for if
any of these places holds it. An example is rejected if a forbidden rule finds something, or a required one nothing. So
a required rule on `[instruction, output]` is met by either; two rules require both. An empty input holds nothing: a
rule that requires something of the input alone rejects examples without one.

Each is judged as soon as it is certain. A candidate instruction is rejected for what is forbidden in it, and for what
is required of instructions alone. What may be met by an input or output is judged with the example, once it is there.
Words are found as whole words in any case, those of scripts without spaces anywhere (`filters.keyword_pattern`);
patterns are those of RE2 (`config.patterns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fastinstruct.config import FilterConfig, RuleConfig
from fastinstruct.config.patterns import compiled
from fastinstruct.records import Instance, Reason, Rejection, RejectReason, rule_reason
from fastinstruct.text.filters import keyword_pattern

__all__ = ["WordFilters"]

_OF_INSTANCES = frozenset({"input", "output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One rule, ready to search: `reason` is what a text is rejected for, `is_required` whether for lacking it."""

    reason: Reason
    is_required: bool
    places: frozenset[str]
    is_in: Callable[[str], bool]

    def rejects(self, texts: Mapping[str, str]) -> bool:
        """Whether this rule rejects an example, or a candidate, of which these places are known."""
        found = any(self.is_in(text) for place, text in texts.items() if place in self.places)
        return found is not self.is_required


class WordFilters:
    """The rules of one run, in their order: the forbidden ones first."""

    def __init__(self, *, required: Iterable[RuleConfig] = (), forbidden: Iterable[RuleConfig] = ()) -> None:
        rules = [_rule(rule, RejectReason.FORBIDDEN) for rule in forbidden]
        rules += [_rule(rule, RejectReason.REQUIRED) for rule in required]
        self._of_instructions = [
            rule for rule in rules if rule.places == {"instruction"} or (_looks_at_it(rule) and not rule.is_required)
        ]
        self._of_instances = [rule for rule in rules if rule.places & _OF_INSTANCES]

    @classmethod
    def of(cls, filters: FilterConfig) -> WordFilters:
        """Return the rules that a configuration holds."""
        return cls(required=filters.required, forbidden=filters.forbidden)

    def judge_instruction(self, text: str) -> Rejection | None:
        """Return why a candidate instruction is rejected, the first rule that applies; None if it passes."""
        return _first(self._of_instructions, {"instruction": text})

    def judge_instance(self, instruction: str, instance: Instance) -> Rejection | None:
        """Return why an instance of an instruction that has passed is rejected; None if it passes."""
        texts = {"instruction": instruction, "input": instance.input, "output": instance.output}
        return _first(self._of_instances, texts)


def _looks_at_it(rule: _Rule) -> bool:
    return "instruction" in rule.places


def _first(rules: Iterable[_Rule], texts: Mapping[str, str]) -> Rejection | None:
    return next((Rejection(reason=rule.reason) for rule in rules if rule.rejects(texts)), None)


def _rule(config: RuleConfig, reason: RejectReason) -> _Rule:
    return _Rule(
        reason=rule_reason(reason, config.label),
        is_required=reason is RejectReason.REQUIRED,
        places=frozenset(config.on),
        is_in=_search(config),
    )


def _search(config: RuleConfig) -> Callable[[str], bool]:
    if config.pattern is not None:
        return compiled(config.pattern)
    # Held here: a run may have more rules than `keyword_pattern` remembers.
    search = keyword_pattern(config.words).search
    return lambda text: search(text) is not None
