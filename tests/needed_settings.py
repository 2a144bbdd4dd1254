"""What a setting needs beside it to be valid."""

from typing import Any

from fedrouter_sim.config import RunConfig


def needed_with(name: str, value: Any) -> dict[str, Any]:
    """What has to be given along with a setting: a drift is a round and a split."""
    if value == RunConfig.__dataclass_fields__[name].default:
        return {}
    drift = {"drift_at": 1, "drift_to": "single"}
    return {key: needed for key, needed in drift.items() if name.startswith("drift_") and key != name}
