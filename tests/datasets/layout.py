"""Write evaluation datasets of a few images."""

import io

from PIL import Image

from kbench.world.shards import write_shards

ENTRY = """\
kind: classification
location: data
folder: mine
source: made for a test
n_train: 6
n_test: 4
n_classes: 2
main_metric: acc1
class_order: alphabetical
stand_in: world-shape
"""


def image(number, suffix="png"):
    """Return an encoded image that no other number has."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 255 - number, 7 * number % 256)).save(
        stream, suffix, lossless=True
    )
    return stream.getvalue()


def write_split(root, name, numbers, labels=None, suffix="png"):
    """Write a split that shows the numbers; label of each is its parity unless given."""
    labels = [number % 2 for number in numbers] if labels is None else labels
    samples = (
        {suffix: image(n, suffix), "cls": str(c).encode()}
        for n, c in zip(numbers, labels, strict=True)
    )
    shards = write_shards(root / name, samples, "{}.tar")
    (root / name / "nshards.txt").write_text(f"{shards}\n")


def write_dataset(root, train=range(6), test=range(100, 104)):
    """Write the dataset that ENTRY describes."""
    write_split(root, "train", train)
    write_split(root, "test", test)
    (root / "classnames.txt").write_text("even number\nodd_number\n")
    (root / "zeroshot_classification_templates.txt").write_text("a picture of an {c}.\n")
    return root
