"""The page of one run: everything that is there is shown, user text is escaped, and nothing is needed."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from run_folders import answered, make_first_format

from fedrouter_sim.cli.report import report_command
from fedrouter_sim.errors import UserError
from fedrouter_sim.report.run_figures import run_figures
from fedrouter_sim.report.run_report import routed_examples, write_run_report
from fedrouter_sim.runs.reader import Run

VOID = {"meta", "br", "hr", "link", "img", "input"}
ROUND = {"round": 1, "losses": {"task_0": 1.0}, "validation": None}

RunMaker = Callable[..., Path]


class Nesting(HTMLParser):
    """Checks that every tag is closed in order, and collects tags and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, (tag, self.getpos())


def parsed(page: str) -> Nesting:
    parser = Nesting()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def names(folder: Path) -> list[str]:
    return [drawing.name for drawing in run_figures(Run(folder))]


@pytest.fixture(scope="module")
def page(full_run: Path) -> str:
    return write_run_report(Run(full_run)).read_text(encoding="utf-8")


def test_the_page_has_every_figure_and_the_files_have_them_too(page: str, full_run: Path) -> None:
    shown = parsed(page)
    figures = {"learning", "samples", "confusion", "scores", "scores-loss"}
    assert {one for one in shown.ids if one.startswith("figure-")} == {f"figure-{name}" for name in figures}
    files = {path.stem: path.read_text(encoding="utf-8") for path in (full_run / "figures").iterdir()}
    assert files.keys() == figures
    for svg in files.values():
        assert svg in page
        ElementTree.fromstring(svg)
    assert page.count('role="img" aria-label="') == page.count("<figcaption>") == 5
    assert "task_0 (a&amp;b &lt;i&gt;_$x$)" in files["learning"]


def test_the_page_escapes_what_users_wrote(page: str) -> None:
    tags = parsed(page).tags
    assert "script" not in tags and "i" not in tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt; for a&amp;b &lt;i&gt;_$x$" in page


def test_the_page_needs_no_network_and_no_id_twice(page: str) -> None:
    shown = parsed(page)
    assert not shown.tags & {"img", "link", "iframe", "object"}
    assert "url(http" not in page and 'href="http' not in page and "src=" not in page
    assert len(shown.ids) == len(set(shown.ids))


def test_the_same_run_gives_the_same_bytes(page: str, full_run: Path, tmp_path: Path) -> None:
    again = shutil.copytree(full_run, tmp_path / full_run.name, ignore=shutil.ignore_patterns("figures", "*.html"))
    assert write_run_report(Run(again)).read_text(encoding="utf-8") == page
    for path in (again / "figures").iterdir():
        assert path.read_bytes() == (full_run / "figures" / path.name).read_bytes()


def test_examples_are_the_best_and_the_worst_answer_of_each_task(full_run: Path) -> None:
    best, worst, only = routed_examples(Run(full_run))
    assert best.heading.endswith(": best answer") and dict(best.facts)["margin"] == "1.250"
    assert dict(worst.facts)["ROUGE-1"] == "0.100"
    assert dict(worst.facts)["adapter"] == "task_1 (plain) – not of its task"
    assert dict(worst.texts)["Answer"] == "x" * 299 + "…"
    assert only.heading == "plain: best answer" and "margin" not in dict(only.facts)


def test_a_run_without_labels(make_run: RunMaker, tmp_path: Path) -> None:
    answers = [answered(None, "task_0", 0.5), answered(None, "task_1", 0.25)]
    run = make_run(tmp_path / "run", {"all-global": answers}, [ROUND])
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert names(run) == ["learning", "scores", "scores-loss"]
    assert "The best answer" in page and "None" not in page


def test_the_samples_of_a_run_without_labels(make_run: RunMaker, tmp_path: Path) -> None:
    point = {"x": 0.0, "y": 0.0, "client": 0, "cluster": 0, "pool": "task_0", "task": None}
    run = make_run(tmp_path / "run", samples={"explained": [0, 0], "points": [point], "centroids": []})
    [samples] = run_figures(Run(run))
    assert "By local cluster" in samples.svg and "By task adapter" in samples.svg and "By true task" not in samples.svg


def test_the_bare_backbone_has_scores_only(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"all-fixed": [answered("sum", None, 0.0)]}, truth={}, method="base")
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert names(run) == ["scores", "scores-loss"]
    assert "adapter: bare backbone" in page and "not of its task" not in page


def test_a_run_of_aggregate_before_eval(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", truth={"task_0": {"sum": 3}})
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert "<figure" not in page and "not evaluated yet" in page
    assert not (run / "figures").exists()


def test_many_adapters_are_grey_lines_with_their_mean(make_run: RunMaker, tmp_path: Path) -> None:
    losses = {f"client_{i:03d}": 1.0 + i for i in range(300)}
    cells = {"all-fixed": [answered("sum", f"client_{i:03d}", 0.5, client=i) for i in range(300)]}
    run = make_run(tmp_path / "run", cells, [ROUND | {"losses": losses}], method="local")
    learning, confusion, *_ = run_figures(Run(run))
    assert "mean of 300" in learning.svg and "client_000" not in learning.svg
    assert "all others" in confusion.svg and confusion.svg.count("client_") == 12


def test_one_adapter_has_no_confusion(make_run: RunMaker, tmp_path: Path) -> None:
    cells = {"all-fixed": [answered("sum", "global", 0.5), answered("title", "global", 0.25)]}
    run = make_run(tmp_path / "run", cells, [ROUND], {"global": {"sum": 1, "title": 2}}, method="fedavg")
    assert names(run) == ["learning", "scores", "scores-loss"]
    assert all("not of its task" not in str(example.facts) for example in routed_examples(Run(run)))


@pytest.mark.parametrize("name", ["rounds.jsonl", "samples.json", "eval/all-global.json", "eval/all-global.jsonl"])
@pytest.mark.parametrize("content", ["{", "[1]\n", '{"cell": 3}\n'])
def test_a_damaged_file_is_named(make_run: RunMaker, tmp_path: Path, name: str, content: str) -> None:
    run = make_run(tmp_path / "run", {"all-global": [answered("sum", "task_0", 0.5)]})
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        write_run_report(Run(run))


def test_the_command_prints_the_paths(make_run: RunMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", rounds=[ROUND])
    report_command(run, as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert record == {"report": str(run / "report.html"), "figures": [str(run / "figures" / "learning.svg")]}
    report_command(run)
    assert str(run / "report.html") in capsys.readouterr().out.replace("\n", "")


def test_the_page_says_what_the_backbone_is(make_run: RunMaker, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    assert "Backbone: tiny-gpt2." in write_run_report(Run(folder)).read_text(encoding="utf-8")  # of an older run
    (folder / "manifest.json").write_text(json.dumps({"format": 2, "backbone": "A <b>model</b>, in Q4_1"}))
    page = write_run_report(Run(folder)).read_text(encoding="utf-8")
    assert "Backbone: A &lt;b&gt;model&lt;/b&gt;, in Q4_1." in page


def test_the_page_says_how_the_run_was_made(make_run: RunMaker, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    manifest = {
        "format": 2, "fedrouter_sim": "9.8.7", "command": "train", "backbone_sha256": "abc<b>", "method_sha256": None,
        "own_sha256": {}, "libraries": {"torch": "2.9", "peft": "0.1"},
        "data_clients": [f"user {n}" for n in range(12)],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    page = write_run_report(Run(folder)).read_text(encoding="utf-8")
    parsed(page)
    assert page.index("<h2>Numbers") < page.index("<h2>How it was made")
    made = page[page.index("<h2>How it was made") :]
    assert "<details>" in made and "The manifest of the run" in made
    for text in ("fedrouter sim", "9.8.7", "backbone sha256", "abc&lt;b&gt;", "torch 2.9, peft 0.1"):
        assert text in made
    assert "user 7, ..." in made and "user 8" not in made
    assert "method sha256" not in made and "own sha256" not in made  # which say nothing here


def test_the_page_of_a_finished_run_says_its_versions_and_digests(run_copy: Path) -> None:
    run = Run(run_copy)
    page = write_run_report(run).read_text(encoding="utf-8")
    for key in ("backbone_sha256", "data_sha256", "python", "fedrouter_sim"):
        assert str(run.manifest[key]) in page
    assert f"torch {run.manifest['libraries']['torch']}" in page


ANSWERS = [
    answered("sum", "task_0", 0.75, exact_match=1.0),
    answered("sum", "task_0", 0.25, client=1, exact_match=0.0),
    answered("title", "task_1", 0.5, client=1),
]
VALIDATED = ROUND | {"validation": {"loss": 0.5, "loss/sum": 0.25, "rouge1": 0.5, "exact_match": 0.5}}


def test_a_page_by_loss_shows_the_least_as_best(make_run: RunMaker, tmp_path: Path) -> None:
    bare = [one | {"pool": None} for one in ANSWERS]
    run = make_run(
        tmp_path / "run", {"all-global": ANSWERS, "all-none": bare}, [VALIDATED], settings={"metric": "loss"}
    )
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert "loss, all tasks, mean over clients" in page and "ROUGE" not in page.replace("rouge", "")
    best, worst, only = routed_examples(Run(run))
    assert (best.heading, dict(best.facts)["loss"]) == ("sum: best answer", "0.250")  # 1 - 0.75 a token
    assert (worst.heading, dict(worst.facts)["loss"]) == ("sum: worst answer", "0.750")
    assert (only.heading, dict(only.facts)["loss"]) == ("title: best answer", "0.500")
    learning, _, scores = run_figures(Run(run))
    assert "and of loss on the validation share." in learning.alt and ">loss<" in learning.svg
    assert "mean loss in 1 cells: all-global 0.500, worst client 0.625" in scores.alt  # client 1: the most loss
    assert "worst: client 1" in scores.svg


def test_a_page_by_exact_match_leaves_out_what_has_none(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"all-global": ANSWERS}, [VALIDATED], settings={"metric": "exact_match"})
    write_run_report(Run(run))
    assert [example.heading for example in routed_examples(Run(run))] == ["sum: best answer", "sum: worst answer"]
    _, _, scores, by_loss = run_figures(Run(run))
    assert "mean exact match in 1 cells: all-global 0.500, worst client 0.000" in scores.alt
    assert "worst client" in by_loss.alt and "mean loss in 1 cells" in by_loss.alt
    assert "title" not in scores.svg.replace("<title", "")  # its answers are no labels


def test_a_cell_without_any_score_by_the_metric_is_not_drawn(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"all-global": ANSWERS[2:]}, [ROUND], settings={"metric": "exact_match"})
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert names(run) == ["learning", "scores-loss"] and routed_examples(Run(run)) == []
    assert "exact match, all tasks" in page and "not evaluated yet" not in page


def test_a_folder_of_the_first_format_has_the_same_page(run_copy: Path, finished_run: Path, tmp_path: Path) -> None:
    old = make_first_format(run_copy)
    new = Path(shutil.copytree(finished_run, tmp_path / "new" / old.name))
    pages = [write_run_report(Run(run)).read_text(encoding="utf-8") for run in (old, new)]
    one, two = (page[: page.index("<h2>How it was made")] for page in pages)
    newer = r'<tr><th scope="row">(Tasks found|Accuracy / |  always the same).*\n|, loss [0-9.]+'  # nobody kept it then
    assert one == re.sub(newer, "", two)


def test_the_gap_of_mean_factors_is_drawn_and_listed_by_round(make_run: RunMaker, tmp_path: Path) -> None:
    rounds = [
        ROUND | {"round": 1, "gaps": {"task_0": 0.02, "task_1": 0.04, "task_2": 0.0}},
        ROUND | {"round": 2, "gaps": {"task_0": 0.1, "task_1": None, "task_2": 0.0}},
    ]
    run = make_run(tmp_path / "run", {}, rounds, {"task_1": {"sum": 3}})
    assert names(run) == ["learning", "gap"]
    gap = run_figures(Run(run))[1]
    assert "on average 3.00% in round 1 and 10.00% in round 2" in gap.alt and "of 2 adapters" in gap.alt
    assert "task_1 (sum)" in gap.svg and "task_2" not in gap.svg
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert all(field in page for field in ("3.00%", "4.00%", "10.00%", "Mean over adapters")) and parsed(page)
    assert "gap.svg" in {path.name for path in (run / "figures").iterdir()}


@pytest.mark.parametrize("gaps", [{}, {"gaps": {}}, {"gaps": {"task_0": 0.0}}, {"gaps": {"task_0": None}}])
def test_without_several_updates_or_in_an_older_run_there_is_no_gap(
    make_run: RunMaker, tmp_path: Path, gaps: dict[str, dict[str, float | None]]
) -> None:
    run = make_run(tmp_path / "run", {}, [ROUND | gaps])
    assert names(run) == ["learning"]
    assert "Gap" not in write_run_report(Run(run)).read_text(encoding="utf-8")


def test_scores_name_the_worst_client_and_the_data_they_are_on(make_run: RunMaker, tmp_path: Path) -> None:
    answers = [answered("sum", "task_0", 0.5), answered("sum", "task_1", 0.25, client=1)]
    run = make_run(tmp_path / "run", {"all-global": answers, "given-global": answers})
    (run / "manifest.json").write_text(json.dumps({"format": 2, "data_clients": ["anna", "ben"]}), encoding="utf-8")
    (run / "eval" / "data-mine.csv").mkdir()
    for name in ("given-global.json", "given-global.jsonl"):
        (run / "eval" / name).rename(run / "eval" / "data-mine.csv" / name)
    [scores, *_] = [drawing for drawing in run_figures(Run(run)) if drawing.name == "scores"]
    assert "worst: client 1 ben" in scores.svg and "anna" not in scores.svg
    assert "all data, routing global" in scores.svg and "mine.csv, routing global" in scores.svg
