"""One critic's network, with its derivative written out: half of the time of autograd's.

    h_0 = inputs,  h_k = relu(norm(h_{k-1} W_k^T + b_k)),  value = h_last W^T + b

`norm` is a LayerNorm with scale and shift, or nothing. All functions are without gradient.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from porl_ros.learning.products import product, weight_gradient

EPSILON = 1e-5  # of LayerNorm, torch's default


class Layer(NamedTuple):
    """Parameters of one layer, or what is of the same shapes: their gradients."""

    weight: Tensor  # (out, in)
    bias: Tensor  # (out,)
    scale: Tensor | None = None  # of the LayerNorm (out,)
    shift: Tensor | None = None


class Record(NamedTuple):
    """What a layer's derivative needs to know of its forward pass."""

    inputs: Tensor  # (b, in)
    summed: Tensor | None = None  # before the LayerNorm (b, out)
    mean: Tensor | None = None
    inverse_std: Tensor | None = None


def shapes(sizes: list[int], layer_norm: bool) -> Iterator[tuple[int, ...]]:
    """Of the parameters in order, for the widths of inputs and hidden layers."""
    for fan_in, fan_out in pairwise(sizes):
        yield from ((fan_out, fan_in), (fan_out,), *([(fan_out,)] * (2 * layer_norm)))
    yield from ((1, sizes[-1]), (1,))


def layers_in(row: Tensor, sizes: list[int], layer_norm: bool) -> list[Layer]:
    """Views of all parameters of a network, which lie one after the other in `row`."""
    wanted = [torch.Size(shape) for shape in shapes(sizes, layer_norm)]
    parts = row.split([shape.numel() for shape in wanted])
    views = [part.view(shape) for part, shape in zip(parts, wanted, strict=True)]
    each = 4 if layer_norm else 2
    return [Layer(*views[at : at + each]) for at in range(0, len(views), each)]


def value(layers: list[Layer], inputs: Tensor, tape: list[Record] | None = None) -> Tensor:
    """(b, k) to (b,). Puts on `tape` what `gradients` will need."""
    record = tape.append if tape is not None else lambda _: None
    for layer in layers[:-1]:
        output = product(inputs, layer.weight.t(), layer.bias)
        if layer.scale is None:
            record(Record(inputs))
        else:
            summed = output
            output, *moments = torch.native_layer_norm(
                summed, layer.bias.shape, layer.scale, layer.shift, EPSILON
            )
            record(Record(inputs, summed, *moments))
        inputs = output.relu_()
    record(Record(inputs))
    return product(inputs, layers[-1].weight.t(), layers[-1].bias).squeeze(1)


def gradients(
    layers: list[Layer], tape: list[Record], upstream: Tensor, into: list[Layer] | None = None
) -> Tensor:
    """Backwards from `upstream`, dL/dvalue (b,): dL/d(first layer's sum), (b, out).

    With `into`, views of the parameters' shapes, dL/dparameters is written there.
    """
    flow = upstream.unsqueeze(1)
    for at in reversed(range(len(layers))):
        layer, gradient = layers[at], into[at] if into else None
        if at + 1 < len(layers):
            _relu_backward_(flow, tape[at + 1].inputs)
            if layer.scale is not None:
                flow = _norm_backward(flow, layer, tape[at], gradient)
        if gradient:
            weight_gradient(flow, tape[at].inputs, gradient.weight)
            torch.sum(flow, 0, out=gradient.bias)
        if at:
            flow = product(flow, layer.weight)
    return flow


def _relu_backward_(flow: Tensor, output: Tensor) -> None:
    torch.ops.aten.threshold_backward.grad_input(flow, output, 0, grad_input=flow)


def _norm_backward(flow: Tensor, layer: Layer, record: Record, gradient: Layer | None) -> Tensor:
    wanted = [True, gradient is not None, gradient is not None]
    flow, scale, shift = torch.ops.aten.native_layer_norm_backward(
        flow, record.summed, layer.bias.shape, record.mean, record.inverse_std,
        layer.scale, layer.shift, wanted,
    )  # fmt: skip
    if gradient:
        gradient.scale.copy_(scale)
        gradient.shift.copy_(shift)
    return flow
