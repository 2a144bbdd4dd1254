"""What makes a whole command cheap, where other tests hold what is left out."""

import pytest

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig

_LOADED_IN = ("fedrouter_sim.operations.train", "fedrouter_sim.operations.dry_run", "fedrouter_sim.runs.reader")


def leave_figures_blank(patch: pytest.MonkeyPatch) -> None:
    """Do not let matplotlib fill and draw figures, which takes longer than a tiny training."""
    patch.setattr("fedrouter_sim.report.figures._drawn", lambda name, height, draw: "<svg></svg>")


def load_once(patch: pytest.MonkeyPatch) -> None:
    """Let all runs that may share a backbone do so, as those of a study do."""
    loaded: list[Backbone] = []

    def load(config: RunConfig) -> Backbone:
        found = next((backbone for backbone in loaded if backbone.serves(config)), None)
        if found is None:
            loaded.append(found := Backbone(config))
        return found

    for module in _LOADED_IN:
        patch.setattr(f"{module}.Backbone", load)
