"""Whole policies, as TorchScript or as an exported program, turned into lists of operations.

Of TorchScript torch itself makes the graph. An exported program is a zip of JSON and raw numbers,
and is read as that: torch's own reader would carry out what is pickled in it.
"""

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from porl_ros.policy.importing_layers import MAX_BYTES, ImportRefused
from porl_ros.policy.program import ITEM, OPERATIONS, Argument, Assembling, Stored, Value

# What changes nothing of a policy that only acts.
NOTHING = frozenset({"dropout", "detach", "clone", "contiguous", "to", "_to_copy", "alias"})
FLOAT32 = 7  # as exported programs count types


class _Translator:
    """What is common: names of theirs, and what stands for them in the program."""

    def __init__(self, making: Assembling, observation: Value):
        self._making, self._known = making, {}
        self._observation = observation

    def _apply(self, operation: str, arguments: list, named: dict[str, Any]) -> Value:
        plain = operation.removesuffix("_") if operation[:-1] in OPERATIONS else operation
        if plain in NOTHING:
            return arguments[0]
        if plain not in OPERATIONS:
            raise ImportRefused(
                f"the policy uses '{operation}', which a frozen policy cannot; bring it without, "
                "or as the weights of its layers"
            )
        return self._making.step(plain, *map(_frozen, arguments), **named)


def _frozen(argument: Any) -> Argument:
    return tuple(argument) if isinstance(argument, list) else argument


class TorchScript(_Translator):
    """From `torch.jit`'s graph."""

    def __init__(self, content: bytes, making: Assembling, observation: Value):
        """Raises ImportRefused. torch reads the file, so it must be from someone you trust."""
        super().__init__(making, observation)
        try:
            self.module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
            self._graph = torch.jit.freeze(self.module).inlined_graph
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ImportRefused(f"torch cannot read this TorchScript: {first}") from None

    def translate(self) -> Value:
        """Append its operations; what it gives. Raises ImportRefused."""
        inputs = [i for i in self._graph.inputs() if i.debugName() != "self"]
        tensors = [i for i in inputs if str(i.type()) == "Tensor"]
        if len(tensors) != 1 or len(inputs) > 2:
            raise ImportRefused("the policy must take one tensor, the observation")
        self._known[tensors[0].debugName()] = self._observation
        for node in self._graph.nodes():
            self._translate(node)
        outputs = list(self._graph.outputs())
        if len(outputs) != 1 or not isinstance(self._value(outputs[0]), Value):
            raise ImportRefused("the policy must give one tensor, the action")
        return self._value(outputs[0])

    def _translate(self, node) -> None:
        kind, outputs = node.kind(), list(node.outputs())
        inputs = [] if kind == "prim::Constant" else [self._value(i) for i in node.inputs()]
        if kind == "prim::Constant":
            self._known[outputs[0].debugName()] = self._constant(outputs[0])
        elif kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            self._known[outputs[0].debugName()] = inputs
        elif kind in ("prim::ListUnpack", "prim::TupleUnpack"):
            for i, output in enumerate(outputs):
                self._known[output.debugName()] = self._making.step(ITEM, inputs[0], i)
        elif kind.startswith("aten::"):
            schema = torch._C.parse_schema(node.schema()).arguments
            pairs = list(zip(schema, inputs, strict=True))
            positional = [value for argument, value in pairs if not argument.kwarg_only]
            named = {a.name: value for a, value in pairs if a.kwarg_only and value is not None}
            result = self._apply(kind.removeprefix("aten::"), positional, named)
            self._known[outputs[0].debugName()] = result
        else:
            raise ImportRefused(
                f"the policy uses '{kind}': it branches or calls back; bring it traced, or as the "
                "weights of its layers"
            )

    def _constant(self, output) -> Any:
        value = output.toIValue()
        return self._making.store(value) if isinstance(value, Tensor) else value

    def _value(self, output) -> Any:
        name = output.debugName()
        if name not in self._known:
            raise ImportRefused(f"the policy uses %{name}, which is no tensor that it holds")
        return self._known[name]


class ExportedProgram(_Translator):
    """From the archive that `torch.export.save` writes."""

    def __init__(self, content: bytes, making: Assembling, observation: Value):
        """Raises ImportRefused."""
        super().__init__(making, observation)
        self._archive = zipfile.ZipFile(io.BytesIO(content))
        try:
            model = json.loads(self._read("models/model.json"))
            weights = json.loads(self._read("data/weights/model_weights_config.json"))
            constants = self._read("data/constants/model_constants_config.json", b"{}")
            self._weights = weights["config"] | json.loads(constants).get("config", {})
            self._graph = model["graph_module"]["graph"]
            self._specs = model["graph_module"]["signature"]["input_specs"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ImportRefused(f"is no exported program that is known here: {error!r}") from None

    def _read(self, name: str, default: bytes | None = None) -> bytes:
        """A file of the archive, whatever its root is called."""
        found = [n for n in self._archive.namelist() if n == name or n.endswith(f"/{name}")]
        if not found and default is not None:
            return default
        if len(found) != 1 or self._archive.getinfo(found[0]).file_size > MAX_BYTES:
            raise ImportRefused(f"the exported program has no sound {name}")
        return self._archive.read(found[0])

    def translate(self) -> Value:
        """Append its operations; what it gives. Raises ImportRefused."""
        try:
            for spec in self._specs:
                self._input(spec)
            for node in self._graph["nodes"]:
                self._translate(node)
            (output,) = self._graph["outputs"]
            return self._known[output["as_tensor"]["name"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ImportRefused(
                f"the exported program must take one tensor, the observation, and give one, the "
                f"action ({error!r})"
            ) from None

    def _input(self, spec: dict) -> None:
        ((kind, what),) = spec.items()
        if kind == "user_input":
            if self._observation in self._known.values():
                raise ImportRefused("the policy must take one tensor, the observation")
            self._known[what["arg"]["as_tensor"]["name"]] = self._observation
            return
        names = {"parameter": "parameter_name", "buffer": "buffer_name"}
        name = what[names.get(kind, "tensor_constant_name")]
        self._known[what["arg"]["name"]] = self._tensor(name)

    def _tensor(self, name: str) -> Stored:
        entry = self._weights[name]
        meta, folder = entry["tensor_meta"], "constants" if "constant" in entry["path_name"] else ""
        shape = [size["as_int"] for size in meta["sizes"]]
        if entry.get("use_pickle") or meta["dtype"] != FLOAT32:
            raise ImportRefused(
                f"'{name}' is not stored as plain float32; export the policy in float32"
            )
        raw = self._read(f"data/{folder or 'weights'}/{entry['path_name']}")
        numbers = np.frombuffer(raw, "<f4", count=math.prod(shape)).reshape(shape)
        return self._making.store(torch.from_numpy(numbers.copy()))

    def _translate(self, node: dict) -> None:
        *_, operation, _ = node["target"].split(".")
        arguments = [self._argument(i["arg"]) for i in node["inputs"] if i.get("kind") != 2]
        named = {i["name"]: self._argument(i["arg"]) for i in node["inputs"] if i.get("kind") == 2}
        result = self._apply(
            operation, arguments, {k: v for k, v in named.items() if v is not None}
        )
        for output in node["outputs"]:
            if "as_tensor" in output:
                self._known[output["as_tensor"]["name"]] = result
            else:
                for i, one in enumerate(output["as_tensors"]):
                    self._known[one["name"]] = self._making.step(ITEM, result, i)

    def _argument(self, argument: dict) -> Any:
        ((kind, value),) = argument.items()
        if kind == "as_none":
            return None
        if kind == "as_tensor":
            return self._known[value["name"]]
        if kind == "as_tensors":
            return [self._known[one["name"]] for one in value]
        if kind in (
            "as_int",
            "as_float",
            "as_bool",
            "as_string",
            "as_ints",
            "as_floats",
            "as_bools",
        ):
            return value
        if kind in ("as_scalar_type", "as_device", "as_layout", "as_memory_format"):
            return None  # of copies that change nothing here
        raise ImportRefused(
            "the policy does something that depends on how many observations come at once; export "
            "it without reshaping, or bring the weights of its layers"
        )
