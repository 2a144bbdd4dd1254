"""The tables of a comparison for the terminal."""

from collections.abc import Sequence
from statistics import fmean

from rich.markup import escape
from rich.table import Table

from fedrouter_sim.config.declaring import flag
from fedrouter_sim.machine import size
from fedrouter_sim.report.tables import interval
from fedrouter_sim.studies.comparison import Comparison, Judged
from fedrouter_sim.studies.gains import Gain
from fedrouter_sim.studies.resampling import Power


def comparison_table(comparison: Comparison) -> Table:
    """Show every method in every cell: mean over clients, then over seeds, with its 95% interval."""
    cells = comparison.cells()
    table = Table(
        title=f"{escape(comparison.metric.title)}, {comparison.metric.averaged}; mean over seeds, with 95% "
        "intervals: [] over seeds, () over test samples",
        title_justify="left",
    )
    table.add_column("method")
    for split, test_data in cells:
        table.add_column(escape(f"{split}\n{test_data}"))
    for heading in ("steps", "tokens", "up"):
        table.add_column(heading, justify="right")
    for method in comparison.methods():
        scores = [interval(comparison.estimate(method, *c), comparison.over_samples(method, *c)) for c in cells]
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
    title = (
        f"Relative to {escape(baseline)}: ratio of {metric}, above 1 is better, with 95% intervals: [] over seeds, "
        "() over test samples, paired"
    )
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
            table.add_row(escape(method), *map(_gain, gains))
    return table


def _gain(gain: Gain | None) -> str:
    """Return a gain with its intervals and, where it cannot be told from none, what that would take."""
    if gain is None:
        return "-"
    log = gain.log_ratio
    open_ = log.low is None or log.high is None or log.low <= 0 <= log.high
    needed = needed_text(gain.power(1.0), gain) if open_ else ""
    return interval(gain.ratio, gain.over_samples) + (f"\n[dim]takes {needed}[/]" if needed else "")


def claims_table(judged: Sequence[Judged]) -> Table:
    """Show what became of claims, by their metric and by token loss."""
    heads = ("claim", "ratio", "verdict", "it would take", "ratio of losses", "by loss", "the paper")
    table = Table(*heads, title="Claims", title_justify="left")
    for one in judged:
        loss = one.by_loss
        table.add_row(
            escape(one.claim.says),
            _ratio(one),
            f"[bold]{one.verdict}[/]",
            power_text(one) or "-",
            _ratio(loss) if loss else "-",
            loss.verdict if loss else "-",
            escape(one.claim.paper) or "-",
        )
    return table


def _ratio(judged: Judged) -> str:
    return interval(judged.gain.ratio, judged.gain.over_samples) if judged.gain else "-"


def power_text(judged: Judged) -> str:
    """Say what a claim that is not separable would take, '2,300 test samples (of 360) or 14 seeds'; '' for others."""
    power, gain = judged.power, judged.gain
    return needed_text(power, gain) if power is not None and gain is not None else ""


def needed_text(power: Power, gain: Gain) -> str:
    """Return what it takes in words; '' where nothing of use would do."""
    asked = gain.over_samples.samples if gain.over_samples else 0
    found = [f"{power.samples:,} test samples (of {asked:,})"] if power.samples is not None else []
    found += [f"{power.seeds:,} seeds"] if power.seeds is not None else []
    return " or ".join(found)


def differences_table(comparison: Comparison) -> Table:
    """Show the settings in which the runs differ, by value."""
    table = Table("setting", "value", "runs", title="The runs differ in", title_justify="left")
    for name in comparison.differences:
        for value, of_value in comparison.runs_by_value(name).items():
            table.add_row(flag(name), escape(value), escape(", ".join(of_value)))
    return table
