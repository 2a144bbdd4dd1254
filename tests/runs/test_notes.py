"""What is said beside the numbers of a run, as far as no other test mirrors the room that it comes from."""

import dataclasses
from collections.abc import Callable
from typing import Any

from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.notes import notes_of

Simulator = Callable[..., Any]
NOTHING_CUT = {"train": 0, "test": 0}


def test_rounds_whose_validation_failed_are_named(run_method: Simulator) -> None:
    done = run_method("fedavg", rounds=4, local_steps=1)
    config = dataclasses.replace(done.federation.config, eval_every=2)
    data = partition_data(config)

    records = done.outcome.records
    assert [record.round for record in records] == [1, 2, 3, 4]
    failed = [
        dataclasses.replace(record, validation={"loss": 1.0} if record.round == 4 else None) for record in records
    ]
    said = notes_of(config, data, dataclasses.replace(done.outcome, records=failed), NOTHING_CUT)
    assert said == ["validation failed, so these rounds have no scores on its rows: 2"]

    never = dataclasses.replace(config, eval_every=0)
    assert notes_of(never, data, done.outcome, NOTHING_CUT) == []
