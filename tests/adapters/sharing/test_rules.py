"""The sharing rules: what becomes of task adapters of known changes."""

from collections.abc import Mapping

import pytest
import torch
from some_adapters import A, B, random_adapter, same
from some_rounds import close, plus, round_of, unit

from fedrouter_sim.adapters.sharing import SHARINGS, find_sharing
from fedrouter_sim.adapters.sharing.rule import SharedRound
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError

DUAL = [{"a": 10.0, "b": 10.0}, {"a": 10.0, "b": 10.0}]
START = random_adapter(0)
APART = {"a": unit(0), "b": unit(1)}
ALIKE = {"a": unit(0), "b": plus(unit(0), unit(1), 0.1)}


@pytest.mark.parametrize("name", SHARINGS.names)
def test_a_rule_leaves_what_it_was_given_alone_and_gives_all_pools_as_they_were(name: str) -> None:
    round_ = round_of({**ALIKE, "idle": None}, DUAL)
    found = find_sharing(name).shared(round_)
    assert list(found) == ["a", "b", "idle"]
    for adapter in found.values():
        assert {k: (v.shape, v.dtype) for k, v in adapter.items()} == {k: (v.shape, v.dtype) for k, v in START.items()}
    assert same(round_.starts["a"], random_adapter(0)) and close(round_.means["a"], plus(START, unit(0)), 0)
    nothing = SharedRound(1, 4, round_.starts, round_.starts, [])
    assert all(same(adapter, START) for adapter in find_sharing(name).shared(nothing).values())


@pytest.mark.parametrize("name", SHARINGS.names)
def test_the_same_rounds_give_the_same_bits(name: str) -> None:
    one, two = (find_sharing(name) for _ in range(2))
    for number, changes in enumerate((ALIKE, APART), 1):
        first, second = (rule.shared(round_of(changes, DUAL, number)) for rule in (one, two))
        assert all(same(first[pool], second[pool]) for pool in first)


def test_steps_takes_a_pools_change_as_large_as_all_steps_of_its_clients() -> None:
    for power, factor in ((0.0, 1.0), (1.0, 2.0)):
        found = find_sharing("steps", {"power": str(power)}).shared(round_of(APART, DUAL))
        assert close(found["a"], plus(START, unit(0), factor)) and close(found["b"], plus(START, unit(1), factor))
    alone = find_sharing("steps", {"power": "1"}).shared(round_of(APART, [{"a": 3.0}, {"b": 1.0}]))
    assert close(alone["a"], plus(START, unit(0)))


def test_steps_with_momentum_goes_on_where_it_went() -> None:
    rule = find_sharing("steps", {"power": "0", "momentum": "0.5"})
    rule.shared(round_of(APART, DUAL))
    found = rule.shared(round_of({"a": unit(2), "b": None}, [{"a": 1.0}]))
    assert close(found["a"], plus(plus(START, unit(2)), unit(0), 0.5))
    assert same(found["b"], START)


def test_a_trunk_is_one_adapter_until_a_pool_disagrees_which_stays_away() -> None:
    rule = find_sharing("trunk", {"leave": "0.5"})
    held = [{"a": 1.0, "b": 1.0, "c": 1.0}]
    third = {"c": unit(0)}
    first = rule.shared(round_of({**ALIKE, **third}, held))
    assert same(first["a"], first["b"]) and same(first["a"], first["c"])
    assert close(first["a"], plus(plus(START, unit(0), 3.0), unit(1), 0.1))
    second = rule.shared(round_of({"a": unit(0), "b": unit(0), "c": unit(5)}, held, 2))
    assert same(second["a"], second["b"]) and close(second["c"], plus(START, unit(5)))
    third_round = rule.shared(round_of({"a": unit(0), "b": unit(0), "c": unit(0)}, held, 3))
    assert same(third_round["a"], third_round["b"]) and close(third_round["c"], plus(START, unit(0)))
    born = rule.shared(round_of({"a": unit(0), "b": unit(0), "c": None, "new": unit(0)}, [{**held[0], "new": 1.0}], 4))
    assert close(born["new"], plus(START, unit(0))) and close(born["a"], plus(START, unit(0), 2.0))


def test_a_trunk_ends_after_its_share_of_the_rounds() -> None:
    rule = find_sharing("trunk", {"until": "0.5", "leave": "-1"})
    shared = [rule.shared(round_of(APART, DUAL, number, rounds=4)) for number in (1, 2, 3)]
    assert [same(found["a"], found["b"]) for found in shared] == [True, True, False]
    assert close(shared[2]["a"], plus(START, unit(0)))


def test_affinity_is_the_sum_where_all_agree_and_each_alone_where_none_do() -> None:
    agree = find_sharing("affinity").shared(round_of({"a": unit(0), "b": unit(0)}, DUAL))
    assert close(agree["a"], plus(START, unit(0), 2.0)) and close(agree["b"], agree["a"])
    apart = find_sharing("affinity").shared(round_of(APART, DUAL))
    assert close(apart["a"], plus(START, unit(0))) and close(apart["b"], plus(START, unit(1)))
    opposite = {key: -value for key, value in unit(0).items()}
    against = find_sharing("affinity").shared(round_of({"a": unit(0), "b": opposite}, DUAL))
    assert close(against["a"], plus(START, unit(0)))


def test_affinity_takes_by_a_power_of_the_cosine() -> None:
    both = plus(unit(0), unit(1))  # a cosine of 0.5 ** 0.5 with unit(0)
    for power, weight in ((2.0, 0.5), (4.0, 0.25)):
        found = find_sharing("affinity", {"power": str(power)}).shared(round_of({"a": unit(0), "b": both}, DUAL))
        assert close(found["a"], plus(plus(START, unit(0)), both, weight), 1e-5)


def test_affinity_remembers_the_rounds_before() -> None:
    forgets, remembers = (find_sharing("affinity", {"keep": keep, "power": "1"}) for keep in ("0", "1"))
    for rule in (forgets, remembers):
        rule.shared(round_of({"a": unit(0), "b": unit(0)}, DUAL))
    second = round_of(APART, DUAL, 2)
    assert close(forgets.shared(second)["a"], plus(START, unit(0)))
    assert close(remembers.shared(second)["a"], plus(plus(START, unit(0)), unit(1), 0.5), 1e-5)
    again = find_sharing("affinity", {"keep": "1"})
    again.memory = dict(forgets.memory)  # what another process kept
    assert again.memory.keys() == remembers.memory.keys()


def test_affinity_of_adapters_draws_the_agreeing_together_as_well() -> None:
    starts = {"a": random_adapter(1), "b": random_adapter(2)}
    held = [{"a": 1.0}, {"b": 1.0}]
    round_ = round_of({"a": unit(0), "b": unit(0)}, held, starts=starts)
    found = find_sharing("affinity", {"of": "adapters"}).shared(round_)
    middle = {key: (starts["a"][key] + starts["b"][key]) / 2 for key in START}
    assert close(found["a"], plus(middle, unit(0))) and close(found["b"], found["a"])
    apart = find_sharing("affinity").shared(round_)
    assert close(apart["a"], plus(starts["a"], unit(0)))


def test_affinity_by_layer_has_a_cosine_for_each() -> None:
    names = {A: "h.0.lora_A.weight", B: "h.0.lora_B.weight"}
    upper = {A: "h.1.lora_A.weight", B: "h.1.lora_B.weight"}

    def layers(lower: int, higher: int) -> dict[str, torch.Tensor]:
        return {names[k]: v for k, v in unit(lower).items()} | {upper[k]: v for k, v in unit(higher).items()}

    start = {name: torch.zeros_like(START[key]) for of in (names, upper) for key, name in of.items()}
    round_ = round_of({"a": layers(0, 0), "b": layers(0, 1)}, DUAL, starts={"a": start, "b": start})
    found = find_sharing("affinity", {"by": "layer"}).shared(round_)["a"]
    assert torch.allclose(found[names[B]].view(-1)[0], torch.tensor(2.0))  # the lower layers agree
    assert found[upper[B]].view(-1)[:2].tolist() == [1.0, 0.0]
    assert list(found) == list(start)


def squares_of(changes: Mapping[str, Adapter], noise: float) -> dict[str, dict[str, float]]:
    """Squared lengths of single updates that differ from their mean by so much noise."""
    return {pool: {key: float(v.square().sum()) + noise for key, v in own.items()} for pool, own in changes.items()}


def test_an_estimate_of_sure_updates_is_the_tasks_own() -> None:
    both = plus(unit(0), unit(1))
    changes = {"a": unit(0), "b": both}
    found = find_sharing("estimate").shared(round_of(changes, DUAL, squares=squares_of(changes, 0.0)))
    assert close(found["a"], plus(START, unit(0)), 1e-4) and close(found["b"], plus(START, both), 1e-4)


def test_an_estimate_of_noisy_updates_leans_on_those_that_agree() -> None:
    held = [{"a": 1.0}, {"a": 1.0}, {"b": 1.0}, {"b": 1.0}]
    alike = {"a": plus(unit(0), unit(1)), "b": plus(unit(0), unit(2))}  # what they want, and noise of length 1
    found = find_sharing("estimate").shared(round_of(alike, held, squares=squares_of(alike, 1.0)))
    wanted = plus(plus(plus(START, unit(0)), unit(1), 0.5), unit(2), 0.5)  # as far as before, with half of the noise
    assert close(found["a"], wanted, 1e-4) and close(found["b"], wanted, 1e-4)
    apart = {"a": plus(unit(0), unit(1)), "b": plus(unit(3), unit(2))}
    alone = find_sharing("estimate").shared(round_of(apart, held, squares=squares_of(apart, 1.0)))
    assert close(alone["a"], plus(START, apart["a"]), 1e-4)


def test_ranks_shares_the_first_components_and_nothing_else() -> None:
    change = {A: torch.ones(3, 8), B: torch.ones(6, 3)}
    twice = {key: 2 * value for key, value in change.items()}
    found = find_sharing("ranks", {"share": "0.67"}).shared(round_of({"a": change, "b": twice, "idle": None}, DUAL))
    for key, dim in ((A, 0), (B, 1)):
        moved = {pool: (own[key] - START[key]).movedim(dim, 0) for pool, own in found.items()}
        assert torch.allclose(moved["a"][:2], torch.tensor(3.0)) and torch.allclose(moved["b"][:2], torch.tensor(3.0))
        assert torch.allclose(moved["idle"][:2], torch.tensor(3.0))  # the shared part is everybody's
        assert torch.allclose(moved["a"][2:], torch.tensor(1.0)) and torch.allclose(moved["b"][2:], torch.tensor(2.0))
        assert torch.equal(moved["idle"][2:], torch.zeros_like(moved["idle"][2:]))


def test_factors_shares_a_and_the_lower_layers() -> None:
    found = find_sharing("factors").shared(round_of(APART, DUAL))
    assert torch.equal(found["a"][A], found["b"][A])
    assert close({B: found["a"][B]}, {B: plus(START, unit(0))[B]})
    start = {f"h.{layer}.lora_{factor}.weight": START[key] for layer in (2, 10) for factor, key in (("A", A), ("B", B))}
    changes = {pool: dict.fromkeys(start, torch.zeros(1)) for pool in "ab"}
    ones = {key: torch.ones_like(value) for key, value in start.items()}
    changes = {"a": ones, "b": {key: 2 * value for key, value in ones.items()}}
    lower = find_sharing("factors", {"layers": "0.5", "a": "false"})
    both = lower.shared(round_of(changes, DUAL, starts={"a": start, "b": start}))
    assert [key for key in start if torch.equal(both["a"][key], both["b"][key])] == [
        "h.2.lora_A.weight",
        "h.2.lora_B.weight",
    ]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("steps", "power", "-1"),
        ("steps", "momentum", "1"),
        ("trunk", "until", "2"),
        ("trunk", "leave", "-2"),
        ("affinity", "power", "0"),
        ("affinity", "keep", "2"),
        ("affinity", "by", "row"),
        ("affinity", "of", "rows"),
        ("estimate", "by", "row"),
        ("ranks", "share", "2"),
        ("factors", "layers", "-1"),
    ],
)
def test_options_outside_their_limits_are_refused(name: str, option: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--option {option}={value}: "):
        find_sharing(name, {option: value})
