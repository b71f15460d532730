"""How the simulated arm moves: its drives, and what a cell changes of them."""

from collections.abc import Sequence

import mujoco

from porl_ros.errors import ConfigError
from porl_ros.simulation.composing import PAYLOAD
from porl_ros.simulation.variant import Variant

# Radius of gyration of a payload, m: a lump of a few centimetres.
PAYLOAD_SIZE = 0.03


class Drive:
    """A joint and the actuator that moves it, in the units of the joint."""

    def __init__(self, model: mujoco.MjModel, joint: str):
        joint_id = model.joint(joint).id
        self._address = model.jnt_qposadr[joint_id]
        self.dof = model.jnt_dofadr[joint_id]
        self.actuator = self._find(model, joint, joint_id)
        # Some actuators scale their input (the 2F-85 takes 0..255): ctrl = gain * position.
        self._gain = (
            -model.actuator_biasprm[self.actuator, 1] / model.actuator_gainprm[self.actuator, 0]
        )

    @staticmethod
    def _find(model: mujoco.MjModel, joint: str, joint_id: int) -> int:
        for actuator in range(model.nu):
            target = model.actuator_trnid[actuator, 0]
            if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT and target == joint_id:
                return actuator
            if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_TENDON:
                first, count = model.tendon_adr[target], model.tendon_num[target]
                if joint_id in model.wrap_objid[first : first + count]:
                    return actuator
        raise ConfigError(f"joint '{joint}': the scene has no actuator that moves it")

    def place(self, data: mujoco.MjData, position: float) -> None:
        data.qpos[self._address] = position
        self.command(data, position)

    def command(self, data: mujoco.MjData, position: float) -> None:
        data.ctrl[self.actuator] = self._gain * position


class Dynamics:
    """Damping and payload of the arm: sets them in a compiled model, which remembers nothing of
    the cell before."""

    def __init__(self, model: mujoco.MjModel, drives: Sequence[Drive]):
        self._model = model
        self._dofs = [drive.dof for drive in drives]
        self._actuators = [drive.actuator for drive in drives]
        self._damping = model.dof_damping[self._dofs].copy()
        self._gain = model.actuator_biasprm[self._actuators, 2].copy()
        self._payload = model.body(PAYLOAD).id

    def set(self, variant: Variant, data: mujoco.MjData) -> None:
        """`data` is used to compute with, and is to be reset afterwards."""
        model = self._model
        model.dof_damping[self._dofs] = self._damping * variant.damping
        model.actuator_biasprm[self._actuators, 2] = self._gain * variant.damping
        if model.body_mass[self._payload] != variant.payload:
            model.body_mass[self._payload] = variant.payload
            model.body_inertia[self._payload] = variant.payload * PAYLOAD_SIZE**2
            mujoco.mj_setConst(model, data)  # what MuJoCo derives from masses when it compiles
