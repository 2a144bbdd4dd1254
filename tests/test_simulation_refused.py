"""Rounds in which clients send what must not count, and rounds by rules that hold their updates."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from some_adapters import aggregated
from some_adapters import same as alike

from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.state import adapter_bytes
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import Interrupted, UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.door import clipped
from fedrouter_sim.federation.observers import Display, said_of_clients
from fedrouter_sim.federation.outbox import Outbox
from fedrouter_sim.messages import Update
from fedrouter_sim.operations.train import train
from fedrouter_sim.report.tables import summary_table
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
Lie = Callable[[Update], Update]
SHORT = {"rounds": 2, "local_steps": 1, "test_examples_per_client": 1}


def broken(update: Update) -> Update:
    return replace(update, adapter={key: value * torch.nan for key, value in update.adapter.items()}, loss=torch.nan)


def boastful(update: Update) -> Update:
    return replace(update, examples=10**6)


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have some clients lie in the updates that they send in some rounds."""
    send = Outbox.send

    def begin(how: Lie, clients: set[int], rounds: set[int]) -> None:
        def lied(self: Outbox, message: Any, *of_whom: Any) -> Any:
            sent = send(self, message, *of_whom)
            lies = isinstance(sent, Update) and sent.client in clients and sent.round in rounds
            return how(sent) if lies else sent

        monkeypatch.setattr(Outbox, "send", lied)

    return begin


@pytest.mark.parametrize(("how", "reason"), [(broken, "is not finite"), (boastful, "is above the ")])
def test_a_refused_update_is_named_and_the_round_is_that_of_the_others(
    run_method: Callable[..., Any], lie: Callable[..., None], how: Lie, reason: str
) -> None:
    lie(how, {1}, {2})
    done = run_method("fedavg", rounds=2, local_steps=1)
    first, second = done.outcome.records
    assert first.refused == []
    assert [(one["client"], one["group"], one["pool"]) for one in second.refused] == [(1, 0, "global")]
    assert reason in second.refused[0]["reason"]
    heard = done.heard.updates[2]
    assert [update.client for update in heard] == [0, 2, 3]
    mean = aggregated(find_aggregation("mean", 2)(), [u.adapter for u in heard], [u.examples for u in heard])
    assert alike(done.outcome.adapters["global"], mean)
    assert second.losses["global"] == pytest.approx(sum(update.loss for update in heard) / 3)
    assert second.steps == 4 and second.bytes_up == 4 * adapter_bytes(mean)  # it trained and sent all the same
    assert said_of_clients(done.outcome.records)[0].startswith(
        "updates that the server refused: 1, which did not count (rounds.jsonl names each); the first, in round 2, "
        "from client 1 for global: "
    )


def test_where_all_are_refused_pools_keep_their_adapters(
    run_method: Callable[..., Any], lie: Callable[..., None]
) -> None:
    lie(broken, {0, 1, 2, 3}, {1, 2})
    done = run_method("fedavg", local_steps=1)
    assert alike(done.outcome.adapters["global"], done.federation.initial)
    assert [(record.losses, record.gaps, len(record.refused)) for record in done.outcome.records] == [({}, {}, 4)] * 2


@pytest.mark.parametrize("method", ["clustered", "feddpa"])
def test_a_plan_that_needs_all_updates_of_a_round_is_made_without_the_refused_one(
    run_method: Callable[..., Any], lie: Callable[..., None], method: str
) -> None:
    lie(broken, {1}, {1})
    done = run_method(method, rounds=2, local_steps=1)
    assert len(done.outcome.stages) == 2
    assert {group.client for group in done.outcome.plan.groups} == {0, 1, 2, 3}
    assert all(torch.isfinite(value).all() for own in done.outcome.adapters.values() for value in own.values())


@pytest.mark.parametrize(
    ("rule", "clients"), [("median", 4), ("trimmed-mean", 4), ("geometric-median", 4), ("krum", 5)]
)
def test_rounds_by_rules_that_hold_updates(run_method: Callable[..., Any], rule: str, clients: int) -> None:
    done = run_method("fedavg", aggregation=rule, clients=clients, local_steps=1, rounds=1)
    heard = done.heard.updates[1]
    by_hand = aggregated(find_aggregation(rule, 2)(), [u.adapter for u in heard], [u.examples for u in heard])
    assert alike(done.outcome.adapters["global"], by_hand)


def test_krum_names_the_pool_that_has_too_few_and_lets_clients_have_pools_of_their_own(
    run_method: Callable[..., Any],
) -> None:
    with pytest.raises(UserError, match="pool global: --aggregation krum: a pool has 4 updates and needs 5, "):
        run_method("fedavg", aggregation="krum", local_steps=1, rounds=1)
    by_krum, by_mean = (run_method("local", aggregation=rule, local_steps=1, rounds=1) for rule in ("krum", "mean"))
    assert all(alike(own, by_krum.outcome.adapters[pool]) for pool, own in by_mean.outcome.adapters.items())


def test_changes_are_clipped_at_the_server_and_not_at_the_client(run_method: Callable[..., Any]) -> None:
    free, held = (run_method("fedavg", clip_update=norm, local_steps=1, rounds=1) for norm in (0.0, 0.01))
    start = free.federation.initial
    heard = held.heard.updates[1]
    assert all(alike(one.adapter, two.adapter) for one, two in zip(free.heard.updates[1], heard, strict=True))
    parts = [clipped(start, update.adapter, 0.01) for update in heard]
    assert not any(part is update.adapter for part, update in zip(parts, heard, strict=True))
    mean = aggregated(find_aggregation("mean", 2)(), parts, [update.examples for update in heard])
    assert alike(held.outcome.adapters["global"], mean)
    own = [run_method("local", clip_update=norm, local_steps=1, rounds=1).outcome.adapters for norm in (0.0, 0.01)]
    assert all(alike(adapter, own[1][pool]) for pool, adapter in own[0].items())


class StopAt(Display):
    """Stops at an optimizer step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def stepped(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted("enough")


def test_a_run_says_what_was_refused_and_goes_on_after_a_stop_with_the_same_bytes(
    micro_config: ConfigMaker,
    tmp_path: Path,
    backbone: Any,
    lie: Callable[..., None],
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:
    lie(broken, {1}, {2})
    config = micro_config(method="fedavg", **SHORT)
    whole = train(config, tmp_path / "whole", backbone=backbone)
    lines = [json.loads(line) for line in (whole.folder / "rounds.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "refused" not in lines[0]
    assert [(one["client"], one["pool"]) for one in lines[1]["refused"]] == [(1, "global")]
    run = Run(whole.folder)
    assert run.summary.updates_refused == whole.summary.updates_refused == 1
    assert any(note.startswith("updates that the server refused: 1, ") for note in whole.notes)
    table = summary_table(run.summary, find_metric("rouge1"))
    assert "Updates refused by the server" in list(table.columns[0].cells)
    assert {update.client: update.round for update in run.updates()} == {0: 2, 1: 1, 2: 2, 3: 2}

    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped", display=StopAt(4 + 4), backbone=backbone)  # 0 and 2 are kept
    again = train(config, tmp_path / "stopped", backbone=backbone, resume=True)
    assert trained_bytes(again.folder) == trained_bytes(whole.folder)


def test_a_run_without_refusals_says_nothing_of_them(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.summary.updates_refused == 0
    assert "refused" not in (finished_run / "rounds.jsonl").read_text(encoding="utf-8")
    table = summary_table(run.summary, find_metric("rouge1"))
    assert "Updates refused by the server" not in list(table.columns[0].cells)
