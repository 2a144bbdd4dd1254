"""How the tasks were found, on the page: a sentence, the matrix under its dendrogram, and a table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fedrouter_sim.clustering.linking import Linked, link
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.report.discovery import coloured, dendrogram, discovery_figure, discovery_section, sentence
from fedrouter_sim.report.page import Grid
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.discovery import Discovery, TaskFound
from fedrouter_sim.runs.reader import Run

RunMaker = Callable[..., Path]
VECTORS = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6]], dtype=np.float32)
ONE = TaskFound(10, 3, dict.fromkeys(range(10), 1), 0.8, 0.2)
OTHER = TaskFound(2, 1, {3: 2}, None, 0.2)


def found_by(linked: Linked, *tasks: TaskFound) -> Discovery:
    return Discovery("both", linked, tasks or (ONE, OTHER), Traffic())


@pytest.fixture
def run(make_run: RunMaker, tmp_path: Path) -> Run:
    truth = {"task_0": {"a_$x$": 9, "b": 1}, "task_1": {"b": 2}}
    folder = make_run(tmp_path / "run", truth=truth, settings={"tasks": "auto"})
    found_by(link(VECTORS, 0.75)).save(folder)
    return Run(folder)


def test_the_sentence_says_why() -> None:
    found = found_by(link(VECTORS, 0.75))
    assert sentence(found, "auto") == (
        "Local clusters with a mean affinity (both) above 0.75 are one task: 2 tasks. The last that were joined are "
        "alike by 0.80. The next would be at 0.20."
    )
    known = replace(found, linked=replace(found.linked, unrelated=0.385))
    assert sentence(known, "auto").endswith(
        " To the backbone, unrelated tasks are alike by 0.39, and the cut is 0.365 above that."
    )
    assert "into 2 tasks, as --tasks says; the cut between them lies at 0.75" in sentence(found, 2)
    fewer = sentence(replace(found, tasks=(ONE,)), "auto")
    assert "are one task: 2. When rows had gone" in fewer and "1 task remained. The last" in fewer
    alone = sentence(found_by(link(VECTORS[:1], 0.75), ONE), "auto")
    assert alone.endswith("are one task: 1 task.")  # nothing was joined, and nothing could be


def test_the_page_shows_figure_and_table(run: Run) -> None:
    page = write_run_report(run).read_text(encoding="utf-8")
    svg = (run.folder / "figures" / "discovery.svg").read_text(encoding="utf-8")
    assert svg in page and 'id="figure-discovery"' in page
    words = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter()}
    assert {"cut 0.75", "mean affinity", "affinity", "task_0", "task_1"} <= words
    section = discovery_section(run)
    assert section is not None
    [table] = [block for block in section.blocks if isinstance(block, Grid)]
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["task_0 (a_$x$)", "10", "0, 1, 2, 3, 4, 5, 6, 7, ...", "3", "0.80", "0.20"],
        ["task_1 (b)", "2", "3", "1", "-", "0.20"],
    ]


def test_a_run_without_linking_shows_none(make_run: RunMaker, tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run"))
    assert discovery_section(run) is None and discovery_figure(run) is None
    write_run_report(run)
    assert not (run.folder / "figures" / "discovery.svg").exists()


def test_a_single_unit_has_a_table_and_no_figure(make_run: RunMaker, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    found_by(link(VECTORS[:1], 0.35), OTHER).save(folder)
    section = discovery_section(Run(folder))
    assert section is not None and len(section.blocks) == 1


def test_the_dendrogram_has_a_bracket_a_joint() -> None:
    order, lines, owners = dendrogram(link(VECTORS, 0.75))
    assert order == [0, 2, 3, 1]
    assert lines.shape == (3, 4, 2)
    assert lines[:, 1, 1] == pytest.approx([1, 0.8, 0.2])  # the affinities at which they join
    assert lines[1].tolist()[0] == [0.5, pytest.approx(1)] and lines[1].tolist()[3] == [2, 1]
    assert owners == [0, 0, None]
    # What joins beyond the cut has no colour, whatever its rows became.
    one_task = replace(link(VECTORS, 0.75), corrected=np.zeros(4, dtype=np.int64))
    assert dendrogram(one_task)[2] == [0, 0, None]


def test_a_chain_of_a_thousand_joints_is_drawn_without_recursion() -> None:
    steps = np.arange(999)
    tree = np.column_stack([np.r_[0, 1000 + steps[:-1]], steps + 1, steps / 1000, steps + 2]).astype(float)
    linked = Linked(np.zeros(1000, dtype=np.int64), np.ones((1000, 1000), dtype=np.float32), np.arange(1000), tree, 0.0)
    assert dendrogram(linked)[0] == list(range(1000))


def test_colours_are_the_stronger_the_farther_from_0() -> None:
    found = coloured(np.array([[1, -1], [0, 0.5]], dtype=np.float32))
    assert found[..., 3].tolist() == [[255, 255], [0, 128]]
    assert found[0, 0, :3].tolist() == [0, 0x72, 0xB2] and found[0, 1, :3].tolist() == [0xD5, 0x5E, 0]


def test_many_units_make_a_small_file(make_run: RunMaker, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    points = np.repeat(generator.normal(size=(20, 16)), 20, axis=0) + 0.3 * generator.normal(size=(400, 16))
    linked = link((points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), 0.35)
    folder = make_run(tmp_path / "run")
    found_by(linked, *[OTHER] * (int(linked.labels.max()) + 1)).save(folder)
    drawing = discovery_figure(Run(folder))
    assert drawing is not None and len(drawing.svg) < 1_500_000
    assert drawing.svg.count("<image") == 2  # one picture and its scale, whatever the units
