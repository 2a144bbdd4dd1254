"""The library `datasets`, kept quiet."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep the progress bars and notices of `datasets` and of the Hub out of our output: the errors we raise say it."""
    import datasets  # slow to import, and not always needed
    from huggingface_hub import utils as hub

    verbosity = datasets.logging.get_verbosity()
    shown = [bars for bars in (datasets, hub) if not bars.are_progress_bars_disabled()]
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    for bars in shown:
        bars.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        for bars in shown:
            bars.enable_progress_bars()
