"""`route`: batches as they come, right distances and margins, answers by the adapter."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.backbone import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples import Columns, load_test
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import route
from fedrouter_sim.operations.train import Display, train
from fedrouter_sim.run_folder import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def texts(micro_data: Path) -> list[str]:
    """The test instructions."""
    return [example.instruction for example in load_test(str(micro_data), Columns())]


def test_distances_and_margins(finished_run: Path, backbone: Backbone, texts: list[str]) -> None:
    run = Run(finished_run)
    assert run.router is not None
    points = run.router.normalizer(backbone.embed(texts))
    distances = np.linalg.norm(points[:, None] - run.router.centroids[None], axis=2)
    nearest = np.sort(distances, axis=1)
    routed = list(route(run, texts, generate=False))
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

    routed = route(Run(finished_run), endless(), generate=False, batch=5)
    assert taken == 0
    assert next(routed).text == "0 + 0 = ?"
    assert taken == 5
    assert [one.text for one in islice(routed, 6)] == [f"{n} + {n} = ?" for n in range(1, 7)]
    assert taken == 10


def test_batches_change_no_answer(finished_run: Path, texts: list[str]) -> None:
    whole = list(route(Run(finished_run), texts, generate=True))
    parts = list(route(Run(finished_run), iter(texts), generate=True, batch=3))
    assert [(one.text, one.task, one.answer) for one in whole] == [(one.text, one.task, one.answer) for one in parts]
    np.testing.assert_allclose([one.distance for one in whole], [one.distance for one in parts], rtol=1e-4)


def test_answers_are_those_of_the_evaluation(run_copy: Path, texts: list[str]) -> None:
    [result] = evaluate(Run(run_copy), Display(), ("all",), ("global",)).results
    routed = {one.text: one for one in route(Run(run_copy), texts, generate=True)}
    assert result.answers
    for answer in result.answers:
        assert (routed[answer.instruction].task, routed[answer.instruction].answer) == (answer.pool, answer.answer)


def test_no_text_gives_nothing_and_an_empty_one_is_routed(finished_run: Path) -> None:
    assert list(route(Run(finished_run), [], generate=False)) == []
    assert [one.text for one in route(Run(finished_run), [""], generate=True)] == [""]


def test_one_task_has_no_margin(micro_config: ConfigMaker, tmp_path: Path) -> None:
    folder = train(micro_config(tasks=1, rounds=1, local_steps=1), tmp_path / "one", False, Display()).folder
    [routed] = route(Run(folder), ["1 + 1 = ?"], generate=False)
    assert (routed.task, routed.margin) == ("task_0", None)


def test_a_method_without_router_is_refused(micro_config: ConfigMaker, tmp_path: Path) -> None:
    folder = train(micro_config(method="base"), tmp_path / "base", False, Display()).folder
    with pytest.raises(UserError, match="method base has no router"):
        next(route(Run(folder), ["text"], generate=False))


def test_a_changed_backbone_is_refused(
    micro_config: ConfigMaker, micro_model: Path, tmp_path: Path, texts: list[str]
) -> None:
    model = Path(shutil.copytree(micro_model, tmp_path / "model"))
    config = micro_config(model=str(model), rounds=1, local_steps=1)
    run = Run(train(config, tmp_path / "run", False, Display()).folder)
    assert len(list(route(run, texts[:2], generate=False))) == 2
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    (model / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(UserError, match=r"--model .*: has changed since"):
        next(route(run, texts, generate=False))
    with pytest.raises(UserError, match=r"--model .*: has changed since"):
        evaluate(run, Display())
