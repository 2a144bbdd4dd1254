"""What a person sees while it runs: a live bar on a terminal, a line a round elsewhere, nothing with --quiet."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.client import Client
from fedrouter_sim.methods import Plan
from fedrouter_sim.operations.cost import Cost
from fedrouter_sim.operations.train import Display
from fedrouter_sim.report.tables import cost_line
from fedrouter_sim.simulation import RoundRecord


class ProgressDisplay(Display):
    """Shows an operation on standard error, so that standard output stays for results."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
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
        self._task = self._progress.add_task(what, total=total)
        if not self._console.is_terminal:
            self._console.print(what if total is None else f"{what} ({total})")

    def advanced(self, units: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, units)

    def before_training(self, cost: Callable[[], Cost]) -> None:
        self.started("measuring a step")
        self._console.print(cost_line(cost()), highlight=False, markup=False, soft_wrap=True)

    def noted(self, text: str) -> None:
        self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self._last_round = self._round + rounds
        # Participants are not sampled yet: with partial participation this is the expected number.
        self.started("training", steps)

    def round_started(self, record: RoundRecord) -> None:
        self._round = record.round

    def client_started(self, client: Client, steps: int) -> None:
        self._client = client.id

    def stepped(self, loss: float) -> None:
        if self._task is not None:
            where = f"round {self._round}/{self._last_round}  client {self._client}  loss {loss:.3f}"
            self._progress.update(self._task, advance=1, description=where)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        losses = "  ".join(f"{pool} {loss:.3f}" for pool, loss in list(record.losses.items())[:8])
        more = "" if record.validation is None else f"  validation ROUGE-1 {record.validation['rouge1']:.3f}"
        if not self._console.is_terminal or more:
            self._console.print(f"round {record.round}/{self._last_round}  loss {losses}{more}", highlight=False)
