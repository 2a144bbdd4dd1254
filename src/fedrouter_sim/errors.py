"""The one exception that reaches a user as a line of text."""


class UserError(Exception):
    """Something the user can mend: the message names what is wrong, its value, and the remedy.

    The command line prints it as one line and exits with code 2. Anything else is our fault: it keeps its traceback.
    """
