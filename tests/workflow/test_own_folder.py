"""A stranger's folder: what is added to a finished experiment runs alone, and is compared with what
was there.
"""

import own_folder
import pytest


@pytest.mark.whole
def test_what_is_added_runs_alone(tmp_path):
    own_folder.check(own_folder.run(tmp_path / "own folder"))
