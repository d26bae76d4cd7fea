"""Peak arithmetic of devices, for the share of it that a training step uses."""

PEAK_BF16 = {
    "H200": 989.4e12,
    "H100 PCIe": 756e12,
    "H100": 989.4e12,
    "A100": 312e12,
}
"""Dense bf16 operations per second by a part of the device's name, the first that fits.

Source: NVIDIA's data sheets of H200 (SXM), H100 (PCIe; SXM) and A100, half of the figures given
with sparsity.
"""


def peak(device_name: str, precision: str) -> float | None:
    """Return the peak in operations per second, or None where it is not known."""
    if precision == "fp32":
        return None
    return next((operations for name, operations in PEAK_BF16.items() if name in device_name), None)
