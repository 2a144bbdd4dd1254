"""What is no run folder is refused at first sight, with what it may be instead."""

from pathlib import Path

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.layout import MANIFEST_NAME, require_run


def test_a_folder_of_runs_is_no_run_and_says_which_there_are(tmp_path: Path) -> None:
    """As that of `train --seeds`."""
    for seed in (222, 111):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / MANIFEST_NAME).touch()
        require_run(tmp_path / f"seed-{seed}")
    with pytest.raises(UserError, match=f"^{tmp_path}: is a folder of runs; name one, as {tmp_path}/seed-111$"):
        require_run(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"is not there; is .* a run folder"):
        require_run(tmp_path / "other")
    with pytest.raises(UserError, match="no such run folder"):
        require_run(tmp_path / "gone")
