"""Every Python block of docs/python.md runs, in order, at micro size."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from doc_pages import DOCS, PYTHON_PAGE, ROOT, blocks

import fedrouter_sim
from fedrouter_sim import Run, RunConfig

BLOCKS = [block.text for block in blocks(PYTHON_PAGE, "python")]
SMALLER = {"rounds": 1, "warmup_rounds": 1, "local_steps": 2, "test_examples_per_client": 1}


@pytest.fixture(scope="module")
def ran(micro_config: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run all blocks in one folder, with the micro run's settings wherever a block does not say otherwise."""
    place, names = tmp_path_factory.mktemp("api"), {"__name__": "page"}
    (place / "data").symlink_to(ROOT / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(DOCS)
        patch.setattr(fedrouter_sim, "RunConfig", partial(RunConfig, **vars(micro_config(**SMALLER))), raising=False)
        for number, block in enumerate(BLOCKS, 1):
            exec(compile(block, f"python.md, block {number}", "exec"), names)
        names["answered"] = names["answer"]("11 + 12 = ?")
    return place, names


def test_the_blocks_do_what_the_page_says(ran: tuple[Path, dict[str, Any]]) -> None:
    place, names = ran
    assert len(BLOCKS) >= 9
    runs = {path.name: Run(path) for path in (place / "runs").iterdir()}
    assert set(runs) == {"api", "own", "soft", "three", "products", "elsewhere"}
    assert runs["api"].config.clients == 4
    assert isinstance(names["answered"], str)
    assert (runs["own"].config.data, runs["own"].config.split) == ("given in Python", "natural")
    assert names["again"].aggregation == "mean"
    assert runs["soft"].method.name == "soft-router"
    assert type(names["plain"]).__name__ == "GPT2LMHeadModel"
    assert names["peft_model"].active_adapter == "task_1"


def test_clients_from_elsewhere_are_embedded_as_we_do(ran: tuple[Path, dict[str, Any]]) -> None:
    """Each client's texts are nearest to the centroid that its own tool computed."""
    place, names = ran
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        model = fedrouter_sim.RoutedModel("runs/elsewhere")
        for task, own in enumerate(names["texts"].values()):
            routed = list(model.route(own))
            assert {one.task for one in routed} == {f"task_{task}"}
            assert routed[0].distance == pytest.approx(routed[1].distance, rel=1e-3)  # the middle of the two


def test_the_serving_function_is_short() -> None:
    [block] = [block for block in BLOCKS if "def answer" in block]
    assert len(block.splitlines()) <= 10
