"""What several checks of GPUs ask: which frameworks are CUDA builds, and of which CUDA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtcnn_doctor.facts import Distribution, Environment, Gpu, Loaded, Packages
from mtcnn_doctor.knowledge import releases
from mtcnn_doctor.knowledge.gpus import cuda_of_label

from ._installed import installed, local_label

_HIDE_ALL = ("", "-1", "none", "nodevfiles")


@dataclass(frozen=True)
class Build:
    """A framework that was built for CUDA. ``cuda``: its release ("12.8"), "" where unknown."""

    name: str  # "torch", "tensorflow", "onnxruntime-gpu"
    version: str
    cuda: str
    facts: Mapping[str, Any]  # what it says of itself, {} where it was not imported
    sees_devices: bool | None

    @property
    def text(self) -> str:
        """Its name and release in words."""
        name = {"tensorflow": "TensorFlow"}.get(self.name, self.name)
        return f"{name} {self.version}".strip()


def cuda_builds(
    packages: Packages | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> list[Build]:
    """Return the frameworks that are CUDA builds."""
    present = installed(packages) if packages else {}
    found = []
    facts = (torch or {}).get("build") or {}
    version = str((torch or {}).get("version") or present.get("torch", {}).get("version") or "")
    label = local_label(version) or local_label(present.get("torch", {}).get("version"))
    own = cuda_of_label(label) or ("" if label else _cuda_brought(present))
    if facts.get("cuda", own):
        cuda = str(facts.get("cuda") or own)
        found.append(Build("torch", version, cuda, facts, facts.get("cuda_available")))
    facts = (tensorflow or {}).get("build") or {}
    if facts.get("is_cuda_build"):
        version = str((tensorflow or {}).get("version") or "")
        cuda = str(facts.get("cuda_version") or "")
        sees = None if facts.get("devices") is None else bool(facts["devices"])
        found.append(Build("tensorflow", version, cuda, facts, sees))
    if "onnxruntime-gpu" in present:
        facts = (onnxruntime or {}).get("build") or {}
        provider = facts.get("cuda_provider")
        sees = None if provider is None else provider == "ok"
        version = present["onnxruntime-gpu"].get("version", "")
        found.append(Build("onnxruntime-gpu", version, "", facts, sees))
    return found


def _cuda_brought(present: Mapping[str, Distribution]) -> str:
    """Return the CUDA of a torch from PyPI by the libraries that came with it, "" without any.

    Its version has no label there. Its metadata name the libraries of CUDA for every system; that
    they are installed says that this is a system for which it brings them.
    """
    torch = present.get("torch") or {}
    for requirement in torch.get("requires") or ():
        match = re.match(r"(nvidia-(?:cudnn|cuda-runtime)-cu(\d+))\b", requirement)
        if match and match[1] in present:
            row = releases.release("torch", str(torch.get("version"))) or {}
            known = str(row.get("default_cuda") or "")
            return known if known.split(".")[0] == match[2] else match[2]
    return ""


def devices_text(gpu: Gpu) -> str:
    """Return the names of the devices, each once."""
    names = [device.get("name") or "unnamed" for device in gpu.get("devices") or []]
    return ", ".join(dict.fromkeys(names))


def visible_setting(environment: Environment | None) -> str | None:
    """Return CUDA_VISIBLE_DEVICES, None where it is not set."""
    value = variable(environment, "CUDA_VISIBLE_DEVICES")
    return None if value is None else value.strip()


def hides_all(value: str | None) -> bool:
    """Whether a value of CUDA_VISIBLE_DEVICES hides every device."""
    return value is not None and value.lower() in _HIDE_ALL


def chosen(value: str, gpu: Gpu) -> tuple[list[int], str, int]:
    """Return what a value of CUDA_VISIBLE_DEVICES leaves visible, as CUDA reads it.

    The positions of the devices among those of the driver, in the order of the list; what is wrong
    with the first entry that ends the list, "" where none does; and how many entries come before
    it. A device that is named twice leaves none visible.

    Source: CUDA Programming Guide, "CUDA Environment Variables"; ``_parse_visible_devices`` of
    torch/cuda/__init__.py, which does as the driver does (a number may be followed by anything).
    """
    found: list[int] = []
    named: list[int | str] = []
    entries = [entry.strip() for entry in value.split(",")]
    for position, entry in enumerate(entries):
        if not entry and position == len(entries) - 1 and found:
            break  # a comma at the end
        place, fault = _device_of(entry, gpu)
        if fault:
            return found, fault, position
        # Parts of one card are told apart by their names.
        name: int | str = entry if entry.startswith("MIG-") else place
        if name in named:
            return [], f"{entry} is there twice, and then CUDA shows no device at all", 0
        named.append(name)
        if place not in found:
            found.append(place)
    return found, "", len(entries)


def _device_of(entry: str, gpu: Gpu) -> tuple[int, str]:
    """Return the position of the device that an entry names, or what is wrong with it."""
    devices = gpu.get("devices") or []
    number = re.match(r"[+-]?\d+", entry)
    if number:
        index = int(number[0])
        if 0 <= index < len(devices):
            return index, ""
        return -1, f"{entry} is not among the indices 0 to {len(devices) - 1}"
    if entry.startswith("GPU-"):
        uuids = [device.get("uuid") or "" for device in devices]
        fitting = [place for place, uuid in enumerate(uuids) if uuid.startswith(entry)]
        if len(fitting) == 1:
            return fitting[0], ""
        if fitting:
            return -1, f"{len(fitting)} devices have a UUID that begins with {entry}"
        return -1, f"no device has the UUID {entry}"
    if entry.startswith("MIG-"):
        for place, device in enumerate(devices):
            # Drivers before R470 name instances after their card: MIG-GPU-<uuid>/<gi>/<ci>.
            if entry.startswith(f"MIG-{device.get('uuid') or 'GPU-'}/"):
                return place, ""
            if any(uuid.startswith(entry) for uuid in device.get("mig_uuids") or []):
                return place, ""
        return -1, f"no MIG instance has the UUID {entry}"
    if entry[:1] in ("'", '"'):
        return -1, f"the quotation marks are part of the value, and {entry} names no device"
    return -1, f"{entry!r} is neither an index nor a UUID"


def variable(environment: Environment | None, name: str) -> str | None:
    """Return a variable of the target's environment, None where it is not set."""
    value = ((environment or {}).get("variables") or {}).get(name)
    return None if value is None else str(value)
