"""How a run was begun, and what it goes on with."""

from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.unfinished import Begun


def test_a_setting_that_came_after_a_run_was_begun_is_as_it_was_without(tmp_path: Path) -> None:
    now = RunConfig().to_dict()
    begun = Begun(tmp_path, {name: value for name, value in now.items() if name != "lr_scaling"})
    begun.check(Begun(tmp_path, now | {"lr_scaling": "none"}))
    with pytest.raises(UserError, match="was begun with --lr-scaling none, not clients; a run goes on with its own"):
        begun.check(Begun(tmp_path, now))
    now |= {"method": "fedavg"}  # which has one adapter of all, and no task adapters
    Begun(tmp_path, begun.settings | {"method": "fedavg"}).check(Begun(tmp_path, now))
