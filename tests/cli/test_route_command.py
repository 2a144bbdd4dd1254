"""`fedrouter-sim route`: who asks, by which routing, and the task that methods by label go by."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train

TEXTS = ["11 + 12 = ?", "reverse: a b c d e"]


@pytest.fixture(scope="module")
def run_of(micro_config: Any, backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a micro run of a method, made once."""
    place = tmp_path_factory.mktemp("methods")

    def trained(method: str) -> Path:
        if not (place / method).exists():
            config = micro_config(method=method, local_steps=1, test_examples_per_client=1)
            train(config, place / method, backbone=backbone)
        return place / method

    return trained


def records(done: Any) -> list[dict[str, Any]]:
    """The objects of a --json stream."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def refusal(done: Any) -> str:
    """The one line of a refusal."""
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    return str(done.stderr)


def test_the_client_that_asks_is_told_its_own_adapter(cli: Any, run_of: Any) -> None:
    for client in (0, 3):
        found = records(cli("route", run_of("local"), *TEXTS, "--client", str(client), "--json"))
        assert [record["task"] for record in found] == [f"client_00{client}"] * 2
    assert refusal(cli("route", run_of("local"), *TEXTS)).startswith("error: --client: who answers depends on")
    assert "--client 4: " in refusal(cli("route", run_of("local"), *TEXTS, "--client", "4"))


def test_routing_is_local_with_a_client_and_else_what_is_asked_for(cli: Any, finished_run: Path) -> None:
    def told(*arguments: str) -> list[dict[str, Any]]:
        return records(cli("route", finished_run, *TEXTS, "--json", *arguments))

    for arguments, model in (
        ((), RoutedModel(finished_run)),
        (("--client", "1"), RoutedModel(finished_run, client=1, routing="local")),
        (("--client", "1", "--routing", "global"), RoutedModel(finished_run, routing="global")),
        (("--routing", "none"), RoutedModel(finished_run, routing="none")),
    ):
        expected = [(one.task, one.distance) for one in model.route(TEXTS)]
        assert [(record["task"], record["distance"]) for record in told(*arguments)] == expected
    assert [record["task"] for record in told("--routing", "none")] == ["backbone"] * 2
    said = refusal(cli("route", finished_run, *TEXTS, "--routing", "fixed"))
    assert "--routing fixed: method fedrouter has no such routing; it has global, local and none" in said


def test_every_command_takes_a_backbone_that_has_moved(
    cli: Any, run_copy: Path, micro_model: Path, tmp_path: Path
) -> None:
    config = (run_copy / "config.toml").read_text(encoding="utf-8")
    (run_copy / "config.toml").write_text(config.replace(str(micro_model), "/old/m"), encoding="utf-8")
    evaluated = ("eval", run_copy, "--test-data", "own", "--routing", "none", "--quiet")
    for command in (
        ("route", run_copy, TEXTS[0]),
        evaluated,
        ("export", run_copy, "--merged", "--task", "task_0", "--quiet", "--out", tmp_path / "out"),
    ):
        assert "/old/m: the backbone of" in refusal(cli(*command))
        done = cli(*command, "--model", micro_model)
        assert done.returncode == 0, done.stderr
    verified = {
        check["what"]: check["state"]
        for check in json.loads(cli("verify", run_copy, "--model", micro_model, "--json", "-q").stdout)["checks"]
    }
    assert (verified["backbone"], verified["config.toml"]) == ("same", "changed")


def test_a_mixed_answer_shows_its_weights(cli: Any, run_of: Any) -> None:
    found = records(cli("route", run_of("feddpa"), *TEXTS, "--client", "2", "--json"))
    for record in found:
        assert set(record["weights"]) == {"global", "client_002"}
        assert sum(record["weights"].values()) == pytest.approx(1)
    lines = cli("route", run_of("feddpa"), *TEXTS, "--client", "2").stdout.splitlines()
    first = found[0]["weights"]
    assert lines[0] == f"global {first['global']:.2f}, client_002 {first['client_002']:.2f}\t{TEXTS[0]}"


def test_a_method_without_router_shows_no_distance(cli: Any, run_of: Any) -> None:
    done = cli("route", run_of("fedavg"), *TEXTS)
    assert done.stdout.splitlines() == [f"global\t{text}" for text in TEXTS]
    [first, _] = records(cli("route", run_of("fedavg"), *TEXTS, "--json"))
    assert first == {
        "text": TEXTS[0], "task": "global", "distance": None, "margin": None, "answer": None, "weights": {},
        "unseen": None,
        "confidence": None,
    }  # fmt: skip


def test_methods_by_label_take_the_task_of_jsonl(cli: Any, run_of: Any, tmp_path: Path) -> None:
    tasks = zip(TEXTS, ("sum", "reverse"), strict=True)
    rows = [{"instruction": text, "task": task, "kind": "poem"} for text, task in tasks]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    by_task = records(cli("route", run_of("oracle"), "--file", path, "--json"))
    assert len({record["task"] for record in by_task}) == 2
    assert all(record["task"].startswith("label_") for record in by_task)
    by_kind = records(cli("route", run_of("oracle"), "--file", path, "--task-column", "kind", "--json"))
    assert [record["task"] for record in by_kind] == ["backbone"] * 2  # nobody trained poems
    for arguments in ((*TEXTS,), ("--file", path, "--task-column", "absent")):
        said = refusal(cli("route", run_of("oracle"), *arguments))
        assert "answers by true task label, and '11 + 12 = ?' has none" in said and "JSONL" in said
        assert "--task-column" in said


def test_the_task_column_is_that_of_the_run(
    cli: Any, micro_config: Any, micro_data: Path, backbone: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in micro_data.iterdir():
        (data / path.name).write_text(path.read_text(encoding="utf-8").replace('"task":', '"kind":'), encoding="utf-8")
    config = micro_config(data=str(data), task_column="kind", method="oracle", rounds=1, local_steps=1)
    run = train(config, tmp_path / "run", backbone=backbone).folder
    row = json.dumps({"instruction": TEXTS[0], "kind": "sum", "task": "reverse"})
    [own] = records(cli("route", run, "--json", stdin=row))
    [named] = records(cli("route", run, "--task-column", "kind", "--json", stdin=row))
    [other] = records(cli("route", run, "--task-column", "task", "--json", stdin=row))
    assert own["task"] == named["task"] != other["task"]


def test_the_task_column_is_not_read_by_other_methods(cli: Any, finished_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"q": t, "task": 7}) + "\n" for t in TEXTS), encoding="utf-8")
    found = records(cli("route", finished_run, "--file", path, "--column", "q", "--json"))
    assert [record["task"] for record in found] == [one.task for one in RoutedModel(finished_run).route(TEXTS)]


def test_files_are_read_as_data_are(cli: Any, finished_run: Path, tmp_path: Path) -> None:
    expected = [record["task"] for record in records(cli("route", finished_run, *TEXTS, "--json"))]
    (tmp_path / "bom.jsonl").write_text(
        "".join(json.dumps({"instruction": text}) + "\n" for text in TEXTS), encoding="utf-8-sig"
    )
    (tmp_path / "a.csv").write_text("\n".join(["instruction;x", *(f"{text};y" for text in TEXTS)]), encoding="utf-8")
    for name in ("bom.jsonl", "a.csv"):
        found = records(cli("route", finished_run, "--file", tmp_path / name, "--json"))
        assert [record["task"] for record in found] == expected
    (tmp_path / "half.jsonl").write_text('{"instruction": "add \\ud83d 2"}\n')
    said = refusal(cli("route", finished_run, "--file", tmp_path / "half.jsonl"))
    assert said.endswith("half.jsonl: line 1: 'instruction' holds half a character (surrogate); correct it\n")
    assert "text 1 holds half a character" in refusal(cli("route", finished_run, "a\udce9"))


def test_what_answers_unseen_texts_is_chosen_and_the_score_shown(cli: Any, finished_run: Path) -> None:
    (found,) = RoutedModel(finished_run).route(TEXTS[:1])
    (record,) = records(cli("route", finished_run, TEXTS[0], "--json", "--unseen", "bare"))
    assert record["unseen"] == found.unseen
    shown = cli("route", finished_run, TEXTS[0]).stdout.split("\t")
    assert shown[4] == f"{'unseen' if found.is_unseen else 'seen'} {found.unseen:.4f}"
    assert "--unseen never: choose among" in refusal(cli("route", finished_run, TEXTS[0], "--unseen", "never"))
