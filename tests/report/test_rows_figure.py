"""The score of a task against its training rows."""

from dataclasses import replace

from fedrouter_sim.report.comparison_figures import comparison_drawings
from fedrouter_sim.report.figures import LINES
from fedrouter_sim.report.rows_figure import MOST_TASKS, rows_figure, task_curves
from fedrouter_sim.studies.comparison import Comparison, Entry, compare


def with_rows(comparison: Comparison, rows: list[dict[str, int]], examples: list[int]) -> list[Entry]:
    """Return runs of fedrouter and fedavg on `all`, with so many rows of each task, and scores that follow them."""
    base = next(entry for entry in comparison.entries if entry.method == "fedavg")
    made = []
    for seed, (own, count) in enumerate(zip(rows, examples, strict=True)):
        for method, better in (("fedrouter", 0.1), ("fedavg", 0.0)):
            per_task = {task: better + number / 1000 for task, number in own.items()}
            score = replace(
                base.scores[0], method=method, split="all", seed=1, test_data="all", per_task=per_task, samples="same"
            )
            settings = {**base.settings, "method": method, "examples_per_client": count}
            folder = base.folder / f"{method}-{seed}"
            entry = replace(base, folder=folder, method=method, split="all", seed=1, settings=settings, rows=own)
            other = replace(score, method=f"{method}/local", per_task=dict.fromkeys(own, 0.9))
            made.append(replace(entry, scores=(score, other)))
    return made


def test_a_line_joins_runs_that_differ_in_their_number_of_rows(comparison: Comparison) -> None:
    rows = [{"sums": 10, "words": 10}, {"sums": 100, "words": 10}, {"sums": 300, "words": 10}]
    found = compare(with_rows(comparison, rows, [5, 50, 150]))
    assert len(found.methods()) == 12  # each number of rows, and each routing, has a name of its own there
    curves = task_curves(found)
    assert list(curves) == ["sums"]  # of words all have the same
    assert curves["sums"] == {
        "fedrouter": [(10, 0.11), (100, 0.2), (300, 0.4)],
        "fedavg": [(10, 0.01), (100, 0.1), (300, 0.3)],
    }
    drawing = rows_figure(found)
    assert drawing is not None and drawing in comparison_drawings(found)
    assert "sums: fedrouter 0.110 at 10 0.200 at 100 0.400 at 300, fedavg" in drawing.alt
    assert "training rows of the task" in drawing.svg


def test_other_settings_stay_in_the_names(comparison: Comparison) -> None:
    rows, examples = [{"sums": 10}, {"sums": 10}, {"sums": 100}, {"sums": 100}], [5, 5, 50, 50]
    entries = with_rows(comparison, rows, examples)
    entries = [replace(e, settings={**e.settings, "tasks": 1 + place // 2 % 2}) for place, e in enumerate(entries)]
    names = set(task_curves(compare(entries))["sums"])
    assert names == {f"{method} (tasks={tasks})" for method in ("fedrouter", "fedavg") for tasks in (1, 2)}


def test_every_line_style_can_be_drawn(comparison: Comparison) -> None:
    pairs = [
        replace(entry, method=f"m{i}", scores=(replace(entry.scores[0], method=f"m{i}"),), folder=entry.folder / str(i))
        for i in range(len(LINES) + 1)
        for entry in with_rows(comparison, [{"sums": 10}, {"sums": 100}], [5, 50])[::2]
    ]
    drawing = rows_figure(compare(pairs))
    assert drawing is not None and all(f"m{i}" in drawing.svg for i in range(len(LINES) + 1))


def test_only_so_many_tasks_have_a_panel(comparison: Comparison) -> None:
    rows = [{f"task {i}": many for i in range(MOST_TASKS + 3)} for many in (10, 20)]
    assert len(task_curves(compare(with_rows(comparison, rows, [5, 10])))) == MOST_TASKS


def test_there_is_no_figure_where_all_have_as_many_rows_or_rows_are_not_known(comparison: Comparison) -> None:
    for rows in ([{"sums": 10}, {"sums": 10}], [{}, {}]):
        assert rows_figure(compare(with_rows(comparison, rows, [5, 10]))) is None
