"""Attacks, one file each: what hostile clients send in place of the truth."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.federation.attacks.attack import Attack

ATTACKS: "Table[Attack]" = Table(
    kind="attack",
    flag="--attack",
    base="fedrouter_sim.federation.attacks.attack:Attack",
    rows={
        "sign-flip": "fedrouter_sim.federation.attacks.sign_flip:SignFlip",
        "noise": "fedrouter_sim.federation.attacks.noise:Noise",
        "scale": "fedrouter_sim.federation.attacks.scale:Scale",
        "label-flip": "fedrouter_sim.federation.attacks.label_flip:LabelFlip",
        "backdoor": "fedrouter_sim.federation.attacks.backdoor:Backdoor",
        "centroid-shift": "fedrouter_sim.federation.attacks.centroid_shift:CentroidShift",
        "sketch-forgery": "fedrouter_sim.federation.attacks.sketch_forgery:SketchForgery",
    },
)


def find_attack(name: str, options: Options | None = None) -> "Attack":
    """Return an attack by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such attack.
    """
    return ATTACKS.find(name, options)
