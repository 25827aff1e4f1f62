"""Sinks of a line: fieldbuses and outputs to a PLC, others that are told, a file, and a made-up PLC."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_sinks(register: Register) -> None:
    here = "edgead_plugins.sinks"
    register("file", f"{here}.file:File", "a line of JSON for each verdict")
    register("webhook", f"{here}.webhook:Webhook", "a POST of JSON to a web server, for information")
    register(
        "modbus", f"{here}.modbus:Modbus", "a Modbus TCP server for a PLC, which acknowledges and triggers"
    )
    register("gpio", f"{here}.gpio:Gpio", "GPIO lines: a pulse for each accept, reject at rest")
    register("mqtt", f"{here}.mqtt:Mqtt", "an MQTT broker, for information")
    register("opcua", f"{here}.opcua:Opcua", "an OPC UA server: results as events and variables")
    register("virtual", f"{here}.virtual:Virtual", "a virtual PLC, with faults where a script says so")
