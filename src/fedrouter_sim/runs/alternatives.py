"""What answers the texts of a run instead of what it was told: another router, or another answer to unseen texts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedrouter_sim.config.words import UNSEEN_ANSWERS
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Deployment
from fedrouter_sim.routing.archive import ARCHIVE_NAME
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.router import Router
from fedrouter_sim.runs.entries import check_mixed


def other_router(run: Path, deployment: Deployment, rule: str, options: Sequence[str] = ()) -> Router:
    """Make another router of a run's archive, calibrated as its own.

    Args:
        run: the run's folder.
        deployment: its own.
        rule: a name of the routers, or FILE.py:CLASS.
        options: of the rule, as name=value.

    Raises:
        UserError: the run has no archive, or there is no such router.
    """
    own, archive = deployment.router, deployment.archive
    if own is None or archive is None:
        raise UserError(f"--router {rule}: is made of {ARCHIVE_NAME}, which {run} lacks")
    made = router_of(archive, own.normalizer, own.max_tokens, own.backbone_digest, rule, options)
    return replace(
        made,
        temperature=own.temperature,
        reach=own.reach,
        reach_of_all=own.reach_of_all,
        on_unseen=own.on_unseen,
    )


def when_unseen(run: Path, deployment: Deployment, unseen: str) -> Deployment:
    """Return a deployment with another answer to texts that count as unseen.

    Args:
        run: the run's folder.
        deployment: its own.
        unseen: 'answer', 'bare' or 'mix'.

    Raises:
        UserError: there is no such answer, or the run cannot tell unseen texts.
    """
    router = deployment.router
    if unseen not in UNSEEN_ANSWERS:
        raise UserError(f"--unseen {unseen}: choose among {', '.join(UNSEEN_ANSWERS)}")
    if router is None or router.reach_of_all is None:
        lacks = "has no router" if router is None else "has a router that was not calibrated"
        raise UserError(f"--unseen {unseen}: {run} {lacks}, so it cannot tell which texts are unseen")
    check_mixed(router, router.rule, unseen)
    return replace(deployment, router=replace(router, on_unseen=unseen))
