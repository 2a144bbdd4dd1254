"""`route` gives the choices and the answers of the evaluation, whatever the method: both go through one answerer."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.scores import Answer, CellResult
from fedrouter_sim.examples.record import Example
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import BACKBONE, Routed, RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
Trainer = Callable[[str], Path]

SOFT = str(Path(__file__).parents[2] / "docs" / "soft_router.py") + ":SoftRouter"
EVERY = [*METHODS.names, SOFT]
BY_LABEL = ("oracle", "central")  # what they go by is the true task
BY_CLIENT = ("local", "clustered", "ditto", "feddpa")  # who answers depends on who asks
CLIENTS = range(4)


@pytest.fixture(scope="module")
def run_of(micro_config: ConfigMaker, backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Return a function that gives the folder of a micro run of a method, made once. For reading only."""
    place = tmp_path_factory.mktemp("methods")

    def trained(method: str) -> Path:
        folder = place / method.rpartition(":")[2]
        if not folder.exists():
            config = micro_config(method=method, local_steps=2, lr=0.05)
            train(config, folder, backbone=backbone)
        return folder

    return trained


@pytest.fixture(scope="module")
def scored(run_of: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Mapping[str, CellResult]]:
    """Return a function that gives the cells of a method's run as `evaluate` finds them, made once."""
    place, found = tmp_path_factory.mktemp("scored"), dict[str, Mapping[str, CellResult]]()

    def cells(method: str) -> Mapping[str, CellResult]:
        if method not in found:
            copy = Path(shutil.copytree(run_of(method), place / method.rpartition(":")[2]))
            routings = (*Run(copy).method.routings, "none")
            found[method] = {r.cell.name: r for r in evaluate(copy, test_data=("all",), routing=routings).results}
        return found[method]

    return cells


@pytest.fixture(autouse=True)
def one_backbone(backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all runs share the backbone that is loaded already."""
    monkeypatch.setattr("fedrouter_sim.runs.backbones.Backbone", lambda config: backbone)


def asked(method: str, answers: list[Answer]) -> list[str | Example]:
    """The texts as they come from outside: with their task only for those methods that go by it."""
    if method in BY_LABEL:
        return [Example(answer.instruction, "", answer.task) for answer in answers]
    return [answer.instruction for answer in answers]


def by_client(cell: CellResult) -> Iterator[tuple[int, list[Answer]]]:
    for client in CLIENTS:
        yield client, [answer for answer in cell.answers if answer.client == client]


def check_same(routed: list[Routed], answers: list[Answer]) -> None:
    """The same texts have the same choices and the same answers."""
    assert [one.text for one in routed] == [answer.instruction for answer in answers] != []
    assert [one.task for one in routed] == [answer.pool or BACKBONE for answer in answers]
    assert [one.answer for one in routed] == [answer.sample.answer for answer in answers]
    for one, answer in zip(routed, answers, strict=True):
        assert one.weights == pytest.approx(answer.weights, abs=1e-5)
        assert (one.margin is None) == (answer.margin is None)
        assert answer.margin is None or one.margin == pytest.approx(answer.margin, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("method", EVERY)
def test_a_client_is_served_what_it_was_scored_by(run_of: Trainer, scored: Any, method: str) -> None:
    run, seen = Run(run_of(method)), 0
    for routing in run.method.routings:
        for client, answers in by_client(scored(method)[f"all-{routing}"]):
            model = RoutedModel(run, client=client, routing=routing)
            check_same(list(model.answer(asked(method, answers))), answers)
            seen += len(answers)
    assert seen == 16 * len(run.method.routings)


def test_methods_answer_differently_enough_to_tell_them_apart(run_of: Trainer, scored: Any) -> None:
    """Else the test above would say little."""
    assert {answer.pool for answer in scored("local")["all-fixed"].answers} == {f"client_00{c}" for c in CLIENTS}
    assert all(len(answer.weights) == 2 for answer in scored("feddpa")["all-fixed"].answers)
    assert all(len(answer.weights) == 2 for answer in scored(SOFT)["all-global"].answers)
    both = [[answer.pool for answer in scored("fedrouter")[f"all-{way}"].answers] for way in ("global", "local")]
    assert both[0] != both[1] and len({*both[0]}) == len({*both[1]}) == 4
    assert len({answer.sample.answer for method in EVERY for c in scored(method).values() for answer in c.answers}) > 20


@pytest.mark.parametrize("method", EVERY)
def test_the_bare_backbone_answers_where_it_is_asked_for(run_of: Trainer, scored: Any, method: str) -> None:
    answers = list(scored(method)["all-none"].answers)
    routed = list(RoutedModel(run_of(method), routing="none").answer(answer.instruction for answer in answers))
    check_same(routed, answers)
    assert {(one.task, one.distance, one.margin) for one in routed} == {(BACKBONE, None, None)}


@pytest.mark.parametrize("method", EVERY)
def test_without_a_client_a_method_that_needs_one_refuses_in_one_line(
    run_of: Trainer, scored: Any, method: str
) -> None:
    model = RoutedModel(run_of(method))
    answers = list(next(iter(scored(method).values())).answers)
    texts = asked(method, answers)
    if method in BY_CLIENT:
        with pytest.raises(UserError, match=r"^--client: .*name it, as --client 0$") as caught:
            list(model.route(texts))
        assert "\n" not in str(caught.value)
    else:
        check_same(list(model.answer(texts)), answers)  # of all clients: it is the same for each


@pytest.mark.parametrize("method", BY_LABEL)
def test_a_method_that_goes_by_labels_refuses_a_text_without_one(run_of: Trainer, method: str) -> None:
    with pytest.raises(UserError, match=rf"method {method} answers by true task label, and '1 \+ 1 = \?' has none"):
        list(RoutedModel(run_of(method)).route(["1 + 1 = ?"]))
    known, unknown = Example("1 + 1 = ?", "", "sum"), Example("1 + 1 = ?", "", "poem")
    first, second = RoutedModel(run_of(method)).route([known, unknown])
    assert first.task.startswith("label_") and second.task == BACKBONE


def test_local_routing_is_the_clients_own_and_needs_to_know_it(run_of: Trainer) -> None:
    run, texts = Run(run_of("fedrouter")), ["1 + 1 = ?", "reverse: a b c d e"]
    assert RoutedModel(run_of(SOFT), client=1).routing == "global"  # it has no other
    assert RoutedModel(run).routing == "global"
    assert RoutedModel(run, client=1).routing == "local"
    assert RoutedModel(run, client=1, routing="global").routing == "global"
    assert run.archive is not None
    for client in CLIENTS:
        own = {f"task_{task}" for task in run.archive.tasks_of(client)}
        for routed in RoutedModel(run, client=client).route(texts):
            assert routed.task in own
    with pytest.raises(UserError, match=r"^--client: who answers depends on the client"):
        list(RoutedModel(run, routing="local").route(texts))


@pytest.mark.parametrize("method", ["fedavg", "fedrouter"])
@pytest.mark.parametrize("client", [4, -1])
def test_an_unknown_client_is_refused_on_opening(run_of: Trainer, method: str, client: int) -> None:
    with pytest.raises(UserError, match=rf"^--client {client}: .* has clients 0 to 3$"):
        RoutedModel(run_of(method), client=client)


@pytest.mark.parametrize(
    ("method", "routing", "has"),
    [("fedrouter", "fixed", "global, local and none"), ("fedavg", "local", "fixed and none"),
     ("fedrouter", "oracle", "global, local and none"), (SOFT, "local", "global and none")],
)  # fmt: skip
def test_an_unknown_routing_is_refused_on_opening(run_of: Trainer, method: str, routing: str, has: str) -> None:
    with pytest.raises(UserError, match=rf"^--routing {routing}: method .* has no such routing; it has {has}$"):
        RoutedModel(run_of(method), routing=routing)


def test_mixed_answers_tell_their_weights_and_others_none(run_of: Trainer) -> None:
    texts = ["1 + 1 = ?", "reverse: a b c d e"]
    for routed in RoutedModel(run_of("feddpa"), client=2).route(texts):
        assert set(routed.weights) == {"global", "client_002"} and sum(routed.weights.values()) == pytest.approx(1)
        assert routed.task == max(routed.weights, key=lambda pool: routed.weights[pool])
    for routed in RoutedModel(run_of("fedrouter")).route(texts):
        assert routed.weights == {} and routed.distance is not None and routed.distance > 0
    for routed in RoutedModel(run_of("fedavg")).route(texts):
        assert (routed.weights, routed.task, routed.distance, routed.margin) == ({}, "global", None, None)


def test_a_texts_task_is_not_read_by_other_methods(run_of: Trainer) -> None:
    texts = ["1 + 1 = ?", "reverse: a b c d e"]
    labelled = [Example(text, "", task) for text, task in zip(texts, ("title", "opinion"), strict=True)]
    for method in ("fedrouter", "fedavg"):
        model = RoutedModel(run_of(method))
        assert [one.task for one in model.route(labelled)] == [one.task for one in model.route(texts)]
