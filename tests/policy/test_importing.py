"""Policies from elsewhere act here as they did there, or are refused with the reason."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from bundles import SIZES, edit_manifest, unlock
from safetensors.torch import save_file
from torch import nn

from porl_ros.errors import ConfigError
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import Porl
from porl_ros.policy.bundle import MANIFEST, BundleError, load_bundle, save_bundle
from porl_ros.policy.importing import ImportRefused, import_policy
from porl_ros.policy.network import Actor
from porl_ros.policy.residual import ResidualActor
from porl_ros.policy.signature import Signature
from porl_ros.replay.memory.batch import Batch
from porl_ros.robot.observation import ObservationAssembler

TAKES, GIVES = SIZES


def network(activation=nn.ReLU, *after: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(TAKES, 32), activation(), nn.Linear(32, 16), activation()
    return nn.Sequential(*layers, nn.Linear(16, GIVES), *after).eval()


def seen(count: int = 20, size: int = TAKES) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(5))


def saved(path, module: nn.Module):
    torch.save(module.state_dict(), path)
    return path


def taken(path, config, **signature):
    return import_policy(path, config, Signature(**signature), 0.3)


def acts_as(actor, expected: torch.Tensor, observations: torch.Tensor) -> None:
    """In batches, one by one, and as it acts on a robot."""
    with torch.inference_mode():
        assert torch.allclose(actor(observations), expected, atol=1e-4)
        control = actor.for_control()
        for row, wanted in zip(observations, expected, strict=True):
            np.testing.assert_allclose(control(row.numpy()), wanted.numpy(), atol=1e-4)


def test_layers_with_relu_become_a_network_that_is_learned_on(tmp_path, config):
    module = network()
    imported = taken(saved(tmp_path / "p.pth", module), config)
    assert isinstance(imported.actor, Actor)
    assert imported.actor.hidden == (32, 16)
    acts_as(imported.actor, module(seen()).detach(), seen())
    save_file(module.state_dict(), tmp_path / "p.safetensors")
    again = taken(tmp_path / "p.safetensors", config)
    assert torch.equal(again.actor(seen()), imported.actor(seen()))


def test_order_scale_and_normalisation_are_the_signatures(tmp_path, config):
    """A policy of two elements and other units: the same numbers reach it, the same leave it."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    names = ObservationAssembler(config).names
    signature = {
        "observation": (names[4], names[1]), "mean": (0.5, -1.0), "std": (2.0, 0.25),
        "action": ("z", "x", "y"), "action_scale": (10.0, 5.0, 1.0),
    }  # fmt: skip
    theirs = module((seen()[:, [4, 1]] - torch.tensor([0.5, -1.0])) / torch.tensor([2.0, 0.25]))
    expected = (theirs * torch.tensor([10.0, 5.0, 1.0]))[:, [1, 2, 0]].detach()
    acts_as(taken(saved(tmp_path / "p", module), config, **signature).actor, expected, seen())
    frozen = taken(saved(tmp_path / "p", module), config, activation="tanh", **signature)
    assert frozen.frozen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_is_wired_by_its_signature_too(tmp_path, config):
    module, names = nn.Linear(2, 3), ObservationAssembler(config).names
    torch.jit.trace(module, torch.zeros(1, 2)).save(tmp_path / "p.ts")
    signature = {"observation": (names[4], names[1]), "action": ("z", "x", "y")}
    expected = module(seen()[:, [4, 1]])[:, [1, 2, 0]].detach()
    acts_as(taken(tmp_path / "p.ts", config, **signature).actor, expected, seen())


@pytest.mark.parametrize(
    ("prefixes", "activation", "squash", "frozen"),
    [
        (("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net"), nn.Tanh, 0, 1),
        (("actor.latent_pi.0", "actor.latent_pi.2", "actor.mu"), nn.ReLU, 1, 1),
        (("actor.mu.0", "actor.mu.2", "actor.mu.4"), nn.ReLU, 1, 1),
    ],
)
def test_what_stable_baselines3_saves_is_known_by_its_names(
    tmp_path, config, prefixes, activation, squash, frozen
):
    module = network(activation, *([nn.Tanh()] if squash else []))
    layers = [part for part in module if isinstance(part, nn.Linear)]
    tensors = {"log_std": torch.zeros(GIVES), "mlp_extractor.value_net.0.weight": torch.ones(9, 9)}
    for name, layer in zip(prefixes, layers, strict=True):
        tensors |= {f"{name}.weight": layer.weight.data, f"{name}.bias": layer.bias.data}
    weights = io.BytesIO()
    torch.save(tensors, weights)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("policy.pth", weights.getvalue())
        archive.writestr("data", json.dumps({"policy_class": {":serialized:": "gASV"}}))
    imported = taken(tmp_path / "model.zip", config)
    assert imported.frozen == bool(frozen)
    acts_as(imported.actor, module(seen()).detach(), seen())


class Unusual(nn.Module):
    """What a scripted policy may do."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(TAKES, 16), nn.LayerNorm(16), nn.ELU(), nn.Dropout(0.5), nn.GELU()
        )
        self.head = nn.Linear(16, 2 * GIVES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, spread = self.head(self.body(x)).chunk(2, dim=-1)
        return torch.tanh(mean + 0.1 * spread)


@pytest.mark.slow
@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, seen(1))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_taken_over_as_it_is(tmp_path, config, make):
    torch.manual_seed(0)
    module = Unusual().eval()
    make(module).save(tmp_path / "policy.pt")
    imported = taken(tmp_path / "policy.pt", config)
    assert (imported.form, imported.frozen) == ("TorchScript", True)
    acts_as(imported.actor, module(seen()).detach(), seen())


def exported(path, module: nn.Module, batch: int | None = None):
    sizes = {"x": {0: torch.export.Dim("batch", min=1)}} if batch is None else None
    program = torch.export.export(module, (seen(batch or 2),), dynamic_shapes=sizes)
    torch.export.save(program, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 1])
def test_an_exported_program_is_taken_over_as_it_is(tmp_path, config, batch):
    torch.manual_seed(0)
    module = Unusual().eval()
    imported = taken(exported(tmp_path / "policy.pt2", module, batch), config)
    assert (imported.form, imported.frozen) == ("exported program", True)
    acts_as(imported.actor, module(seen()).detach(), seen())


def test_a_frozen_policy_travels_in_bundles_and_only_its_correction_learns(tmp_path, config):
    module = network(nn.Tanh)
    actor = taken(saved(tmp_path / "p", module), config, activation="tanh").actor
    save_bundle(
        tmp_path / "b", actor, config.contract, made_by="a test", version=0, exploration_std=0.1
    )
    loaded = load_bundle(tmp_path / "b", config).actor
    acts_as(loaded, module(seen()).detach(), seen())
    porl = Porl(loaded, PorlConfig(), seed=0)
    before = {name: tensor.clone() for name, tensor in porl.actor.state_dict().items()}
    porl.update_actor(made_batch(), anchor=0.0)
    porl.update_actor(made_batch(), anchor=0.0)
    after = porl.actor.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("correction.layers") for name in changed)
    moved = (porl.actor(seen()) - module(seen())).abs()
    assert 0.0 < moved.max() <= 0.3 + 1e-4


def made_batch() -> Batch:
    rng = np.random.default_rng(0)
    sizes = {"observation": (64, TAKES), "next_observation": (64, TAKES), "action": (64, GIVES)}
    return Batch(**{
        name: rng.uniform(-1, 1, sizes.get(name, 64)).astype(np.float32) for name in Batch._fields
    })  # fmt: skip


# What is refused


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_wants_to_act_is_not_carried_out(tmp_path, config):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "written"), "w")

    torch.save({"0.weight": Evil()}, tmp_path / "p.pth")
    (tmp_path / "q.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("p.pth", "q.pth"):
        with pytest.raises(ImportRefused, match="torch reads no tensors"):
            taken(tmp_path / name, config)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.clear(), "there is no layer"),
        (lambda t: t["0.weight"].fill_(np.nan), "layer '0': holds values that are no finite"),
        (
            lambda t: t.update({"2.weight": torch.ones(16, 31)}),
            "layer '2' takes 31 numbers and '0'",
        ),
        (lambda t: t.update({"4.bias": torch.ones(2)}), "layer '4': its bias"),
        (lambda t: t.update({"0.weight": torch.ones(32, 9)}), "names 15 elements and .* takes 9"),
    ],
)
def test_weights_that_are_no_such_policy_are_refused(tmp_path, config, change, complaint):
    tensors = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    change(tensors)
    torch.save(tensors, tmp_path / "p")
    with pytest.raises((ImportRefused, ConfigError), match=complaint):
        taken(tmp_path / "p", config)


@pytest.mark.parametrize(
    ("signature", "complaint"),
    [
        (
            {"observation": ("to_socket.w",)},
            "the contract has no 'to_socket.w'; it has to_socket.x",
        ),
        ({"action": ("x", "y")}, "nobody gives z"),
        ({"action": ("x", "y", "y")}, "y stands more than once"),
        ({"mean": (1.0,)}, "signature.mean: 1 numbers for 15 elements"),
        ({"layers": ("first",)}, "layer 'first': there is no two-dimensional"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(tmp_path, config, signature, complaint):
    path = saved(tmp_path / "p", network())
    with pytest.raises((ImportRefused, ConfigError), match=complaint):
        taken(path, config, **signature)


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :3] + torch.randn_like(x[:, :3])


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :3] if float(x.sum()) > 0 else -x[:, :3]


class Tied(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, -1)[:, :3]


class TwoFold(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :3], x[:, 3:6]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (Random(), "uses 'randn_like'"),
        (Branching(), "uses 'prim::If'|uses 'item|uses 'Float|uses 'aten"),
        (Tied(), "action depends on|one observation only|not fit the contract"),
        (TwoFold(), "must give one tensor"),
        (nn.Linear(TAKES, 5), "does not fit the contract"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_cannot_be_frozen_is_refused(tmp_path, config, module, complaint):
    torch.jit.script(module).save(tmp_path / "p.pt")
    with pytest.raises(ImportRefused, match=complaint):
        taken(tmp_path / "p.pt", config)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"operation": "from_file"}, "'from_file' is not an operation of a policy"),
        ({"operation": "save"}, "'save' is not an operation of a policy"),
        ({"arguments": [{"at": 7}]}, "steps.0., linear"),
        ({"arguments": [{"at": 0}]}, "steps.0., linear"),
        ({"arguments": [{"tensor": "mean"}]}, "program.steps.0.arguments"),
    ],
)
def test_a_program_in_a_manifest_that_is_no_policy_is_refused(tmp_path, config, change, complaint):
    actor = taken(saved(tmp_path / "p", network(nn.Tanh)), config, activation="tanh").actor
    assert isinstance(actor, ResidualActor)
    fields = {"made_by": "a test", "version": 0, "exploration_std": 0.1}
    save_bundle(tmp_path / "b", actor, config.contract, **fields)
    unlock(tmp_path / "b")
    program = json.loads((tmp_path / "b" / MANIFEST).read_text())["program"]
    program["steps"][0] |= change
    edit_manifest(tmp_path / "b", program=program)
    with pytest.raises(BundleError, match=complaint):
        load_bundle(tmp_path / "b", config)
    edit_manifest(tmp_path / "b", residual=None)
    with pytest.raises(BundleError, match="stands under a residual|program"):
        load_bundle(tmp_path / "b", config)
