"""Steps whose loss or gradient is not finite: they are skipped, and too many in a row end the
run.
"""

import torch


class Diverged(Exception):
    """Too many steps in a row were skipped; the last checkpoint is from before. The command exits
    with status 1.
    """


class LateReading:
    """A number on the device, read one step late, so that the host need not wait for the device to
    catch up.
    """

    def __init__(self) -> None:
        self.before: tuple[torch.Tensor, torch.cuda.Event] | None = None

    def exchange(self, number: torch.Tensor) -> int:
        """Hand over this step's number and return the one of the step before; on a CPU this
        step's.
        """
        if number.device.type == "cpu":
            return int(number)
        copied = torch.cuda.Event()
        pair = number.to("cpu", non_blocking=True), copied
        copied.record()
        before, self.before = self.before, pair
        if before is None:
            return 0
        before[1].synchronize()
        return int(before[0])
