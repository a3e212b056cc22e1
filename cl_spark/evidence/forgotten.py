"""Freeing what was kept for an object that nobody holds any more."""

import logging
import weakref
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from threading import Thread

logger = logging.getLogger(__name__)

_RELEASES: SimpleQueue[Callable[[], None]] = SimpleQueue()


def release_when_forgotten(owner: object, release: Callable[[], None]) -> Callable[[], object]:
    """Call a function, which must not hold the owner, soon after the owner is forgotten; not at exit.

    An object in a cycle is forgotten wherever Python happens to collect garbage: also within a call to the
    JVM, whose answer a further call in the same thread would take. A thread of its own makes that call.

    Returns:
        A function that undoes this.
    """
    _start_thread()
    finalizer = weakref.finalize(owner, _RELEASES.put, release)  # this queue may be filled by finalizers
    finalizer.atexit = False
    return finalizer.detach


@cache
def _start_thread() -> None:
    Thread(target=_release_all, name="cl_spark releases", daemon=True).start()


def _release_all() -> None:
    while True:
        try:
            _RELEASES.get()()
        except Exception:  # the session has ended, and what it kept with it
            logger.debug("what was forgotten could not be released", exc_info=True)
