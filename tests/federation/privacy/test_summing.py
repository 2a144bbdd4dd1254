"""Noised means: a client is clipped as one over all its groups, and the noise of a sum is what it should be."""

from collections.abc import Callable

import pytest
import torch

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.privacy.summing import NoisedMeans
from fedrouter_sim.messages import Update

Same = Callable[[Adapter, Adapter], bool]


def adapter(value: float, size: int = 4) -> Adapter:
    return {"x.lora_A.weight": torch.full((1, size), value), "x.lora_B.weight": torch.full((size, 1), value)}


def update(client: int, pool: str, value: float, group: int = 0) -> Update:
    return Update(client, group, pool, 1, 7, (), adapter(value), 1.0, 1, 1)


def norm(*changes: Adapter) -> float:
    return float(sum(value.double().square().sum() for change in changes for value in change.values()) ** 0.5)


def means(noise: float = 0.0, seed: int = 1, clip: float = 1.0, **expected: float) -> NoisedMeans:
    found = NoisedMeans(clip, noise, seed)
    found.expect(expected or {"a": 1.0, "b": 1.0})
    found.begin(1)
    return found


def test_a_client_is_clipped_as_one_over_all_its_groups() -> None:
    zero, found = adapter(0.0), means()
    found.add(update(0, "a", 3.0), zero)
    found.add(update(0, "b", 4.0, group=1), zero)
    made = found.result({"a": zero, "b": zero})
    assert norm(made["a"], made["b"]) == pytest.approx(1.0)
    assert norm(made["a"]) / norm(made["b"]) == pytest.approx(3 / 4)


def test_short_changes_stay_and_each_client_has_a_clip_of_its_own() -> None:
    zero, found = adapter(0.0), means(a=1.0)
    for client, value in enumerate((0.1, 100.0, -100.0, 0.2)):
        found.add(update(client, "a", value), zero)
    [value] = {float(one) for one in found.result({"a": zero})["a"]["x.lora_A.weight"].ravel()}
    assert value == pytest.approx(0.3, rel=1e-6)  # the two long ones cancel


def test_the_mean_is_over_the_clients_to_be_expected_without_weights() -> None:
    start, found = adapter(5.0), means(a=4.0, clip=100.0)
    for client in range(2):  # of 4
        found.add(update(client, "a", 9.0), start)
    assert float(found.result({"a": start})["a"]["x.lora_A.weight"][0, 0]) == pytest.approx(5.0 + 2 * 4.0 / 4)


@pytest.mark.parametrize("clients", [0, 3])
def test_the_noise_of_a_mean_is_that_of_the_sum_over_the_expected(clients: int) -> None:
    zero, found = adapter(0.0, 5000), means(noise=1.5, clip=2.0, a=10.0)
    for client in range(clients):
        found.add(Update(client, 0, "a", 1, 7, (), zero, 1.0, 1, 1), zero)
    values = torch.cat([value.ravel() for value in found.result({"a": zero})["a"].values()])
    assert float(values.std()) == pytest.approx(1.5 * 2.0 / 10, rel=0.05)
    assert abs(float(values.mean())) < 0.02


def test_noise_is_keyed_by_seed_round_and_pool(same: Same) -> None:
    zero = adapter(0.0)

    def made(seed: int = 1, round_: int = 1, pool: str = "a") -> Adapter:
        found = means(1.0, seed, **{pool: 1.0})
        found.begin(round_)
        return found.result({pool: zero})[pool]

    assert same(made(), made())
    assert not any(same(made(), other) for other in (made(seed=2), made(round_=2), made(pool="b")))


def test_pools_that_nobody_is_expected_in_are_left_alone() -> None:
    assert means(1.0, a=0.0).result({"a": adapter(0.0)}) == {}


def test_a_round_knows_nothing_of_the_one_before() -> None:
    zero, found = adapter(0.0), means(a=1.0)
    found.add(update(0, "a", 0.1), zero)
    found.result({"a": zero})
    assert norm(found.result({"a": zero})["a"]) == 0
