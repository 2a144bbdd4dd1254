"""Tables for the terminal."""

from collections.abc import Sequence
from statistics import stdev

from rich.markup import escape
from rich.table import Table

from fedrouter_sim.evaluation.metrics import LOSS, all_metrics
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.scores import CellResult, LabelTask
from fedrouter_sim.evaluation.unseen import UnseenAuroc
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.privacy.budget import Account
from fedrouter_sim.machine import size
from fedrouter_sim.routing import BARE
from fedrouter_sim.runs.aggregated import Aggregated
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.studies.gains import Estimate
from fedrouter_sim.studies.resampling import OverSamples


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a table; a dash for what does not exist."""
    return "-" if value is None else f"{value:.{digits}f}"


def summary_table(summary: Summary, metric: Metric) -> Table:
    """Show a run's summary."""
    title = f"{escape(summary.method)}, split {escape(summary.split)}, {summary.clients} clients, seed {summary.seed}"
    table = Table("", "", title=title, show_header=False, title_justify="left")
    name = escape(metric.title)
    base, base_loss = (summary.task_scores_in(summary.bare_cell, one) for one in (None, LOSS))

    def beside(loss: float | None) -> str:
        return "" if metric.name == LOSS or loss is None else f", loss {number(loss)}"

    def of_cell(cell: str | None) -> str:
        return beside(summary.score_in(cell, LOSS))

    table.add_row(f"{name}, all tasks, {metric.averaged}", f"[bold]{number(summary.score)}[/]{of_cell(summary.cell)}")
    losses = summary.task_scores_in(summary.cell, LOSS)
    for task, score in summary.task_scores_in(summary.cell).items():
        bare = f"(bare backbone {number(base.get(task))}{beside(base_loss.get(task))})"
        table.add_row(f"  {escape(task)}", f"{number(score)}{beside(losses.get(task))}   {bare}")
    table.add_row(
        f"{name} of the bare backbone", number(summary.score_in(summary.bare_cell)) + of_cell(summary.bare_cell)
    )
    for cell in summary.scores:
        if not cell.endswith(f"-{BARE}"):
            table.add_row(f"{name} in cell {escape(cell)}", number(summary.score_in(cell)) + of_cell(cell))
    for label, value in label_rows(summary):
        table.add_row(escape(label), value)
    table.add_row("Routing accuracy", number(summary.routing_accuracy))
    table.add_row("Calibration error of routing", number(summary.routing_ece))
    if summary.tasks_found is not None:
        table.add_row("Tasks found", str(summary.tasks_found))
    if summary.tasks_born:
        table.add_row("  born after the drift", str(summary.tasks_born))
    if summary.unseen_auroc is not None:
        table.add_row("Held-out tasks told from trained ones, AUROC", number(summary.unseen_auroc))
        for task, auroc in summary.unseen_auroc_per_task.items():
            table.add_row(f"  {escape(task)}", number(auroc))
    table.add_row("ARI of local / global clusters", f"{number(summary.ari_local)} / {number(summary.ari_global)}")
    table.add_row("Sent up / down", f"{size(summary.bytes_up)} / {size(summary.bytes_down)}")
    table.add_row("Optimizer steps", f"{summary.optimizer_steps:,}")
    table.add_row("Tokens trained on", f"{summary.tokens_trained:,}")
    if summary.updates_refused:
        table.add_row("Updates refused by the server", f"{summary.updates_refused:,}")
    if summary.privacy is not None:
        for name, value in privacy_rows(summary.privacy):
            table.add_row(name, value)
    if summary.clients_dropped:
        table.add_row("Clients that vanished, over rounds", f"{summary.clients_dropped:,}")
    if summary.clients_late:
        joined = f"{summary.clients_late:,} / {summary.clients_joined:,}"
        table.add_row("Clients that came late / counted a round later", joined)
    if summary.rounds_skipped:
        table.add_row("Rounds skipped for want of clients", f"{summary.rounds_skipped:,}")
    for phase, seconds in summary.seconds.items():
        table.add_row(f"Seconds: {escape(phase)}", number(seconds, 1))
    table.add_row("Peak memory", size(summary.peak_memory_bytes))
    return table


_OF_LABELS = ("exact_match", "balanced_accuracy", "macro_f1")
_MOST_FLAGGED = 4  # adapters of a task and cell; those of clients may be many


def label_rows(summary: Summary) -> list[tuple[str, str]]:
    """Return what the first cell says of tasks whose answers are labels: three scores beside those of the best constant
    answer; and the adapters that always answer the same, in any cell, in bold."""
    rows = []
    for cell, tasks in sorted(summary.label_tasks.items(), key=lambda item: item[0] != summary.cell):
        for task, found in tasks.items():
            if cell == summary.cell:
                scores = summary.task_scores.get(cell, {}).get(task) or summary.scores[cell]
                told = " / ".join(number(scores.get(name)) for name in _OF_LABELS)
                rows.append((f"Accuracy / balanced / macro-F1, {_task(task)}", f"{told}{escape(_constant(found))}"))
            where = "" if cell == summary.cell else f", {_task(task)} in {cell}"
            rows += [(f"  always the same answer{where}", line) for line in _always(found)]
    return rows


def _always(found: LabelTask) -> list[str]:
    lines = [
        f"[bold]{escape(same.pool)}: {escape(repr(same.answer))}[/] to {same.given} of {same.samples} samples"
        for same in found.always[:_MOST_FLAGGED]
    ]
    more = len(found.always) - _MOST_FLAGGED
    return lines + [f"and {more} adapters more"] * (more > 0)


def labels_table(results: Sequence[CellResult]) -> Table:
    """Show the tasks whose answers are labels, in every cell, beside the best constant answer."""
    heads = ("cell", "task", "accuracy", "balanced", "macro-F1", "best constant answer", "always the same answer")
    table = Table(*heads, title="Tasks whose answers are labels", title_justify="left")
    for result in results:
        for task, found in result.label_tasks.items():
            scores = result.per_task.get(task, result.mean)
            same = "; ".join(f"{one.pool}: {one.answer!r} ({one.given} of {one.samples})" for one in found.always)
            told = [number(scores.values.get(name)) for name in _OF_LABELS]
            constant = _constant(found).strip(" ()") or "-"
            table.add_row(escape(result.cell.name), escape(_task(task)), *told, escape(constant), escape(same) or "-")
    return table


def _constant(found: LabelTask) -> str:
    best = found.best_constant
    if best is None:
        return ""
    return f"   (all {best.answer!r}: " + " / ".join(number(best.scores.get(name)) for name in _OF_LABELS) + ")"


def _task(name: str) -> str:
    return name or "all rows"  # of data without tasks


def privacy_rows(account: Account) -> list[tuple[str, str]]:
    """Return what a run spends on privacy, or is to spend, and on what, as names and values."""
    spent = f"epsilon {account.epsilon:.4g} at delta {account.delta:.3g}, of {account.epsilon_given:g}"
    clip = f"{account.clip:g}: all updates of a client in a round"
    return [
        ("Privacy of a client", spent),
        ("  clipped at", clip),
        *(
            (
                f"  noise of {one.kind}",
                f"{one.noise_multiplier:.4g} times what a client can change, {one.times} times at sample rate "
                f"{one.sample_rate:g}, {one.share:.0%} of the budget",
            )
            for one in account.releases
        ),
    ]


def privacy_table(account: Account) -> Table:
    """Show what differential privacy is going to cost."""
    table = Table("", "", title="What privacy is spent on", show_header=False, title_justify="left")
    for name, value in privacy_rows(account):
        table.add_row(name, value)
    return table


def duration(seconds: float) -> str:
    """Return a time for a person."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cost_line(cost: Cost) -> str:
    """Say in one line what training will cost."""
    model = f"{cost.parameters:,} frozen parameters ({cost.dtype}, {cost.device})"
    adapters = f"{cost.adapters} adapters of {cost.adapter_parameters:,} parameters ({size(cost.adapter_bytes)})"
    if cost.train_seconds is None or cost.seconds_per_step is None:
        return f"{model}; nothing to train; {cost.answers:,} answers at most"
    time = f"about {duration(cost.train_seconds)} (a step took {cost.seconds_per_step:.2g} s, {cost.threads} threads)"
    more = ", and the method plans more later" if cost.more_follows else ""
    return (
        f"{model}; {adapters}; training {cost.steps:,} steps, {cost.tokens:,} tokens, {time}{more}; "
        f"then {cost.answers:,} answers at most"
    )


def cost_table(cost: Cost) -> Table:
    """Show what training will cost."""
    table = Table("", "", title="What training will cost", show_header=False, title_justify="left")
    table.add_row("Frozen parameters of the backbone", f"{cost.parameters:,} ({cost.dtype}, {cost.device})")
    table.add_row("Trainable parameters of an adapter", f"{cost.adapter_parameters:,} ({size(cost.adapter_bytes)})")
    table.add_row("Adapters", str(cost.adapters))
    table.add_row("Optimizer steps", f"{cost.steps:,}" + (", and the method plans more later" * cost.more_follows))
    table.add_row("Tokens trained on", f"{cost.tokens:,}")
    table.add_row("Seconds of a measured step", number(cost.seconds_per_step))
    training = "-" if cost.train_seconds is None else duration(cost.train_seconds)
    table.add_row(f"Training, on {cost.threads} threads", training)
    table.add_row("Answers after it, at most", f"{cost.answers:,} of at most {cost.longest_answer} tokens")
    return table


def scores_table(results: Sequence[CellResult], first: Metric) -> Table:
    """Show cells side by side: means over clients with their standard deviation, the worst client, and each task. A
    score of all clients' samples together is no mean over clients, and so without a deviation."""
    # What sees through constant answers has a table of its own.
    shown = [metric for metric in all_metrics(first) if not metric.pooled or metric.name == first.name]
    metrics = sorted(shown, key=lambda metric: metric.name != first.name)
    table = Table(title=f"Scores, {first.averaged}", title_justify="left")
    for heading in ("cell", "of"):
        table.add_column(heading)
    titles = [escape(metric.title) for metric in metrics]
    for heading in ("samples", titles[0], "± clients", *titles[1:], "routing", "ECE"):
        table.add_column(heading, justify="right")
    for result in results:
        rows = {
            "all clients": result.mean,
            f"worst: client {result.worst_client}": result.per_client[result.worst_client],
        } | dict(result.per_task)
        own = [value for scores in result.per_client.values() if (value := scores[first.name]) is not None]
        spread = stdev(own) if len(own) > 1 and not first.pooled else None
        for place, (name, scores) in enumerate(rows.items()):
            table.add_row(
                escape(result.cell.name) if place == 0 else "",
                escape(name),
                str(scores.samples),
                number(scores[first.name]),
                number(spread) if place == 0 else "",
                *(number(scores[metric.name]) for metric in metrics[1:]),
                number(result.routing_accuracy) if place == 0 else "",
                number(result.routing_ece) if place == 0 else "",
                end_section=place == len(rows) - 1,
            )
    return table


def unseen_table(unseen: UnseenAuroc) -> Table:
    """Show how well held-out tasks are told from trained ones."""
    table = Table("held-out task", "AUROC", title="Held-out tasks told from trained ones", title_justify="left")
    for task, auroc in unseen.per_task.items():
        table.add_row(escape(task), number(auroc))
    table.add_row("all", number(unseen.auroc))
    return table


def confusion_table(result: CellResult) -> Table:
    """Show how many samples of each task each adapter answered."""
    pools = sorted({pool for row in result.confusion.values() for pool in row})
    table = Table(
        "task", *map(escape, pools), title=f"Samples of a task answered by an adapter, cell {escape(result.cell.name)}"
    )
    table.title_justify = "left"
    for task, row in result.confusion.items():
        table.add_row(escape(task), *(str(row.get(pool, 0)) for pool in pools))
    return table


def aggregated_table(done: Aggregated) -> Table:
    """Show what `aggregate` did for each task."""
    table = Table("task adapter", "updates averaged", "started from", title_justify="left")
    table.title = f"Updates of round {done.round}"
    for task, count in enumerate(done.updates_per_task):
        name = f"task_{task}"
        table.add_row(name, str(count), escape(done.inherited.get(name, "")))
    return table


def estimate_text(estimate: Estimate | None, digits: int = 3, over: OverSamples | None = None) -> str:
    """Return a mean with its interval over seeds, '0.747 [0.731, 0.763]', none where there is a single one, and over
    test samples, '(0.722, 0.771)', where they are known."""
    text = number(None if estimate is None else estimate.mean, digits)
    if estimate is not None and estimate.low is not None:
        text += f" [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"
    return text if over is None else f"{text} ({number(over.low, digits)}, {number(over.high, digits)})"


def interval(estimate: Estimate | None, over: OverSamples | None = None) -> str:
    """Return the same for the terminal, the intervals dimmed and that over samples in a line of its own."""
    mean, _, rest = estimate_text(estimate, over=over).partition(" ")
    rest = rest.replace(" (", "\n(")
    return f"{mean} [dim]{escape(rest)}[/]" if rest else mean
