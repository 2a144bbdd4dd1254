"""What makes a whole command cheap, where other tests hold what is left out."""

from typing import IO, Any

import pytest
from matplotlib.figure import Figure

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig

_LOADED_IN = ("fedrouter_sim.operations.train", "fedrouter_sim.operations.dry_run", "fedrouter_sim.runs.reader")


def _blank(figure: Figure, file: IO[str], **_: Any) -> None:
    file.write("<svg></svg>")


def leave_figures_blank(patch: pytest.MonkeyPatch) -> None:
    """Fill figures as ever, but do not let matplotlib draw them, which takes longer than a tiny training."""
    patch.setattr(Figure, "savefig", _blank)


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
