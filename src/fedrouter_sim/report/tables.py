"""Tables for the terminal."""

from collections.abc import Sequence
from statistics import fmean, stdev

from rich.markup import escape
from rich.table import Table

from fedrouter_sim.declaring import flag
from fedrouter_sim.evaluation.metrics import all_metrics
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.evaluation.unseen import UnseenAuroc
from fedrouter_sim.federation.cost import Cost
from fedrouter_sim.federation.privacy.budget import Account
from fedrouter_sim.machine import size
from fedrouter_sim.routing import BARE
from fedrouter_sim.runs.aggregated import Aggregated
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.studies.comparison import Comparison, Estimate, Judged


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a table; a dash for what does not exist."""
    return "-" if value is None else f"{value:.{digits}f}"


def summary_table(summary: Summary, metric: Metric) -> Table:
    """Show a run's summary."""
    title = f"{escape(summary.method)}, split {escape(summary.split)}, {summary.clients} clients, seed {summary.seed}"
    table = Table("", "", title=title, show_header=False, title_justify="left")
    name = escape(metric.title)
    base = summary.task_scores_in(summary.bare_cell)
    table.add_row(f"{name}, all tasks, mean over clients", f"[bold]{number(summary.score)}[/]")
    for task, score in summary.task_scores_in(summary.cell).items():
        table.add_row(f"  {escape(task)}", f"{number(score)}   (bare backbone {number(base.get(task))})")
    table.add_row(f"{name} of the bare backbone", number(summary.score_in(summary.bare_cell)))
    for cell in summary.scores:
        if not cell.endswith(f"-{BARE}"):
            table.add_row(f"{name} in cell {escape(cell)}", number(summary.score_in(cell)))
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
    """Show cells side by side: means over clients with their standard deviation, the worst client, and each task."""
    metrics = sorted(all_metrics(first), key=lambda metric: metric.name != first.name)
    table = Table(title="Means over clients", title_justify="left")
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
        spread = stdev(own) if len(own) > 1 else None
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


def estimate_text(estimate: Estimate | None, digits: int = 3) -> str:
    """Return a mean with its interval, '0.747 [0.731, 0.763]'; without one where there is a single seed."""
    mean = number(None if estimate is None else estimate.mean, digits)
    if estimate is None or estimate.low is None:
        return mean
    return f"{mean} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def interval(estimate: Estimate | None) -> str:
    """Return the same for the terminal, the interval dimmed."""
    mean, _, rest = estimate_text(estimate).partition(" ")
    return f"{mean} [dim]{escape(rest)}[/]" if rest else mean


def comparison_table(comparison: Comparison) -> Table:
    """Show every method in every cell: mean over clients, then over seeds, with its 95% interval."""
    cells = comparison.cells()
    table = Table(
        title=f"{escape(comparison.metric.title)}, mean over clients and seeds, with 95% interval over seeds",
        title_justify="left",
    )
    table.add_column("method")
    for split, test_data in cells:
        table.add_column(escape(f"{split}\n{test_data}"))
    for heading in ("steps", "tokens", "up"):
        table.add_column(heading, justify="right")
    for method in comparison.methods():
        scores = [interval(comparison.estimate(method, *cell)) for cell in cells]
        costs = comparison.costs(method)
        table.add_row(
            escape(method),
            *scores,
            f"{fmean(cost.optimizer_steps for cost in costs):,.0f}",
            f"{fmean(cost.tokens_trained for cost in costs):,.0f}",
            size(round(fmean(cost.bytes_up for cost in costs))),
        )
    return table


def gains_table(comparison: Comparison, baseline: str) -> Table:
    """Show every method's score relative to a baseline's, seed by seed."""
    metric = escape(comparison.metric.title)
    title = f"Relative to {escape(baseline)}: ratio of {metric}, above 1 is better, with 95% interval"
    table = Table(
        "method",
        title=title,
        title_justify="left",
    )
    for split, test_data in comparison.cells():
        table.add_column(escape(f"{split}\n{test_data}"))
    for method in comparison.methods():
        if method != baseline:
            gains = [comparison.gain(method, baseline, *cell) for cell in comparison.cells()]
            table.add_row(escape(method), *(interval(gain.ratio if gain else None) for gain in gains))
    return table


def claims_table(judged: Sequence[Judged]) -> Table:
    """Show what became of claims."""
    table = Table("claim", "ratio", "verdict", "the paper", title="Claims", title_justify="left")
    for one in judged:
        ratio = interval(one.gain.ratio if one.gain else None)
        table.add_row(escape(one.claim.says), ratio, f"[bold]{one.verdict}[/]", escape(one.claim.paper) or "-")
    return table


def differences_table(comparison: Comparison) -> Table:
    """Show the settings in which the runs differ, by value."""
    table = Table("setting", "value", "runs", title="The runs differ in", title_justify="left")
    for name in comparison.differences:
        for value, of_value in comparison.runs_by_value(name).items():
            table.add_row(flag(name), escape(value), escape(", ".join(of_value)))
    return table
