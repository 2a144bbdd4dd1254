"""The server's door: which updates count, which do not and why, and how far one may move a pool."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.door import Door, clipped
from fedrouter_sim.federation.server import Server
from fedrouter_sim.messages import Update

A, B = "x.lora_A.weight", "x.lora_B.weight"


def constant(value: float) -> dict[str, torch.Tensor]:
    return {A: torch.full((2, 3), value), B: torch.full((4, 2), value)}


def update(adapter: Adapter, examples: int = 5, client: int = 1, pool: str = "one") -> Update:
    return Update(client, 0, pool, 1, examples, (), adapter, loss=1.0, steps=1, tokens=1)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (update({A: constant(1.0)[A]}), f"it has 1 of 2 tensors and lacks '{B}'"),
        (update(constant(1.0) | {"y": torch.zeros(1)}), "it has 1 tensors too many, first 'y'"),
        (update(constant(1.0) | {A: torch.zeros(3, 2)}), f"'{A}' is of shape (3, 2), not (2, 3)"),
        (update(constant(1.0) | {B: torch.zeros(4, 2).half()}), f"'{B}' is of type torch.float16, not torch.float32"),
        (update(constant(1.0) | {B: torch.full((4, 2), torch.inf)}), f"adapter weight '{B}' is not finite"),
        (update(constant(torch.nan)), f"adapter weight '{A}' is not finite"),
        (update(constant(1.0), examples=0), "its example count 0 is not positive"),
        (update(constant(1.0), examples=-3), "its example count -3 is not positive"),
        (update(constant(1.0), examples=6), "its example count 6 is above the 5 that its client declared"),
        (update(constant(1.0), examples=1, client=2), "its example count 1 is above the 0 that its client declared"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(sent: Update, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        Door(constant(0.0), declared={1: 5}).let_in(sent, constant(0.0))
    assert str(caught.value) == reason


def test_what_fits_is_let_in_as_it_is() -> None:
    sent = update(constant(1e30))
    assert Door(constant(0.0), declared={1: 5}).let_in(sent, constant(0.0)) is sent
    assert Door(constant(0.0)).let_in(replace(sent, examples=10**9), constant(0.0)).examples == 10**9


def test_a_change_above_the_norm_is_scaled_down_and_keeps_its_direction(same: Callable[..., bool]) -> None:
    start = constant(1.0)
    change = {A: torch.zeros(2, 3), B: torch.zeros(4, 2)}
    change[A][0, 0], change[B][1, 1] = 3.0, -4.0  # of norm 5, over both factors together
    sent = {key: start[key] + change[key] for key in start}
    found = clipped(start, sent, 2.5)
    for key in start:
        torch.testing.assert_close(found[key], start[key] + change[key] / 2)
        assert found[key].dtype == torch.float32
    assert clipped(start, sent, 5.0) is sent and clipped(start, start, 1e-9) is start
    huge = clipped(start, constant(3e38), 1.0)  # whose squares float32 does not hold
    assert all(torch.isfinite(value).all() for value in huge.values())
    assert float(sum((huge[key] - start[key]).double().square().sum() for key in start)) == pytest.approx(1, rel=1e-5)


def server_of(rule: str = "mean", clip: float = 0.0) -> Server:
    server = Server(constant(0.0), find_aggregation(rule, 2), seed=1, clip=clip)
    server.open({"one": None, "two": None})
    server.admit({1: 5, 2: 5}, private=["two"])
    return server


def test_refused_updates_are_named_and_the_others_count(same: Callable[[Adapter, Adapter], bool]) -> None:
    server = server_of()
    good, bad = update(constant(2.0)), update(constant(torch.nan), client=2)
    assert server.receive(good) is good
    assert server.receive(bad) is None
    expected = {"client": 2, "group": 0, "pool": "one", "reason": f"adapter weight '{A}' is not finite"}
    assert server.refused == [expected]
    of_round = server.refused
    server.aggregate()
    assert same(server.adapters["one"], constant(2.0))
    assert server.refused == [] and of_round == [expected]  # the record of the round keeps them


def test_a_pool_whose_every_update_is_refused_keeps_its_adapter() -> None:
    server = server_of("median")
    before = server.adapters["one"]
    for client in (1, 2):
        assert server.receive(update(constant(1.0), examples=6, client=client)) is None
    assert server.aggregate() == {} and server.adapters["one"] is before


def test_changes_are_clipped_from_where_the_pool_started_the_round(same: Callable[[Adapter, Adapter], bool]) -> None:
    server = server_of(clip=14**0.5)  # 14 weights that change by 1 each
    for value, expected in ((1.0, 1.0), (9.0, 2.0), (-9.0, 1.0), (0.5, 0.5)):
        server.receive(update(constant(value)))
        server.aggregate()
        assert all(torch.allclose(server.adapters["one"][key], constant(expected)[key]) for key in (A, B))
    server.receive(update(constant(9.0), pool="two"))  # a client's own
    server.aggregate()
    assert same(server.adapters["two"], constant(9.0))


def test_a_pool_of_ones_own_needs_no_guard(same: Callable[[Adapter, Adapter], bool]) -> None:
    server = server_of("krum")
    server.receive(update(constant(3.0), pool="two"))
    server.aggregate()
    assert same(server.adapters["two"], constant(3.0))
    server.receive(update(constant(3.0)))
    with pytest.raises(UserError, match="pool one: --aggregation krum: a pool has 1 updates and needs 5, "):
        server.aggregate()
