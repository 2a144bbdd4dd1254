"""The exceptions that reach a user as a line of text."""


class UserError(Exception):
    """Something the user can fix: the message names what is wrong, its value, and the remedy.

    The command line prints it as one line and exits with code 2. Anything else is our fault: it keeps its traceback.
    """


class Interrupted(KeyboardInterrupt):
    """The user stopped it; the message says what is left and how to go on."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or of what caused it; the name of its type if it says nothing."""
    cause = error.__cause__ or error
    said = str(cause).strip()
    return said.splitlines()[0] if said else type(cause).__name__


def noted(error: BaseException) -> str:
    """Return what was noted of an error on its way, to be put behind what another says in its place."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
