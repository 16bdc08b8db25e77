"""What several checks of GPUs ask: which frameworks are CUDA builds, and of which CUDA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Packages
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
    if facts["cuda"] if "cuda" in facts else label.startswith("cu"):
        cuda = str(facts.get("cuda") or cuda_of_label(label))
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


def variable(environment: Environment | None, name: str) -> str | None:
    """Return a variable of the target's environment, None where it is not set."""
    value = ((environment or {}).get("variables") or {}).get(name)
    return None if value is None else str(value)
