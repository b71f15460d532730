"""A network that is not ours, as a list of operations: data in a manifest, never code.

What people bring as TorchScript, as an exported program or as layers of another kind becomes such a
list when it is imported. It is frozen; a `ResidualActor` on top of it is what learns.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from torch import Tensor, nn

# Names of `torch.ops.aten`: functions of their arguments and nothing else. No random numbers, no
# files, no sizes that follow from values.
OPERATIONS = frozenset({
    "abs", "add", "addmm", "cat", "chunk", "clamp", "clamp_max", "clamp_min", "div", "elu", "exp",
    "flatten", "gelu", "hardsigmoid", "hardswish", "hardtanh", "layer_norm", "leaky_relu", "linear",
    "log", "matmul", "maximum", "mean", "minimum", "mish", "mm", "mul", "narrow", "neg", "permute",
    "pow", "reciprocal", "relu", "reshape", "rsqrt", "rsub", "select", "sigmoid", "sign", "silu",
    "slice", "softmax", "softplus", "split", "sqrt", "squeeze", "stack", "sub", "sum", "t", "tanh",
    "transpose", "unbind", "unsqueeze", "view",
})  # fmt: skip
ITEM = "item"  # of what an operation with several results gave
MAX_NUMBERS = 2**24  # of any value, for a batch of two; a policy that needs more is a mistake


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(_Plain):
    """What came of an earlier step: 0 is the observation, n what came of step n - 1."""

    at: int = Field(ge=0, lt=2000)


class Stored(_Plain):
    """A tensor of the bundle's weights."""

    tensor: str = Field(pattern=r"^t\d{1,4}$")


Scalar = bool | int | FiniteFloat | Annotated[str, Field(max_length=32)] | None
Argument = Value | Stored | Scalar | tuple[Value | Stored | Scalar, ...]
Size = Annotated[int, Field(gt=0, le=MAX_NUMBERS)]


class Step(_Plain):
    """One operation. `named` are the arguments that PyTorch takes by name only."""

    operation: str
    arguments: tuple[Argument, ...] = Field(max_length=16)
    named: dict[str, Argument] = {}


class Program(_Plain):
    """The steps, one after the other; the last gives the mean action. `tensors`: their shapes."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)
    tensors: dict[Annotated[str, Field(pattern=r"^t\d{1,4}$")], tuple[Size, ...]]


class ProgramError(ValueError):
    """A program that cannot be run; the text says which step, and why."""


class FrozenNetwork(nn.Module):
    """A program and its tensors: what a `ResidualActor` corrects. Learns nothing itself.

    `mean` and `std` (observation_size) normalise observations for what learns on top of it.
    """

    def __init__(self, program: Program, observation_size: int, action_size: int):
        """Raises ProgramError for an operation that is not known, or that does not come to actions
        (batch, action_size) for observations (batch, observation_size)."""
        super().__init__()
        self.program = program
        self.observation_size, self.action_size = observation_size, action_size
        self.register_buffer("mean", torch.zeros(observation_size))
        self.register_buffer("std", torch.ones(observation_size))
        for name, shape in program.tensors.items():
            self.register_buffer(name, torch.zeros(shape))
        self._functions = [_function(i, step) for i, step in enumerate(program.steps)]
        self._try_shapes()

    def _try_shapes(self) -> None:
        """Without numbers, so that sizes that are only claimed take no memory."""
        stored = {name: tensor.to("meta") for name, tensor in self.named_buffers()}
        outcome = self._run(torch.empty(2, self.observation_size, device="meta"), stored)
        if not isinstance(outcome, Tensor) or outcome.shape != (2, self.action_size):
            shape = tuple(outcome.shape) if isinstance(outcome, Tensor) else "several values"
            raise ProgramError(f"gives {shape} for two observations, not (2, {self.action_size})")

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, n) -> mean action (batch, m)."""
        with torch.no_grad():
            return self._run(observation, dict(self.named_buffers()))

    def for_control(self) -> Callable[[np.ndarray], np.ndarray]:
        """The same function for one observation."""
        stored = {name: tensor.detach().cpu() for name, tensor in self.named_buffers()}

        def act(observation: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return self._run(torch.from_numpy(observation)[None], stored)[0].numpy()

        return act

    def _run(self, observation: Tensor, stored: dict[str, Tensor]) -> Any:
        values: list[Any] = [observation]
        for i, (step, function) in enumerate(zip(self.program.steps, self._functions, strict=True)):
            try:
                arguments = [_resolve(a, values, stored) for a in step.arguments]
                named = {name: _resolve(a, values, stored) for name, a in step.named.items()}
                values.append(function(*arguments, **named))
            except (RuntimeError, TypeError, IndexError, KeyError, ValueError) as error:
                why = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ProgramError(f"steps[{i}], {step.operation}: {why}") from None
            if isinstance(values[-1], Tensor) and values[-1].numel() > MAX_NUMBERS * len(
                observation
            ):
                raise ProgramError(f"steps[{i}], {step.operation}: its result is too large")
        return values[-1]


def _function(index: int, step: Step) -> Callable:
    if step.operation == ITEM:
        return lambda values, at: values[at]
    if step.operation not in OPERATIONS:
        raise ProgramError(f"steps[{index}]: '{step.operation}' is not an operation of a policy")
    return getattr(torch.ops.aten, step.operation)


def _resolve(argument: Argument, values: Sequence[Any], stored: dict[str, Tensor]) -> Any:
    if isinstance(argument, Value):
        return values[argument.at]
    if isinstance(argument, Stored):
        return stored[argument.tensor]
    if isinstance(argument, tuple):
        return [_resolve(one, values, stored) for one in argument]
    return argument


class Assembling:
    """Puts a program together, step by step."""

    observation = Value(at=0)

    def __init__(self):
        self._steps: list[Step] = []
        self._tensors: dict[str, Tensor] = {}

    def store(self, tensor: Tensor) -> Stored:
        """Keep a tensor, as float32."""
        name = f"t{len(self._tensors)}"
        self._tensors[name] = tensor.detach().to(torch.float32).contiguous().clone()
        return Stored(tensor=name)

    def step(self, operation: str, *arguments: Argument, **named: Argument) -> Value:
        """Append an operation; what comes of it."""
        self._steps.append(Step(operation=operation, arguments=arguments, named=named))
        return Value(at=len(self._steps))

    def network(self, observation_size: int, action_size: int) -> FrozenNetwork:
        """The whole, with its tensors. Raises ProgramError."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        program = Program(steps=tuple(self._steps), tensors=shapes)
        network = FrozenNetwork(program, observation_size, action_size)
        network.load_state_dict(network.state_dict() | self._tensors)
        return network
