"""The page, the Markdown and the CSV of a comparison."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.report.comparison_figures import _name_points, _Point, comparison_drawings, comparison_figures
from fedrouter_sim.report.comparison_report import write_comparison_report
from fedrouter_sim.report.comparison_tables import (
    clients_csv,
    comparison_csv,
    comparison_markdown,
    cost_grid,
    estimate_text,
    ratio_text,
    score_grid,
    spread_grid,
    task_grids,
)
from fedrouter_sim.report.page import Grid
from fedrouter_sim.studies.comparison import REPRODUCED, Claim, Comparison, Judged, compare
from fedrouter_sim.studies.gains import Estimate

NASTY = "mine|a&b <i>_$x$"
ESCAPED = "mine|a&amp;b &lt;i&gt;_$x$"


def texts(grid: Grid) -> list[list[str]]:
    return [[entry.text for entry in row] for row in grid.rows]


@pytest.fixture(scope="module")
def judged(comparison: Comparison) -> list[Judged]:
    claims = [
        Claim("Ours is <better>", "fedrouter", "fedavg", "dual", "own", paper="+6.1%"),
        Claim("Ours is twice as good", "fedrouter", "fedavg", "dual", "own", least=2.0),
        Claim("Mine is as good as FedAvg", NASTY, "fedavg", "single", "own", least=1.15),
        Claim("Nobody ran this", "nobody", "fedavg", "single", "own"),
    ]
    return [comparison.judge(claim) for claim in claims]


@pytest.fixture(scope="module")
def page(comparison: Comparison, judged: list[Judged], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("comparison") / "report.html"
    title = "Ours <against> others"
    assert write_comparison_report(path, title, comparison, judged, ["A note & more."]) == path
    return path.read_text(encoding="utf-8")


def test_the_page_has_all_parts(page: str, comparison: Comparison) -> None:
    parts = "Interference: each client&#39;s own data|Generalisation: all tasks|Claims|Figures|Cost|Settings|Notes"
    places = [page.index(f"<h2>{part}") for part in parts.split("|")]
    assert places == sorted(places)
    assert page.count("<details>") == 6  # for each test data: tasks of both splits, and worst clients
    assert "<title>Ours &lt;against&gt; others</title>" in page and "A note &amp; more." in page
    for name, svg in comparison_figures(comparison).items():
        assert svg in page and f'id="figure-{name}"' in page


def test_the_page_says_what_became_of_claims(page: str) -> None:
    assert 'Ours is &lt;better&gt;: <span class="verdict reproduced">✓&nbsp;reproduced' in page
    assert 'Ours is twice as good: <span class="verdict contradicted">✗&nbsp;contradicted' in page
    assert 'Nobody ran this: <span class="verdict not measured">~&nbsp;not measured' in page
    assert "Paper: +6.1%." in page and "Bar: 2 times." in page


def test_the_page_escapes_names(page: str) -> None:
    assert ESCAPED in page and "<i>" not in page


def test_the_page_has_the_same_bytes_again(
    page: str, comparison: Comparison, judged: list[Judged], tmp_path: Path
) -> None:
    again = write_comparison_report(
        tmp_path / "again.html", "Ours <against> others", comparison, judged, ["A note & more."]
    )
    assert again.read_text(encoding="utf-8") == page


def test_a_page_without_claims_and_with_one_seed(comparison: Comparison, tmp_path: Path) -> None:
    one = compare([entry for entry in comparison.entries if entry.seed == 0 and entry.method == "fedavg"])
    page = write_comparison_report(tmp_path / "one.html", "One", one, []).read_text(encoding="utf-8")
    assert "<h2>Claims" not in page and "<h2>Notes" not in page and "<h2>Settings" not in page
    assert "One seed gives no interval" in page and "[" not in page.split("<h2>Figures")[0].split("<body>")[1]


def test_figures_are_svg(comparison: Comparison) -> None:
    figures = comparison_figures(comparison)
    assert list(figures) == ["scores-single", "scores-dual", "cost-single", "cost-dual"]
    for svg in figures.values():
        words = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter()}
        assert {"fedavg", "fedrouter", "fedrouter/local", NASTY} <= words


def test_names_at_points_do_not_overlap() -> None:
    figure = Figure(figsize=(4.8, 3.3), dpi=72, layout="constrained")
    axes = figure.subplots()
    points = [_Point(f"method {i}", 7.0 if i < 8 else 8.0, 0.6 + 0.001 * i) for i in range(11)]
    axes.plot([p.cost for p in points], [p.score for p in points], "o")
    axes.set(xlim=(0, 10), ylim=(0.2, 0.8))
    figure.draw_without_rendering()
    _name_points(axes, points)
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 11
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[i + 1 :])


def test_score_grid(comparison: Comparison) -> None:
    grid = score_grid(comparison, "own")
    assert list(grid.heads) == ["Method", "single", "dual"]
    assert texts(grid)[0] == ["fedavg", "0.510 [0.485, 0.535]", "0.510 [0.485, 0.535]"]
    assert [row[0].text for row in grid.rows] == ["fedavg", "fedrouter", NASTY]  # local routing has no own score
    assert [[entry.best for entry in row] for row in grid.rows] == [[False] * 3, [False, True, True], [False] * 3]


def test_task_and_spread_grids(comparison: Comparison) -> None:
    single, dual = task_grids(comparison, "all")
    assert list(single.heads) == ["Method", "a&b <i>_$x$", "plain"] and single.folded and dual.folded
    assert texts(dual)[2][0] == "fedrouter/local" and texts(dual)[2][2].startswith("0.360 [")
    spread = spread_grid(comparison, "all")
    assert len(spread.heads) == 5 and texts(spread)[0][1].startswith("0.410 [")
    assert not any(entry.best for row in spread.rows for entry in row)


def test_cost_grid(comparison: Comparison) -> None:
    assert texts(cost_grid(comparison))[1] == ["fedrouter", "single", "3", "100", "2,000", "2.0 MiB", "1.0 MiB"]


def test_markdown(comparison: Comparison, judged: list[Judged]) -> None:
    lines = comparison_markdown(comparison, judged).splitlines()
    assert "### Interference: each client's own data" in lines and "### Generalisation: all tasks" in lines
    assert "| fedrouter | **0.760 [0.735, 0.785]** | **0.760 [0.735, 0.785]** |" in lines
    assert any(line.startswith(r"| mine\|a\&b \<i\>\_$x$ | 0.590") for line in lines)
    [first] = [line for line in lines if line.startswith(r"- Ours is \<better\>: **reproduced**. Ours: 1.490 times")]
    assert first.endswith("3 seeds). Paper: +6.1%.")
    assert "| Method | single: worst client | single: spread over clients |" in lines[12]
    assert "| fedrouter | single | 3 | 100 | 2,000 | 2.0 MiB | 1.0 MiB |" in lines


def test_csv(comparison: Comparison) -> None:
    text = comparison_csv(comparison)
    assert text.endswith("\n") and "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2 * 3 * (2 + 3 + 2)
    assert rows[2] == {
        "split": "single", "method": "fedrouter", "seed": "0", "test_data": "own", "rouge1": "0.75", "worst": "0.65",
        "spread": "0.141", "rouge1/a&b <i>_$x$": "0.8", "rouge1/plain": "0.7", "optimizer_steps": "100",
        "tokens_trained": "2000", "bytes_up": "2097152", "bytes_down": "1048576",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [(None, "-"), (Estimate(0.5, None, None, 1), "0.500"), (Estimate(0.5, 0.4, 0.6, 3), "0.500 [0.400, 0.600]")],
)
def test_estimate_text(estimate: Estimate | None, expected: str) -> None:
    assert estimate_text(estimate) == expected


def test_ratio_text_without_interval_or_runs(comparison: Comparison) -> None:
    one = compare([entry for entry in comparison.entries if entry.seed == 0])
    claim = Claim("Ours is better", "fedrouter", "fedavg", "dual", "own")
    assert ratio_text(one.judge(claim)) == "Ours: 1.500 times (1 seed, so no interval)."
    assert ratio_text(comparison.judge(replace(claim, method="gone"))) == "No seed has both runs."
    assert ratio_text(comparison.judge(replace(claim, metric="macro_f1"))) == "Nothing was scored by macro_f1."


def test_where_a_score_is_0_it_is_said_and_the_loss_is_judged_all_the_same(comparison: Comparison) -> None:
    zero = [
        replace(entry, scores=tuple(replace(s, mean=0.0) if s.seed == 1 else s for s in entry.scores))
        for entry in comparison.entries
    ]
    by_loss = replace(comparison, metric=find_metric("loss"))
    claim = Claim("Ours is better", "fedavg", "fedrouter", "dual", "own")
    judged = Comparison(tuple(zero), beside={"loss": by_loss}).judge(claim)
    assert judged.verdict == "not measured" and judged.by_loss is not None and judged.by_loss.verdict == "reproduced"
    assert ratio_text(judged).startswith("A score is 0, with seed 1, and has no ratio. By loss: 1.49")


def test_the_best_of_a_column_is_of_those_with_all_seeds_of_that_column(comparison: Comparison) -> None:
    some = [e for e in comparison.entries if e.split == "dual" or e.seed == 0]
    some = [e for e in some if (e.method, e.split, e.seed) != ("fedrouter", "dual", 0)]
    rows = {row[0].text: row[1:] for row in score_grid(Comparison(tuple(some)), "own").rows}
    single, dual = rows["fedrouter"]
    assert (single.text, single.best) == ("0.750", True)
    assert dual.text.endswith("(2 seeds)") and not dual.best and rows[NASTY][1].best


def test_the_page_names_the_backbones(comparison: Comparison, page: str, tmp_path: Path) -> None:
    assert "Backbone:" not in page  # these runs do not say
    known = ["A & B", "C", "A & B"]
    entries = [replace(entry, backbone=name) for entry, name in zip(comparison.entries, known, strict=False)]
    path = write_comparison_report(tmp_path / "page.html", "Title", Comparison(tuple(entries)), [])
    assert "Backbone: A &amp; B; C." in path.read_text(encoding="utf-8")


def test_a_comparison_by_loss_marks_the_least_and_says_its_name(comparison: Comparison, tmp_path: Path) -> None:
    by_loss = compare(comparison.entries, find_metric("loss"))
    grid = score_grid(by_loss, "own")
    assert grid.caption.startswith("loss, mean over seeds")
    assert [[entry.best for entry in row] for row in grid.rows] == [[False, True, True], [False] * 3, [False] * 3]
    assert {grid.caption for grid in task_grids(by_loss, "own")} == {
        "loss by task, split single", "loss by task, split dual",
    }  # fmt: skip
    header = comparison_csv(by_loss).splitlines()[0].split(",")
    assert header[4:9] == ["loss", "worst", "spread", "loss/a&b <i>_$x$", "loss/plain"]
    assert clients_csv(by_loss).splitlines()[0] == "split,method,seed,test_data,client,loss"
    figures = comparison_drawings(by_loss)
    assert all("loss" in drawing.alt and "ROUGE" not in drawing.alt + drawing.caption for drawing in figures)
    claim = by_loss.judge(Claim("Ours has less", "fedavg", "fedrouter", "dual", "own"))
    page = write_comparison_report(tmp_path / "page.html", "By loss", by_loss, [claim]).read_text(encoding="utf-8")
    assert "ROUGE" not in page and "Ours: 1.490 times" in page
    assert "| fedavg | **0.510 [0.485, 0.535]** |" in comparison_markdown(by_loss, [claim])


def test_clients_csv_has_a_line_per_run_cell_and_client(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(clients_csv(comparison))))
    assert len(rows) == 2 * 2 * 3 * (2 + 3 + 2)
    assert rows[0] == {
        "split": "single", "method": "fedavg", "seed": "0", "test_data": "own", "client": "0", "rouge1": "0.4",
    }  # fmt: skip


def test_a_claim_is_told_with_what_its_verdict_hangs_on(comparison: Comparison) -> None:
    """In the page and in Markdown alike: bar, metric, and test samples that would have it otherwise."""
    noisy = np.exp(np.random.default_rng(0).normal(0, 0.5, 1000))
    entries = [
        replace(
            one,
            scores=tuple(
                replace(s, draws=s.mean * (noisy**0 if one.method == "fedavg" else noisy)) for s in one.scores
            ),
        )
        for one in comparison.entries
    ]
    both = replace(compare(entries), beside={"loss": compare(comparison.entries, find_metric("loss"))})
    claim = Claim("x", "fedrouter", "fedavg", "dual", "own", least=1.1)
    told = ratio_text(both.judge(claim))
    assert both.judge(claim).verdict == REPRODUCED
    assert (
        "test samples, which has the bar within). Bar: 1.1 times." in told
        and "contradicted, against a bar of 1." in told
    )
    assert "within" not in ratio_text(comparison.judge(claim)) and "Judged by" not in told
    assert "Judged by loss." in ratio_text(both.judge(replace(claim, metric="loss")))


def test_loss_stands_beside_the_score_everywhere(comparison: Comparison, judged: list[Judged], tmp_path: Path) -> None:
    """In tables, claims, figures and files; here all losses are as large as the scores."""
    draws = np.linspace(0.5, 0.9, 1000)
    entries = [
        replace(one, scores=tuple(replace(s, draws=s.mean * draws, asked=10) for s in one.scores))
        for one in comparison.entries
    ]
    both = replace(compare(entries), beside={"loss": compare(comparison.entries, find_metric("loss"))})
    claims = [both.judge(one.claim) for one in judged]
    page = write_comparison_report(tmp_path / "page.html", "Title", both, claims).read_text(encoding="utf-8")
    for text in (page, comparison_markdown(both, claims)):
        assert "loss, mean over seeds with 95% interval" in text
        assert "By loss: 0.671 times" in text and "over 30 test samples" in text
        assert "To tell it from the bar would take" in text  # the claim that is not separable
    assert "(0.388, 0.676)" in score_grid(both, "own").rows[1][1].text  # 0.76 times the quantiles of the draws
    assert list(comparison_figures(both)) == [
        *(f"scores-{split}" for split in ("single", "dual")), *(f"scores-loss-{split}" for split in ("single", "dual")),
        *(f"cost-{split}" for split in ("single", "dual")), *(f"cost-loss-{split}" for split in ("single", "dual")),
    ]  # fmt: skip
    row = list(csv.DictReader(io.StringIO(comparison_csv(both))))[2]
    assert (row["loss"], row["loss_worst"], row["loss/plain"]) == (row["rouge1"], row["worst"], row["rouge1/plain"])
    assert next(csv.DictReader(io.StringIO(clients_csv(both))))["loss"] == "0.4"
