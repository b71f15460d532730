"""Whether joints are measured where they can be."""

import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Samples


class Plausible:
    """A robot may stand outside its limits, and is led back; but not any distance outside: by no
    more than the joint's `deviation` (its whole range, where that is null). One thread."""

    def __init__(self, config: RobotConfig):
        self._parts = []
        for source in config.observation.sources:
            joints = [j for j in getattr(source, "joints", ()) if j in config.safety.joints]
            if joints:
                limits = [config.safety.joints[joint] for joint in joints]
                index = [source.joints.index(joint) for joint in joints]
                margin = np.array([x.deviation or x.upper - x.lower for x in limits])
                lower = np.array([limit.lower for limit in limits]) - margin
                upper = np.array([limit.upper for limit in limits]) + margin
                self._parts.append((source, index, lower, upper))

    def fault(self, samples: Samples) -> str:
        """Which joint is where it cannot be; empty when there is none. Of the samples there are."""
        for source, index, lower, upper in self._parts:
            if source.name not in samples:
                continue
            position = samples[source.name].values["position"][index]
            bad = (position < lower) | (position > upper)
            if bad.any():
                i = int(bad.argmax())
                return (
                    f"{source.topic}: {source.joints[index[i]]} is measured at {position[i]:.4g}, "
                    f"outside {lower[i]:.4g} to {upper[i]:.4g}; check the sensor, or move it back"
                )
        return ""
