"""The application, and how errors leave it: one line, exit code 2."""

import io
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, NoReturn

import typer

from fedrouter_sim.cli.aggregate import aggregate_command
from fedrouter_sim.cli.compare import compare_command
from fedrouter_sim.cli.data import data_command
from fedrouter_sim.cli.doctor import doctor_command
from fedrouter_sim.cli.evaluate import eval_command
from fedrouter_sim.cli.export import export_command
from fedrouter_sim.cli.home import with_home
from fedrouter_sim.cli.init import init_command
from fedrouter_sim.cli.report import report_command
from fedrouter_sim.cli.route import route_command
from fedrouter_sim.cli.study import study_command
from fedrouter_sim.cli.train import train_command
from fedrouter_sim.cli.verify import verify_command
from fedrouter_sim.errors import Interrupted, UserError
from fedrouter_sim.showing import plain
from fedrouter_sim.stopping import interrupt_again_where_swallowed
from fedrouter_sim.storage import no_room
from fedrouter_sim.texts import half_character
from fedrouter_sim.version import __version__
from fedrouter_sim.waiting import choose_waiting

app = typer.Typer(
    name="fedrouter-sim",
    help="Task-centric federated fine-tuning of language models (FedRouter), simulated in one process.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Stopped(Exception):
    """An interrupt that has something to say, which typer would not pass on."""


class _Closed(Exception):
    """The reader of our output has gone before it had all, of which typer would say nothing."""


def _add(name: str, command: Callable[..., None]) -> None:
    """Add a command."""

    @wraps(command)
    def called(**values: Any) -> None:
        try:
            command(**values)
        except Interrupted as error:
            raise _Stopped(str(error)) from error
        except BrokenPipeError as error:
            raise _Closed from error

    app.command(name)(with_home(called))


_add("init", init_command)
_add("data", data_command)
_add("train", train_command)
_add("aggregate", aggregate_command)
_add("route", route_command)
_add("eval", eval_command)
_add("compare", compare_command)
_add("study", study_command)
_add("report", report_command)
_add("export", export_command)
_add("verify", verify_command)
_add("doctor", doctor_command)

# Typer's errors about usage all descend from this class, whichever click it stands on.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_INTERRUPTED = 130  # exit code of a program that was stopped by Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fedrouter-sim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line: what the console script and `python -m fedrouter_sim` do."""
    stopped = _INTERRUPTED

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = 128 + number
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    interrupt_again_where_swallowed(lambda: signal.SIGINT if stopped == _INTERRUPTED else signal.SIGTERM)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what its encoding lacks is written out
    choose_waiting()
    try:
        if odd := next((word for word in sys.argv[1:] if half_character(word) and "route" not in sys.argv[1:2]), None):
            raise UserError(f"{odd}: holds bytes that are not UTF-8, so it could not be written down; give UTF-8 text")
        # Usage lines name the program so, however it was started.
        code = app(prog_name=app.info.name, standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        _fail(str(error), error)
    except _Stopped as error:
        print(f"interrupted; {error}", file=sys.stderr)
        sys.exit(stopped)
    except _UsageError as error:
        _fail(f"{_message(error)} (see `fedrouter-sim --help`)")
    except (typer.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except (BrokenPipeError, _Closed):
        sys.stdout = None  # Python would say it at exit, too
        _fail("standard output: closed by its reader before the end")
    except OSError as error:
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}", error)
        if no_room(error) is None:
            raise
        # Files that could not be written were named where they were written.
        sys.stdout = None  # Python would try to write the rest at exit
        _fail(f"standard output: {error.strerror}")
    if code == _INTERRUPTED:  # what typer turns an interrupt into as well
        print("interrupted; no half-written run was left behind", file=sys.stderr)
        code = stopped
    sys.exit(code if isinstance(code, int) else 0)


def _message(error: Exception) -> str:
    """Return a usage error's text with the flag it is about, which `str` leaves out."""
    describe = getattr(error, "format_message", error.__str__)
    return str(describe())


def _fail(message: str, error: BaseException | None = None) -> NoReturn:
    """End with one line, and what was noted of the error on its way."""
    said = "; ".join([message, *getattr(error, "__notes__", ())])
    with suppress(OSError):  # standard error may have gone as well
        print(f"error: {plain(' '.join(said.split()))}", file=sys.stderr)
    sys.exit(2)
