"""The steps of a run: told as they begin, timed when they end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Steps:
    """Tells of each step as it begins, and keeps how long it took.

    Attributes:
        tell: called with a step's name when it begins; by default nobody is told.
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
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """One step."""
        self.tell(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began
