"""edgead's own engines as any plugin registers its: for the lists, `edgead plugins` and the conformance kit.

Nothing on the way of a frame imports this: ``edgead.runtime.engines`` knows the own ones without it.
"""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.runtime.own_engines import OWN
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_engines(register: Register) -> None:
    for name, own in OWN.items():
        register(name, own.factory, f"{own.title}; reads {' and '.join(own.reads)}")
