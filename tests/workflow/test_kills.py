"""SIGKILL at random moments of a workflow; then the same command, until all is done.

The tables are those of a workflow in another folder, on one core, that nobody disturbed; nothing
finished is made again, and nobody has to unlock or clean up. KBENCH_TRUST=1 kills fifty times;
without it, four times.
"""

import os
import shutil

import kills
import pytest
from test_workflow import checkout  # noqa: F401
from tiny import EXPERIMENT


@pytest.mark.whole
@pytest.mark.skipif(
    "KBENCH_IN_THE_IMAGE" in os.environ, reason="done in the image: containers/ci.sh"
)
def test_nothing_that_was_finished_is_lost_or_made_again(checkout, tmp_path):  # noqa: F811
    experiment = checkout / "workflow" / "experiments" / "tiny.yaml"
    experiment.write_text(EXPERIMENT.replace("epochs: 1,", "epochs: 6,"))
    other = shutil.copytree(checkout, tmp_path / "another", symlinks=True)
    chosen = ("tiny", ["experiment=tiny"])
    done = kills.until_done(checkout, 50 if "KBENCH_TRUST" in os.environ else 4, *chosen)
    expected = kills.undisturbed(other, *chosen).table()
    assert all(one.table() == expected for one in done)
