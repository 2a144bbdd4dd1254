"""Runs side by side: intervals against a textbook, gains by hand, verdicts, and what may not be compared."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.studies.comparison import (
    CONTRADICTED,
    NOT_MEASURED,
    NOT_SEPARABLE,
    REPRODUCED,
    Claim,
    Comparison,
    Cost,
    Entry,
    Estimate,
    Score,
    compare,
)

COST = Cost(100, 4000, 10, 20)
ROUGE, LOSS, EXACT = (find_metric(name) for name in ("rouge1", "loss", "exact_match"))


def score(method: str, seed: int, mean: float, test_data: str = "all", samples: str = "same", **more: Any) -> Score:
    tasks = {"sum": mean, "title": mean / 2} | more.pop("per_task", {})
    return Score(method, more.pop("split", "dual"), seed, test_data, mean, 0.1, mean, {0: mean}, tasks, samples)


def entry(method: str, seed: int, *scores: Score, split: str = "dual", **settings: Any) -> Entry:
    folder = Path(f"runs/{split}-{method}-{seed}")
    every = {"method": method, "seed": seed, "split": split, "rounds": 8} | settings
    return Entry(folder, method, split, seed, every, COST, scores)


def of_seeds(metric: Metric = ROUGE, **means: list[float]) -> Comparison:
    """A comparison of methods by their scores at seeds 1, 2, ..."""
    runs = [entry(name, n, score(name, n, mean)) for name, found in means.items() for n, mean in enumerate(found, 1)]
    return compare(runs, metric)


def test_an_estimate_is_the_textbooks_t_interval() -> None:
    # Mean 5, standard deviation sqrt(10/4), n = 5; t(0.975, 4) = 2.776 from the printed table.
    found = Estimate.of([3.0, 4.0, 5.0, 6.0, 7.0])
    half = 2.776445 * math.sqrt(10 / 4) / math.sqrt(5)
    assert (found.mean, found.seeds) == (5.0, 5)
    assert (found.low, found.high) == (pytest.approx(5 - half, abs=1e-5), pytest.approx(5 + half, abs=1e-5))
    two = Estimate.of([1.0, 2.0])
    wide = 12.7062 / 2  # t(0.975, 1) times sqrt(1/2) / sqrt(2)
    assert (two.low, two.high) == (pytest.approx(1.5 - wide, abs=1e-4), pytest.approx(1.5 + wide, abs=1e-4))


def test_one_value_has_no_interval_and_equal_ones_a_point() -> None:
    assert Estimate.of([0.7]) == Estimate(0.7, None, None, 1)
    assert Estimate.of([0.5, 0.5, 0.5]) == Estimate(0.5, 0.5, 0.5, 3)


def test_a_gain_is_the_geometric_mean_of_ratios_seed_by_seed() -> None:
    found = of_seeds(ours=[0.8, 0.3, 0.6], base=[0.4, 0.6, 0.6]).gain("ours", "base", "dual", "all")
    assert found is not None
    logs = [math.log(2), math.log(0.5), 0.0]
    assert found.log_ratio.mean == pytest.approx(0)
    assert found.ratio.mean == pytest.approx(1)
    half = 4.302653 * math.sqrt(sum(x * x for x in logs) / 2) / math.sqrt(3)
    assert found.ratio.low == pytest.approx(math.exp(-half), rel=1e-5)
    assert found.ratio.high == pytest.approx(math.exp(half), rel=1e-5)
    assert (found.log_ratio.seeds, found.ratio.seeds) == (3, 3)


def test_a_gain_is_over_the_seeds_that_both_have() -> None:
    both = compare(
        [entry("a", seed, score("a", seed, 0.2 * seed)) for seed in (3, 1, 2)]
        + [entry("b", seed, score("b", seed, 0.1 * seed)) for seed in (2, 4, 3)]
    )
    found = both.gain("a", "b", "dual", "all")
    assert found is not None
    assert found.ratio == Estimate(pytest.approx(2), pytest.approx(2), pytest.approx(2), 2)
    for wanted in (("a", "c", "dual", "all"), ("a", "b", "single", "all"), ("a", "b", "dual", "own")):
        assert both.gain(*wanted) is None
    assert of_seeds(a=[0.1, 0.0], b=[0.1, 0.1]).gain("a", "b", "dual", "all") is None  # log 0
    assert of_seeds(a=[0.1, 0.1], b=[0.0, 0.1]).gain("a", "b", "dual", "all") is None


@pytest.mark.parametrize(
    ("ours", "least", "verdict"),
    [
        ([0.60, 0.61, 0.62], 1.0, REPRODUCED),
        ([0.40, 0.41, 0.42], 1.0, CONTRADICTED),
        ([0.40, 0.50, 0.62], 1.0, NOT_SEPARABLE),
        ([0.60, 0.61, 0.62], 1.3, CONTRADICTED),  # better, but not by so much
        ([0.60, 0.61, 0.62], 1.22, NOT_SEPARABLE),
        ([0.60, 0.61, 0.62], 1.1, REPRODUCED),
        ([0.40, 0.41, 0.42], 0.7, REPRODUCED),  # worse, but not by much
        ([0.5, 0.5, 0.5], 1.0, NOT_SEPARABLE),  # exactly the bar is not above it
        ([0.9], 1.0, NOT_SEPARABLE),  # one seed has no interval
    ],
)
def test_verdicts(ours: list[float], least: float, verdict: str) -> None:
    claim = Claim("ours is better", "ours", "base", "dual", "all", least)
    judged = of_seeds(ours=ours, base=[0.5, 0.5, 0.5]).judge(claim)
    assert (judged.verdict, judged.claim) == (verdict, claim)
    assert judged.gain is not None
    assert judged.gain.log_ratio.seeds == len(ours)


def test_where_less_is_better_a_ratio_above_one_is_still_better() -> None:
    """By loss: half the loss is twice as good, and a claim's bar is met from above."""
    losses = of_seeds(LOSS, ours=[1.0, 1.0, 1.0], base=[2.0, 2.0, 2.0])
    assert losses.metric is LOSS
    gain = losses.gain("ours", "base", "dual", "all")
    assert gain is not None and gain.ratio.mean == pytest.approx(2)
    back = losses.gain("base", "ours", "dual", "all")
    assert back is not None and back.ratio.mean == pytest.approx(0.5)
    for least, verdict in ((1.0, REPRODUCED), (1.9, REPRODUCED), (2.1, CONTRADICTED)):
        assert losses.judge(Claim("x", "ours", "base", "dual", "all", least)).verdict == verdict
    assert losses.judge(Claim("x", "base", "ours", "dual", "all")).verdict == CONTRADICTED
    scores = of_seeds(ROUGE, ours=[1.0, 1.0, 1.0], base=[2.0, 2.0, 2.0])
    assert scores.judge(Claim("x", "ours", "base", "dual", "all")).verdict == CONTRADICTED


def test_runs_are_compared_by_the_metric_that_they_say_unless_another_is_given() -> None:
    assert compare([entry("a", 1)]).metric.name == compare([]).metric.name == "rouge1"
    by_loss = [replace(entry("a", 1), metric="loss")]
    assert compare(by_loss).metric.name == "loss"
    assert compare(by_loss, EXACT).metric is EXACT


def test_a_claim_without_runs_is_not_measured() -> None:
    judged = of_seeds(ours=[0.5, 0.6]).judge(Claim("x", "ours", "absent", "dual", "all"))
    assert (judged.verdict, judged.gain) == (NOT_MEASURED, None)


@pytest.mark.parametrize("least", [0.0, -1.0, math.nan])
def test_a_claim_of_no_positive_factor_is_refused(least: float) -> None:
    with pytest.raises(UserError, match=r"claim 'x': least = .* must be above 0"):
        Claim("x", "a", "b", "dual", "all", least)


def test_selected_scores_and_estimates() -> None:
    both = compare(
        [
            entry("a", 2, score("a", 2, 0.4), score("a", 2, 0.6, "own"), score("a/local", 2, 0.1, "own")),
            entry("b", 1, score("b", 1, 0.9)),
            entry("a", 1, score("a", 1, 0.2, per_task={"poem": 0.7})),
        ]
    )
    assert [found.seed for found in both.select("a", "dual", "all")] == [1, 2]
    assert both.estimate("a", "dual", "all") == Estimate.of([0.2, 0.4])
    assert both.estimate("a", "dual", "all", "title") == Estimate.of([0.1, 0.2])
    assert both.estimate("a", "dual", "all", "poem") == Estimate(0.7, None, None, 1)  # of the one seed that has it
    assert both.estimate("a", "dual", "all", "nothing") is both.estimate("c", "dual", "all") is None
    assert both.cells() == [("dual", "all"), ("dual", "own")]
    assert both.methods() == ["a", "a/local", "b"]
    assert both.costs("a/local") == [COST]
    assert len(both.costs("a")) == 2
    assert both.costs("a", "single") == []


def test_a_part_of_a_plan_has_the_names_that_the_whole_will_have() -> None:
    planned = [entry("a", seed, tasks=tasks).told for seed in (1, 2) for tasks in (4, "auto")]
    part = [entry("a", 1, score("a", 1, 0.5), score("a/local", 1, 0.4), tasks=4)]
    assert compare(part).methods() == ["a", "a/local"]
    found = compare(part, planned=planned)
    assert found.methods() == ["a (tasks=4)", "a (tasks=4)/local"]
    assert [one.method for one in found.entries] == ["a (tasks=4)"]


def test_two_runs_of_a_method_on_the_same_clients_are_refused() -> None:
    with pytest.raises(UserError, match=r"runs/dual-a-1 and runs/dual-a-1 are both a on dual with seed 1"):
        compare([entry("a", 1, score("a", 1, 0.5)), entry("a", 1, score("a", 1, 0.6))])
    fine = compare([entry("a", 1), entry("a", 2), entry("a", 1, split="single"), entry("b", 1)])
    assert len(fine.entries) == 4


def test_runs_with_different_test_samples_are_refused() -> None:
    one, two = entry("a", 1, score("a", 1, 0.5)), entry("b", 1, score("b", 1, 0.6, samples="other"))
    with pytest.raises(UserError, match=r"dual-a-1 and .*dual-b-1 answered different test samples in the cell 'all'"):
        compare([one, two])
    # Another seed, split or cell has other samples.
    compare([one, entry("b", 2, score("b", 2, 0.6, samples="other"))])
    compare([one, entry("b", 1, score("b", 1, 0.6, "own", samples="other"))])
    compare([one, entry("b", 1, score("b", 1, 0.6, samples="other", split="single"), split="single")])


def test_differences_are_of_settings_beyond_method_split_and_seed() -> None:
    assert compare([entry("a", 1), entry("b", 2, split="single")]).differences == {}
    found = compare([entry("a", 1, lora_targets=["x"], lr=0.1), entry("b", 1, lora_targets=["x"], lr=0.2)])
    assert found.differences == {"lr": {"runs/dual-a-1": 0.1, "runs/dual-b-1": 0.2}}
    assert compare([]).differences == {}


def test_settings_that_a_run_does_not_read_are_no_difference() -> None:
    shipped = {"drift_to": "none"}
    runs = [
        entry("fedrouter", 1, **shipped, lr_scaling="clients", fedprox_mu=0.1),
        entry("oracle", 1, **shipped, lr_scaling="none", fedprox_mu=0.2),
        entry("fedavg", 1, **shipped, lr_scaling="other", fedprox_mu=0.3),
    ]
    assert compare(runs).differences == {
        "lr_scaling": {"runs/dual-fedrouter-1": "clients", "runs/dual-oracle-1": "none"}
    }
    own = [entry("of-a-file", seed, **shipped, fedprox_mu=seed / 10) for seed in (1, 2)]
    assert list(compare(own).differences) == ["fedprox_mu"]  # its file is not run to look


def sampled(method: str, seed: int, base: float, noise: float) -> Score:
    """A score whose draws of test samples scatter: in part as all methods' do, in part by `noise` of its own."""
    common = np.random.default_rng(seed).normal(0, 0.05, 1000)
    own = np.random.default_rng((seed, ord(method[0]))).normal(0, noise, 1000)
    return replace(score(method, seed, base), draws=base * np.exp(common + own), asked=40)


def with_samples(noise: float, ours: list[float], base: list[float]) -> Comparison:
    pairs = enumerate(zip(ours, base, strict=True), 1)
    runs = [
        entry(name, n, sampled(name, n, mean, noise))
        for n, both in pairs
        for name, mean in zip(("ours", "base"), both, strict=True)
    ]
    return compare(runs)


def test_a_gain_has_its_interval_over_test_samples_paired() -> None:
    both = with_samples(0.01, [0.55, 0.55], [0.5, 0.5])
    gain, alone = both.gain("ours", "base", "dual", "all"), both.over_samples("ours", "dual", "all")
    assert gain is not None and gain.over_samples is not None and alone is not None
    assert gain.over_samples.samples == alone.samples == 80
    half = 1.96 * 0.01 * math.sqrt(2) / math.sqrt(2)  # both methods' own noise, over two seeds
    assert gain.over_samples.low == pytest.approx(1.1 * math.exp(-half), rel=0.003)
    assert gain.over_samples.high == pytest.approx(1.1 * math.exp(half), rel=0.003)
    assert gain.error_over_samples == pytest.approx(0.01, rel=0.1)
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.55 * 0.051 / math.sqrt(2), rel=0.1)  # not paired
    half_known = compare([*both.entries[:3], entry("base", 2, score("base", 2, 0.5))])
    gain = half_known.gain("ours", "base", "dual", "all")
    assert gain is not None and gain.over_samples is None and gain.log_ratio.seeds == 2


def test_a_claim_that_is_not_separable_says_what_it_would_take() -> None:
    both = with_samples(0.04, [0.50, 0.56], [0.5, 0.5])
    judged = both.judge(Claim("x", "ours", "base", "dual", "all"))
    assert judged.verdict == NOT_SEPARABLE and judged.power is not None
    logs = [0.0, math.log(1.12)]
    spread, distance = abs(logs[1]) / math.sqrt(2), logs[1] / 2
    assert judged.power.seeds == math.ceil(((2.110 + 0.863) * spread / distance) ** 2) == 18  # by t(17)
    assert judged.power.samples == pytest.approx(80 * (2.8016 * 0.04 / distance) ** 2, rel=0.2)
    at_the_bar = both.judge(Claim("x", "ours", "base", "dual", "all", least=math.exp(distance) + 1e-9))
    assert at_the_bar.power is not None and at_the_bar.power.samples is None
    clear = with_samples(0.01, [0.60, 0.61], [0.5, 0.5]).judge(Claim("x", "ours", "base", "dual", "all"))
    assert (clear.verdict, clear.power) == (REPRODUCED, None)


def test_claims_are_judged_by_loss_as_well_and_by_the_metric_that_they_name() -> None:
    losses = of_seeds(LOSS, ours=[1.0, 1.01, 1.02], base=[1.2, 1.2, 1.2])
    exact = of_seeds(EXACT, ours=[0.1, 0.1, 0.1], base=[0.2, 0.2, 0.2])
    scores = replace(
        of_seeds(ours=[0.5, 0.4, 0.6], base=[0.5, 0.5, 0.5]), beside={"loss": losses, "exact_match": exact}
    )
    claim = Claim("x", "ours", "base", "dual", "all", least=1.5)
    judged = scores.judge(claim)
    assert judged.verdict == NOT_SEPARABLE and judged.by_loss is not None
    assert judged.by_loss.verdict == REPRODUCED  # there is a gain; 1.5 times the score is no claim about losses
    named = scores.judge(replace(claim, metric="loss"))
    assert (named.verdict, named.by_loss) == (CONTRADICTED, None)  # here it is
    labels = scores.judge(replace(claim, metric="exact_match", least=1.0))
    assert labels.verdict == CONTRADICTED and labels.by_loss is not None
    assert scores.judge(replace(claim, metric="rouge1")).gain == judged.gain
    assert scores.judge(replace(claim, metric="macro_f1")).verdict == NOT_MEASURED
    assert losses.judge(claim).by_loss is None
