"""Make a behaviour-cloned robot policy reliable while the robot works (PORL, arXiv 2505.16856)."""

__version__ = "0.1.0"
