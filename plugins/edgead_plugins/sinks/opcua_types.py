"""What the OPC UA sink shows: a vision system by OPC 40100-1's names and numbers, and the line beside it.

The types are those that are used, made here one by one: a vision system with the state of its state machine,
and the event ResultReady with its mandatory properties. The standard's methods aren't there.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edgead.line.records import record_of
from edgead.names import json_text
from edgead.types import Verdict

if TYPE_CHECKING:
    from asyncua import Node, Server
    from asyncua.server.event_generator import EventGenerator

MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"
OWN = "urn:edgead:line"
STATES = {"Preoperational": (5028, 1), "Halted": (5029, 2), "Error": (5030, 3), "Operational": (5031, 4)}
"""The state machine's states: the node's number, and the state's."""
IDS = {"ResultIdDataType": (3021, 5274), "JobIdDataType": (3016, 5008)}
"""Identifiers of one text: the type's number, and its encoding's."""
VERSIONED = {"RecipeIdInternalDataType": (3013, 5268), "ConfigurationIdDataType": (3008, 5090)}
PART_ID = (3004, 5013)
COMPLETED, FAILED = 1, 4
"""Result states: judged, or the fail-safe's."""
NOTHING: dict[str, Any] = {"Id": "", "Decision": "none", "Why": "", "Score": math.nan, "Threshold": math.nan,
                           "Part": "", "Camera": "", "Json": ""}  # fmt: skip
"""The line's result where there's none."""


class AddressSpace:
    """The nodes of one server.

    Args:
        server: initialised, and not started.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._nodes: dict[str, Node] = {}
        self._structures: dict[str, type] = {}
        self._states: dict[str, Any] = {}

    async def build(self, name: str) -> None:
        """Make them.

        Args:
            name: the vision system's.
        """
        from asyncua import ua

        server = self._server
        self._mv = await server.register_namespace(MACHINE_VISION)
        self._own = await server.register_namespace(OWN)
        await self._data_types()
        state_machine = await self._state_machine_type()
        base = server.nodes.base_object_type
        system_type = await base.add_object_type(self._id(1003), self._name("VisionSystemType"))
        machine = await system_type.add_object(self._id(5094), self._name("VisionStateMachine"))
        await self._retype(machine, server.get_node(state_machine))
        await machine.set_modelling_rule(True)
        self._system = await server.nodes.objects.add_object(
            ua.NodeId("vision", self._own), ua.QualifiedName(name, self._own)
        )
        await self._retype(self._system, system_type)
        await self._state()
        line = await self._system.add_object(
            ua.NodeId("line", self._own), ua.QualifiedName("Line", self._own)
        )
        await self._variable(line, "Ready", False)
        await self._variable(line, "Heartbeat", ua.Variant(0, ua.VariantType.UInt32))
        for key, value in NOTHING.items():
            await self._variable(line, key, value)
        self._event = await self._event_generator()

    # ------------------------------------------------------------ what happens

    async def show(self, verdict: Verdict | None) -> None:
        """Put a verdict, or nothing, into the line's variables: ``Id`` is written first and last."""
        values = dict(NOTHING)
        if verdict is not None:
            values = {
                "Id": id_of(verdict), "Decision": verdict.decision, "Why": verdict.why,
                "Score": _float(verdict.score), "Threshold": _float(verdict.threshold), "Part": verdict.part,
                "Camera": verdict.camera, "Json": json_text(record_of(verdict)),
            }  # fmt: skip
        await self.write("Id", "")
        for key, value in values.items():
            if key != "Id":
                await self.write(key, value)
        await self.write("Id", values["Id"])

    async def write(self, key: str, value: Any) -> None:
        """Write one of the line's variables."""
        from asyncua import ua

        variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
        now = datetime.now(timezone.utc)
        data = ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
        await self._server.write_attribute_value(self._nodes[key].nodeid, data)

    async def ready(self, ready: bool) -> None:
        """Write the readiness, and the state machine's state."""
        from asyncua import ua

        state = "Operational" if ready else "Preoperational"
        await self.write("Ready", ready)
        await self.write("CurrentState", ua.Variant(ua.LocalizedText(state)))
        await self.write("CurrentStateId", ua.Variant(self._states[state]))

    async def tell(self, verdict: Verdict) -> None:
        """Trigger the event ResultReady."""
        from asyncua import ua

        event, made = self._event.event, self._structures
        event.ResultId = made["ResultIdDataType"](Id=id_of(verdict))
        event.JobId = made["JobIdDataType"](Id=verdict.run)
        event.PartId = made["PartIdDataType"](Id=verdict.part)
        event.InternalRecipeId = made["RecipeIdInternalDataType"](Id=verdict.bundle or "")
        event.InternalConfigurationId = made["ConfigurationIdDataType"](Id=verdict.camera)
        event.IsPartial = False
        event.ResultState = COMPLETED if verdict.why == "score" else FAILED
        event.CreationTime = datetime.now(timezone.utc)
        content = (verdict.decision, verdict.why, _float(verdict.score), _float(verdict.threshold))
        event.ResultContent = [ua.Variant(each) for each in content]
        await self._event.trigger(message=f"{verdict.camera}: part {verdict.part}: {verdict.decision}")

    # ------------------------------------------------------------ the nodes

    def _id(self, number: int) -> Any:
        from asyncua import ua

        return ua.NodeId(number, self._mv)

    def _name(self, name: str) -> Any:
        from asyncua import ua

        return ua.QualifiedName(name, self._mv)

    async def _variable(self, parent: Node, key: str, value: Any) -> None:
        from asyncua import ua

        number, name = ua.NodeId(f"line.{key}", self._own), ua.QualifiedName(key, self._own)
        self._nodes[key] = await parent.add_variable(number, name, value)

    async def _data_types(self) -> None:
        from asyncua import ua
        from asyncua.common.structures104 import new_struct_field

        text, local = ua.VariantType.String, ua.VariantType.LocalizedText
        identifier = new_struct_field("Id", text)
        description = new_struct_field("Description", local, optional=True)
        versioned = [
            identifier,
            new_struct_field("Version", text, optional=True),
            new_struct_field("Hash", ua.VariantType.ByteString, optional=True),
            new_struct_field("HashAlgorithm", text, optional=True),
            description,
        ]
        wanted = {name: (numbers, [identifier]) for name, numbers in IDS.items()}
        wanted |= {name: (numbers, versioned) for name, numbers in VERSIONED.items()}
        wanted["PartIdDataType"] = (PART_ID, [identifier, description])
        for name, ((number, encoding), fields) in wanted.items():
            await self._structure(name, number, encoding, fields)
        await self._server.load_data_type_definitions()  # makes classes, once in a process
        known = ua.extension_objects_by_datatype
        self._structures = {name: known[self._id(number)] for name, ((number, _), _) in wanted.items()}
        integer = self._server.get_node(ua.NodeId(ua.ObjectIds.Int32))
        await integer.add_data_type(self._id(3009), self._name("ResultStateDataType"))

    async def _structure(self, name: str, number: int, encoding: int, fields: list[Any]) -> None:
        from asyncua import ua
        from asyncua.common.manage_nodes import create_data_type, create_encoding

        base = self._server.nodes.base_structure_type
        data_type = await create_data_type(base, self._id(number), self._name(name))
        coded = await create_encoding(data_type, self._id(encoding), ua.QualifiedName("Default Binary", 0))
        optional = any(field.IsOptional for field in fields)
        kinds = ua.StructureType
        await data_type.write_data_type_definition(
            ua.StructureDefinition(
                DefaultEncodingId=coded.nodeid,
                BaseDataType=base.nodeid,
                StructureType=kinds.StructureWithOptionalFields if optional else kinds.Structure,
                Fields=fields,
            )
        )

    async def _state_machine_type(self) -> Any:
        from asyncua import ua

        base = self._server.get_node(ua.NodeId(ua.ObjectIds.FiniteStateMachineType))
        made = await base.add_object_type(self._id(1017), self._name("VisionStateMachineType"))
        for name, (number, state_number) in STATES.items():
            state = await made.add_object(self._id(number), self._name(name))
            await self._retype(state, self._server.get_node(ua.NodeId(ua.ObjectIds.StateType)))
            value = ua.Variant(state_number, ua.VariantType.UInt32)
            await state.add_property(self._id(6225 + state_number), ua.QualifiedName("StateNumber", 0), value)
            self._states[name] = state.nodeid
        return made.nodeid

    async def _state(self) -> None:
        """The instance's current state."""
        from asyncua import ua

        number = ua.NodeId("vision.state", self._own)
        machine = await self._system.add_object(number, self._name("VisionStateMachine"))
        await self._retype(machine, self._server.get_node(self._id(1017)))
        number, name = ua.NodeId("vision.state.current", self._own), ua.QualifiedName("CurrentState", 0)
        current = await machine.add_variable(number, name, ua.LocalizedText("Preoperational"))
        await self._retype(current, self._server.get_node(ua.NodeId(ua.ObjectIds.FiniteStateVariableType)))
        self._nodes["CurrentState"] = current
        number, state = ua.NodeId("vision.state.current.id", self._own), self._states["Preoperational"]
        self._nodes["CurrentStateId"] = await current.add_property(
            number, ua.QualifiedName("Id", 0), ua.Variant(state)
        )

    async def _retype(self, node: Node, to: Node) -> None:
        """Have a node be of a type, without what instantiating it would make besides."""
        from asyncua import ua

        definition = ua.ObjectIds.HasTypeDefinition
        for reference in await node.get_references(definition, ua.BrowseDirection.Forward):
            await node.delete_reference(reference.NodeId, definition, forward=True, bidirectional=False)
        await node.add_reference(to, definition, forward=True, bidirectional=False)

    async def _event_generator(self) -> EventGenerator:
        from asyncua import ua

        made = self._structures
        base = self._server.get_node(ua.NodeId(ua.ObjectIds.BaseEventType))
        kind = await base.add_object_type(self._id(1024), self._name("ResultReadyEventType"))
        now = datetime.now(timezone.utc)
        properties: list[tuple[str, int, Any, Any]] = [
            ("ResultId", 6295, made["ResultIdDataType"](), self._id(3021)),
            ("IsPartial", 6296, False, None),
            ("ResultState", 6298, ua.Variant(0, ua.VariantType.Int32), self._id(3009)),
            ("JobId", 6300, made["JobIdDataType"](), self._id(3016)),
            ("InternalRecipeId", 6302, made["RecipeIdInternalDataType"](), self._id(3013)),
            ("CreationTime", 6303, ua.Variant(now, ua.VariantType.DateTime), ua.NodeId(ua.ObjectIds.UtcTime)),
            ("PartId", 6304, made["PartIdDataType"](), self._id(3004)),
            ("InternalConfigurationId", 6142, made["ConfigurationIdDataType"](), self._id(3008)),
        ]
        for name, number, value, data_type in properties:
            await kind.add_property(self._id(number), self._name(name), value, datatype=data_type)
        content = ua.Variant([], ua.VariantType.Variant, is_array=True)
        await kind.add_property(
            self._id(6306),
            self._name("ResultContent"),
            content,
            datatype=ua.NodeId(ua.ObjectIds.BaseDataType),
        )
        generator = await self._server.get_event_generator(kind.nodeid)
        generator.event.SourceNode, generator.event.SourceName = self._system.nodeid, "VisionSystem"
        generator.event.Severity = 100
        return generator


def id_of(verdict: Verdict) -> str:
    """What a result is called: its run and trigger."""
    return f"{verdict.run}-{verdict.trigger}"


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


__all__ = ["COMPLETED", "FAILED", "MACHINE_VISION", "NOTHING", "OWN", "STATES", "AddressSpace", "id_of"]
