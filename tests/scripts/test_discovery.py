"""Random federations: how they are drawn, what is remembered, and what is measured."""

import json
from pathlib import Path
from typing import Any

import discovery
import numpy as np
import pytest
from federations.draw import CLIENTS, TASKS_OF_A_CLIENT, draw
from federations.memory import RememberingBackbone
from federations.show import end_to_end_rows, lines_of, rows_of, write_figure
from federations.ways import WAYS, federation_of

from fedrouter_sim.backbone.sketching import Projection
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.studies.comparison import Cost, Entry, Score, compare

TASKS = "abcdefgh"
ROWS = [Example(f"{task} {number}", "yes", task) for task in TASKS for number in range(90)]
CONFIG = RunConfig(max_tokens=256, dtype="float32", data="federations")


@pytest.mark.parametrize("seed", range(30))
def test_every_task_has_a_client_and_no_row_occurs_twice(seed: int) -> None:
    drawn = draw(ROWS, 20, 8, np.random.default_rng(seed))
    held = [{row.task for row in own} for own in drawn.clients]
    assert set().union(*held) == set(drawn.tasks)
    assert len(drawn.clients) >= CLIENTS[0]
    assert {len(own) for own in held} <= {min(each, len(drawn.tasks)) for each in TASKS_OF_A_CLIENT}
    rows = [row for own in drawn.clients for row in own]
    assert len(set(rows)) == len(rows) == len(drawn.labels)
    assert max(sum(row.task == task for row in own) for own in drawn.clients for task in drawn.tasks) <= 20


def test_a_seed_draws_the_same_and_another_another() -> None:
    assert draw(ROWS, 20, 8, np.random.default_rng(5)) == draw(ROWS, 20, 8, np.random.default_rng(5))
    assert draw(ROWS, 20, 8, np.random.default_rng(5)) != draw(ROWS, 20, 8, np.random.default_rng(6))


def test_a_task_of_few_rows_is_shared_by_its_clients() -> None:
    drawn = draw(ROWS, 1000, 1, np.random.default_rng(1))
    assert {len(own) for own in drawn.clients} == {90 // len(drawn.clients)}


@pytest.fixture(scope="module")
def rows() -> list[Example]:
    return discovery.rows_in(discovery.BLOCKS["six"].data or Path(), ("dialogue", "paraphrase"))


def test_rows_are_computed_once_and_kept(tmp_path: Path, rows: list[Example]) -> None:
    computed: list[int] = []
    backbone = RememberingBackbone(CONFIG, tmp_path / "rows.safetensors", computed.append)
    texts = [row.instruction for row in rows[:5]]
    first = backbone.embed(texts)
    np.testing.assert_array_equal(backbone.embed(texts[::-1]), first[::-1])
    start, encoded = backbone.initial_adapter(42), backbone.encoder.examples(rows[:3])
    sketches = backbone.sketch(start, encoded, Projection(42))
    assert computed == [5, 3]
    backbone.sketch(start, encoded, Projection(43))  # another projection is another sketch
    backbone.save()
    again = RememberingBackbone(CONFIG, tmp_path / "rows.safetensors", computed.append)
    np.testing.assert_array_equal(again.sketch(start, encoded, Projection(42)), sketches)
    assert computed == [5, 3, 3]


def test_two_plain_tasks_are_found_and_the_clients_labels_are_not_needed(rows: list[Example], tmp_path: Path) -> None:
    drawn = next(
        drawn
        for seed in range(100)
        if len((drawn := draw(rows, 12, 2, np.random.default_rng(seed))).tasks) == 2 and len(drawn.clients) == 3
    )
    backbone = RememberingBackbone(CONFIG, tmp_path / "rows.safetensors")
    federation = federation_of(drawn, backbone, CONFIG)
    found = {way: measure(federation, drawn) for way, measure in WAYS.items() if "updates" not in way}
    assert (found["auto"].tasks, found["auto"].ari) == (2, 1.0)
    assert all(of_way.tasks == 2 for way, of_way in found.items() if way.startswith("told T"))
    assert all(-1 <= of_way.ari <= 1 for of_way in found.values())


def _record(seed: int, tasks: int, **ways: tuple[float, int]) -> dict[str, Any]:
    named = {way.replace("_", " "): {"ari": ari, "tasks": found} for way, (ari, found) in ways.items()}
    return {"seed": seed, "tasks": tasks, "clients": 3, "ways": named}


RECORDS = [
    _record(0, 3, auto=(1.0, 3), told_T_1=(0.5, 3), told_T_2=(0.9, 3)),
    _record(1, 2, auto=(0.8, 4), told_T_1=(0.6, 2), told_T_2=(0.6, 2)),
]


def test_the_table_compares_with_the_best_told_clustering_federation_by_federation() -> None:
    auto, told, best = rows_of(RECORDS)
    assert auto[1].startswith("0.900") and auto[2].startswith("+0.150")
    assert auto[3:] == ("0.50", "0.50", "+1.00")
    assert told[2].startswith("-0.200") and best[2] == ""


def test_the_lines_of_a_block_say_how_many_federations_and_the_figure_has_a_panel_of_it(tmp_path: Path) -> None:
    lines = lines_of(RECORDS)
    assert lines[0] == f"{len(RECORDS)} federations:" and sum(line.startswith("| auto |") for line in lines) == 1
    write_figure(tmp_path / "figure.svg", {"six": RECORDS})
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").count("ARI of rows") == 1


def test_end_to_end_stands_beside_the_oracle_seed_by_seed() -> None:
    def entry(method: str, seed: int, mean: float) -> Entry:
        score = Score(method, "dual", seed, "all", mean, 0.0, mean, {}, {}, "same")
        return Entry(Path(f"{method}-{seed}"), method, "dual", seed, {}, Cost(1, 1, 1, 1), (score,))

    study = compare([entry("oracle", 1, 0.5), entry("oracle", 2, 0.6), entry("fedrouter", 1, 0.4)])
    found, bound = sorted(end_to_end_rows(study))
    assert found == ("dual", "fedrouter", "0.400", "0.800", "", "")
    assert bound[:2] == ("dual", "oracle") and bound[2].startswith("0.550 (") and bound[3].startswith("1.000 (")


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["discovery.py", "six", "--out", str(tmp_path), "--count", "2"])
    done = [json.dumps(_record(seed, 2, auto=(1.0, 2))) for seed in range(2)]
    (tmp_path / "six.jsonl").write_text("\n".join(done) + "\n", encoding="utf-8")
    monkeypatch.setattr(discovery, "draw", lambda *_: pytest.fail("nothing is left to draw"))
    discovery.main()
    assert (tmp_path / "discovery.svg").is_file()


def test_real_rows_have_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["discovery.py", "real-30", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="real-30: give real rows with task labels by --data FILE"):
        discovery.main()
