"""`compare`, `report` and `train --seeds`, as a user calls them."""

import json

import pytest

FEWER = "--clients 3 --rounds 1 --local-steps 2 --batch-size 2 --examples-per-client 12".split()
TESTED = [*FEWER, "--test-examples-per-client", "3", "--quiet"]


@pytest.fixture(scope="module")
def runs(cli, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    for method in ("fedavg", "local"):
        done = cli("train", *TESTED, "--method", method, "--seeds", "1,2", "--out", folder / method)
        assert done.returncode == 0, done.stderr
    return folder


def test_several_seeds_in_one_go_leave_a_run_each_and_go_on_where_they_were(cli, runs):
    assert sorted(path.name for path in (runs / "fedavg").iterdir()) == ["report.html", "seed-1", "seed-2"]
    done = cli("train", *TESTED, "--method", "fedavg", "--seeds", "1,2", "--out", runs / "fedavg", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["all/fedavg"]["seeds"] == 2
    assert all((runs / "fedavg" / name / "report.html").is_file() for name in ("seed-1", "seed-2", "."))


@pytest.mark.parametrize("seeds", ["1,x", "", "1,1", "-1"])
def test_wrong_seeds_are_one_line(cli, tmp_path, seeds):
    done = cli("train", *TESTED, f"--seeds={seeds}", "--out", tmp_path / "none")
    assert done.returncode == 2 and done.stderr.startswith(f"error: --seeds {seeds}".rstrip()) and done.stdout == ""
    assert not (tmp_path / "none").exists()


def test_a_dry_run_of_several_seeds_says_that_it_is_one_runs_cost(cli, tmp_path):
    quick = [flag for flag in TESTED if flag != "--quiet"]
    done = cli(
        "train", *quick, "--method", "fedavg", "--seeds", "1,2", "--dry-run", "--out", tmp_path / "none", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "--seeds 1,2: 2 runs, each at the cost of this one" in done.stderr
    assert json.loads(done.stdout)["steps"] == 3 * 2
    assert not (tmp_path / "none").exists()


def test_a_folder_is_no_file_for_the_page(cli, runs, tmp_path):
    done = cli("compare", *all_of(runs), "--report", tmp_path)
    assert (done.returncode, done.stderr) == (2, f"error: --report {tmp_path}: is a folder; give the name of a file\n")


def test_overwrite_does_not_go_with_seeds(cli, runs):
    done = cli("train", *TESTED, "--seeds", "1", "--overwrite", "--out", runs / "fedavg")
    assert done.returncode == 2 and "--overwrite" in done.stderr


def all_of(folder):
    return sorted(folder.glob("*/seed-*"))


def test_compare_shows_scores_gains_and_costs(cli, runs, tmp_path):
    page = tmp_path / "page.html"
    done = cli("compare", *all_of(runs), "--baseline", "local", "--report", page)
    assert done.returncode == 0, done.stderr
    assert "Relative to local" in done.stdout and "fedavg" in done.stdout and "fewer than 3 seeds" in done.stderr
    assert "<svg" in page.read_text(encoding="utf-8")


def test_compare_json_holds_what_a_hand_calculation_gives(cli, runs):
    record = json.loads(cli("compare", *all_of(runs), "--baseline", "local", "--json", "--quiet").stdout)
    scores = {(row["method"], row["test_data"]): row["mean"] for row in record["scores"]}
    files = [runs / "fedavg" / f"seed-{seed}" / "summary.json" for seed in (1, 2)]
    own = [json.loads(file.read_text())["scores"]["own-fixed"] for file in files]
    assert record["metric"] == "rouge1"
    assert scores["fedavg", "own"] == pytest.approx(sum(one["rouge1"] for one in own) / 2)
    assert {gain["method"] for gain in record["gains"]} == {"fedavg"} and record["differences"] == {}


def test_compare_by_another_metric(cli, runs):
    shown = cli("compare", *all_of(runs), "--baseline", "local", "--metric", "loss", "--quiet")
    assert (
        "loss, mean over clients; mean over seeds" in shown.stdout
        and "ratio of loss, above 1 is better" in shown.stdout
    )
    by_loss = (*all_of(runs), "--baseline", "local", "--metric", "loss", "--json", "--quiet")
    record = json.loads(cli("compare", *by_loss).stdout)
    assert record["metric"] == "loss"
    scores = {(row["method"], row["test_data"]): row["mean"] for row in record["scores"]}
    losses = {
        method: [
            json.loads((runs / method / f"seed-{seed}" / "summary.json").read_text())["scores"]["all-fixed"]["loss"]
            for seed in (1, 2)
        ]
        for method in ("fedavg", "local")
    }
    assert scores["fedavg", "all"] == pytest.approx(sum(losses["fedavg"]) / 2)
    [gain] = [gain for gain in record["gains"] if gain["test_data"] == "all"]
    ratios = [theirs / ours for ours, theirs in zip(losses["fedavg"], losses["local"], strict=True)]
    assert gain["ratio"]["mean"] == pytest.approx((ratios[0] * ratios[1]) ** 0.5)
    refused = cli("compare", *all_of(runs), "--metric", "rouge9")
    assert refused.returncode == 2 and refused.stderr.startswith("error: --metric rouge9: choose one of rouge1")


def test_runs_of_one_method_with_other_settings_get_names_that_tell_them_apart(cli, runs, tmp_path):
    done = cli("train", *TESTED, "--method", "fedavg", "--seed", "1", "--lr", "0.5", "--out", tmp_path / "faster")
    assert done.returncode == 0, done.stderr
    record = json.loads(cli("compare", *all_of(runs), tmp_path / "faster", "--json", "--quiet").stdout)
    seeds = {row["method"]: row["seeds"] for row in record["scores"] if row["test_data"] == "all"}
    assert seeds == {"fedavg (lr=0.02)": 2, "fedavg (lr=0.5)": 1, "local": 2}


def test_compare_says_what_differs_between_settings(cli, runs, tmp_path):
    done = cli("train", *TESTED, "--method", "fedprox", "--seed", "1", "--lr", "0.5", "--out", tmp_path / "fedprox")
    assert done.returncode == 0, done.stderr
    shown = cli("compare", *all_of(runs), tmp_path / "fedprox", "--quiet")
    assert "--lr" in shown.stdout and "0.5" in shown.stdout and "--rounds" not in shown.stdout


def test_runs_that_cannot_be_compared_are_refused_in_one_line(cli, runs, tmp_path):
    first = runs / "fedavg" / "seed-1"
    assert "are both fedavg" in cli("compare", first, first).stderr
    assert "no such run folder" in cli("compare", tmp_path / "none").stderr
    assert "--baseline ditto" in cli("compare", first, "--baseline", "ditto").stderr
    other = cli("train", *FEWER, "--quiet", "--test-examples-per-client", "2", "--method", "base", "--seed", "1",
                "--out", tmp_path / "other")  # fmt: skip
    assert other.returncode == 0
    refused = cli("compare", first, tmp_path / "other")
    assert refused.returncode == 2 and "different test samples" in refused.stderr and refused.stderr.count("\n") == 1


def test_report_writes_the_page_of_a_run(cli, runs):
    first = runs / "fedavg" / "seed-1"
    done = cli("report", first, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["report"] == str(first / "report.html") and record["figures"]
    assert "<svg" in (first / "report.html").read_text(encoding="utf-8")
