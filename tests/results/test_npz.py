"""Small files of arrays: what is read is what numpy reads, or is left to it."""

import io

import numpy as np
import pytest

from kbench.errors import UserError
from kbench.results import arrays, npz

ARRAYS = {
    "scores": np.linspace(0, 1, 12).reshape(3, 4),
    "columns_first": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "hits": np.array([True, False, True]),
    "one": np.float32(2.5),
    "none": np.zeros((0, 3), np.float16),
    "names": np.array(["a", "bcd"]),
}


def packed(save, **values):
    stream = io.BytesIO()
    save(stream, **values)
    return stream.getvalue()


def same(seen, expected):
    assert seen.keys() == expected.keys()
    for name, array in seen.items():
        other = np.asarray(expected[name])
        assert array.dtype == other.dtype and array.shape == other.shape
        assert array.tobytes() == other.tobytes() and array.flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save):
    same(npz.read(packed(save, **ARRAYS), None), ARRAYS)
    chosen = npz.read(packed(save, **ARRAYS), ["hits", "absent"])
    same(chosen, {"hits": ARRAYS["hits"]})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_content_is_never_read_as_something_else(save):
    """Numpy takes or refuses a damaged file; what is read here is what numpy would have read, with
    any bit of the file turned.
    """
    content = packed(save, **ARRAYS)
    read = 0
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            seen = npz.read(bytes(damaged), None)
        except npz.Unusual:
            continue
        read += 1
        with np.load(io.BytesIO(damaged), allow_pickle=False) as stored:
            same(seen, {name: stored[name] for name in stored.files})
    assert read < 3 * len(content)  # of 8: most bits matter
    for length in range(0, len(content), 7):
        with pytest.raises(npz.Unusual):
            npz.read(content[:length], None)


def test_what_is_laid_out_otherwise_is_left_to_numpy(tmp_path):
    """Large files, and objects, which numpy refuses."""
    path = tmp_path / "large.npz"
    large = np.random.default_rng(0).random(arrays.SMALL // 8)
    np.savez(path, large=large, **ARRAYS)
    same(arrays.read(path, {"large", "hits"}), {"large": large, "hits": ARRAYS["hits"]})
    np.savez(path, pickled=np.array([{}], dtype=object))
    with pytest.raises(npz.Unusual):
        npz.read(path.read_bytes(), None)
    with pytest.raises(UserError, match="pickle"):
        arrays.read(path)
