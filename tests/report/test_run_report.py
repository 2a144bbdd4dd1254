"""The page of one run: everything that is there is shown, user text is escaped, and nothing is needed."""

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fedrouter_sim.cli.report import report_command
from fedrouter_sim.errors import UserError
from fedrouter_sim.report.run_figures import run_figures
from fedrouter_sim.report.run_report import routed_examples, write_run_report
from fedrouter_sim.runs.run_folder import Run

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


def answered(task: str | None, pool: str | None, rouge1: float, **more: Any) -> dict[str, Any]:
    texts = {"instruction": "the input", "reference": "the reference", "answer": "the answer"}
    return {"client": 0, "task": task, "pool": pool, "rouge1": rouge1} | texts | more


def names(folder: Path) -> list[str]:
    return [drawing.name for drawing in run_figures(Run(folder))]


@pytest.fixture(scope="module")
def page(full_run: Path) -> str:
    return write_run_report(Run(full_run)).read_text(encoding="utf-8")


def test_the_page_has_every_figure_and_the_files_have_them_too(page: str, full_run: Path) -> None:
    shown = parsed(page)
    figures = {"learning", "samples", "confusion", "scores"}
    assert {one for one in shown.ids if one.startswith("figure-")} == {f"figure-{name}" for name in figures}
    files = {path.stem: path.read_text(encoding="utf-8") for path in (full_run / "figures").iterdir()}
    assert files.keys() == figures
    for svg in files.values():
        assert svg in page
        ElementTree.fromstring(svg)
    assert page.count('role="img" aria-label="') == page.count("<figcaption>") == 4
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
    assert names(run) == ["learning", "scores"]
    assert "The best answer" in page and "None" not in page


def test_the_samples_of_a_run_without_labels(make_run: RunMaker, tmp_path: Path) -> None:
    point = {"x": 0.0, "y": 0.0, "client": 0, "cluster": 0, "pool": "task_0", "task": None}
    run = make_run(tmp_path / "run", samples={"explained": [0, 0], "points": [point], "centroids": []})
    [samples] = run_figures(Run(run))
    assert "By local cluster" in samples.svg and "By task adapter" in samples.svg and "By true task" not in samples.svg


def test_the_bare_backbone_has_scores_only(make_run: RunMaker, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"all-fixed": [answered("sum", None, 0.0)]}, truth={}, method="base")
    page = write_run_report(Run(run)).read_text(encoding="utf-8")
    assert names(run) == ["scores"]
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
    learning, confusion, _ = run_figures(Run(run))
    assert "mean of 300" in learning.svg and "client_000" not in learning.svg
    assert "all others" in confusion.svg and confusion.svg.count("client_") == 12


def test_one_adapter_has_no_confusion(make_run: RunMaker, tmp_path: Path) -> None:
    cells = {"all-fixed": [answered("sum", "global", 0.5), answered("title", "global", 0.25)]}
    run = make_run(tmp_path / "run", cells, [ROUND], {"global": {"sum": 1, "title": 2}}, method="fedavg")
    assert names(run) == ["learning", "scores"]
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
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "backbone": "A <b>model</b>, in Q4_1"}))
    page = write_run_report(Run(folder)).read_text(encoding="utf-8")
    assert "Backbone: A &lt;b&gt;model&lt;/b&gt;, in Q4_1." in page
