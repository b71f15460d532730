"""Numbers over time, for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Writes metrics into a TensorBoard folder. One thread."""

    def __init__(self, folder: Path):
        self._writer = SummaryWriter(str(folder), flush_secs=10)

    def write(self, env_steps: int, metrics: Mapping[str, float]) -> None:
        """Record what is known (not NaN) at this environment step."""
        for name, value in metrics.items():
            if value == value:
                self._writer.add_scalar(name, value, env_steps)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
