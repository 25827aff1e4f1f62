"""Many images through an engine, some under way at once: the one loop of ``Session.map``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from edgead.ahead import Deferred
from edgead.runtime.session import Outputs, Pending


def in_a_row(
    images: Iterable[NDArray[np.uint8]], start: Callable[[NDArray[np.uint8]], Pending], width: int
) -> Generator[Outputs, None, None]:
    """Yield each image's outputs, in order.

    The next image is taken while ``width`` are under way, and started before the outputs that it waited for
    are yielded, so that the engine works on while the caller looks at these.

    Where ``images`` raises, ``start`` does, or an interrupt comes while outputs are waited for, what is under
    way is yielded first, and then it's raised. What is under way when it's closed is waited for and dropped.

    Args:
        start: the session's.
        width: images under way at once, 1 or more.
    """
    source = iter(images)
    under_way: deque[Pending] = deque()
    ended = Deferred()

    def oldest() -> Outputs:
        try:
            outputs = under_way[0].wait()
        except Exception:
            under_way.popleft()
            raise
        except BaseException as error:
            if ended.error is not None:
                raise
            ended.error = error  # an interrupt; the next one isn't held up
            outputs = under_way[0].wait()
        under_way.popleft()
        return outputs

    try:
        with ended:
            while ended.error is None:
                try:
                    image = next(source)
                except StopIteration:
                    break
                except BaseException as error:  # raised after what is under way
                    ended.error = error
                    break
                outputs = oldest() if len(under_way) == width else None
                try:
                    under_way.append(start(image))
                except Exception as error:
                    ended.error = ended.error or error
                if outputs is not None:
                    yield outputs
            while under_way:
                yield oldest()
    finally:
        for pending in under_way:  # left where the caller closes, or where one failed
            with suppress(Exception):
                pending.wait()


__all__ = ["in_a_row"]
