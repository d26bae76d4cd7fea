"""`kbench dataset verify`: each kind of difference is found and named."""

import io
import os
import shutil
import tarfile

import pytest
from layout import image, write_split

from kbench.datasets import dataset as known_datasets
from kbench.datasets.reader import Split
from kbench.datasets.transform import Transform
from kbench.datasets.verify import verify
from kbench.errors import UserError


def problems(root, pixels=False, **changes):
    dataset = known_datasets.get("mine").model_copy(update=changes)
    return verify(dataset, root, pixels).problems


def rewrite(root, name, *arguments, **options):
    shutil.rmtree(root / name)
    write_split(root, name, *arguments, **options)


def test_a_sound_dataset_is_as_described(mine):
    report = verify(known_datasets.get("mine"), mine)
    assert report.problems == [] and report.images == {"train": 6, "test": 4}
    assert verify(known_datasets.get("mine"), mine, pixels=True).problems == []


def test_counts(mine):
    assert problems(mine, n_test=5) == ["dataset 'mine', split 'test' has 4 images, not 5"]


def test_an_image_in_two_splits(mine):
    rewrite(mine, "test", [100, 3, 4, 103])
    (problem,) = problems(mine)
    assert (
        "'train' and 'test' share 2 images, such as samples '000000003' and '000000001'" in problem
    )


def test_a_loader_that_ignored_the_split(mine):
    rewrite(mine, "test", range(6))
    (problem,) = problems(mine, n_test=6)
    assert "share 6 images" in problem


def test_images_encoded_again_are_found_by_their_pixels(mine):
    rewrite(mine, "test", [100, 3, 102, 103], suffix="webp")
    assert problems(mine) == []
    (problem,) = problems(mine, pixels=True)
    assert "share 1 images" in problem


def test_images_twice_in_one_split_are_counted(mine):
    rewrite(mine, "train", [0, 1, 2, 2, 2, 5])
    report = verify(known_datasets.get("mine"), mine)
    assert report.problems == [] and report.repeated == {"train": 2, "test": 0}


def test_class_order(mine):
    (mine / "classnames.txt").write_text("odd_number\neven number\n")
    (problem,) = problems(mine)
    assert (
        "not in alphabetical order" in problem
        and "first class 0 is 'odd_number', not 'even number'" in problem
    )


def test_classes_of_another_package(mine):
    (problem,) = problems(mine, class_names="clip_benchmark:pcam")
    assert "differs from clip_benchmark:pcam: 2 places, first class 0 is 'even number'" in problem


def test_class_list_of_another_length(mine):
    (mine / "classnames.txt").write_text("even number\nodd_number\nprime\n")
    assert "names 3 classes; 'mine' has 2" in problems(mine)[0]


def test_a_class_without_images(mine):
    rewrite(mine, "test", [100, 102, 104, 106])
    assert problems(mine) == ["1 classes have no image in 'test', the first is 1"]


def test_labels_out_of_range(mine):
    rewrite(mine, "test", range(100, 104), labels=[0, 1, 2, 0])
    (problem,) = problems(mine)
    assert "split 'test', sample '000000002': its label '2' is not a class index below 2" in problem


def test_missing_shard_and_zero_images(mine):
    (mine / "train" / "nshards.txt").write_text("2\n")
    shutil.rmtree(mine / "test")
    write_split(mine, "test", [1])
    (mine / "test" / "0.tar").write_bytes(b"\0" * 10240)
    missing, empty = problems(mine)
    assert (
        "1.tar is missing; nshards.txt promises 2" in missing
        and "split 'test'" in empty
        and "no images" in empty
    )


def test_archives_as_other_tools_write_them(mine):
    """Member names begin with './', and a key comes again later."""
    samples = [("./a", 0), ("./b", 1), ("./c", 2), ("./a", 3)]
    with tarfile.open(mine / "test" / "0.tar", "w") as archive:
        for key, number in samples:
            for suffix, content in (
                ("png", image(200 + number)),
                ("cls", str(number % 2).encode()),
            ):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    assert problems(mine) == []
    assert (
        sum(
            map(len, Split(known_datasets.get("mine"), mine, "test").batches(3, Transform.whole(8)))
        )
        == 4
    )


def test_a_retrieval_set_has_to_say_so(mine):
    changes = {"kind": "retrieval", "n_classes": None, "train_split": None}
    assert (
        "dataset_type.txt is absent, which means 'classification', not 'retrieval'"
        in problems(mine, **changes)[0]
    )


def test_a_split_that_the_dataset_does_not_have(mine):
    write_split(mine, "val", [50])
    with pytest.raises(
        UserError, match=r"unknown split of dataset 'mine' 'val'.* Legal: test, train"
    ):
        Split(known_datasets.get("mine"), mine, "val")


def test_command_passes_and_fails(command, refused, mine, tmp_path):
    process = command("dataset", "verify", "--data", mine.parent)
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == [
        "mine",
        "as",
        "described",
        "images:",
        "train",
        "6,",
        "test",
        "4",
    ]
    rewrite(mine, "test", [0, 1, 102])
    process = command("dataset", "verify", "mine", "--data", mine.parent)
    refused(process, "differences from the metadata: 1")
    assert "split 'test' has 3 images, not 4" in process.stderr
    refused(command("dataset", "verify", "--data", tmp_path / "workflow"), "no dataset is present")


def test_the_embedded_world_is_as_described(tiny_world):
    for dataset in map(known_datasets.get, known_datasets.names()):
        if dataset.location == "world":
            report = verify(dataset, tiny_world / dataset.folder)
            assert report.problems == [], dataset.name


@pytest.mark.slow
def test_real_datasets_are_as_described(kbench):
    if "KBENCH_DATA" not in os.environ:
        pytest.skip("KBENCH_DATA is not set")
    process = kbench("dataset", "verify", KBENCH_DATA=os.environ["KBENCH_DATA"])
    assert process.returncode == 0, process.stderr
