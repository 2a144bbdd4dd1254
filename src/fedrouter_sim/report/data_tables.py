"""What `data` found, for the terminal."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fedrouter_sim.backbone.prompting import ShownPrompt
from fedrouter_sim.operations.look import DataLook, Lengths, ShareLook

LEARNT = "⟦", "⟧"
"""Around what is learnt of a prompt, so that it is seen without colours, too."""

_BAR = 20  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_MOST_TASKS = 20


def data_tables(found: DataLook) -> Iterator[Any]:
    """Yield what there is to show of a look at data; a table that would say nothing is left out."""
    if found.parts:
        yield _parts_table(found)
    if any(part.refused for part in found.parts):
        yield _refused_table(found)
    yield _shares_table(found.shares)
    if any(share.tasks for share in found.shares):
        yield _tasks_table(found.shares)
    yield _lengths_table(found)
    yield _histogram(found.shares)
    yield from prompt_panels(found.prompts)


def prompt_panels(prompts: Sequence[ShownPrompt]) -> Iterator[Panel]:
    """Yield a panel for each prompt, in which what is learnt is marked."""
    begin, end = LEARNT
    for number, shown in enumerate(prompts, start=1):
        task = "" if shown.task is None else f" of task {shown.task}"
        cut = ", cut to fit" if shown.cut else ""
        title = f"Prompt {number}{task}: {shown.prompt_tokens} tokens{cut}, then {shown.learnt_tokens} that are learnt"
        text = Text(overflow="fold")
        text.append(_visible(shown.prompt))
        text.append(f"{begin}{_visible(shown.learnt)}{end}", "bold green")
        yield Panel(text, title=Text(_visible(title)), title_align="left")


def _visible(text: str) -> str:
    """Return a text with escapes for what would not be seen, or would steer the terminal."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def _cell(text: str) -> Text:
    return Text(_visible(text), overflow="fold")


def _table(title: str, *headings: str, left: int = 1) -> Table:
    """Return a table whose first columns hold texts and whose other ones hold numbers."""
    table = Table(title=Text(_visible(title), "table.title"), title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(_cell(heading), justify="left" if place < left else "right", overflow="fold")
    return table


def _parts_table(found: DataLook) -> Table:
    table = _table("What was read", "file or split", "rows", "refused", "examples", "its columns")
    table.columns[-1].justify = "left"
    for part in found.parts:
        numbers = (f"{count:,}" for count in (part.rows, part.rows_refused, part.examples))
        table.add_row(_cell(Path(part.where).name), *numbers, _cell(", ".join(part.columns)))
    return table


def _refused_table(found: DataLook) -> Table:
    table = _table("Rows that cannot be used", "file or split", "rows", "the first", "why")
    table.columns[-1].justify = "left"
    for part in found.parts:
        for place, one in enumerate(part.refused):
            first = ", ".join(map(str, one.first)) + (", ..." if one.rows > len(one.first) else "")
            name = Path(part.where).name if place == 0 else ""
            table.add_row(_cell(name), f"{one.rows:,}", first, _cell(one.why))
        if rest := part.rows_refused - sum(one.rows for one in part.refused):
            table.add_row("", f"{rest:,}", "", "other reasons")
    return table


def _shares_table(shares: Sequence[ShareLook]) -> Table:
    others = [share.name for share in shares if any(share.name in one.also_in for one in shares)]
    table = _table(
        "Shares", "share", "rows", "tasks", "without task", "clients", "rows of a client", "repeated",
        "answered in several ways", *(f"also in {name}" for name in others),
    )  # fmt: skip
    for share in shares:
        clients = share.clients
        table.add_row(
            share.name,
            f"{share.rows:,}",
            f"{len(share.tasks):,}",
            f"{share.without_task:,}",
            f"{clients.clients:,}" if clients else "-",
            f"{clients.smallest:,} to {clients.largest:,}" if clients else "-",
            f"{share.repeated:,}",
            f"{share.contradicting:,}",
            *("-" if name == share.name else f"{share.also_in.get(name, 0):,}" for name in others),
        )
    table.caption = (
        "repeated: rows with instruction and response of an earlier one; answered in several ways: instructions with "
        "different responses" + "; also in: rows whose instruction is in that share, too" * bool(others)
    )
    table.caption_justify = "left"
    return table


def _tasks_table(shares: Sequence[ShareLook]) -> Table:
    table = _table("Rows of each task", "task", *(share.name for share in shares))
    counts = {
        task: [share.tasks.get(task, 0) for share in shares]
        for task in sorted({task for share in shares for task in share.tasks})
    }
    largest = sorted(counts, key=lambda task: -sum(counts[task]))[:_MOST_TASKS]
    for task in sorted(largest):
        table.add_row(_cell(task), *(f"{count:,}" for count in counts[task]))
    if more := len(counts) - len(largest):
        table.add_row(f"and {more:,} smaller ones", *("" for _ in shares))
    return table


def _lengths_table(found: DataLook) -> Table:
    table = _table(
        f"Tokens: median / 90 % / longest; --model {found.model}, --template {found.template}, at most {found.limit:,}",
        "share", "rows", "prompt", "response", "both", "cut", "do not fit",
    )  # fmt: skip
    for share in found.shares:
        tokens = share.tokens
        lengths = map(_three, (tokens.prompt, tokens.response, tokens.both))
        table.add_row(share.name, f"{tokens.measured:,}", *lengths, f"{tokens.cut:,}", f"{tokens.misfits:,}")
    table.caption = "cut: instructions that are shortened to fit; do not fit: responses that leave the template no room"
    table.caption_justify = "left"
    return table


def _three(lengths: Lengths | None) -> str:
    return "-" if lengths is None else f"{lengths.median:,} / {lengths.percentile_90:,} / {lengths.longest:,}"


def _histogram(shares: Sequence[ShareLook]) -> Table:
    """Show how many rows have so many tokens, prompt and response together; each share has a scale of its own."""
    table = _table("Rows by tokens of prompt and response", "tokens", *(share.name for share in shares), left=4)
    of_share = [
        {(one.least, one.most): one.rows for one in both.histogram} if (both := share.tokens.both) else {}
        for share in shares
    ]
    for least, most in sorted({one for counts in of_share for one in counts}):
        rows = [(counts.get((least, most), 0), max(counts.values(), default=0)) for counts in of_share]
        table.add_row(f"{least:,} to {most:,}", *(f"{few:>6,} {_bar(few, largest)}" for few, largest in rows))
    return table


def _bar(count: int, largest: int) -> str:
    """Return a bar of block characters; nothing but zero has none."""
    if not count:
        return " " * _BAR
    eighths = max(1, round(8 * _BAR * count / largest))
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR)
