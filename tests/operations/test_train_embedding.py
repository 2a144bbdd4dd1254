"""Runs whose texts are embedded by another layer than the last: all that comes after training goes by the same one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module", params=[1, "auto"], ids=str)
def run(request: pytest.FixtureRequest, micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = micro_config(embedding=request.param, rounds=1, local_steps=2)
    return train(config, tmp_path_factory.mktemp("embedding") / "run").folder


def test_the_router_says_by_which_layer_and_why(run: Path) -> None:
    recipe, chosen = json.loads((run / "router.json").read_text(encoding="utf-8")), Run(run).config.embedding == "auto"
    layer = recipe["layer"]
    assert layer["name"] in recipe["embedding"] and (layer["of"], layer["name"]) in ((1, "1"), (2, "1"), (2, "last"))
    assert set(layer["agreement"]) == ({"1", "last"} if chosen else set())
    if chosen:
        assert layer["name"] == max(layer["agreement"], key=layer["agreement"].__getitem__)


def test_what_was_scored_is_served_and_scored_again(run: Path) -> None:
    first = json.loads((run / "eval" / "all-global.json").read_text(encoding="utf-8"))
    [again] = evaluate(run, test_data=["all"], routing=["global"]).results
    found = again.to_dict()
    assert {key: first[key] for key in found} == found
    answers = again.answers[:4]
    served = list(RoutedModel(run, routing="global").answer([answer.instruction for answer in answers]))
    assert [one.task for one in served] == [answer.pool for answer in answers]


def test_it_is_aggregated_in_the_space_of_the_layer(run: Path, tmp_path: Path) -> None:
    same, raw = aggregate(run, tmp_path / "same"), aggregate(run, tmp_path / "raw", normalize="none")
    assert (same.folder / "router.safetensors").read_bytes() == (run / "router.safetensors").read_bytes()
    old, new = Run(run).router, Run(raw.folder).router
    assert old is not None and new is not None and new.normalizer.layer == old.normalizer.layer
    assert new.centroids.shape == old.centroids.shape and not np.allclose(new.centroids, old.centroids)


def test_a_layer_that_is_not_there_is_refused_and_leaves_nothing(micro_config: ConfigMaker, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--embedding 9: the model has 2 layers; give one of them, or last$"):
        train(micro_config(embedding=9), tmp_path / "never")
    assert not list(tmp_path.iterdir())
