"""The exceptions that reach a user as a line of text."""

from fedrouter_sim.showing import plain

_MOST = 1500  # characters of a message


class UserError(Exception):
    """Something the user can fix: the message names what is wrong, its value, and the remedy.

    The command line prints it as one line and exits with code 2. Anything else is our fault: it keeps its traceback.
    Nothing in a message steers a terminal, and one that quotes too much is cut in its middle.
    """

    def __init__(self, message: object = "") -> None:
        text = plain(str(message))
        super().__init__(text if len(text) <= _MOST else f"{text[: _MOST - 500]} ... {text[-500:]}")


class MayPass(UserError):
    """It is not what was asked for that failed: asked again, perhaps after something was done about it, it may work."""


class Interrupted(KeyboardInterrupt):
    """The user stopped it; the message says what is left and how to go on."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or of what caused it; the name of its type if it says nothing."""
    cause = error.__cause__ or error
    said = str(cause).strip()
    return said.splitlines()[0][:300] if said else type(cause).__name__


def noted(error: BaseException) -> str:
    """Return what was noted of an error on its way, to be put behind what another says in its place."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
