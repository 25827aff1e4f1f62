"""From an engine's name to an open session.

edgead's own engines are opened without a look at any plugin. Another name is one that somebody typed, or
whose target somebody typed: it's looked up among the installed plugins. A name that only a bundle says loads
nothing; ``engine_of`` refuses it and says how to consent.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgead import telemetry
from edgead.bundle import Bundle
from edgead.errors import CompileError, EdgeadError, OptionError, PluginError, UnknownNameError, one_line
from edgead.runtime.engine_options import ALLOWANCES, DEMANDS, EngineOptions
from edgead.runtime.model_bytes import ModelBytes, read_model
from edgead.runtime.own_engines import OWN, is_installed, not_installed, readers
from edgead.runtime.session import Engine, Session, members

_log = logging.getLogger(__name__)
_PLAIN = EngineOptions()


def open_session(model: Path | ModelBytes, engine: str = "auto", options: EngineOptions = _PLAIN) -> Session:
    """Compile a model for an engine.

    Args:
        model: a ``.onnx`` file, an OpenVINO ``.xml``, or what a plugin's engine reads; as bytes, or a path
            that is read once. A bundle's is ``edgead.runtime.model_bytes.model_of(bundle)``.
        engine: ``openvino``, ``onnxruntime``, the name of a plugin's engine, which is loaded then, or
            ``auto``: the first of edgead's own that reads the model and is installed. Never a name that
            nobody but a bundle says: see ``engine_of``.
        options: what the engine is asked for. ``device``, ``threads`` and ``cores`` it keeps to or refuses;
            what it makes no use of among the others is logged.

    Raises:
        MissingDependencyError: the engine isn't installed.
        DeviceError: the engine has no such device.
        CompileError: the engine can't run the model.
        UnsafeModelError: the model names data elsewhere, or a size that no engine should try.
        UnknownNameError: no engine has that name.
        OptionError: the engine doesn't read this kind of model, or an option isn't one that it honours.
        PluginError: a plugin's engine breaks its contract.
    """
    found, who = _find(model, engine)
    for option in options.asked:
        if option in DEMANDS and option not in found.honours:
            known = ", ".join(sorted(found.honours)) or "none"
            raise OptionError(
                f"the engine {found.name} doesn't take {option} (of the options it honours {known}): leave "
                f"{option} out, or use another --engine"
            )
    return _open(found, who, model, options, logging.WARNING)


def open_as_honoured(model: Path | ModelBytes, engine: str, options: EngineOptions) -> Session:
    """The same for wishes of edgead's own: what the engine doesn't honour is left out, and logged at INFO."""
    found, who = _find(model, engine)
    if left := [name for name in options.asked if name in DEMANDS and name not in found.honours]:
        _log.info("the engine %s doesn't take %s: left out", found.name, " and ".join(left))
        options = options.only({name for name in options.asked if name not in left})
    return _open(found, who, model, options, logging.INFO)


def engine_of(bundle: Bundle, named: str | None) -> str:
    """The engine to open a bundle with: the named one, else the bundle's, where that is edgead's own.

    Raises:
        OptionError: the bundle's is a plugin's, and nobody named it. Nothing of a plugin is imported to tell.
    """
    wanted = bundle.manifest.engine
    if named:
        return named
    if wanted in OWN or wanted == "auto":
        return wanted
    from edgead.discovery import NAME, registering

    says = f"{bundle.path}: it names the engine {wanted!r}"
    if not NAME.fullmatch(wanted):
        raise OptionError(f"{says}, which no engine can be called: export it again")
    who = registering("edgead_register_engines", wanted)
    told = f"{' and '.join(who)} registers it" if who else "no installed distribution is seen to register it"
    first = "" if who else "install the one that does, and "
    raise OptionError(
        f"{says}, which isn't edgead's own ({told}): if you trust that, {first}name it yourself, "
        f'edgead.load(bundle, engine="{wanted}") or --engine {wanted}'
    )


def engine_names() -> list[str]:
    """Every registered engine, edgead's own first; loads the plugins."""
    from edgead.plugins import registry

    return list(dict.fromkeys((*OWN, *registry().names("engines"))))


def find_engine(name: str) -> Engine:
    """An engine by its registered name; a plugin's is loaded.

    Raises:
        UnknownNameError: no engine has that name.
        PluginError: it breaks its contract.
    """
    return _own(name) if name in OWN else _registered(name)[0]


# ---------------------------------------------------------------- how


def _find(model: Path | ModelBytes, name: str) -> tuple[Engine, str]:
    """The engine, which reads the model, and who registers it; an own one is checked before its import."""
    able = readers(model)
    if name == "auto" or name in OWN:
        if not able:
            raise CompileError(f"{model.name}: no engine reads it; models are .onnx, or .xml with a .bin")
        if name == "auto":
            name = next((each for each in able if is_installed(each)), able[0])
        if name not in able:
            raise _unreadable(name, model, able)
        return _own(name), f"edgead: engine '{name}'"
    found, who = _registered(name)
    if model.suffix not in found.reads:
        raise _unreadable(name, model, able)
    return found, who


def _unreadable(name: str, model: Path | ModelBytes, able: tuple[str, ...]) -> OptionError:
    only = f", only {' and '.join(able)} can" if able else ""
    return OptionError(
        f"{name} can't read {model.name}{only}: leave the engine out, or export again for a target that "
        f"{name} reads" + (" (--target onnx)" if name in OWN else "")
    )


def _own(name: str) -> Engine:
    module, _, attribute = OWN[name].factory.partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine


def _registered(name: str) -> tuple[Engine, str]:
    from edgead.plugins import registry

    names = registry()
    try:
        entry = names.entry("engines", name)
    except UnknownNameError:
        known = {*OWN, "auto", *names.names("engines")}
        raise UnknownNameError("engine", name, known, names.note) from None
    who = f"{entry.distribution} {entry.version}: engine '{name}'"
    factory = names.get("engines", name)
    try:
        engine = factory()
    except EdgeadError:
        raise
    except Exception as error:
        raise PluginError(f"{who} can't be made: {one_line(error)}") from error
    _require(engine, Engine, f"{who}: its factory's engine")
    for member in ("reads", "honours"):
        if not _is_names(getattr(engine, member)):
            raise PluginError(f"{who}: its {member} must be a collection of texts")
    return engine, who


def _is_names(value: Any) -> bool:
    several = isinstance(value, Collection) and not isinstance(value, str)
    return several and all(isinstance(each, str) for each in value)


def _open(engine: Engine, who: str, model: Path | ModelBytes, options: EngineOptions, level: int) -> Session:
    """Open it, and tell at this level what it makes no use of."""
    _warn_of_telemetry()
    try:
        how = engine.lacks()
    except Exception as error:
        raise PluginError(f"{who}: its lacks() raises {one_line(error)}") from error
    if how:
        raise not_installed(engine.name, how, model)
    model = read_model(model) if isinstance(model, Path) else model
    model.check()
    try:
        session = engine.open(model, options)
    except EdgeadError:
        raise
    except Exception as error:
        if engine.name in OWN:
            told = f"{model.name}: {engine.name} can't open it: {one_line(error, 'last')}"
            raise CompileError(told) from error
        raise PluginError(f"{who} can't open {model.name}: {one_line(error)}") from error
    _require(session, Session, f"{who}: its session")
    if not _is_names(session.honours):
        raise PluginError(f"{who}: its session's honours must be a collection of texts")
    for option in options.asked:
        if option in ALLOWANCES and option not in session.honours:
            _say_unused(session, option, options, level)
    return session


def _require(made: Any, protocol: type, what: str) -> None:
    """Refuse a plugin's object that lacks a member of its protocol."""
    lacking = [name for name in members(protocol) if not hasattr(made, name)]
    if lacking:
        where = f"edgead.runtime.session.{protocol.__name__}"
        raise PluginError(f"{what} lacks {', '.join(lacking)}; see {where}")


def _say_unused(session: Session, option: str, options: EngineOptions, level: int) -> None:
    """The one place where an option that changes nothing is told."""
    if option == "throughput":  # which edgead asks for of any engine, on a user's behalf
        level = logging.INFO
    if option == "precision":
        text = "%s computes in f32 on %s: that %s is allowed changes nothing"
        _log.log(level, text, session.engine, session.device, options.precision)
    else:
        text = "%s has no %s on %s: the option changes nothing"
        _log.log(level, text, session.engine, option, session.device)


@functools.cache  # once a process
def _warn_of_telemetry() -> None:
    if telemetry.started():
        _log.warning("the engines' telemetry is %s", telemetry.sentence())


__all__ = ["engine_names", "engine_of", "find_engine", "open_as_honoured", "open_session"]
