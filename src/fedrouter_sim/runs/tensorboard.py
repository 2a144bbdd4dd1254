"""The metrics of a run as TensorBoard reads them, round by round while it runs."""

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.federation.observers import Display, Observer, RoundRecord

FOLDER_NAME = "tensorboard"


def require_tensorboard() -> None:
    """Refuse where the optional package is missing, before any work.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard: the package tensorboard is not installed; `pip install 'fedrouter-sim[tensorboard]'`"
        )


def board_for(
    run: Path, display: Display, wanted: bool, rounds: int | None = None
) -> "TensorBoard | nullcontext[None]":
    """Return a stream into a run folder that grows, if it is wanted, and say how to follow it.

    `rounds` is how many an earlier process did that is gone on with: what it wrote after them is void.
    """
    if not wanted:
        return nullcontext()
    display.noted(f"TensorBoard can follow the run: tensorboard --logdir {run.parent}")
    return TensorBoard(run / FOLDER_NAME, rounds)


class TensorBoard(Observer):
    """Writes an event file: a scalar per round for what a line of rounds.jsonl says, and the scores of the end.

    Every round is flushed, so that it can be watched. Close it (it is a context manager) before its folder is moved.
    """

    def __init__(self, folder: Path, rounds: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # needs the optional package

        self._writer = SummaryWriter(str(folder), purge_step=None if rounds is None else rounds + 1)
        self._round = rounds or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """Write what the round did: losses in nats per token, relative gaps of mean factors, learning rates, bytes,
        seconds, and validation scores where there are."""
        self._round = record.round
        values: dict[str, float] = {f"loss/{pool}": loss for pool, loss in record.losses.items()}
        values |= {f"gap/{pool}": gap for pool, gap in record.gaps.items() if gap is not None}
        values |= {f"lr/{pool}": rate for pool, rate in record.rates.items()}
        values |= {"round/lr": record.lr, "round/participants": len(record.participants)}
        values |= {f"round/{name}": getattr(record, name) for name in ("examples", "steps", "tokens")}
        values |= {"bytes/up": record.bytes_up, "bytes/down": record.bytes_down}
        values |= {f"seconds/{phase}": seconds for phase, seconds in record.seconds.items()}
        values |= {f"validation/{name}": score for name, score in (record.validation or {}).items()}
        self._write(values)

    def scored(self, result: CellResult, metric: Metric) -> None:
        """Write the scores of a cell, at the last round: the mean over clients and, of the metric that is shown first,
        the worst client and the tasks."""
        cell, first = result.cell.name, metric.name
        values: dict[str, float | None] = dict(result.mean.values)
        values[f"{first}_worst_client"] = result.per_client[result.worst_client][first]
        values["routing_accuracy"], values["routing_ece"] = result.routing_accuracy, result.routing_ece
        values |= {f"{first}/{task}": of_task[first] for task, of_task in result.per_task.items()}
        self._write({f"{cell}/{name}": value for name, value in values.items() if value is not None})

    def _write(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._round)
        self._writer.flush()
