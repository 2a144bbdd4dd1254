"""What tests of `doctor` look at."""

from fedrouter_sim.operations.doctor import Check, doctor


def checks() -> dict[str, Check]:
    """All checks by name; no two have the same."""
    found = doctor().checks
    assert len({(check.section, check.name) for check in found}) == len(found)
    return {check.name if check.section != "Extras" else f"[{check.name}]": check for check in found}


def state_of(check: Check, *words: str) -> str:
    """The state of a check that says all these words."""
    text = f"{check.found} -> {check.remedy}"
    assert all(word in text for word in words), text
    return check.state
