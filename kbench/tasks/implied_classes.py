"""Whether the captions that a run's scores give to an image name what it shows, and how often the
gap to PMI lets them not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kbench.tasks.base import Arrays, Measure, Outcome, Part, Scatter, Task, random_feature_settings

if TYPE_CHECKING:
    import torch

    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation
    from kbench.world import World

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
        from kbench.world import World

        world = World()
        scenes = np.asarray(features.array("test/scenes"))
        captions = np.asarray(features.array("test/caption_indices"))
        draws = [
            _of_draw(run, features, draw, (world, scenes, captions))
            for draw in range(features.draws("test/captions"))
        ]
        errors, bounds = _by_class(draws[0], world, scenes)
        return Outcome(
            n_test=len(scenes),
            values={
                "gap": [float(of_draw["gaps"].mean()) for of_draw in draws],
                **{
                    f"{attribute}_{name}": [float(of[f"{key}_{attribute}"].mean()) for of in draws]
                    for attribute in ATTRIBUTES
                    for name, key in (("error", "wrong"), ("bound", "at_most"))
                },
            },
            settings={
                "captions": len(captions),
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


def _of_draw(
    run: TrainedRun, features: Reader, draw: int, known: tuple[World, np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return, of each image (N,), its gap, and of each attribute whether it is misclassified and
    the most that it can add to the error.
    """
    import torch

    world, scenes, captions = known
    images = features.representation("test/images", draw)
    texts = features.representation("test/captions", draw)
    pmi = torch.from_numpy(world.pmi[:, captions])
    parts = []
    for start in range(0, len(scenes), IMAGES):
        rows = slice(start, start + IMAGES)
        learned = run.estimated_pmi({key: array[rows] for key, array in images.items()}, texts)
        parts.append(_of_images(learned, pmi[scenes[rows]], (world, scenes[rows], captions)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_images(
    learned: torch.Tensor, optimal: torch.Tensor, known: tuple[World, np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    import torch

    from kbench.measures import implied

    world, scenes, captions = known
    gaps = implied.gaps(learned, optimal)
    values = {"gaps": gaps.numpy()}
    for attribute in ATTRIBUTES:
        words = classes(world, attribute)
        named = torch.tensor([words.get(world.named_words[y].get(attribute), -1) for y in captions])
        truth = torch.tensor([words[getattr(world.scenes[scene], attribute)] for scene in scenes])
        ours, best = (
            implied.class_shares(scores, named, len(words)) for scores in (learned, optimal)
        )
        values[f"wrong_{attribute}"] = implied.wrong(ours, truth).numpy()
        margin = implied.margins(best, truth)
        values[f"at_most_{attribute}"] = implied.at_most(gaps, margin).numpy()
    return values


def classes(world: World, attribute: str) -> dict[str | None, int]:
    """Return the number of each class of an attribute: what a scene can be, in the scenes' order;
    more general words, such as 'warm', are none.
    """
    words = dict.fromkeys(getattr(scene, attribute) for scene in world.scenes)
    return {word: number for number, word in enumerate(words)}


def _by_class(
    of_draw: Mapping[str, np.ndarray], world: World, scenes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors and the bounds of all classes that there are images of, percent."""
    errors, bounds = [], []
    for attribute in ATTRIBUTES:
        truth = np.array([getattr(world.scenes[scene], attribute) for scene in scenes])
        for word in np.unique(truth):
            errors.append(100 * of_draw[f"wrong_{attribute}"][truth == word].mean())
            bounds.append(100 * of_draw[f"at_most_{attribute}"][truth == word].mean())
    return np.array(errors), np.array(bounds)
