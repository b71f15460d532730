"""Products of matrices, in full float32, in the fastest way that torch has on this processor.

On a CPU torch multiplies float32 matrices with MKL, which leaves the AVX-512 of other makers'
processors unused. oneDNN, which torch also brings along, asks the processor what it can do and is
twice as fast there (docs/learner_speed.md). Its product is reached through an operator made for
torch's own compiler; without it, or where there is no AVX-512, these are torch's usual products.
"""

import torch
from torch import Tensor, nn

# Multiplications below which the 13 us that it takes to call oneDNN are not won back (measured).
WORTH_IT = 3_000_000


def _has_onednn() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


ONEDNN = _has_onednn()


def _pays(left: Tensor, columns: int) -> bool:
    large = left.numel() * columns >= WORTH_IT
    return ONEDNN and large and left.is_cpu and left.dtype is torch.float32


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """(m, k) times (k, n), plus (n,). Knows no gradient."""
    if _pays(left, right.shape[1]):
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], "")
    return torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)


def weight_gradient(upstream: Tensor, inputs: Tensor, out: Tensor) -> Tensor:
    """Of inputs @ weight.T: writes to `out` (out, in) what comes of (b, out) and (b, in)."""
    if inputs.shape[1] < upstream.shape[1]:  # what is turned over should be the smaller
        out.t().copy_(product(inputs.t(), upstream))
    elif _pays(upstream, inputs.shape[1]):
        out.copy_(product(upstream.t(), inputs))
    else:
        torch.mm(upstream.t(), inputs, out=out)
    return out


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return product(inputs, weight.t(), bias)

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(upstream, weight) if of_inputs else None,
            weight_gradient(upstream, inputs, torch.empty_like(weight)) if of_weight else None,
            upstream.sum(0) if of_bias else None,
        )


class FastLinear(nn.Linear):
    """nn.Linear made of these products where they pay."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(b, in) to (b, out)."""
        if inputs.dim() == 2 and _pays(inputs, self.out_features):
            return _Products.apply(inputs, self.weight, self.bias)
        return super().forward(inputs)


def quicken(module: nn.Module) -> nn.Module:
    """Turn its linear layers into FastLinear, in place; parameters and their names stay."""
    for part in module.modules():
        if type(part) is nn.Linear:
            part.__class__ = FastLinear
    return module
