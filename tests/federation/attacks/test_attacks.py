"""Attacks: what each makes of rows and messages."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.clustering.affinities.gradient import reliability
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Turn
from fedrouter_sim.federation.attacks import ATTACKS, find_attack
from fedrouter_sim.federation.attacks.backdoor import Backdoor
from fedrouter_sim.messages import CentroidMessage, FeatureSums, Grouping, LocalClusters, Update

START = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
TRAINED = {"a": torch.full((2, 3), 0.5), "b": torch.tensor([1.0, 2.0, 3.0, 4.0])}
UPDATE = Update(3, 0, "global", 2, 10, (0,), TRAINED, 1.0, 5, 50)
ROWS = [Example(f"question {number}", f"answer {number}", "t") for number in range(10)]
CLUSTERS = CentroidMessage(
    3,
    np.array([[1, 2], [0, -1]], dtype=np.float32),
    np.array([4, 6]),
    np.array([3, 3]),
    np.array([[[1, 0], [1, 0.5]], [[-1, 1], [-2, 1]]], dtype=np.float32),
)


def lie(attack: str, message: Any, seed: int = 0, **options: str) -> Any:
    return find_attack(attack, options).lie(message, START, np.random.default_rng(seed))


def length(update: Update) -> float:
    return math.sqrt(sum(float((update.adapter[key] - START[key]).square().sum()) for key in START))


def test_each_touches_what_it_is_about_and_nothing_else() -> None:
    grouping = Grouping(3, np.array([0] * 4 + [1] * 6), ("one", "two"), np.array([3, 3]))
    local, sums = LocalClusters(CLUSTERS, grouping), FeatureSums.of(np.ones((2, 2), dtype=np.float32))
    touched = {}
    for name in ATTACKS.names:
        attack = find_attack(name)
        rows = list(attack.rows(ROWS, np.random.default_rng(0)))
        assert len(rows) == len(ROWS) and [row.task for row in rows] == ["t"] * len(ROWS)
        assert lie(name, sums) is sums
        sent = lie(name, local)
        assert sent.grouping is grouping
        changed = (rows != ROWS, lie(name, UPDATE) is not UPDATE, sent.sent is not CLUSTERS)
        touched[name] = [what for what, is_so in zip(("rows", "updates", "clusters"), changed, strict=True) if is_so]
    assert touched == {
        "sign-flip": ["updates"], "noise": ["updates"], "scale": ["updates"], "label-flip": ["rows"],
        "backdoor": ["rows", "updates"], "centroid-shift": ["clusters"], "sketch-forgery": ["clusters"],
    }  # fmt: skip


def test_sign_flip_and_scale_move_along_the_change() -> None:
    assert lie("sign-flip", UPDATE).adapter["b"].tolist() == [1, 0, -1, -2]
    assert lie("scale", UPDATE, strength="3").adapter["b"].tolist() == [1, 4, 7, 10]
    flipped = lie("sign-flip", UPDATE, strength="2")
    assert flipped.adapter["a"].tolist() == [[-1] * 3] * 2 and flipped.adapter["a"].dtype == torch.float32
    assert (flipped.client, flipped.examples, flipped.loss) == (3, 10, 1.0)


def test_noise_is_as_long_as_asked_for_and_drawn_by_its_generator() -> None:
    large = {key: torch.zeros(100, 100) for key in START}
    update = Update(3, 0, "global", 2, 10, (0,), {key: value + 0.1 for key, value in large.items()}, 1.0, 5, 50)
    sent = find_attack("noise", {"strength": "2"}).update(update, large, np.random.default_rng(0))
    found = math.sqrt(sum(float(value.square().sum()) for value in sent.adapter.values()))
    assert found == pytest.approx(2 * 0.1 * math.sqrt(20_000), rel=0.05)
    one, two, other = (lie("noise", UPDATE, seed) for seed in (0, 0, 1))
    assert torch.equal(one.adapter["a"], two.adapter["a"]) and not torch.equal(one.adapter["a"], other.adapter["a"])


def test_label_flip_gives_every_row_another_ones_response() -> None:
    rows = find_attack("label-flip").rows(ROWS, np.random.default_rng(0))
    assert [row.instruction for row in rows] == [row.instruction for row in ROWS]
    assert sorted(row.response for row in rows) == sorted(row.response for row in ROWS)
    assert all(row.response != own.response for row, own in zip(rows, ROWS, strict=True))
    assert find_attack("label-flip").rows(ROWS[:1], np.random.default_rng(0)) == ROWS[:1]  # there is no other


def test_backdoor_puts_trigger_and_target_into_a_share_of_the_rows() -> None:
    options = {"strength": "1", "trigger": "xyzzy", "target": "yes", "share": "0.3"}
    rows = find_attack("backdoor", options).rows(ROWS, np.random.default_rng(0))
    changed = [row for row, own in zip(rows, ROWS, strict=True) if row != own]
    assert len(changed) == 3
    assert all(row.instruction.startswith("xyzzy question ") and row.response == "yes" for row in changed)
    talk = Example.of_turns([Turn("system", "be brief"), Turn("user", "hello")], "hi")
    assert Backdoor("xyzzy").triggered(talk).turns == (Turn("system", "be brief"), Turn("user", "xyzzy hello"))


def test_centroid_shift_mirrors() -> None:
    assert lie("centroid-shift", CLUSTERS, strength="3").centroids.tolist() == [[-3, -6], [0, 3]]


def test_forged_sketches_are_anothers_and_sure() -> None:
    forged = lie("sketch-forgery", CLUSTERS)
    assert forged.halves.dtype == np.float16
    assert forged.halves.sum(axis=1).tolist() == CLUSTERS.halves[::-1].sum(axis=1).tolist()  # type: ignore[index]
    assert reliability(forged.halves) == pytest.approx([1, 1])
    one = CLUSTERS.taken(np.array([0]))
    assert lie("sketch-forgery", one).halves.sum(axis=1).tolist() == [[-2, -0.5]]
    plain = CentroidMessage(3, CLUSTERS.centroids, CLUSTERS.sizes, CLUSTERS.answer_tokens)
    assert lie("sketch-forgery", plain) is plain


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("noise", {"strength": "-1"}, "--option strength=-1: must be a number above 0"),
        ("scale", {"strength": "inf"}, "--option strength=inf: must be a number above 0"),
        ("backdoor", {"share": "0"}, "--option share=0: must be above 0"),
        ("backdoor", {"trigger": " "}, "neither may be empty"),
        ("bribery", {}, "--attack bribery: choose one of sign-flip, "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        find_attack(name, options)


def test_an_attack_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from fedrouter_sim.federation.attacks.attack import Attack\n"
        "class Boast(Attack):\n"
        "    name = 'boast'\n"
        "    def update(self, update, start, generator):\n"
        "        return replace(update, examples=99)\n",
        encoding="utf-8",
    )
    assert find_attack(f"{file}:Boast").lie(UPDATE, START, np.random.default_rng(0)).examples == 99
