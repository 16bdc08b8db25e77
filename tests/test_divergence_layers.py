"""A backend that computes wrongly: the layer inside the network that does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Doctor

pytest.importorskip("torch")

Patch = Callable[[str, str], dict[str, str]]


def divergence(doctor: Doctor, environment: dict[str, str]) -> tuple[dict, str]:
    answer = doctor("check", "--backend", "torch", "--backend", "numpy", "--format", "json",
                    environment=environment)  # fmt: skip
    (found,) = answer.findings()
    assert found["id"] == "backend-wrong-result"
    return answer.run("torch")["divergence"], found["evidence"]["first difference"]


def test_nan_is_traced_to_the_layer_that_makes_it(doctor: Doctor, patch_module: Patch) -> None:
    poisoned = patch_module(
        "torch.nn.functional",
        """
        linear = module.linear
        def poisoning(input, weight, bias=None):
            result = linear(input, weight, bias)
            return result * float("nan") if tuple(weight.shape) == (128, 576) else result
        module.linear = poisoning
        """,
    )
    found, said = divergence(doctor, poisoned)
    assert (found["stage"], found["layer"], found["layer_finite"]) == ("rnet", "dense4", False)
    assert "layer dense4 makes NaN or infinity" in said


@pytest.mark.exhaustive
def test_a_wrong_activation_is_named(doctor: Doctor, patch_module: Patch) -> None:
    """The second activation of O-Net alone: 64 channels of 21 x 21."""
    changed = patch_module(
        "torch.nn.modules.activation",
        """
        forward = module.PReLU.forward
        def leaking(self, input):
            if tuple(input.shape[1:]) == (64, 21, 21):
                return input.abs()
            return forward(self, input)
        module.PReLU.forward = leaking
        """,
    )
    found, said = divergence(doctor, changed)
    assert (found["stage"], found["layer"]) == ("onet", "prelu2")
    assert "layer prelu2 is off by up to" in said


def test_a_wrong_head_is_told_from_a_wrong_layer(doctor: Doctor, patch_module: Patch) -> None:
    shifted = patch_module(
        "torch.nn.functional",
        """
        linear = module.linear
        def shifting(input, weight, bias=None):
            result = linear(input, weight, bias)
            return result + 0.3 if tuple(weight.shape) == (10, 256) else result
        module.linear = shifting
        """,
    )
    found, said = divergence(doctor, shifted)
    assert (found["stage"], found["output"]) == ("onet", "landmarks")
    assert found["layer"] == "the landmark head"
    assert said.endswith("the landmark head")
