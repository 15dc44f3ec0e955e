"""The machine that computes: what made a number, in words."""

import platform

import torch

__all__ = ["describe_machine"]


def describe_machine(device: str) -> str:
    """Tell the device and the versions that made a result."""
    what = (
        torch.cuda.get_device_name()
        if device.startswith("cuda")
        else f"{torch.get_num_threads()} CPU threads, {platform.machine()}"
    )
    return f"{what}, Python {platform.python_version()}, torch {torch.__version__}"
