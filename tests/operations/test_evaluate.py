"""`eval`: the cells of a finished run, on its own data and on the user's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Columns
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import train
from fedrouter_sim.operations.verify import CHANGED, SAME, verify
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.cells import has_answers
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


def test_a_finished_run_scores_as_it_did_after_training(finished_run: Path, run_copy: Path) -> None:
    shutil.rmtree(run_copy / "eval")
    done = evaluate(Run(run_copy), Display())
    assert sorted(path.stem for path in done.files) == [
        "all-global", "all-local", "all-none", "all-oracle", "own-global", "own-local"
    ]  # fmt: skip
    assert done.notes == []
    for name in ("summary.json", "manifest.json"):
        assert (run_copy / name).read_bytes() == (finished_run / name).read_bytes()
    for path in done.files:
        for name in (path.name, path.with_suffix(".jsonl").name):
            assert (run_copy / "eval" / name).read_bytes() == (finished_run / "eval" / name).read_bytes()


def test_only_a_whole_evaluation_changes_the_summary(run_copy: Path) -> None:
    summary = run_copy / "summary.json"
    changed = {"scores": {}, "cell": None, "bytes_up": 1}
    summary.write_text(json.dumps(json.loads(summary.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    before, manifest = summary.read_bytes(), (run_copy / "manifest.json").read_bytes()
    run = Run(run_copy)
    evaluate(run, Display(), ("all",))
    evaluate(run, Display(), (), ("global", "local"))
    for other in ({"most": 1}, {"metric": "loss"}, {"unseen": "bare"}, {"router": "knn"}):
        evaluate(run, Display(), **other)  # type: ignore[arg-type]
    assert summary.read_bytes() == before
    evaluate(run, Display(), most=500)
    assert run.summary.scores == Run(run_copy).summary.scores != {}
    assert run.summary.cell == "all-global"
    # What was done to the file before is not covered up.
    assert (run_copy / "manifest.json").read_bytes() == manifest
    assert [check.what for check in verify(run_copy) if check.state == CHANGED] == ["summary.json"]


def test_own_and_all_samples(run_copy: Path) -> None:
    run_data = partition_data(Run(run_copy).config)
    done = evaluate(Run(run_copy), Display(), ("own", "all"), ("none",))
    by_cell = {result.cell.name: [(a.client, a.instruction) for a in result.answers] for result in done.results}
    assert by_cell == {
        "all-none": [(client, e.instruction) for client, own in enumerate(run_data.clients) for e in own.test_all],
        "own-none": [(client, e.instruction) for client, own in enumerate(run_data.clients) for e in own.test_own],
    }
    assert [result.cell.name for result in evaluate(Run(run_copy), Display(), ("own",)).results] == [
        "own-global", "own-local"
    ]  # fmt: skip


def test_test_data_that_the_run_has_not_is_refused(run_copy: Path) -> None:
    for name in ("drift", "held-out"):
        with pytest.raises(UserError, match=rf"--test-data {name}: the run .* has none; it has all, own"):
            evaluate(Run(run_copy), Display(), (name,))


def test_at_most_so_many_samples(run_copy: Path) -> None:
    before = (run_copy / "eval" / "all-none.json").read_bytes()
    done = evaluate(Run(run_copy), Display(), ("all",), ("none",), most=2)
    assert done.files == [run_copy / "eval" / "most-2" / "all-none.json"]  # the run's own stay
    assert (run_copy / "eval" / "all-none.json").read_bytes() == before
    [result] = done.results
    assert {client: scores.samples for client, scores in result.per_client.items()} == dict.fromkeys(range(4), 2)
    every = partition_data(Run(run_copy).config).test_shares()["all"]
    for client, own in every.items():
        asked = [answer.instruction for answer in result.answers if answer.client == client]
        assert asked == [example.instruction for example in own if example.instruction in asked]
    assert [a.instruction for a in result.answers] != [e.instruction for own in every.values() for e in own[:2]]


def test_a_number_of_samples_that_changes_nothing_is_noted_and_gets_no_folder(run_copy: Path) -> None:
    own = run_copy / "eval" / "all-none.json"
    done = evaluate(Run(run_copy), Display(), ("all",), ("none",), most=500)
    assert (done.files, done.notes) == (
        [own],
        ["--test-examples-per-client 500: no client has more than 4, so all are asked"],
    )
    assert evaluate(Run(run_copy), Display(), ("all",), ("none",), most=4).files == [own]
    assert not list((run_copy / "eval").glob("most-*"))


def test_oracle_routing_goes_to_the_pool_with_most_of_the_label(run_copy: Path) -> None:
    run = Run(run_copy)
    assert run.truth is not None
    [result] = evaluate(run, Display(), ("all",), ("oracle",)).results
    for answer in result.answers:
        counts = {pool: labels.get(answer.task or "", 0) for pool, labels in run.truth.pools.items()}
        assert answer.pool == max(counts, key=lambda pool: counts[pool])


def test_routings_once_each_in_the_order_asked(run_copy: Path) -> None:
    done = evaluate(Run(run_copy), Display(), ("all",), ("none", "local", "none"))
    assert [result.cell.name for result in done.results] == ["all-none", "all-local"]


def test_given_data(run_copy: Path, tmp_path: Path) -> None:
    rows = [{"question": f"{n} + {n} = ?", "answer": str(2 * n), "kind": "sum"} for n in range(10, 19)]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = Columns(("question",), "answer", "kind")
    done = evaluate(Run(run_copy), Display(), data=str(path), columns=columns)
    assert [result.cell.name for result in done.results] == ["given-global", "given-local"]
    answers = done.results[0].answers
    assert sorted(answer.instruction for answer in answers) == sorted(row["question"] for row in rows)
    assert {client: s.samples for client, s in done.results[0].per_client.items()} == {0: 3, 1: 2, 2: 2, 3: 2}
    place = run_copy / "eval" / "data-mine.jsonl"
    stored = json.loads((place / "given-global.json").read_text(encoding="utf-8"))
    assert (stored["data"], stored["method"], stored["seed"]) == (str(path), "fedrouter", 1)
    limited = evaluate(Run(run_copy), Display(), (), ("none",), str(path), columns, 1)
    assert limited.results[0].mean.samples == 4
    assert limited.files == [place / "most-1" / "given-none.json"]
    changed = evaluate(Run(run_copy), Display(), (), ("global",), str(path), columns, unseen="bare")
    assert changed.files == [place / "unseen-bare" / "given-global.json"]
    assert json.loads((place / "given-global.json").read_text(encoding="utf-8")) == stored


def test_every_data_set_that_is_given_keeps_its_scores(
    run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = '{"instruction": "1 + 1 = ?", "response": "2"}\n'
    for name in ("one/test.jsonl", "two/test.jsonl", "two/my data?.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(row, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "one")

    def place(data: str) -> str:
        [file] = evaluate(Run(run_copy), Display(), (), ("none",), data).files
        return file.parent.relative_to(run_copy / "eval").as_posix()

    assert place("test.jsonl") == place(str(tmp_path / "one" / "test.jsonl")) == "data-test.jsonl"
    second = place("../two/test.jsonl")
    assert second.startswith("data-test.jsonl-") and len(second) == len("data-test.jsonl-") + 8
    assert place("../two/test.jsonl") == second
    assert place("../two/my data?.jsonl") == "data-my_data_.jsonl"
    cells = {cell.name: cell for cell in Run(run_copy).cells() if cell.test_data == "given"}
    assert list(cells) == [
        "data-my_data_.jsonl/given-none", "data-test.jsonl/given-none", f"{second}/given-none",
    ]  # fmt: skip
    assert cells["data-test.jsonl/given-none"].data == str(tmp_path / "one" / "test.jsonl")
    assert all(has_answers(run_copy, cell) for cell in cells.values())
    assert {check.state for check in verify(run_copy)} == {SAME}
    (run_copy / "eval" / f"{second}" / "given-none.jsonl").write_text("", encoding="utf-8")
    assert [c.what for c in verify(run_copy) if c.state == CHANGED] == [f"eval/{second}/given-none.jsonl"]


def test_options_of_a_metric_are_given_with_it(run_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from fedrouter_sim import Metric\n\n\nclass Fixed(Metric):\n    name, title = 'fixed', 'fixed'\n\n"
        "    def __init__(self, value: float = 1.0) -> None:\n        self.value = value\n\n"
        "    def measure(self, sample):\n        return self.value\n",
        encoding="utf-8",
    )
    metric = f"{tmp_path / 'mine.py'}:Fixed"
    for option, value in (((), 1.0), (("value=0.5",), 0.5)):
        [result] = evaluate(Run(run_copy), Display(), ("own",), ("none",), metric=metric, option=option).results
        assert result.mean.values["fixed"] == value
    with pytest.raises(UserError, match=r"--option valu=2: metric .*:Fixed has no such option; it has value"):
        evaluate(Run(run_copy), Display(), metric=metric, option=("valu=2",))


def test_given_rows_that_cannot_be_used_are_left_out_on_request(run_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "gaps.jsonl"
    path.write_text('{"instruction": "1 + 1 = ?", "response": "2"}\n{"instruction": "a"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="1 of 2 rows cannot be used"):
        evaluate(Run(run_copy), Display(), data=str(path))
    done = evaluate(Run(run_copy), Display(), data=str(path), on_bad_row="skip")
    assert [result.mean.samples for result in done.results] == [1, 1]
    assert "left out 1 of 2 rows" in done.notes[0]


def test_fewer_given_rows_than_clients(run_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text('{"instruction": "1 + 1 = ?", "response": "2"}\n', encoding="utf-8")
    results = evaluate(Run(run_copy), Display(), data=str(path)).results
    assert [list(result.per_client) for result in results] == [[0], [0]]


@pytest.fixture(scope="module")
def natural_run(micro_config: ConfigMaker, micro_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows name their clients, 'a' and 'b', in the column `user`."""
    folder = tmp_path_factory.mktemp("natural")
    for path in micro_data.iterdir():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        owned = [json.dumps(row | {"user": "ab"[i % 2]}) + "\n" for i, row in enumerate(rows)]
        (folder / path.name).write_text("".join(owned), encoding="utf-8")
    config = micro_config(data=str(folder), split="natural", client_column="user", clients=2, rounds=1, local_steps=2)
    return train(config, folder / "run", False, Display()).folder


def test_given_rows_that_name_a_client_of_a_natural_run_go_to_it(natural_run: Path, tmp_path: Path) -> None:
    def asked(data: Path, columns: Columns | None = None) -> list[tuple[int, str]]:
        done = evaluate(Run(run), Display(), (), ("none",), str(data), columns)
        notes[:] = done.notes
        return [(answer.client, answer.instruction) for answer in done.results[0].answers]

    notes: list[str] = []
    run = tmp_path / "run"
    shutil.copytree(natural_run, run)
    path = tmp_path / "owned.jsonl"
    users = "bacb"
    rows = [{"instruction": f"{n} + 1 = ?", "response": "2", "user": user} for n, user in enumerate(users)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert asked(path) == [(0, "1 + 1 = ?"), (1, "0 + 1 = ?"), (1, "3 + 1 = ?")]
    assert notes == [f"--data {path}: 1 of 4 rows are of no client of the run and were left out"]
    # So they do when the run was aggregated again.
    run = aggregate(run, tmp_path / "again").folder
    assert [client for client, _ in asked(path)] == [0, 1, 1]
    # Rows that name nobody are dealt out.
    assert len(asked(path, Columns())) == 4 and notes == [f"--data {path}: columns not read: user"]
    path.write_text(json.dumps(rows[2]), encoding="utf-8")
    with pytest.raises(UserError, match=r"no row is of a client of .* \(a, b\); correct --client-column user"):
        asked(path)
    # The run's own test file falls to the clients as it did in the run.
    run_data = partition_data(Run(run).config)
    own = [(client, example.instruction) for client, own in enumerate(run_data.clients) for example in own.test_own]
    assert set(asked(Path(Run(run).config.data))) >= set(own)


def test_given_data_and_shares_of_the_run_exclude_each_other(run_copy: Path, micro_data: Path) -> None:
    with pytest.raises(UserError, match=r"--test-data .* --data"):
        evaluate(Run(run_copy), Display(), ("own",), data=str(micro_data))


def test_columns_are_those_of_given_data(run_copy: Path) -> None:
    with pytest.raises(UserError, match="columns: are of the given data; give data too, or drop them"):
        evaluate(Run(run_copy), Display(), columns=Columns())


@pytest.fixture(scope="module")
def fedavg_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a method without router."""
    config = micro_config(method="fedavg", rounds=1)
    return train(config, tmp_path_factory.mktemp("fedavg") / "run", False, Display()).folder


def test_absent_routings_are_noted(fedavg_run: Path) -> None:
    done = evaluate(Run(fedavg_run), Display(), ("all",), ("global", "local", "none"))
    assert [result.cell.name for result in done.results] == ["all-fixed", "all-none"]
    assert done.notes == ["method fedavg has no routing global, local: instead, its own answer (fixed)"]
    for wanted in ((), ("none",)):
        assert evaluate(Run(fedavg_run), Display(), ("all",), wanted).notes == []


def test_changed_data_is_refused_unless_given(micro_config: ConfigMaker, micro_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(micro_data, tmp_path / "data"))
    config = micro_config(data=str(data), method="fedavg", rounds=1, local_steps=1)
    run = Run(train(config, tmp_path / "run", False, Display()).folder)
    with (data / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"instruction": "new", "response": "row", "task": "sum"}\n')
    with pytest.raises(UserError, match=r"--data .*: has changed since"):
        evaluate(run, Display())
    assert evaluate(run, Display(), data=str(data)).results[0].mean.samples == 25


def test_oracle_routing_without_labels_is_refused(run_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"instruction": "1 + 1 = ?", "response": "2"}\n' * 4, encoding="utf-8")
    with pytest.raises(UserError, match="--routing oracle needs task labels"):
        evaluate(Run(run_copy), Display(), (), ("oracle",), str(path))


def test_cut_instructions_are_noted(run_copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"instruction": "a b c " * 200, "response": "no"}) + "\n", encoding="utf-8")
    done = evaluate(Run(run_copy), Display(), data=str(path))
    assert done.notes == ["1 test instructions were cut to fit --max-tokens and context"]


def test_another_metric_stands_first_and_every_cell_has_all(run_copy: Path, tmp_path: Path) -> None:
    rows = [{"instruction": f"Is {n} large?", "response": ("yes", "no")[n % 2], "task": "size"} for n in range(12)]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = [evaluate(run_copy, data=str(path), metric=name) for name in (None, "rouge1", "exact_match", "loss")]
    assert [done.metric.name for done in asked] == ["rouge1", "rouge1", "exact_match", "loss"]
    for done in asked:
        for one, two in zip(done.results, asked[0].results, strict=True):
            assert (one.mean, one.per_client, one.answers) == (two.mean, two.per_client, two.answers)
        first = done.results[0]
        worst = [scores[done.metric.name] for scores in first.per_client.values()]
        assert first.per_client[first.worst_client][done.metric.name] == done.metric.worst(worst)
    assert asked[2].results[0].mean["exact_match"] == 0.0  # the answers are labels here
    stored = json.loads((run_copy / "eval" / "data-labels.jsonl" / "given-global.json").read_text(encoding="utf-8"))
    assert set(stored["mean"]) == {
        "samples",
        "rouge1",
        "rouge2",
        "rouge_l",
        "exact_match",
        "balanced_accuracy",
        "macro_f1",
        "loss",
    }


def test_a_metric_of_the_users_is_measured_too_and_an_unknown_one_refused(run_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from fedrouter_sim import Metric\n\n\nclass Words(Metric):\n    name, title = 'words', 'words'\n\n"
        "    def measure(self, sample):\n        return float(len(sample.answer.split()))\n",
        encoding="utf-8",
    )
    done = evaluate(run_copy, Display(), ("all",), ("global",), metric=f"{tmp_path / 'mine.py'}:Words")
    [result] = done.results
    assert done.metric.title == "words"
    assert all(answer.scores["words"] == len(answer.sample.answer.split()) for answer in result.answers)
    assert "words" in Run(run_copy).cells()[2].mean
    with pytest.raises(UserError, match="--metric rouge9: choose one of rouge1"):
        evaluate(run_copy, metric="rouge9")
