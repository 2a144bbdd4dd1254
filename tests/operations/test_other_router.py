"""Another router than the run's: made of its archive, scored beside it, and served."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrouter_sim.cli.main import app
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.routing import ROUTERS
from fedrouter_sim.routing.archive import ARCHIVE_NAME
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.reading import read_entry

TEXTS = ["11 + 22 = ?", "reverse: a b c", "PRICES TODAY, OSLO MARKET: FISH AT 3 CROWNS"]


@pytest.mark.parametrize("router", ROUTERS.names)
def test_every_router_is_scored_beside_the_runs_own(run_copy: Path, router: str) -> None:
    kept = {path.name: path.read_bytes() for path in (run_copy / "eval").iterdir()}
    done = evaluate(run_copy, test_data=["all"], routing=["global", "local", "none"], router=router)
    assert [result.cell.name for result in done.results] == [f"all-global@{router}", f"all-local@{router}", "all-none"]
    for result in done.results[:2]:
        assert result.routing_accuracy is not None and result.routing_ece is not None
        assert 0 <= result.routing_ece <= 1
        assert all(answer.confidence is not None for answer in result.answers)
        assert {answer.pool for answer in result.answers} <= {pool.name for pool in Run(run_copy).pools}
    assert done.results[2].routing_ece is None
    own = {name: (run_copy / "eval" / name).read_bytes() for name in kept if not name.startswith("all-none")}
    assert own.items() <= kept.items()
    record = json.loads((run_copy / "eval" / f"all-global@{router}.json").read_text(encoding="utf-8"))
    assert record["cell"] == {"test_data": "all", "routing": "global", "router": router}
    assert record["routing_ece"] == done.results[0].routing_ece
    # What is scored is what is served.
    answers = done.results[0].answers[:3]
    served = list(RoutedModel(run_copy, router=router, routing="global").answer([a.instruction for a in answers]))
    assert [one.answer for one in served] == [answer.sample.answer for answer in answers]
    assert [one.task for one in served] == [answer.pool for answer in answers]
    assert [one.confidence for one in served] == pytest.approx([answer.confidence for answer in answers], abs=1e-4)


def test_the_runs_own_rule_by_name_gives_the_runs_own_answers(run_copy: Path) -> None:
    own, named = (evaluate(run_copy, test_data=["all"], routing=["global"], router=r) for r in (None, "centroid"))
    assert own.results[0].mean == named.results[0].mean
    assert own.results[0].routing_ece == named.results[0].routing_ece


def test_options_go_to_the_router_and_to_the_metric_and_into_the_name(run_copy: Path) -> None:
    cells = {"test_data": ["all"], "routing": ["global"]}
    wide = evaluate(run_copy, **cells, router="soft", option=["nearest=3"])  # type: ignore[arg-type]
    assert wide.files[0].name == "all-global@soft+nearest=3.json"
    with pytest.raises(UserError, match="--option k=3: router soft has no such option; it has nearest"):
        evaluate(run_copy, router="soft", option=["k=3"])
    with pytest.raises(UserError, match="--option k=3: metric rouge1 has no such option"):
        evaluate(run_copy, router="soft", metric="rouge1", option=["nearest=3", "k=3"])
    with pytest.raises(UserError, match="--option nearest=3: is of no router"):
        RoutedModel(run_copy, option=["nearest=3"])


def test_comparisons_have_it_as_a_method_of_its_own(run_copy: Path) -> None:
    evaluate(run_copy, test_data=["all"], routing=["global", "local"], router="knn")
    run = Run(run_copy)
    methods = [score.method for score in read_entry(run, run.metric).scores if score.test_data == "all"]
    assert methods == ["fedrouter", "fedrouter@knn", "fedrouter/local", "fedrouter/local@knn"]


def test_adapters_weighed_by_token_know_unseen_texts_too(run_copy: Path) -> None:
    routed = list(RoutedModel(run_copy, router="arrow").route(TEXTS))
    nearest = list(RoutedModel(run_copy).route(TEXTS))
    assert [one.unseen for one in routed] == [one.unseen for one in nearest] != [None] * len(TEXTS)
    with pytest.raises(UserError, match="--unseen mix: does not go with --router arrow; take answer or bare"):
        list(RoutedModel(run_copy, router="arrow", unseen="mix").route(TEXTS))
    far = ["9 " * 40, "% % % %"]
    weights = [one.weights for one in RoutedModel(run_copy, router="arrow", unseen="bare").route([*TEXTS, *far])]
    unseen = [one.is_unseen for one in RoutedModel(run_copy, router="arrow").route([*TEXTS, *far])]
    assert [not own for own in weights] == unseen


def test_no_archive_and_no_such_rule_are_refused_in_one_line(run_copy: Path) -> None:
    with pytest.raises(
        UserError, match="--router magic: choose one of centroid, prototypes, soft, ensemble, knn, arrow"
    ):
        evaluate(run_copy, router="magic")
    (run_copy / ARCHIVE_NAME).unlink()
    for call in (lambda: evaluate(run_copy, router="soft"), lambda: RoutedModel(run_copy, router="soft")):
        with pytest.raises(UserError, match=r"--router soft: is made of clients\.safetensors, which .* lacks"):
            call()


def test_route_says_how_sure_it_is(finished_run: Path) -> None:
    done = CliRunner().invoke(app, ["route", str(finished_run), *TEXTS, "--router", "arrow", "--option", "top_k=2"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert len(lines) == 3 and all("confidence 0." in line and "distance" not in line for line in lines)
    done = CliRunner().invoke(app, ["route", str(finished_run), TEXTS[0], "--router", "knn", "--json"])
    record = json.loads(done.output)
    assert 0 < record["confidence"] < 1 and record["distance"] > 0
