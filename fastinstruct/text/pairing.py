"""Which input belongs to which output: the grammar of the markers in a reply to a prompt for examples.

Knows nothing of what a field says. Guarantees that a draft without a reason, in a reading without a doubt, has the
borders that the reply itself sets: numbered examples with `[input] output` in each, pairs apart from one another, or
a single output. All other orders are doubts: two readings of them are possible.

Markers count by what the reply does with them. One written unlike the others (plain among bold ones) inside an answer
is the answer's; one written like the others makes its example uncertain, and its neighbours only where no heading
stands between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastinstruct.records import RejectReason
from fastinstruct.text.drafts import Draft, Reading, doubt, is_own_field, is_said_before, repeats
from fastinstruct.text.further_examples import is_about_examples
from fastinstruct.text.layout import FIELDS, Layout, Token, between
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.tasks_in_text import is_content, next_task

__all__ = ["read_pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """A reply up to its end, or to where the model went on to another task."""

    layout: Layout
    tokens: Sequence[Token]
    end: int
    instruction: str
    is_torn: bool
    outputs: Kind

    def fields(self, tokens: Sequence[Token]) -> list[Token]:
        """The tokens that begin an input or an output."""
        return [token for token in tokens if token.kind in {Kind.INPUT, self.outputs}]


def read_pairs(layout: Layout, *, instruction: str, is_torn: bool) -> Reading:
    """Read a reply that gives inputs and outputs, or outputs alone."""
    kinds = {token.kind for token in layout.tokens}
    outputs = Kind.OUTPUT if Kind.OUTPUT in kinds else Kind.ANSWER
    if outputs not in kinds:
        return doubt("no output marker", layout.text(0, 9))
    end_token, is_clear = next_task(layout, outputs)
    tokens = [token for token in layout.tokens if end_token is None or token.line < end_token.line]
    reply = _Reply(
        layout=layout,
        tokens=tokens,
        end=len(layout.lines) if end_token is None else end_token.line,
        instruction=instruction,
        is_torn=is_torn and end_token is None,
        outputs=outputs,
    )
    if not is_clear and end_token is not None:
        return doubt("a task among the examples", layout.lines[end_token.line], _apart(reply))
    if _answers_otherwise(reply):
        return doubt("answers under two names", layout.lines[reply.tokens[0].line], _apart(reply))
    heads = _heads(reply)
    reading = _headed(reply, heads) if heads else _unheaded(reply)
    return reading if not reading.doubt else doubt(reading.doubt, reading.place, _apart(reply))


def _answers_otherwise(reply: _Reply) -> bool:
    """Whether an answer is written as the inputs are, and no output is."""
    inputs = {token.marker.dress for token in reply.tokens if token.kind is Kind.INPUT}
    outputs = {token.marker.dress for token in reply.tokens if token.kind is reply.outputs}
    answers = {token.marker.dress for token in reply.tokens if token.kind is Kind.ANSWER}
    if not inputs and answers and reply.outputs is Kind.OUTPUT:  # "Question: ... Answer: ..." around an output?
        return reply.tokens[0].kind is Kind.OUTPUT and reply.layout.text(0, reply.tokens[0].line).strip() != ""
    return bool(answers & inputs) and not outputs & inputs


def _heads(reply: _Reply) -> list[Token]:
    """The headings that an example's first field follows at once."""
    heads = []
    for place, token in enumerate(reply.tokens):
        if token.kind is Kind.EXAMPLE and _begins_example(reply, place):
            heads.append(token)
    return heads


def _begins_example(reply: _Reply, place: int) -> bool:
    token = reply.tokens[place]
    if place + 1 == len(reply.tokens):
        is_cut = reply.is_torn or reply.layout.is_blank(token.line + 1, reply.end)
        is_bare = bool(token.marker.name) and token.marker.number is not None and not token.marker.rest
        return is_cut and is_bare and place > 0
    following = reply.tokens[place + 1]
    if following.kind not in {Kind.INPUT, reply.outputs, Kind.TASK}:
        return False
    if following.kind is Kind.TASK:
        return place + 2 < len(reply.tokens) and reply.tokens[place + 2].kind in {Kind.INPUT, reply.outputs}
    if following.line == token.line or reply.layout.is_blank(token.line + 1, following.line):
        return True
    own = reply.layout.text(token.line + 1, following.line)
    return following.kind is reply.outputs and is_own_field(own.lstrip("\n"))


def _headed(reply: _Reply, heads: Sequence[Token]) -> Reading:
    layout, first = reply.layout, heads[0]
    numbers = [head.marker.number for head in heads]
    before = [token for token in reply.tokens if token.line < first.line]
    start = numbers[0] if numbers[0] is not None else 1
    if len({head.marker.full_dress for head in heads}) > 1:
        return doubt("headings of two kinds", layout.lines[heads[-1].line])
    if numbers != [None] * len(heads) and numbers != list(range(start, start + len(heads))):
        return doubt("headings out of order", layout.lines[first.line])
    if any(token.marker.full_dress == first.marker.full_dress for token in layout.fenced):
        return doubt("a heading inside a fence", layout.lines[first.line])
    starts = [head.line for head in heads]
    if reply.fields(before):
        if start != 2:
            return doubt("a field before the first heading", layout.lines[before[0].line])
        starts.insert(0, -1)
    elif start != 1 or not is_said_before(layout, 0, first.line, reply.instruction):
        return doubt("text before the first marker", layout.text(0, first.line))
    return _blocks(reply, heads, starts)


def _blocks(reply: _Reply, heads: Sequence[Token], starts: Sequence[int]) -> Reading:
    drafts: list[Draft] = []
    shapes: set[bool] = set()
    is_head = set(map(id, heads))
    fields = [token for token in reply.tokens if id(token) not in is_head]
    for line, end in zip(starts, [*starts[1:], reply.end], strict=True):
        found = _block(reply, line, end, between(fields, line, end), heads)
        if isinstance(found, Draft):
            shapes.add(bool(found.input.strip()) or found.has_input_marker)
            drafts.append(found.because(RejectReason.TRUNCATED if end == reply.end and reply.is_torn else None))
        elif end != reply.end:
            return doubt(found.doubt, found.place)
        elif found.drafts or reply.is_torn:  # begun, but never ended: torn by itself
            text = reply.layout.text(line + 1, end)
            drafts.extend(found.drafts or (Draft(input="", output=text, reason=RejectReason.TRUNCATED),))
        elif not reply.layout.is_blank(line + 1, end):
            return found
    if len(shapes) > 1:
        return doubt("examples with an input among examples without one", reply.layout.lines[heads[0].line])
    return Reading(drafts=tuple(drafts))


def _block(reply: _Reply, line: int, end: int, tokens: Sequence[Token], heads: Sequence[Token]) -> Draft | Reading:
    """One example between its heading and the next."""
    layout = reply.layout
    fields = reply.fields(tokens)
    if not fields:
        return doubt("an example without an output", layout.text(line, end))
    own = "\n".join(layout.lines[line + 1 : fields[0].line])
    told = [token for token in tokens if token.line < fields[0].line and token.kind is Kind.TASK]
    if told and repeats(layout.field(told[0], fields[0].line), reply.instruction):
        own = ""
    is_own = tokens[0] is fields[0] and fields[0].kind is reply.outputs and is_own_field(own.lstrip("\n"))
    if own.strip("-*_= \n\t") and not is_own:
        return doubt("text between a heading and its first field", own.strip())
    if all(field.kind is Kind.INPUT for field in fields):
        given = layout.field(fields[0], end)
        torn = Draft(input=given, output="", reason=RejectReason.TRUNCATED if reply.is_torn else RejectReason.UNCERTAIN)
        return doubt("an example without an output", layout.text(line, end), (torn,))
    return _draft(reply, fields, end, tokens, heads, own)


def _draft(
    reply: _Reply, fields: Sequence[Token], end: int, tokens: Sequence[Token], heads: Sequence[Token], own: str
) -> Draft | Reading:
    pair, is_certain = _pair(reply, fields)
    loose = [token for token in tokens if token.line > fields[0].line and token.kind is Kind.EXAMPLE]
    if heads and any(token.marker.full_dress == heads[0].marker.full_dress for token in loose if token.marker.name):
        return doubt("a heading without its example", reply.layout.lines[loose[0].line])
    given = reply.layout.field(pair[0], pair[-1].line) if len(pair) == 2 else own
    draft = Draft(input=given, output=reply.layout.field(pair[-1], end), has_input_marker=len(pair) == 2)
    is_certain = is_certain and _are_content(
        loose, is_alone=not heads and all(token in pair or token in loose for token in tokens)
    )
    inside = [token for token in tokens if token.line > pair[0].line and token not in pair]
    is_certain = is_certain and not any(token.kind in {Kind.LABEL, Kind.ROLE} for token in inside)
    tasks = [token for token in inside if token.kind is Kind.TASK]
    for first, last in ((pair[0].line, pair[-1].line), (pair[-1].line, end)):
        within = between(tasks, first, last)
        is_certain = is_certain and all(
            is_content(reply.layout, token, within, last, reply.instruction) for token in within
        )
    return draft if is_certain else draft.because(RejectReason.MARKER)


def _are_content(loose: Sequence[Token], *, is_alone: bool) -> bool:
    """Whether headings inside a field are certainly its own: unnumbered ones, or a list in a reply without others."""
    numbered = [token for token in loose if token.marker.name and token.marker.number is not None]
    if not numbered:
        return True
    numbers = [token.marker.number for token in numbered]
    is_list = len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))
    return is_alone and is_list and all(token.marker.rest for token in numbered)


def _pair(reply: _Reply, fields: Sequence[Token]) -> tuple[Sequence[Token], bool]:
    """The tokens of a block's input and output, or of its output alone, and whether all others are content."""
    first = fields[0]
    outputs = [token for token in fields if token.kind is reply.outputs]
    if len(fields) == 1 or (len(fields) == 2 and first.kind is Kind.INPUT and len(outputs) == 1):
        return fields, True
    alike = [token for token in outputs if token.marker.dress == first.marker.dress] or outputs
    pair = [first] if first.kind is reply.outputs else [first, alike[0]]
    others = [token for token in fields if token not in pair]
    return pair, all(token.marker.is_plainer_than(first.marker) for token in others) and pair[-1] in alike


def _unheaded(reply: _Reply) -> Reading:
    layout, fields = reply.layout, reply.fields(reply.tokens)
    first = fields[0]
    own = layout.text(0, first.line)
    if is_said_before(layout, 0, first.line, reply.instruction):
        own = ""
    elif len(fields) > 1 or first.kind is Kind.INPUT or reply.tokens[0] is not first or not is_own_field(own):
        return doubt("text before the first marker", own)
    if _is_single(reply, fields):
        found = _draft(reply, fields, reply.end, reply.tokens, (), own)
        if isinstance(found, Reading):
            return found
        return Reading(drafts=(found.because(RejectReason.TRUNCATED if reply.is_torn else None),))
    return _listed(reply, fields)


def _is_single(reply: _Reply, fields: Sequence[Token]) -> bool:
    """Whether the markers are those of one pair, and of content that begins no other."""
    pair, is_certain = _pair(reply, fields)
    others = [token for token in fields if token not in pair]
    if not others:
        return True
    later = [token.kind for token in reply.tokens if token.line > pair[-1].line]
    answers = {Kind.OUTPUT, Kind.ANSWER}
    begins_another = Kind.INPUT in later and not answers.isdisjoint(later[later.index(Kind.INPUT) :])
    return is_certain and not begins_another


def _listed(reply: _Reply, fields: Sequence[Token]) -> Reading:
    """Pairs, or outputs, one after the other without headings."""
    width = 2 if fields[0].kind is Kind.INPUT else 1
    kinds = [Kind.INPUT, reply.outputs][-width:]
    groups = [fields[place : place + width] for place in range(0, len(fields), width)]
    if any([token.kind for token in group] != kinds[: len(group)] for group in groups) or len(groups[0]) < width:
        return doubt("markers that form no pairs", reply.layout.lines[fields[0].line])
    if len(groups[-1]) < width and not reply.is_torn:
        return doubt("an input without an output", reply.layout.lines[groups[-1][0].line])
    if not (_are_numbered(groups) or (width == 2 and _are_apart(reply, groups))):
        return doubt("examples that nothing keeps apart", reply.layout.lines[groups[1][0].line])
    loose = [token for token in reply.tokens if token.kind is Kind.EXAMPLE and token.marker.name]
    if any(token.marker.number is not None for token in loose):
        return doubt("a heading without its example", reply.layout.lines[loose[0].line])
    ends = [group[0].line for group in groups[1:]] + [reply.end]
    drafts = []
    for place, (group, end) in enumerate(zip(groups, ends, strict=True)):
        inner = between(reply.tokens, group[0].line, end)
        found = _draft(reply, group, end, inner, (), "") if len(group) == width else _begun(reply, group[0], end)
        if isinstance(found, Reading):
            return found
        if found.reason is RejectReason.MARKER:
            return doubt("a marker inside a field", reply.layout.lines[group[0].line])
        drafts.append(found.because(RejectReason.TRUNCATED if reply.is_torn and place == len(groups) - 1 else None))
    return Reading(drafts=tuple(drafts))


def _begun(reply: _Reply, token: Token, end: int) -> Draft:
    return Draft(input=reply.layout.field(token, end), output="", reason=RejectReason.TRUNCATED)


def _are_numbered(groups: Sequence[Sequence[Token]]) -> bool:
    numbers = [group[0].marker.number for group in groups]
    others = [token.marker.number for group in groups for token in group[1:]]
    expected = list(range(1, len(groups) + 1))
    if len({group[0].marker.full_dress for group in groups}) > 1 or numbers != expected:
        return False
    return others == [None] * len(others) or others == expected[: len(others)]


def _are_apart(reply: _Reply, groups: Sequence[Sequence[Token]]) -> bool:
    """Whether pairs stand apart, all written alike, in a task whose answers hold no examples themselves."""
    if any(not group[0].is_apart for group in groups[1:]):
        return False
    for place in range(2):
        column = [group[place] for group in groups if place < len(group)]
        if len({token.marker.full_dress for token in column}) > 1 or (place and len({t.is_apart for t in column}) > 1):
            return False
    return not is_about_examples(reply.instruction)


def _apart(reply: _Reply) -> tuple[Draft, ...]:
    """The instances as far as they can be told apart in a reply that is not certain."""
    drafts: list[Draft] = []
    marked = [token for token in reply.tokens if token.kind in FIELDS or token.kind is Kind.EXAMPLE]
    ends = [token.line for token in marked[1:]] + [reply.end]
    given = ""
    for token, end in zip(marked, ends, strict=True):
        text = reply.layout.field(token, end)
        if token.kind is Kind.INPUT:
            given = text
        elif token.kind is reply.outputs:
            drafts.append(Draft(input=given, output=text, reason=RejectReason.UNCERTAIN))
            given = ""
    return tuple(drafts)
