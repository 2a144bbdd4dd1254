"""A trial of a backbone right after it is loaded: what could fail after hours of training fails at once."""

import numpy as np

from fedrouter_sim.adapters.state import check_finite
from fedrouter_sim.backbone.asking import Asking
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.examples.record import Example

_EXAMPLES = (Example("a", "b"), Example("some more words than that", "and a longer answer"))
_ANSWER = 10  # tokens: more than one stretch of an answer


def try_out(backbone: Backbone, name: str) -> None:
    """Train a step on a padded batch, and answer and score with the adapter and without, all of it thrown away.

    Args:
        backbone: as it was loaded.
        name: what the user called the model.

    Raises:
        UserError: something of it fails.
    """
    doing = "training a step"
    encoded = backbone.encoder.examples(_EXAMPLES)
    try:
        start = backbone.initial_adapter(seed=0)
        trained = backbone.train(start, encoded, [[0, 1]], OptimizerSettings(1e-3, 0.0, 1.0), dropout_seed=0).adapter
        check_finite(trained)
        for adapter, which in ((trained, "the adapter"), (None, "the bare backbone")):
            doing = f"scoring answers with {which}"
            if not np.isfinite(backbone.score(adapter, encoded)).all():
                raise ValueError("a loss is not finite")
            doing = f"answering with {which}"
            replies = Asking(adapter, _EXAMPLES, _ANSWER, scored=True).answered_by(backbone)
            if replies.scores is None or not np.isfinite(replies.scores).all():
                raise ValueError("a loss is not finite")
    except Exception as error:  # every family runs code of its own, which fails as it likes
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(
            f"--model {name}: {doing} fails ({said}), so nothing was trained; give another model, or other "
            "--lora-targets"
        ) from error
