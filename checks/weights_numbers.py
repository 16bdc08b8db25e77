"""Family weights: what the numbers themselves betray, and what the networks find with them."""

from __future__ import annotations

from typing import Any

from mtcnn_doctor.facts import WeightFile, WeightTrial
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._weights import NAMES, about, networks

#: Offsets are shares of the box's size. Those of the published networks average within ±0.14 with
#: a spread of 0.05 to 0.18 on the bundled images; x2 and y2 of a face within its crop are 0.6 to 1.
_CORNER = 0.45
#: Offsets beyond this are no shares at all, but pixels of the crop.
_PIXELS = 3.0
_ENOUGH = 20
#: Share of the published networks' faces below which others are worse, and not only different.
_FEWER = 0.8


@check("weights-nonfinite", family="weights", title="all numbers are finite")
def weights_nonfinite(weights: list[WeightFile]) -> Findings:
    """Find NaN and infinity.

    ## What it checks
    Every number of every array.

    ## Why it matters
    One NaN in a kernel makes NaN of everything behind it. Comparisons with NaN are false: the
    detector finds nothing and raises nothing.

    ## How to fix it
    Go back to a checkpoint from before the training diverged; train with a lower rate.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues
    """
    for file, network, facts in networks(weights):
        bad = facts.get("nonfinite") or {}
        if bad:
            yield error(
                f"{about(file, network)} has NaN or infinity in {', '.join(list(bad)[:3])}",
                about=about(file, network),
                evidence={name: f"{count} numbers" for name, count in list(bad.items())[:8]},
                effect="Every comparison with NaN is false: nothing is found, and nothing raised.",
                cause="The training diverged before this was saved.",
                fix="Go back to an earlier checkpoint.",
            )


@check("weights-statistics", family="weights", title="the numbers look like trained weights")
def weights_statistics(
    weights: list[WeightFile], weights_trial: WeightTrial | None = None
) -> Findings:
    """Find dead channels, slopes that nobody trained, and boxes learnt as corners.

    ## What it checks
    Channels whose kernel is zero; whether all PReLU slopes are one number; and, where the networks
    were run, the mean offsets of the boxes they accept: MTCNN learns how far each side of a box is
    to be moved, as a share of its size, and such offsets average near zero.

    ## Why it matters
    A network trained on corners (x1, y1, x2, y2 within the crop) has a low loss and useless boxes:
    every detector adds what it answers to the box.

    ## How to fix it
    Train the offsets (truth - box) / size; for dead channels, start again from other weights.

    ## Sources
    - https://arxiv.org/abs/1604.02878
    """
    for file, network, facts in networks(weights):
        dead, equal = facts.get("dead") or {}, facts.get("slopes_equal")
        if dead:
            yield warning(
                f"{about(file, network)} has dead channels in {', '.join(list(dead)[:3])}",
                about=about(file, network),
                evidence={name: f"{count} channels are zero" for name, count in dead.items()},
                effect="They answer the same whatever the image shows.",
                fix="Start again from other weights, or with a lower learning rate.",
            )
        if equal is not None:
            yield warning(
                f"{about(file, network)}: all PReLU slopes are {equal:g}",
                about=f"{about(file, network)} slopes",
                evidence={"slope": equal},
                effect="The slopes were never trained, or the file was written before training.",
                cause={0.25: "0.25 is what torch begins with.", 0.0: "0 is what Keras begins with, "
                       "and makes a ReLU."}.get(equal, ""),
                fix="Save the trained network.",
            )  # fmt: skip
    for network, spread in ((weights_trial or {}).get("offsets") or {}).items():
        if spread is None or spread["count"] < _ENOUGH:
            continue
        if network not in ((weights_trial or {}).get("networks") or ()):
            continue
        mean = spread["mean"]
        pixels = any(abs(value) > _PIXELS for value in mean)
        if pixels or (mean[2] > _CORNER and mean[3] > _CORNER):
            what = "pixels" if pixels else "corners within the crop"
            yield error(
                f"{NAMES[network]} answers {what}, not offsets",
                about=NAMES[network],
                evidence={
                    "mean of x1, y1, x2, y2": ", ".join(f"{value:.2f}" for value in mean),
                    "published": "within ±0.14",
                    "boxes": spread["count"],
                },
                effect="Detectors add them to the box: it lands far beside the face.",
                fix="Train (truth - box) / size of the box.",
            )


@check("weights-recall", family="weights", title="the networks find what the published ones find")
def weights_recall(weights_trial: WeightTrial) -> Findings:
    """Find networks that lose faces which the published ones find, and the stage that loses them.

    ## What it checks
    The given networks and the published ones on the same images: how many of the faces of the
    published ones P-Net still proposes, R-Net keeps and O-Net confirms.

    ## Why it matters
    A face that P-Net does not propose no later network can find. So the first stage that loses
    faces is the one to train again.

    ## How to fix it
    Train that network again, or take the published one in its place.

    ## Sources
    - https://arxiv.org/abs/1604.02878
    """
    rows = weights_trial.get("images") or []
    flooded = [row for row in rows if "flood" in row]
    if flooded:
        yield error(
            f"P-Net takes {flooded[0]['flood']} places of {flooded[0]['image']} for faces",
            about="P-Net",
            evidence={row["image"]: f"more than {row['flood']} candidates" for row in flooded},
            effect="R-Net is asked about all of them: minutes for one image, and memory with it.",
            fix="Train P-Net with more background, or raise its threshold.",
        )
    rows = [row for row in rows if "given" in row]
    total = sum(row["published"]["faces"] for row in rows)
    if not total:
        return
    kept = {stage: sum(row["kept"][stage] for row in rows) for stage in NAMES}
    found, new = sum(row["given"]["faces"] for row in rows), sum(row["new"] for row in rows)
    evidence = _evidence(rows, kept, total, new)
    for stage in NAMES:
        if kept[stage] < _FEWER * total:
            verb = {"pnet": "proposes", "rnet": "keeps", "onet": "confirms"}[stage]
            yield (error if kept["onet"] == 0 else warning)(
                f"{NAMES[stage]} {verb} {kept[stage]} of {total} faces",
                about=NAMES[stage],
                evidence=evidence,
                effect="What an earlier network loses, no later one finds.",
                fix=f"Train {NAMES[stage]} again, or take the published one in its place.",
                requires=["weights-nonfinite", "weights-orientation"],
            )
            return
    if new > max(2, 0.2 * total):
        yield warning(
            f"{new} of {found} faces are none that the published networks find",
            about="new faces",
            evidence=evidence,
            effect="They are better eyes, or false alarms; only looking at them tells.",
            fix="Look at the boxes; raise the thresholds if they are false.",
        )
    elif kept["onet"] < total or new:
        yield info(
            f"{kept['onet']} of the {total} faces of the published ones found, and {new} others",
            about="faces",
            evidence=evidence,
        )


def _evidence(rows: Any, kept: dict[str, int], total: int, new: int) -> dict[str, Any]:
    counts = {
        NAMES[stage]: f"{sum(row['given'][stage] for row in rows)} candidates left "
        f"(published {sum(row['published'][stage] for row in rows)}), "
        f"{kept[stage]} of {total} faces"
        for stage in NAMES
    }
    return {**counts, "other faces": new}
