"""The steps of a run: told and logged as they begin, timed when they end."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass
class Steps:
    """Tells of each step as it begins, logs it with the run's name, and keeps how long it took.

    Attributes:
        tell: called with a step's name when it begins; by default nobody is told.
        run_id: the run they belong to: part of each line of the log, and an attribute of its record.
        attempt: the attempt at that run.
        seconds: of each step so far, wall time, in the order they began.

    Example:
        >>> steps = Steps(print)
        >>> with steps("scanning"):
        ...     pass
        scanning
        >>> list(steps.seconds)
        ['scanning']
    """

    tell: Callable[[str], None] = lambda _: None
    run_id: str = ""
    attempt: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """One step."""
        self.tell(name)
        self.log(f"{name} ...")
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began

    def log(self, message: str) -> None:
        """A line of the log about the run."""
        logger.info("run %s: %s", self.run_id, message, extra={"run_id": self.run_id})
