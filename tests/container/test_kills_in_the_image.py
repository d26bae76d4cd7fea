"""SIGKILL at random moments of a workflow whose jobs run in the image, as tests/workflow/test_kills
does on the host. KBENCH_TRUST=1 kills ten times; without it, twice.
"""

import os
import shutil

import kills
import pytest
from tiny import ROOT

pytestmark = pytest.mark.slow


def test_nothing_is_lost_in_the_image_and_no_job_goes_on_alone(sif, open_folder):
    checkout = open_folder / "killed"
    for folder in (checkout, open_folder / "alone"):
        folder.mkdir()
        shutil.copy(ROOT / "Snakefile", folder)
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        (folder / "profiles").symlink_to((ROOT / "profiles").readlink())
    tables = kills.until_done(checkout, 10 if "KBENCH_TRUST" in os.environ else 2, sif.path)
    expected = kills.undisturbed(open_folder / "alone", sif.path)
    assert all(table == expected for table in tables)
