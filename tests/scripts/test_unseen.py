"""How well unseen tasks are told: what is held out is scored, and nobody holds it."""

from pathlib import Path

import discovery
import numpy as np
import pytest
import unseen
from federations.memory import RememberingBackbone

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods.fedrouter import FedRouter

CONFIG = RunConfig(max_tokens=256, dtype="float32", data="federations", tasks=AUTO, clients=unseen.CLIENTS)


@pytest.mark.long
def test_a_held_out_task_is_told_and_nobody_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = discovery.rows_in(discovery.BLOCKS["six"].data or Path(), ("dialogue", "paraphrase", "lookup"))
    held: set[str | None] = set()
    plan = FedRouter.plan

    def watched(self: FedRouter, federation: object) -> object:
        held.update(example.task for client in federation.workers._clients.values() for example in client.examples)  # type: ignore[attr-defined]
        return plan(self, federation)  # type: ignore[arg-type]

    monkeypatch.setattr(FedRouter, "plan", watched)
    backbone = RememberingBackbone(CONFIG, tmp_path / "rows.safetensors")
    found = unseen.auroc(rows, "paraphrase", 8, backbone, CONFIG)
    assert held == {"dialogue", "lookup"}
    assert 0.9 < found <= 1 and np.isfinite(found)


def test_real_rows_have_to_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["unseen.py", "real"])
    with pytest.raises(UserError, match="real: give real rows with task labels by --data FILE"):
        unseen.main()
