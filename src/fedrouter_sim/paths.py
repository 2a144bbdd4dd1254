"""Paths as users write them."""

from pathlib import Path

from fedrouter_sim.errors import UserError


def at_home(text: str) -> str:
    """Return a text that begins with `~` or `~name` as a path in that home folder, and any other as it is.

    Shells do so only at the beginning of a word: not in --out=~/run, and not in a file of settings.

    Raises:
        UserError: there is no user of that name.
    """
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        name = text.partition("/")[0]
        raise UserError(f"{text}: there is no home folder {name}; give the path in full, or as ./{text}") from None
