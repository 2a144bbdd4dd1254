"""Scores against the steps of a client."""

from dataclasses import replace

from fedrouter_sim.report.budget_figure import budget_curves, budget_figure
from fedrouter_sim.report.comparison_figures import comparison_drawings
from fedrouter_sim.studies.comparison import Comparison, Entry, compare


def with_budgets(comparison: Comparison, budgets: list[tuple[int, int]], budget: str = "shared") -> list[Entry]:
    """Return a run of fedrouter and one of fedavg for each (rounds, local steps), with scores that follow them."""
    base = next(entry for entry in comparison.entries if entry.method == "fedavg")
    made = []
    for rounds, local_steps in budgets:
        for method, better in (("fedrouter", 0.1), ("fedavg", 0.0)):
            mean = round(better + rounds * local_steps / 1000, 3)
            score = replace(base.scores[0], method=method, split="all", seed=1, test_data="all", mean=mean, samples="s")
            own = {"method": method, "rounds": rounds, "local_steps": local_steps, "budget": budget}
            folder = base.folder / f"{method}-{rounds}-{local_steps}-{budget}"
            settings = {**base.settings, **own}
            entry = replace(base, folder=folder, method=method, split="all", seed=1, settings=settings)
            other = replace(score, method=f"{method}/local", mean=0.9)  # under a routing that is not its own
            made.append(replace(entry, scores=(score, other)))
    return made


def test_a_line_joins_runs_that_differ_in_their_steps(comparison: Comparison) -> None:
    found = compare(with_budgets(comparison, [(2, 10), (4, 10), (4, 40)]))
    assert len(found.methods()) == 12  # each budget, and each routing, has a name of its own there
    expected = {"fedrouter": [(20, 0.12), (40, 0.14), (160, 0.26)], "fedavg": [(20, 0.02), (40, 0.04), (160, 0.16)]}
    assert budget_curves(found) == {"all, all": expected}
    drawing = budget_figure(found)
    assert drawing is not None and drawing in comparison_drawings(found)
    assert "all, all: fedrouter 0.120 at 20 0.140 at 40 0.260 at 160, fedavg" in drawing.alt
    assert "rounds x local steps" in drawing.svg


def test_what_trains_nothing_has_no_place(comparison: Comparison) -> None:
    entries = with_budgets(comparison, [(2, 10), (4, 10)])
    entries[1] = replace(entries[1], cost=replace(entries[1].cost, optimizer_steps=0))
    assert [steps for steps, _ in budget_curves(compare(entries))["all, all"]["fedavg"]] == [40]


def test_every_method_is_named_where_it_is_in_the_second_panel_alone(comparison: Comparison) -> None:
    entries = with_budgets(comparison, [(2, 10), (4, 10)])
    others = [
        replace(
            e, method="ditto", folder=e.folder / "o", scores=(replace(e.scores[0], method="ditto", split="single"),)
        )
        for e in entries[::2]
    ]
    drawing = budget_figure(compare([*entries, *(replace(one, split="single") for one in others)]))
    assert drawing is not None and "ditto" in drawing.svg


def test_the_budget_of_each_group_is_a_line_of_its_own(comparison: Comparison) -> None:
    budgets = [(2, 10), (4, 10)]
    entries = [*with_budgets(comparison, budgets), *with_budgets(comparison, budgets, "per-group")]
    names = {f"{method} (budget={kind})" for method in ("fedrouter", "fedavg") for kind in ("shared", "per-group")}
    assert set(budget_curves(compare(entries))["all, all"]) == names


def test_there_is_no_figure_where_all_took_as_many_steps(comparison: Comparison) -> None:
    assert budget_figure(compare(with_budgets(comparison, [(2, 20), (4, 10)]))) is None
