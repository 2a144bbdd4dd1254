"""What a person sees while it runs: a live bar on a terminal, a line per round elsewhere, nothing with --quiet."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.observers import Display, RoundRecord
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.messages import Failed
from fedrouter_sim.methods import METHODS
from fedrouter_sim.report.tables import cost_line, number
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.showing import plain
from fedrouter_sim.studies.plan import PlannedRun
from fedrouter_sim.studies.reading import OWN_ROUTINGS


def _bar(console: Console, done: ProgressColumn, speed_estimate_period: float = 30) -> Progress:
    """Return a live bar; `done` is how it says how much is done. It shows nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        done,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        speed_estimate_period=speed_estimate_period,
    )


class ProgressDisplay(Display):
    """Shows an operation on standard error, so that standard output stays for results."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = _bar(console, MofNCompleteColumn())
        self._task: TaskID | None = None
        self._round = 0
        self._last_round = 0
        self._client = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, what: str, total: int | None = None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(plain(what), total=total)
        if not self._console.is_terminal:
            self._console.print(plain(what if total is None else f"{what} ({total})"), markup=False, emoji=False)

    def advanced(self, units: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, units)

    def before_training(self, cost: Callable[[], Cost]) -> None:
        self.started("measuring a step")
        self._console.print(cost_line(cost()), highlight=False, markup=False, soft_wrap=True)

    def noted(self, text: str) -> None:
        self._console.print(f"note: {plain(text)}", highlight=False, markup=False, emoji=False, soft_wrap=True)

    def resumed(self, records: Sequence[RoundRecord]) -> None:
        self._round = len(records)
        self.noted(f"{len(records)} rounds are done; going on after them")

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self._last_round = self._round + rounds
        # Participants are not sampled yet: with partial participation this is the expected number.
        self.started("training", steps)

    def round_started(self, record: RoundRecord) -> None:
        self._round = record.round

    def client_started(self, client: int, steps: int) -> None:
        self._client = client

    def stepped(self, loss: float) -> None:
        if self._task is not None:
            where = f"round {self._round}/{self._last_round}  client {self._client}  loss {loss:.3f}"
            self._progress.update(self._task, advance=1, description=where)

    def failed(self, failed: Failed) -> None:
        self.advanced(failed.spared)
        super().failed(failed)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        losses = "  ".join(f"{pool} {loss:.3f}" for pool, loss in list(record.losses.items())[:8])
        more = ""
        if record.validation:
            name, score = next(iter(record.validation.items()))
            more = f"  validation {name} {score:.3f}"
        if not self._console.is_terminal or more:
            line = plain(f"round {record.round}/{self._last_round}  loss {losses}{more}")
            self._console.print(line, highlight=False, markup=False, emoji=False)


_AROUND = 100  # units of the overall bar for what a run does besides its optimizer steps, in steps


class StudyDisplay(Display):
    """One bar over all runs of a study: an optimizer step is a unit, and the rest of a run counts as so many more."""

    def __init__(self, pending: Sequence[PlannedRun], console: Console) -> None:
        self._console = console
        self._runs = len(pending)
        self._units = {run.name: _units(run.config) for run in pending}  # of the runs that are left
        self._done = 0
        self._started = time.monotonic()
        # Runs differ in speed: a short memory would make the estimate jump.
        self._progress = _bar(console, TextColumn("{task.percentage:.0f}%"), speed_estimate_period=600)
        self._task = self._progress.add_task(self._next(), total=sum(self._units.values()))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar."""
        with self._progress:
            yield

    def stepped(self, loss: float) -> None:
        self._progress.advance(self._task)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self._progress.update(self._task, description=self._next())

    def noted(self, text: str) -> None:
        self._console.print(f"note: {plain(text)}", highlight=False, markup=False, emoji=False, soft_wrap=True)

    def refused(self, name: str, error: UserError) -> None:
        """Say that a run cannot be made, and why."""
        self._units.pop(name)
        self._progress.update(self._task, total=self._done + sum(self._units.values()), completed=self._done)
        self.noted(f"{name} could not be made: {error}")

    def finished(self, name: str, summary: Summary, notes: Sequence[str] = ()) -> None:
        """Say that a run is done, what it scored, how long the rest may take, and what it had to say."""
        self._done += self._units.pop(name)
        self._progress.update(self._task, completed=self._done, description=self._next())
        spent = time.monotonic() - self._started
        left = spent / self._done * sum(self._units.values())
        done = f"{self._runs - len(self._units)}/{self._runs}"
        own = [cell for cell in summary.scores if cell.endswith(tuple(f"-{routing}" for routing in OWN_ROUTINGS))]
        metrics = (summary.metric,) if summary.metric == LOSS else (summary.metric, LOSS)
        scores = "  ".join(
            f"{cell} " + " / ".join(number(summary.score_in(cell, metric)) for metric in metrics) for cell in own
        )
        self._console.print(
            plain(f"{done}  {name}  {scores}  ({spent / 60:.1f} min, about {left / 60:.0f} left)"),
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
        for text in notes:
            self.noted(f"{name}: {text}")

    def _next(self) -> str:
        return next(iter(self._units), "done")


def _units(config: RunConfig) -> int:
    trained = METHODS.class_of(config.method).trains
    return _AROUND + (config.rounds * config.local_steps * config.clients if trained else 0)
