"""What evaluation really writes is what the statistics read."""

from kbench.results import samples, store


def test_single_samples_give_the_metrics_of_a_real_evaluation(trained):
    loaded = store.load(trained[0].folder.parents[1])
    assert not loaded.missing
    scored = [
        (result.task, metric.name)
        for result in loaded.results
        for metric in result.metrics
        if samples.per_sample(loaded, result, metric.name) is not None
    ]
    assert {("zeroshot", "acc1"), ("linear_probe", "acc1"), ("pmi_gap", "excess_loss")} <= set(
        scored
    )
    assert {
        ("retrieval", f"{side}_retrieval_recall@{k}")
        for side in ("image", "text")
        for k in (1, 5, 10)
    } <= set(scored)
