"""Components of one's own reach the jobs in the image."""

import own_folder
import pytest


@pytest.mark.slow
def test_what_is_added_runs_alone_in_the_image_too(tmp_path, sif):
    own_folder.check(own_folder.run(tmp_path / "folder", f"image={sif.path}", "--use-singularity"))
