"""Whether the captions that a run's scores give to an image name what it shows, and how often the
gap to PMI lets them not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Arrays, Measure, Outcome, Part, Scatter, Task, random_feature_settings

if TYPE_CHECKING:
    import torch

    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation

ATTRIBUTES = ("glyph", "colour", "size", "background")
IMAGES = 256
"""Scored at once with all captions."""


def _measures(attribute: str) -> tuple[Measure, Measure]:
    wrong = f"wrong_{attribute}"
    return (
        Measure(
            f"{attribute}_error",
            f"{attribute}: error",
            higher_is_better=False,
            share_of_samples=True,
            samples=lambda kept: np.atleast_2d(kept[wrong]).mean(axis=0),
            needs=frozenset({wrong}),
            least=0.0,
        ),
        Measure(f"{attribute}_bound", f"{attribute}: error at most", higher_is_better=False),
    )


class ImpliedClasses(Task):
    """Classify images by the probability of captions that name a class, on the embedded world.

    gap: image-to-text cross entropy above that of PMI over all captions of the set, nats. Of each
    attribute X_error, the share of images of which captions that name another class are at least
    as probable together as those that name theirs, and X_bound, the most that this share can be
    with these gaps (kbench.measures.implied). Kept: gaps (draws, N) and wrong_X (draws, N);
    class_errors and class_bounds of every class of every attribute at the first draw, percent.
    """

    name = "implied_classes"
    title = "implied classes"
    kinds = ("pairs",)
    metrics = (
        Measure(
            "gap",
            "gap over all captions",
            "nats",
            higher_is_better=False,
            samples=lambda kept: np.atleast_2d(kept["gaps"]).mean(axis=0),
            needs=frozenset({"gaps"}),
            least=0.0,
        ),
        *(measure for attribute in ATTRIBUTES for measure in _measures(attribute)),
    )
    by_default = False
    obeys = ("random_features",)
    place = 45
    section = "Classes that the scores imply"
    about = (
        (
            "Scores say of an image how probable each caption is, and so how probable it is that"
            " its caption names a class. PMI gives the true class more than any other; a gap to it"
            " that is smaller than what the order costs cannot turn it. So the error of the"
            " classifier that the scores imply is at most what stands beside it, whatever the"
            " similarity (derived in kbench's documentation)."
        ),
    )
    figure = "Gap over all captions"
    every_metric = True
    interval = True
    keeps = ("class_errors", "class_bounds")

    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Score all images with all captions, once a draw."""
        pairs = _pairs(features)
        draws = [
            _of_draw(run, features, draw, pairs) for draw in range(features.draws("test/captions"))
        ]
        errors, bounds = _by_class(draws[0], pairs)
        return Outcome(
            n_test=len(pairs.scenes),
            values={
                "gap": [float(of_draw["gaps"].mean()) for of_draw in draws],
                **{
                    f"{attribute}_{name}": [float(of[f"{key}_{attribute}"].mean()) for of in draws]
                    for attribute in ATTRIBUTES
                    for name, key in (("error", "wrong"), ("bound", "at_most"))
                },
            },
            settings={
                "captions": len(pairs.scenes),
                **random_feature_settings(run, evaluation),
            },
            arrays={
                "gaps": np.stack([of_draw["gaps"] for of_draw in draws]),
                **{
                    name: np.stack([of_draw[name] for of_draw in draws]).astype(np.uint8)
                    for name in (f"wrong_{attribute}" for attribute in ATTRIBUTES)
                },
                "class_errors": errors,
                "class_bounds": bounds,
            },
        )

    def part(self, kept: Mapping[str, Arrays]) -> Part:
        """Return errors against their bounds."""
        if not kept:
            return Part()
        scatter = Scatter(
            id="implied",
            points={
                group: (arrays["class_bounds"], arrays["class_errors"])
                for group, arrays in kept.items()
            },
            x="error at most, %",
            y="error, %",
            alternative="Errors against their bounds; the table has both for each attribute.",
            caption=(
                "Images of each class of each attribute, at each variant's first seed: the share"
                " that is misclassified against the most that their gaps allow. The line is"
                " equality, above which no point can be."
            ),
        )
        return Part([scatter])


@dataclass(frozen=True)
class _Pairs:
    """What is known of the N images and captions of the set: the scene (N,) of each image, PMI
    (S, N) of scenes with its captions, and of each attribute the number of classes, the class (N,)
    that each caption names, -1 where it names none, and the one that each image shows.
    """

    scenes: np.ndarray
    pmi: torch.Tensor
    classes: dict[str, int]
    named: dict[str, torch.Tensor]
    shown: dict[str, torch.Tensor]


def _pairs(features: Reader) -> _Pairs:
    import torch

    from kbench.world.stored import world_of

    world = world_of(features)
    scenes = np.asarray(features.array("test/scenes"))
    captions = np.asarray(features.array("test/caption_indices"))
    classes, named, shown = {}, {}, {}
    for attribute in ATTRIBUTES:
        # More general words, such as 'warm', name no class.
        words = list(dict.fromkeys(getattr(scene, attribute) for scene in world.scenes))
        number = {word: index for index, word in enumerate(words)}
        classes[attribute] = len(words)
        named[attribute] = torch.tensor(
            [number.get(world.named_words[caption].get(attribute), -1) for caption in captions]
        )
        shown[attribute] = torch.tensor(
            [number[getattr(world.scenes[scene], attribute)] for scene in scenes]
        )
    return _Pairs(scenes, torch.from_numpy(world.pmi[:, captions]), classes, named, shown)


def _of_draw(run: TrainedRun, features: Reader, draw: int, pairs: _Pairs) -> dict[str, np.ndarray]:
    """Return, of each image (N,), its gap, and of each attribute whether it is misclassified and
    the most that it can add to the error.
    """
    images = features.representation("test/images", draw)
    texts = features.representation("test/captions", draw)
    parts = []
    for start in range(0, len(pairs.scenes), IMAGES):
        rows = slice(start, start + IMAGES)
        learned = run.estimated_pmi({key: array[rows] for key, array in images.items()}, texts)
        parts.append(_of_images(learned, pairs, rows))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_images(learned: torch.Tensor, pairs: _Pairs, rows: slice) -> dict[str, np.ndarray]:
    from kbench.measures import implied

    optimal = pairs.pmi[pairs.scenes[rows]]
    gaps = implied.gaps(learned, optimal)
    values = {"gaps": gaps.numpy()}
    for attribute, named in pairs.named.items():
        truth, classes = pairs.shown[attribute][rows], pairs.classes[attribute]
        ours, best = (implied.class_shares(scores, named, classes) for scores in (learned, optimal))
        values[f"wrong_{attribute}"] = implied.wrong(ours, truth).numpy()
        margin = implied.margins(best, truth)
        values[f"at_most_{attribute}"] = implied.at_most(gaps, margin).numpy()
    return values


def _by_class(of_draw: Mapping[str, np.ndarray], pairs: _Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors and the bounds of all classes that there are images of, percent."""
    errors, bounds = [], []
    for attribute, shown in pairs.shown.items():
        for number in shown.unique():
            images = (shown == number).numpy()
            errors.append(100 * of_draw[f"wrong_{attribute}"][images].mean())
            bounds.append(100 * of_draw[f"at_most_{attribute}"][images].mean())
    return np.array(errors), np.array(bounds)
