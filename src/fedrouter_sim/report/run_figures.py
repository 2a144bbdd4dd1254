"""The figures of one run."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from fedrouter_sim.evaluation.metrics import LOSS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.report.figures import COLOURS, GREY, Drawing, Mark, label, legend_beside, panels, svg_of
from fedrouter_sim.report.run_records import CellScores, cell_scores, main_cell, pool_label, read_samples, round_gaps
from fedrouter_sim.report.tables import number
from fedrouter_sim.routing import BARE
from fedrouter_sim.runs.cells import OF_DATA
from fedrouter_sim.runs.reader import Run

_NAMED = 8  # more lines than these are drawn grey and without names
_DRAWN = 200  # more grey lines, or more single clients, than these say nothing more
_COLUMNS = 12  # adapters of a confusion matrix; what is beyond goes into one more
_LISTED = 14  # names in a legend

Curve = Sequence[tuple[int, float]]  # (round, value)


def run_figures(run: Run) -> list[Drawing]:
    """Draw what there is to draw of a run, in reading order; nothing for what the run does not have.

    Raises:
        UserError: a file of the run is damaged.
    """
    cells, rounds = cell_scores(run), run.rounds()
    found = [
        learning_curves(run, rounds),
        gap_figure(run, round_gaps(rounds)),
        samples_figure(run, read_samples(run)),
        confusion_figure(run, main_cell(cells)),
        scores_figure(run, cells, run.metric),
        None if run.metric.name == LOSS else scores_figure(run, cell_scores(run, find_metric(LOSS)), find_metric(LOSS)),
    ]
    return [drawing for drawing in found if drawing is not None]


def learning_curves(run: Run, rounds: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """Draw training loss per pool over rounds and, where the run has it, the validation scores per task."""
    name, title = run.metric.name, run.metric.title
    losses: dict[str, list[tuple[int, float]]] = {}
    scores: dict[str, list[tuple[int, float]]] = {}
    for record in rounds:
        for pool, loss in record["losses"].items():
            losses.setdefault(pool_label(run, pool), []).append((record["round"], loss))
        for key, score in (record.get("validation") or {}).items():
            if key.startswith(f"{name}/"):
                scores.setdefault(key.removeprefix(f"{name}/"), []).append((record["round"], score))
    overall, by_loss = (
        [(r["round"], r["validation"][key]) for r in rounds if key in (r.get("validation") or {})]
        for key in (name, LOSS)
    )
    by_loss = [] if name == LOSS else by_loss
    if not losses:
        return None

    def draw(figure: Figure) -> None:
        stacked = panels(figure, [1] * (1 + bool(overall) + bool(by_loss)), sharex=True)
        _curves(stacked[0], losses, _mean_curve(losses))
        stacked[0].set(title="Training loss", ylabel="nats per token")
        if overall:
            _curves(stacked[1], scores, overall, run.metric.averaged)
            stacked[1].set(title=f"Validation share, {title}", ylabel=title)
        if by_loss:
            _curves(stacked[-1], {}, by_loss, find_metric(LOSS).averaged)
            stacked[-1].set(title="Validation share, loss", ylabel="nats per token")
        stacked[-1].set_xlabel("round")
        stacked[-1].xaxis.set_major_locator(MaxNLocator(integer=True))

    last = max(curve[-1][0] for curve in losses.values())
    below = " and ".join([title] * bool(overall) + ["loss"] * bool(by_loss))
    shown = f"{len(losses)} adapters, one line each"
    if len(losses) > _NAMED:
        shown = f"{len(losses)} adapters: each a grey line, their mean in colour"
    return Drawing(
        "learning",
        svg_of("learning", 2.3 + 2.1 * bool(overall) + 2.1 * bool(by_loss), draw),
        f"Line chart of the mean training loss of {len(losses)} adapters over {last} rounds"
        + (f", and of {below} on the validation share." if below else "."),
        f"Mean training loss in each round; {shown}. A curve that is still falling at the end asks for more rounds. "
        "Adapters of different tasks end at different losses, so compare shapes, not heights."
        + (f" Below: {below} on the validation share." if below else ""),
    )


def gap_figure(run: Run, gaps: Mapping[int, Mapping[str, float]]) -> Drawing | None:
    """Draw, over rounds, how far the product of mean factors is from the mean of products, per pool; None where no
    pool averaged several updates."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for round_, of_pools in gaps.items():
        for pool, gap in of_pools.items():
            curves.setdefault(pool_label(run, pool), []).append((round_, gap))
    if not curves:
        return None
    means = _mean_curve(curves)
    (first, at_first), (last, at_last) = means[0], means[-1]

    def draw(figure: Figure) -> None:
        [axes] = panels(figure, [1])
        _curves(axes, curves, means)
        axes.set(title="Gap of mean factors", xlabel="round", ylabel="relative distance")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    over = f"{at_first:.2%} in round {first}" + (f" and {at_last:.2%} in round {last}" if last != first else "")
    return Drawing(
        "gap",
        svg_of("gap", 2.3, draw),
        f"Line chart of the gap between the mean of products and the product of means of {len(curves)} adapters: on "
        f"average {over}.",
        "How far the product of mean factors, mean(B) mean(A), was from the mean of what the updates do, mean(B A), "
        f"relative to the latter's norm: on average {over}. --aggregation mean takes the former, --aggregation product "
        "the latter. Estimated; adapters are left out of rounds in which they had a single update.",
    )


def _mean_curve(curves: Mapping[str, Curve]) -> Curve:
    values: dict[int, list[float]] = {}
    for curve in curves.values():
        for round_, value in curve:
            values.setdefault(round_, []).append(value)
    return [(round_, fmean(found)) for round_, found in sorted(values.items())]


def _curves(axes: Axes, curves: Mapping[str, Curve], mean: Curve, overall: str = "") -> None:
    """Draw curves by name, and their mean where they are many; with `overall`, which is what it is, in any case."""
    many = len(curves) > _NAMED
    step = -(-len(curves) // _DRAWN)
    for index, (name, curve) in enumerate(sorted(curves.items())):
        mark = Mark.of(index)
        if not many:
            axes.plot(*_xy(curve), color=mark.colour, marker=mark.marker, linestyle=mark.line, label=label(name))
        elif index % step == 0:
            axes.plot(*_xy(curve), color=GREY, alpha=0.4, linewidth=0.6, marker=".", markersize=2)
    told = overall or f"mean of {len(curves)}"
    if many:
        axes.plot(*_xy(mean), color=COLOURS[0], linewidth=2.5, marker="o", label=told)
    elif overall:
        axes.plot(*_xy(mean), color="black", linewidth=1, marker=".", label=told)
    legend_beside(axes)


def _xy(curve: Curve) -> tuple[list[int], list[float]]:
    return [x for x, _ in curve], [y for _, y in curve]


def _marks_of(run: Run, pools: Sequence[str]) -> dict[str, int]:
    """Number the marks of adapters, by label, and of true tasks: a task looks like the first adapter that knows it."""
    marks = {pool_label(run, pool): place for place, pool in enumerate(pools)}
    for place, pool in enumerate(pools):
        if run.truth and (task := run.truth.majority_task(pool)) is not None:
            marks.setdefault(task, place)
    return marks


def samples_figure(run: Run, samples: Mapping[str, Any] | None) -> Drawing | None:
    """Draw training samples in two dimensions, coloured by local cluster, by task adapter and by true task."""
    if samples is None or not samples["points"]:
        return None
    points, centroids = samples["points"], samples["centroids"]
    first, second = samples["explained"]
    colourings: dict[str, list[str | None]] = {
        "By local cluster": [f"cluster {point['cluster']}" for point in points],
        "By task adapter": [pool_label(run, point["pool"]) if point["pool"] else None for point in points],
        "By true task": [point["task"] for point in points],
    }
    marks = _marks_of(run, [pool for pool, _, _ in centroids])
    shown = {title: names for title, names in colourings.items() if any(name is not None for name in names)}

    def draw(figure: Figure) -> None:
        stacked = panels(figure, [1] * len(shown), sharex=True, sharey=True)
        for axes, (title, names) in zip(stacked, shown.items(), strict=True):
            kinds = sorted({name or "none" for name in names}, key=lambda kind: (marks.get(kind, len(marks)), kind))
            free = (place for place in itertools.count() if place not in {marks.get(kind) for kind in kinds})
            for index, kind in enumerate(kinds):
                mark = Mark.of(marks[kind] if kind in marks else next(free))
                own = [point for point, name in zip(points, names, strict=True) if (name or "none") == kind]
                axes.scatter(
                    [point["x"] for point in own], [point["y"] for point in own], s=11, alpha=0.8, linewidths=0,
                    color=mark.colour, marker=mark.marker, label=label(kind, 21) if index < _LISTED else None,
                )  # fmt: skip
            xs, ys = [x for _, x, _ in centroids], [y for _, _, y in centroids]
            axes.scatter(xs, ys, s=70, marker="*", facecolor="white", edgecolor="black", linewidths=0.9,
                         label="task centroid", zorder=3)  # fmt: skip
            axes.set(title=title, ylabel=f"axis 2 ({second:.0%})")
            legend_beside(axes, markerscale=1.3, title=_more(kinds))
        stacked[-1].set_xlabel(f"axis 1 ({first:.0%} of the variance)")

    return Drawing(
        "samples",
        svg_of("samples", 2.5 * len(shown) + 0.2, draw),
        f"Scatter plots of {len(points)} training samples on two principal components, one for each way to colour "
        f"them, with {len(centroids)} task centroids.",
        f"{len(points)} training samples in the space of the router, on the two axes of most variance. The axes "
        f"explain {first:.0%} and {second:.0%} of it; what looks mixed here may lie apart in the others. Where the "
        "colours of the adapters and of the true tasks part the samples alike, clustering has found the tasks. Local "
        "clusters are numbered by each client for itself: their colours need not agree across clients.",
    )


def _more(kinds: Sequence[str]) -> str | None:
    return f"the first {_LISTED} of {len(kinds)}" if len(kinds) > _LISTED else None


def confusion_figure(run: Run, cell: CellScores | None) -> Drawing | None:
    """Draw which adapter answered how many samples of each task; None where there is nothing to choose from."""
    if cell is None:
        return None
    totals: Counter[str] = Counter()
    for row in cell.stored.confusion.values():
        totals.update(row)
    if len(totals) < 2:
        return None
    kept = sorted(sorted(totals, key=lambda pool: (-totals[pool], pool))[:_COLUMNS])
    rows = {task: [row.get(pool, 0) for pool in kept] for task, row in cell.stored.confusion.items()}
    if len(totals) > len(kept):
        for task, row in cell.stored.confusion.items():
            rows[task].append(sum(row.values()) - sum(rows[task]))
    heads = [pool_label(run, pool) for pool in kept] + ["all others"] * (len(totals) > len(kept))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, counts in enumerate(rows.values()):
            for x, count in enumerate(counts):
                share = count / max(1, sum(counts))
                # Not opaque, so that the page's colour of text stays readable on it, dark or light.
                axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=COLOURS[0], alpha=0.6 * share, linewidth=0))
                if count:
                    text = str(count) if len(heads) > 6 else f"{share:.0%}\n{count}"
                    axes.text(x, y, text, ha="center", va="center", fontsize=9 if len(heads) <= 6 else 8)
        axes.set(xlim=(-0.5, len(heads) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="adapter", ylabel="task")
        turned: dict[str, Any] = {} if len(heads) <= 2 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(heads)), [label(head, 22) for head in heads], **turned)
        axes.set_yticks(range(len(rows)), [label(task, 18) for task in rows])
        axes.grid(False)

    right = sum(max(counts) for counts in rows.values()) / max(1, sum(map(sum, rows.values())))
    return Drawing(
        "confusion",
        svg_of("confusion", 1.6 + 0.36 * len(rows), draw),
        f"Heat map of {len(rows)} tasks by {len(heads)} adapters: how many test samples of a task each one answered.",
        f"Which adapter answered the test samples of each task, cell {cell.name}: counts, and shares of the row as "
        f"colour. A row with one dark field sends its task to one adapter; {right:.0%} of all samples lie in the "
        "darkest fields of their rows. Two rows with the same dark column share an adapter.",
    )


def scores_figure(run: Run, cells: Sequence[CellScores], metric: Metric) -> Drawing | None:
    """Draw a panel per cell: the score over clients, with the single clients and the worst of them, and per task."""
    bare = {(cell.stored.test_data, cell.stored.samples): cell for cell in cells if cell.stored.routing == BARE}
    shown = [cell for cell in cells if cell.stored.routing != BARE]
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        for axes, cell in zip(panels(figure, [_rows(cell) for cell in shown], sharex=True), shown, strict=True):
            name = run.client_names.get(cell.worst, "")
            _score_panel(axes, cell, bare.get((cell.stored.test_data, cell.stored.samples)), name)
        axes.set(xlabel=metric.title)
        if all(0 <= score <= 1 for cell in shown for score in (*cell.per_client.values(), *cell.per_task.values())):
            axes.set(xlim=(0, 1.12), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])

    listed = "; ".join(f"{cell.name} {cell.mean:.3f}, worst client {cell.per_client[cell.worst]:.3f}" for cell in shown)
    beside = any((cell.stored.test_data, cell.stored.samples) in bare for cell in shown)
    reference = " The dotted lines are the bare backbone's scores on the same samples." if beside else ""
    name = f"scores-{LOSS}" if metric.name == LOSS else "scores"
    return Drawing(
        name,
        svg_of(name, 0.5 + 0.26 * sum(map(_rows, shown)), draw),
        f"Bar charts of mean {metric.title} in {len(shown)} cells: {listed}.",
        f"{metric.title} in each cell (test data and routing). The first bar is of all clients ({metric.averaged}), "
        "strokes on it are single clients, and the line is their spread. The second bar is the worst client, the "
        "others are the tasks."
        f"{reference}",
    )


def _rows(cell: CellScores) -> float:
    return 2.2 + len(cell.per_task) + (len(cell.per_client) > 1)


def _score_panel(axes: Axes, cell: CellScores, bare: CellScores | None, worst_name: str) -> None:
    several = len(cell.per_client) > 1
    worst = {f"worst: client {cell.worst} {worst_name}".strip(): cell.per_client[cell.worst]} if several else {}
    bars = {"all clients": cell.mean} | worst
    colours = [COLOURS[0], COLOURS[1]][: len(bars)] + [COLOURS[5]] * len(cell.per_task)
    names, values = [*bars, *cell.per_task], [*bars.values(), *cell.per_task.values()]
    axes.barh(range(len(names)), values, height=0.7, color=colours, alpha=0.55)
    for y, value in enumerate(values):
        axes.text(
            1.01,
            y,
            number(value),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            fontweight="bold" if y == 0 else "normal",
        )
    if bare is not None:
        references = {0: bare.mean} | {
            y: bare.per_task[task] for y, task in enumerate(cell.per_task, start=len(bars)) if task in bare.per_task
        }
        for y, reference in references.items():
            axes.plot([reference, reference], [y - 0.42, y + 0.42], color="black", linestyle=":", linewidth=1.5)
    if several:
        clients = sorted(cell.per_client.values())
        axes.plot([clients[0], clients[-1]], [0, 0], color="black", linewidth=0.8)
        drawn = clients[:: -(-len(clients) // _DRAWN)]
        axes.plot(drawn, [0] * len(drawn), linestyle="none", marker="|", markersize=7, color="black", alpha=0.7)
    axes.set_yticks(range(len(names)), [label(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")
    data = cell.stored.under.removeprefix(OF_DATA) or f"{cell.stored.test_data} data"
    axes.set_title(label(f"{data}, routing {cell.stored.routing}", 36))
