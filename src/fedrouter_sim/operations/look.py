"""`data`: what a run would read of its data and make of it, without loading the model's weights or training."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fedrouter_sim.backbone.encoding import Encoder
from fedrouter_sim.backbone.prompting import ShownPrompt, load_encoder, shown_prompts
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import COUNT, SKIP, Part
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources import load_shares
from fedrouter_sim.partition.run_data import reading_of

MOST_MEASURED = 10_000  # rows of a share that are tokenised; of more, so many are taken at even distances
_REASONS = 20  # for which rows of a file are refused, that are told apart
_NUMBERED = 5  # rows of a reason that are named

# Edges of the bins of lengths: 8, 12, 16, 24, 32, ..., so that those of usual --max-tokens are among them.
_EDGES = sorted({edge for power in range(3, 40) for edge in (2**power, 3 * 2 ** (power - 1))})


@dataclass(frozen=True)
class Refused:
    """Rows of a file that cannot be used for one reason."""

    why: str
    rows: int
    first: tuple[int, ...]  # numbers of the first of them, counted from 1


@dataclass(frozen=True)
class PartLook:
    """A file or a split as it was read."""

    where: str
    columns: tuple[str, ...]  # all that there are
    rows: int
    examples: int
    rows_refused: int
    refused: tuple[Refused, ...]  # the most frequent reasons first


@dataclass(frozen=True)
class Bin:
    """How many rows have so many tokens."""

    least: int
    most: int
    rows: int


@dataclass(frozen=True)
class Lengths:
    """How long some texts are, in tokens; nothing is cut yet."""

    median: int
    percentile_90: int
    longest: int
    histogram: tuple[Bin, ...]  # without gaps, from the shortest to the longest


@dataclass(frozen=True)
class ClientsLook:
    """How many clients the rows of a share name, and how many rows these have."""

    clients: int
    smallest: int
    largest: int


@dataclass(frozen=True)
class TokensLook:
    """What the tokenizer and the limit make of a share."""

    measured: int  # rows that were tokenised
    failing: int  # of them: rows that the chat template fails on, or with a token that the model does not embed
    first_failure: str  # what is said of the first of them; empty where there is none
    prompt: Lengths | None  # template and instruction; None where no row could be measured
    response: Lengths | None  # with the token that ends it
    both: Lengths | None
    cut: int  # rows whose instruction is cut to fit
    misfits: int  # rows whose response leaves the template no room


@dataclass(frozen=True)
class ShareLook:
    """What is in a share."""

    name: str
    rows: int
    tasks: dict[str, int]  # rows of each task
    without_task: int
    clients: ClientsLook | None  # None where no row names one
    repeated: int  # rows with the instruction and the response of an earlier one
    contradicting: int  # instructions that have several different responses
    also_in: dict[str, int]  # other share -> rows whose instruction is there as well
    tokens: TokensLook


@dataclass(frozen=True)
class DataLook:
    """What `data` reports."""

    data: str
    model: str
    template: str
    limit: int  # most tokens of prompt and response together
    context: int | None  # most tokens that the model takes, where it says so
    parts: tuple[PartLook, ...]  # what was read, in order; empty where a source does not say
    shares: tuple[ShareLook, ...]  # those that have rows
    prompts: tuple[ShownPrompt, ...]
    notes: tuple[str, ...]  # on the reading
    advice: tuple[str, ...]  # what to do about what was found


def look(config: RunConfig) -> DataLook:
    """Read the data as a run with these settings does, but count the rows that it would refuse.

    Raises:
        UserError: the data cannot be read at all, or the model's tokenizer or template is not usable.
    """
    encoder, context = load_encoder(config)
    reading = replace(reading_of(config), on_bad_row=COUNT)
    shares = load_shares(config.data, reading)
    found = DataLook(
        config.data,
        config.model,
        config.template,
        encoder.limit,
        context,
        tuple(map(_part, reading.parts)),
        tuple(_shares(shares, encoder)),
        shown_prompts(encoder, _even(shares.train)),
        shares.notes,
        (),
    )
    return replace(found, advice=tuple(_advice(found, config.on_bad_row)))


def _part(part: Part) -> PartLook:
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, said in part.flaws:
        numbers[said].append(number)
    reasons = sorted(numbers.items(), key=lambda reason: -len(reason[1]))[:_REASONS]
    refused = tuple(Refused(said, len(rows), tuple(rows[:_NUMBERED])) for said, rows in reasons)
    return PartLook(part.where, part.columns, part.rows, part.examples, len(part.flaws), refused)


def _shares(shares: Shares, encoder: Encoder) -> Iterator[ShareLook]:
    by_name = {"train": shares.train, "validation": shares.validation, "test": shares.test}
    instructions = {name: {example.instruction for example in rows} for name, rows in by_name.items() if rows}
    for name, known in instructions.items():
        rows = by_name[name]
        tasks = Counter(example.task for example in rows if example.task is not None)
        clients = Counter(example.client for example in rows if example.client is not None).values()
        pairs = {(example.instruction, example.response) for example in rows}
        responses = Counter(instruction for instruction, _ in pairs)
        yield ShareLook(
            name,
            len(rows),
            dict(sorted(tasks.items())),
            len(rows) - tasks.total(),
            ClientsLook(len(clients), min(clients), max(clients)) if clients else None,
            len(rows) - len(pairs),
            sum(count > 1 for count in responses.values()),
            {
                other: sum(example.instruction in theirs for example in rows)
                for other, theirs in instructions.items()
                if other != name and known & theirs
            },
            _tokens(rows, encoder),
        )


def _tokens(rows: Sequence[Example], encoder: Encoder) -> TokensLook:
    measured = _even(rows)
    lengths, failures = _measured(measured, encoder)
    sound = [example for example, length in zip(measured, lengths, strict=True) if length]
    found = [length for length in lengths if length]
    misfits = len(encoder.flaws(sound))
    return TokensLook(
        len(measured),
        len(failures),
        failures[0] if failures else "",
        _lengths([prompt for prompt, _ in found]),
        _lengths([response for _, response in found]),
        _lengths([prompt + response for prompt, response in found]),
        sum(prompt + response > encoder.limit for prompt, response in found) - misfits,
        misfits,
    )


def _measured(rows: Sequence[Example], encoder: Encoder) -> tuple[list[tuple[int, int] | None], list[str]]:
    """Return the tokens of prompt and response of each row, None where there are none, and what is said of those."""
    try:
        return [*encoder.lengths(rows)], []
    except UserError:  # one at a time, to know which
        lengths: list[tuple[int, int] | None] = []
        failures = []
        for example in rows:
            try:
                lengths += encoder.lengths([example])
            except UserError as error:
                lengths.append(None)
                failures.append(str(error))
        return lengths, failures


def _even(rows: Sequence[Example]) -> Sequence[Example]:
    """Return all rows, or of many so many that lie at even distances; the first is among them."""
    if len(rows) <= MOST_MEASURED:
        return rows
    return [rows[place * len(rows) // MOST_MEASURED] for place in range(MOST_MEASURED)]


def _lengths(tokens: list[int]) -> Lengths | None:
    if not tokens:
        return None
    tokens.sort()

    def at(percent: int) -> int:
        """Return the least length that so many percent of the rows do not exceed."""
        return tokens[-(-percent * len(tokens) // 100) - 1]

    below = [(edge, bisect_right(tokens, edge)) for edge in (0, *_EDGES)]
    bins = [Bin(low + 1, high, more - few) for (low, few), (high, more) in pairwise(below)]
    filled = [place for place, one in enumerate(bins) if one.rows]
    return Lengths(at(50), at(90), tokens[-1], tuple(bins[filled[0] : filled[-1] + 1]))


def _advice(found: DataLook, on_bad_row: str) -> Iterator[str]:
    """Say what to do about what was found, where there is something."""
    skipped = on_bad_row == SKIP
    fate = "a run leaves them out" if skipped else "a run refuses the data"
    skip = "" if skipped else f", or leave them out with --on-bad-row {SKIP}"

    def rows(count: Callable[[TokensLook], int]) -> str:
        return " and ".join(
            f"{few:,} of {share.tokens.measured:,} {share.name} rows"
            for share in found.shares
            if (few := count(share.tokens))
        )

    refused, read = sum(part.rows_refused for part in found.parts), sum(part.rows for part in found.parts)
    if refused:
        yield f"{refused:,} of {read:,} rows cannot be used, and {fate}: correct them{skip}"
    if few := rows(lambda tokens: tokens.failing):
        first = next(said for share in found.shares if (said := share.tokens.first_failure))
        yield f"no prompts can be made of {few}; the first: {first}"
    room = found.context is None or found.limit < found.context
    takes = f"takes {found.context:,}" if found.context else "sets no limit"
    more = f"raise --max-tokens (the model {takes})" if room else "take a model that takes more"
    if few := rows(lambda tokens: tokens.misfits):
        yield f"the responses of {few} do not fit {found.limit} tokens, and {fate}: {more}, or shorten them{skip}"
    if few := rows(lambda tokens: tokens.cut):
        yield f"the instructions of {few} are cut to fit {found.limit} tokens: {more}, or shorten them"
    for share in found.shares:
        if share.tokens.measured < share.rows:
            few = f"{share.tokens.measured:,} of {share.rows:,} {share.name} rows"
            yield (f"{few}, at even distances, were tokenised; what is said of lengths is said of these")
        if leaked := share.name != "train" and share.also_in.get("train"):
            yield (
                f"the instructions of {leaked:,} of {share.rows:,} {share.name} rows are trained on as well, which "
                "makes scores look better than they are: take them out of one of the two"
            )
