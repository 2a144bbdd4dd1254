"""The backbone of a run: where it is, whether the run was trained on it, and whether the run's router is of it."""

from pathlib import Path

from fedrouter_sim.backbone.locating import has_digest, resolve_model
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing.router import Router


def model_folder(run: Path, config: RunConfig, recorded: str) -> Path:
    """Return the folder of a run's backbone; nothing is loaded.

    Args:
        run: the run's folder.
        config: its settings.
        recorded: the digest of the backbone when the run was trained.

    Raises:
        UserError: it is not there, or not the one that the run was trained on.
    """
    require_model(run, config)
    folder = resolve_model(config.model)
    _require_same(has_digest(folder, recorded), run, config)
    return folder


def load_backbone(run: Path, config: RunConfig, recorded: str) -> Backbone:
    """Load a run's backbone.

    Raises:
        UserError: as `model_folder`, or it cannot be used.
    """
    require_model(run, config)
    backbone = Backbone(config)
    _require_same(backbone.has_digest(recorded), run, config)
    return backbone


def require_model(run: Path, config: RunConfig) -> None:
    """Refuse a path at which no model is any more, as that of a run which comes from another machine.

    Raises:
        UserError: none is.
    """
    path = Path(config.model)
    if path.is_absolute() and not path.exists():
        raise UserError(f"{path}: the backbone of {run} is not there; say where it is with --model PATH")


def _require_same(same: bool, run: Path, config: RunConfig) -> None:
    if not same:
        raise UserError(
            f"--model {config.model}: has changed since {run} was trained on it, or is another; name the one that it "
            "was trained on, or train the run anew"
        )


def check_router(router: Router, backbone: Backbone, run: Path) -> None:
    """Refuse a router that was made of other embeddings than a backbone makes.

    Raises:
        UserError: texts were cut at another length, or the embeddings are of another width.
    """
    limit = backbone.encoder.limit
    if router.max_tokens != limit:
        raise UserError(
            f"{run}: its router was made of texts cut at {router.max_tokens} tokens, and this backbone cuts at "
            f"{limit}; set --max-tokens as it was"
        )
    if router.width != backbone.dimension:
        raise UserError(
            f"{run}: its router is of embeddings of {router.width} numbers, and those of the backbone have "
            f"{backbone.dimension}; train the run anew"
        )
