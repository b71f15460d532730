"""What is written out by hand (derivatives, Adam, products) against what torch works out itself."""

import copy

import pytest
import torch
from torch import Tensor, nn

from porl_ros.learning import products
from porl_ros.learning.adam import Adam
from porl_ros.learning.critic import Critics
from porl_ros.learning.products import FastLinear, product, quicken, weight_gradient

SIZES = 5, 2  # observation, action


@pytest.fixture(params=["oneDNN everywhere", "usual products"], autouse=True)
def kind_of_product(request, monkeypatch):
    if request.param == "usual products":
        monkeypatch.setattr(products, "ONEDNN", False)
    elif not products.ONEDNN:
        pytest.skip("torch has no oneDNN product for this processor")
    else:
        monkeypatch.setattr(products, "WORTH_IT", 0)


def usual_networks(critics: Critics) -> list[nn.Sequential]:
    """The same networks made of torch's modules."""
    networks = []
    for layers in critics.members:
        modules: list[nn.Module] = []
        for layer in layers:
            modules.append(nn.Linear(*reversed(layer.weight.shape)))
            if layer is not layers[-1]:
                norm = [nn.LayerNorm(len(layer.bias))] if layer.scale is not None else []
                modules += [*norm, nn.ReLU()]
        networks.append(nn.Sequential(*modules))
        parameters = [p for layer in layers for p in layer if p is not None]
        for theirs, ours in zip(networks[-1].parameters(), parameters, strict=True):
            theirs.data.copy_(ours)
    return networks


def usual_values(networks: list[nn.Sequential], observation: Tensor, action: Tensor) -> Tensor:
    joined = torch.cat([observation, action], 1)
    return torch.stack([network(joined).squeeze(1) for network in networks])


def made_up(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(batch)
    shapes = (batch, SIZES[0]), (batch, SIZES[1]), (batch,)
    return tuple(torch.randn(shape, generator=random) for shape in shapes)


def make(count=3, hidden=(32, 16), layer_norm=True) -> Critics:
    torch.manual_seed(0)
    critics = Critics(*SIZES, hidden, count, layer_norm)
    with torch.no_grad():  # as if it had learned: no zeros or ones
        critics.flat.add_(0.1 * torch.randn_like(critics.flat))
    return critics


ENSEMBLES = [
    {"count": count, "hidden": hidden, "layer_norm": layer_norm}
    for count in (1, 3)
    for hidden in ((), (16,), (32, 16), (8, 64, 24))
    for layer_norm in (True, False)
]


@pytest.mark.parametrize("batch", [1, 7, 200])
@pytest.mark.parametrize("settings", ENSEMBLES, ids=str)
def test_values_and_derivatives_are_those_that_autograd_finds(settings, batch):
    critics = make(**settings)
    observation, action, target = made_up(batch)
    networks = usual_networks(critics)
    expected = usual_values(networks, observation, action)
    loss = (expected - target).square().mean(1).sum()
    parameters = [p for network in networks for p in network.parameters()]
    by_parameters = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)])

    values, gradient = critics.regress(observation, action, target)
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradient.reshape(-1), by_parameters, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(critics(observation, action), values)

    action.requires_grad_()
    mean = usual_values(networks, observation, action).mean(0)
    (by_action,) = torch.autograd.grad(mean.sum(), action)
    value, slope = critics.slope(observation, action.detach())
    torch.testing.assert_close(value, mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slope, by_action, atol=1e-5, rtol=1e-3)


def test_a_gradient_does_not_depend_on_the_one_before():
    critics, data = make(), made_up(7)
    first = critics.regress(*data)[1].clone()
    critics.regress(*made_up(20))
    assert torch.equal(critics.regress(*data)[1], first)


def test_some_members_only():
    critics, (observation, action, _) = make(4), made_up(7)
    some = critics(observation, action, members=[2, 0])
    assert torch.equal(some, critics(observation, action)[[2, 0]])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda critics: copy.deepcopy(critics).double()])
def test_a_copy_has_memory_of_its_own(copied):
    critics, data = make(), made_up(7)
    values, gradient = critics.regress(*data)
    values, gradient = values.clone(), gradient.clone()
    other = copied(critics)
    with torch.no_grad():
        other.flat.mul_(2.0)
    moved = [tensor.to(other.flat.dtype) for tensor in data]
    assert not torch.allclose(other.regress(*moved)[0].float(), values)
    assert torch.equal(critics(*data[:2]), values)
    assert torch.equal(critics._gradient, gradient)


def test_parameters_can_be_kept_and_put_back():
    critics, (observation, action, _) = make(), made_up(7)
    other = Critics(*SIZES, (32, 16), 3)
    assert not torch.allclose(other(observation, action), critics(observation, action))
    other.load_state_dict(copy.deepcopy(critics.state_dict()))
    assert torch.equal(other(observation, action), critics(observation, action))
    with pytest.raises(RuntimeError, match="size mismatch for flat"):
        Critics(*SIZES, (32, 16), 3, layer_norm=False).load_state_dict(critics.state_dict())


def test_all_members_begin_differently_and_as_torch_would():
    critics = Critics(*SIZES, (32, 16), 3)
    assert len({float(layers[0].weight[0, 0]) for layers in critics.members}) == 3
    for layer in critics.members[0][:-1]:
        assert float(layer.weight.abs().max()) <= layer.weight.shape[1] ** -0.5
        assert torch.equal(layer.scale, torch.ones_like(layer.scale))
        assert torch.equal(layer.shift, torch.zeros_like(layer.shift))


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 7, 5), (64, 96, 128), (256, 23, 256)])
def test_products_have_the_precision_of_float32(m, k, n):
    left, right, bias = torch.randn(m, k), torch.randn(k, n), torch.randn(n)
    exact = left.double() @ right.double()
    bound = 1e-6 * float(left.double().abs().mm(right.double().abs()).max()) + 1e-6
    assert float((product(left, right) - exact).abs().max()) < bound
    assert float((product(left, right, bias) - exact - bias).abs().max()) < bound
    turned = torch.empty(n, m)
    weight_gradient(right, left.t(), turned)  # (k, n) and (k, m) to (n, m)
    assert float((turned - exact.t()).abs().max()) < bound


def test_quick_linear_layers_are_the_same_function():
    usual = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3, bias=False))
    quick = quicken(copy.deepcopy(usual))
    assert [type(quick[0]), type(quick[2])] == [FastLinear, FastLinear]
    assert quick.state_dict().keys() == usual.state_dict().keys()
    inputs = torch.randn(9, 6, requires_grad=True)
    upstream = torch.randn(9, 3)
    theirs = torch.autograd.grad(usual(inputs), [inputs, *usual.parameters()], upstream)
    ours = torch.autograd.grad(quick(inputs), [inputs, *quick.parameters()], upstream)
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected)


def test_adam_takes_the_steps_of_torch():
    torch.manual_seed(0)
    shapes = (3, 4), (4,)
    ours = [torch.randn(shape) for shape in shapes]
    theirs = [nn.Parameter(tensor.clone()) for tensor in ours]
    adam, usual = Adam(ours, 1e-2), torch.optim.Adam(theirs, 1e-2)
    for _ in range(20):
        gradients = [torch.randn(shape) for shape in shapes]
        adam.step(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        usual.step()
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected.detach(), atol=1e-6, rtol=1e-5)
