"""Tasks about weight files: what is in them, what they find, writing them in another format."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..channel import Channel
from ..imports import import_framework

#: Address space that reading may take beyond what NumPy took, in bytes.
_ROOM = 1 << 30


def _limit_memory() -> None:
    """Let a file that lies about its size fail with MemoryError, not take the machine."""
    if not sys.platform.startswith("linux"):
        return  # macOS and Windows know no such limit, or do not keep it
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = used + _ROOM
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    except (ValueError, OSError):
        pass  # a tighter limit is set already


def _read(channel: Channel, paths: list[str]) -> list[Any]:
    from ..reference.files.describe import read

    found = []
    for path in paths:
        channel.enter("build", os.path.basename(path))
        channel.send("phase", name="read " + os.path.basename(path))
        one = read(path)
        channel.send("weights-file", facts=one.facts)
        found.append(one)
    return found


def inspect(channel: Channel, orders: dict[str, Any]) -> None:
    """Read ``orders["files"]``; send ``weights-file`` for each.

    With ``images`` (paths) networks that differ from the published ones are run on those, with
    ``settings``, and ``weights-trial`` is sent. With ``compare`` the first two files' networks are
    compared, and ``weights-diff`` is sent.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    _limit_memory()
    found = _read(channel, orders["files"])
    if orders.get("compare"):
        _compare(channel, found)
    if orders.get("images"):
        _try(channel, orders, found)


def _compare(channel: Channel, found: list[Any]) -> None:
    from ..reference.files.compare import compare

    first, second = found[0].networks, found[1].networks
    channel.send(
        "weights-diff",
        networks={
            network: compare(network, first[network], second[network])
            for network in first
            if network in second
        },
        only_first=[network for network in first if network not in second],
        only_second=[network for network in second if network not in first],
    )


def _try(channel: Channel, orders: dict[str, Any], found: list[Any]) -> None:
    from ..reference.files import trial
    from ..reference.weights import PUBLISHED_DIGESTS, canonical_digest, load_weights

    networks: dict[str, Any] = {}
    for one in found:
        for network, arrays in one.networks.items():
            networks.setdefault(network, arrays)
    changed = [
        network
        for network, arrays in networks.items()
        if canonical_digest(arrays) != PUBLISHED_DIGESTS[network]
    ]
    if not changed:
        return
    published = load_weights()

    def tell(image: str) -> None:
        channel.enter("pnet", image)
        channel.send("phase", name="try them on " + image)

    answer = trial.run(
        {**published, **networks}, published, orders["images"], orders.get("settings") or {}, tell
    )
    channel.send("weights-trial", trial={**answer, "networks": sorted(networks)})


def convert(channel: Channel, orders: dict[str, Any]) -> None:
    """Write the networks of ``orders["files"]`` into ``folder`` as ``kind``.

    ``repair``: as the numbers say they are meant, not as the files' program would take them.
    ``networks``: those that must come of it. Sends ``weights-file`` for each file read, then
    ``refused`` with a reason, or ``written`` for each file, read again to see that it holds the
    same numbers.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    _limit_memory()
    from ..reference.files.describe import read
    from ..reference.files.written import ALL_IN_ONE, encode
    from ..reference.weights import LAYOUT, canonical_digest

    found = _read(channel, orders["files"])
    networks: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for one in found:
        chosen = one.repaired if orders.get("repair") else one.networks
        for network, arrays in chosen.items():
            if network in networks:
                reason = f"{network} is in both {origin[network]} and {one.facts['name']}"
                channel.send("refused", reason=reason)
                return
            networks[network], origin[network] = arrays, one.facts["name"]
    kind = orders["kind"]
    wanted = list(LAYOUT) if kind == "mtcnn-0.1" else orders.get("networks") or []
    missing = [network for network in wanted if network not in networks]
    if missing or not networks:
        channel.send("refused", reason=f"no complete {' and '.join(missing or ['network'])} in it")
        return
    networks = {network: networks[network] for network in LAYOUT if network in networks}
    channel.enter("build", "write " + kind)
    channel.send("phase", name="write " + kind)
    for name, content in encode(kind, networks).items():
        path = os.path.join(orders["folder"], name)
        with open(path, "wb") as stream:
            stream.write(content)
        again = read(path)
        inside = list(networks) if kind in ALL_IN_ONE else list(again.networks)
        same = bool(inside) and all(
            canonical_digest(again.networks.get(network, [])) == canonical_digest(networks[network])
            for network in inside
        )
        channel.send(
            "written",
            name=name,
            bytes=len(content),
            sha256=again.facts.get("sha256"),
            networks=inside,
            origin=[origin[network] for network in inside],
            same=same,
        )
