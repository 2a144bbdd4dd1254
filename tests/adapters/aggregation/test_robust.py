"""The rules that a few hostile updates do not move far: small examples by hand, orders, outliers, limits."""

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from some_adapters import A, B, aggregated, constant_adapter, random_adapter, same

from fedrouter_sim.adapters.aggregation import aggregated as checked
from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.aggregation.holding import part_of
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError

ROBUST = ("median", "trimmed-mean", "krum", "geometric-median")


def points(*places: tuple[float, float]) -> list[Adapter]:
    """Adapters of two weights: one in A, one in B."""
    return [{A: torch.tensor([[x]]), B: torch.tensor([[y]])} for x, y in places]


def line(*values: float) -> list[Adapter]:
    return points(*((value, 0.0) for value in values))


def found(rule: str, adapters: list[Adapter], weights: list[float] | None = None, **options: float) -> Adapter:
    running = find_aggregation(rule, 1, {name: str(value) for name, value in options.items()})()
    return aggregated(running, adapters, weights or [1.0] * len(adapters))


def place(adapter: Adapter) -> tuple[float, float]:
    return float(adapter[A]), float(adapter[B])


def test_the_median_is_that_of_each_weight_by_itself_and_counts_do_not_matter() -> None:
    three = points((1, 30), (2, 10), (9, 20))
    assert place(found("median", three)) == (2, 20)
    assert place(found("median", three, [1, 1, 1000])) == (2, 20)
    assert place(found("median", points((1, 0), (2, 4), (4, 6), (100, -50)))) == (3, 2)  # between the two in the middle


def test_a_trimmed_mean_leaves_the_ends_out() -> None:
    values = line(0, 1, 2, 3, 100)
    assert place(found("trimmed-mean", values, trim=0.2)) == (2, 0)  # 1, 2, 3
    assert place(found("trimmed-mean", values, [50, 1, 1, 1, 50], trim=0.2)) == (2, 0)
    assert place(found("trimmed-mean", values)) == (2, 0)  # a tenth of five is rounded up to one
    assert place(found("trimmed-mean", values, trim=0.3)) == (2, 0)  # two at each end leave the median
    assert place(found("trimmed-mean", values, trim=0)) == pytest.approx((21.2, 0))
    assert place(found("trimmed-mean", line(1, 3), trim=0.4)) == (2, 0)  # two cannot lose any
    assert place(found("trimmed-mean", line(0, 1, 5, 1000), trim=0.25)) == (3, 0)


def test_krum_takes_the_update_with_the_nearest_neighbours() -> None:
    # f = 1 of 5, so two neighbours count: 1 + 4, 1 + 1, 1 + 4, 1 + 49, 1 + 64
    values = line(0, 1, 2, 9, 10)
    assert place(found("krum", values)) == (1, 0)
    assert place(found("krum", values, [1, 1, 1, 900, 900])) == (1, 0)
    # Three neighbours count with f = 0: 9 + 16 + 25, 1 + 4 + 9, 1 + 1 + 16, 1 + 4 + 25, ...; two with f = 1: 4 is best
    assert place(found("krum", line(0, 3, 4, 5, 100), attackers=0)) == (3, 0)
    assert place(found("krum", line(0, 3, 4, 5, 100))) == (4, 0)


@pytest.mark.parametrize(
    ("count", "attackers", "needed", "hostile"), [(4, 0.2, 5, 1), (1, 0.0, 3, 0), (6, 0.2, 7, 2), (9, 0.4, 11, 4)]
)
def test_krum_refuses_too_few_updates_and_says_how_many_and_what_to_do(
    count: int, attackers: float, needed: int, hostile: int
) -> None:
    running = find_aggregation("krum", 1, {"attackers": str(attackers)})()
    for adapter in line(*range(count)):
        running.add(adapter, 1)
    with pytest.raises(UserError) as caught:
        checked(running, line(0)[0], pool="pool task_2")
    said = str(caught.value)
    assert said.startswith(f"pool task_2: --aggregation krum: a pool has {count} updates and needs {needed}, ")
    assert f"f = {hostile} hostile ones (--option attackers={attackers:g}); lower attackers, or" in said
    assert "\n" not in said


def test_krum_takes_as_many_as_it_needs() -> None:
    for count, attackers in ((5, 0.2), (7, 0.2), (3, 0.0), (10, 0.3)):
        found("krum", line(*range(count)), attackers=attackers)


def test_the_geometric_median_by_hand() -> None:
    height = 3**0.5
    assert place(found("geometric-median", points((0, 0), (2, 0), (1, height)))) == pytest.approx((1, height / 3))
    assert place(found("geometric-median", points((0, 0), (4, 0), (4, 2), (0, 2)))) == pytest.approx((2, 1))
    # A point within a triangle whose sides are seen from it by more than 120 degrees is the median itself.
    assert place(found("geometric-median", points((0, 0), (4, 0), (2, 0.5)))) == pytest.approx((2, 0.5), abs=1e-5)


def test_the_geometric_median_weighs_by_counts() -> None:
    assert place(found("geometric-median", line(0, 1, 10))) == pytest.approx((1, 0), abs=1e-5)
    assert place(found("geometric-median", line(0, 1, 10), [1, 1, 5])) == pytest.approx((10, 0), abs=1e-5)
    twice = points((0, 0), (0, 0), (4, 0), (4, 2), (0, 2), (5, 5))
    by_weight = found("geometric-median", [twice[0], *twice[2:]], [2, 1, 1, 1, 1])
    assert place(by_weight) == pytest.approx(place(found("geometric-median", twice)), abs=1e-4)


def test_the_geometric_median_has_the_least_sum_of_distances() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(6)], [3.0, 1.0, 2.0, 1.0, 5.0, 1.0]

    def total(vector: torch.Tensor) -> float:
        return sum(
            weight * float((torch.cat([adapter[A].double().ravel(), adapter[B].double().ravel()]) - vector).norm())
            for adapter, weight in zip(adapters, weights, strict=True)
        )

    median = found("geometric-median", adapters, weights)
    best = torch.cat([median[A].double().ravel(), median[B].double().ravel()])
    generator = torch.Generator().manual_seed(1)
    for size in (0.003, 0.03, 0.3):
        for _ in range(20):
            step = torch.randn(best.shape, generator=generator, dtype=torch.float64)
            assert total(best) < total(best + size * step / step.norm())


@pytest.mark.parametrize("rule", ROBUST)
def test_the_order_of_the_updates_does_not_matter(rule: str) -> None:
    adapters, weights = [random_adapter(seed) for seed in range(5)], [1.0, 2.0, 3.0, 4.0, 5.0]
    first = found(rule, adapters, weights)
    for order in list(permutations(range(5)))[::7]:
        again = found(rule, [adapters[i] for i in order], [weights[i] for i in order])
        if rule == "geometric-median":  # its sums are rounded in their order
            assert all(torch.allclose(first[key], again[key], rtol=1e-6, atol=1e-7) for key in first)
        else:
            assert same(first, again)


def test_krum_of_updates_that_are_equally_near_does_not_go_by_their_order() -> None:
    three = [random_adapter(seed) for seed in range(3)]  # the nearest two of them have equal sums
    results = [found("krum", [three[i] for i in order], attackers=0) for order in permutations(range(3))]
    assert all(same(results[0], other) for other in results)


@pytest.mark.parametrize("size", [1e3, 1e30])
@pytest.mark.parametrize("rule", ROBUST)
def test_one_huge_outlier_moves_little_wherever_it_stands(rule: str, size: float) -> None:
    honest = [random_adapter(seed) for seed in range(6)]
    low = {key: torch.stack([adapter[key] for adapter in honest]).min(0).values for key in honest[0]}
    high = {key: torch.stack([adapter[key] for adapter in honest]).max(0).values for key in honest[0]}
    for at in (0, 3, 6):
        adapters = [*honest[:at], constant_adapter(size), *honest[at:]]
        result = found(rule, adapters)
        # The geometric median may leave their range by what the outlier pulls: a sixth of their own pull at most.
        slack = 0.5 if rule == "geometric-median" else 0.0
        assert all((low[key] - slack <= result[key]).all() and (result[key] <= high[key] + slack).all() for key in low)
    mean = found("mean", [*honest, constant_adapter(size)])
    assert float(mean[A].min()) > size / 8


@pytest.mark.parametrize("rule", ROBUST)
def test_equal_updates_and_equal_bits(rule: str) -> None:
    one = random_adapter(3)
    assert same(found(rule, [one] * 5, [1, 2, 3, 4, 5]), one)
    if rule != "krum":
        assert same(found(rule, [one], [7]), one)
    several = [random_adapter(seed) for seed in range(5)]
    assert same(found(rule, several), found(rule, several))
    assert all(value.dtype == torch.float32 for value in found(rule, several).values())


@pytest.mark.parametrize("rule", ROBUST)
def test_what_does_not_fit_is_refused_and_nothing_has_no_result(rule: str) -> None:
    running = find_aggregation(rule, 3)()
    with pytest.raises(ValueError, match="no adapters"):
        running.result()
    running.add(random_adapter(0), 1)
    wrong: tuple[Callable[[], None], ...] = (
        lambda: running.add(random_adapter(1), 0),
        lambda: running.add(random_adapter(1) | {A: torch.full((3, 8), torch.nan)}, 1),
        lambda: running.add(random_adapter(1, rank=2), 1),
        lambda: running.add({A: random_adapter(1)[A]}, 1),
    )
    for add, message in zip(wrong, ("not positive", "not finite", "shape", "keys"), strict=True):
        with pytest.raises(ValueError, match=message):
            add()
    assert len(running.adapters) == len(running.weights) == 1


@pytest.mark.parametrize(
    ("rule", "option", "value", "message"),
    [
        ("trimmed-mean", "trim", "0.5", "--option trim=0.5: must be at least 0 and below 0.5"),
        ("trimmed-mean", "trim", "nan", "--option trim=nan: must be"),
        ("trimmed-mean", "trim", "some", "--option trim=some: must be of type float"),
        ("krum", "attackers", "-0.1", "--option attackers=-0.1: must be at least 0 and below 0.5"),
        ("krum", "attackers", "0.5", "--option attackers=0.5: must be"),
    ],
)
def test_options_outside_their_limits_are_refused_before_the_first_round(
    rule: str, option: str, value: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        find_aggregation(rule, 2, {option: value})
    assert str(caught.value).startswith(message)


def test_a_share_of_updates_is_rounded_up_and_floats_do_not_add_one() -> None:
    assert [part_of(0.1, count) for count in (1, 10, 11, 30, 70)] == [1, 1, 2, 3, 7]
    assert part_of(0.0, 9) == 0
