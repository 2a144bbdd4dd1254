"""`route`: batches as they come, right distances and margins, answers by the adapter."""

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Example
from fedrouter_sim.examples.sources import load_test
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def texts(micro_data: Path) -> list[str]:
    """The test instructions."""
    return [example.instruction for example in load_test(str(micro_data), Reading())]


def test_distances_and_margins(finished_run: Path, backbone: Backbone, texts: list[str]) -> None:
    run = Run(finished_run)
    assert run.router is not None
    points = run.router.normalizer(backbone.embed(texts))
    distances = np.linalg.norm(points[:, None] - run.router.centroids[None], axis=2)
    nearest = np.sort(distances, axis=1)
    routed = list(RoutedModel(run).route(texts))
    assert [one.text for one in routed] == texts
    assert [one.task for one in routed] == [f"task_{task}" for task in distances.argmin(1)]
    np.testing.assert_allclose([one.distance for one in routed], nearest[:, 0], rtol=1e-3)
    np.testing.assert_allclose([one.margin for one in routed], nearest[:, 1] - nearest[:, 0], rtol=1e-2, atol=1e-3)
    assert {one.answer for one in routed} == {None}
    assert len({one.task for one in routed}) == 4


def test_input_is_consumed_a_batch_at_a_time(finished_run: Path) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for number in count():
            assert number < 100, "input is read ahead"
            taken += 1
            yield f"{number} + {number} = ?"

    routed = RoutedModel(finished_run, batch=5).route(endless())
    assert taken == 0
    assert next(routed).text == "0 + 0 = ?"
    assert taken == 5
    assert [one.text for one in islice(routed, 6)] == [f"{n} + {n} = ?" for n in range(1, 7)]
    assert taken == 10


def test_batches_change_no_answer(finished_run: Path, texts: list[str]) -> None:
    whole = list(RoutedModel(finished_run).answer(texts))
    parts = list(RoutedModel(finished_run, batch=3).answer(iter(texts)))
    assert [(one.text, one.task, one.answer) for one in whole] == [(one.text, one.task, one.answer) for one in parts]
    np.testing.assert_allclose([one.distance for one in whole], [one.distance for one in parts], rtol=1e-4)


def test_answers_are_those_of_the_evaluation(run_copy: Path, texts: list[str]) -> None:
    [result] = evaluate(Run(run_copy), Display(), ("all",), ("global",)).results
    routed = {one.text: one for one in RoutedModel(run_copy).answer(texts)}
    assert result.answers
    for answer in result.answers:
        found = routed[answer.instruction]
        assert (found.task, found.answer) == (answer.pool, answer.sample.answer)


def test_no_text_gives_nothing_and_an_empty_one_is_routed(finished_run: Path) -> None:
    assert list(RoutedModel(finished_run).route([])) == []
    assert [one.text for one in RoutedModel(str(finished_run)).answer([""])] == [""]


def test_an_opened_model_loads_its_backbone_once_and_may_be_shared_by_threads(
    finished_run: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[RunConfig] = []

    def count_loads(config: RunConfig) -> Backbone:
        loaded.append(config)
        return Backbone(config)

    monkeypatch.setattr("fedrouter_sim.runs.backbones.Backbone", count_loads)
    expected = {one.text: one for one in RoutedModel(finished_run).answer(texts)}
    model = RoutedModel(finished_run, batch=2)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda text: next(model.answer([text])), texts))
    assert len(loaded) == 2
    assert [(one.task, one.answer) for one in parts] == [(expected[t].task, expected[t].answer) for t in texts]


def test_a_single_text_is_refused_before_its_letters_are_routed(finished_run: Path) -> None:
    with pytest.raises(TypeError, match="list of texts"):
        RoutedModel(finished_run).answer("1 + 1 = ?")


@pytest.mark.parametrize("text", [None, b"1 + 1 = ?", 3])
def test_what_is_no_text_is_refused_where_it_stands(finished_run: Path, text: object) -> None:
    with pytest.raises(TypeError, match=rf"text 2 is {re.escape(repr(text))}; give texts, or examples"):
        list(RoutedModel(finished_run).route(["1 + 1 = ?", text]))  # type: ignore[list-item]


def test_half_a_character_is_refused_by_the_number_of_the_text(finished_run: Path) -> None:
    for text in ("a\ud83d", Example("a\ud83d", "")):
        with pytest.raises(UserError, match="text 2 holds half a character"):
            list(RoutedModel(finished_run).route(["a", text]))


def test_a_batch_has_at_least_one_text_and_a_client_is_one_of_the_run(finished_run: Path) -> None:
    with pytest.raises(ValueError, match="batch = 0: must be at least 1"):
        RoutedModel(finished_run, batch=0)
    for client in (4, "4", "00", "anna"):
        with pytest.raises(UserError, match=rf"--client {client}: .* has clients 0 to 3$"):
            RoutedModel(finished_run, client=client)


def test_one_task_has_no_margin(micro_config: ConfigMaker, tmp_path: Path) -> None:
    folder = train(micro_config(tasks=1, rounds=1, local_steps=1), tmp_path / "one", False, Display()).folder
    [routed] = RoutedModel(folder).route(["1 + 1 = ?"])
    assert (routed.task, routed.margin) == ("task_0", None)


def test_a_changed_backbone_is_refused(
    micro_config: ConfigMaker, micro_model: Path, tmp_path: Path, texts: list[str]
) -> None:
    model = Path(shutil.copytree(micro_model, tmp_path / "model"))
    config = micro_config(model=str(model), rounds=1, local_steps=1)
    run = Run(train(config, tmp_path / "run", False, Display()).folder)
    assert len(list(RoutedModel(run).route(texts[:2]))) == 2
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    (model / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(UserError, match=r"--model .*: has changed since"):
        next(RoutedModel(run).route(texts))
    with pytest.raises(UserError, match=r"--model .*: has changed since"):
        evaluate(run, Display())
