"""The table of known faults against the facts of a machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from mtcnn_doctor.facts import Distribution, Gpu, Packages, Python
from mtcnn_doctor.knowledge.issues import Issue, Machine, conditions, known_issues
from mtcnn_doctor.model import Finding

from ._installed import installed, is_planned, local_label


def machine_of(packages: Packages, python: Python | None, gpu: Gpu | None = None) -> Machine:
    """Return what decides which known faults hold here."""
    present = installed(packages)
    about = python or {}
    devices = (gpu or {}).get("devices") or []
    return Machine(
        installed={key: row.get("version", "") for key, row in present.items()},
        python=(about.get("markers") or {}).get("python_full_version") or about.get("version", ""),
        platform=about.get("platform", ""),
        machine=about.get("machine", ""),
        wsl=bool((gpu or {}).get("wsl")),
        driver=(gpu or {}).get("driver_version") or "",
        capabilities=tuple(
            device["compute_capability"] for device in devices if device.get("compute_capability")
        ),
        variants={key: local_label(row.get("version")) for key, row in present.items()},
        planned=frozenset(key for key, row in present.items() if is_planned(row)),
    )


def holding(
    machine: Machine, check: str, missing: Collection[str] = (), shown: Collection[str] = ()
) -> list[Issue]:
    """Return the rows that hold on a machine and that this check reports."""
    return [row for row in known_issues(machine, missing, shown) if row.check == check]


def known_faults(key: str) -> list[str]:
    """Return the findings of known-bad-release that may be about a distribution."""
    return [
        f"known-bad-release:{key} ({row.id})"
        for row in conditions()
        if row.check == "known-bad-release" and key in (row.package, *row.siblings)
    ]


def about_row(
    kind: Callable[..., Finding],
    issue: Issue,
    distribution: Distribution,
    packages: Mapping[str, Distribution],
    requires: Sequence[str] = (),
) -> Finding:
    """Return the finding for a row."""
    key = distribution.get("key", "")
    title, _, rest = issue.cause.partition(". ")
    evidence = {key: distribution.get("version", "?")}
    for line in issue.requirements:
        name = line.split("<")[0].split(">")[0].split("=")[0].split("!")[0].strip()
        if name in packages:
            evidence[name] = packages[name].get("version", "?")
    return kind(
        f"{distribution.get('name', key)} {distribution.get('version', '?')}: "
        + title.rstrip(".").replace("\n", " "),
        about=f"{key} ({issue.id})",
        evidence={**evidence, "known as": issue.id, "source": issue.source},
        cause=rest,
        fix=issue.remedy,
        commands=[line.format(package=key) for line in issue.commands],
        alternatives=len(issue.commands) > 1,
        requires=requires,
    )
