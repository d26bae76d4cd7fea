"""A stranger's folder: what is added to a finished experiment runs alone, and is compared with what
was there.
"""

import os

import own_folder
import pytest


@pytest.mark.whole
@pytest.mark.skipif(
    "KBENCH_IN_THE_IMAGE" in os.environ, reason="done in the image: containers/ci.sh"
)
def test_what_is_added_runs_alone(tmp_path):
    own_folder.check(own_folder.run(tmp_path / "own folder"))
