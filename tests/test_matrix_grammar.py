"""What the arguments of ``matrix`` mean, and what is refused because it could mean two things."""

from __future__ import annotations

import pytest

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate.matrix_grammar import axes_of, axis_of, choices


@pytest.mark.parametrize(
    ("argument", "requirements"),
    [
        ("numpy", ["numpy"]),
        ("numpy==2.2.6", ["numpy==2.2.6"]),
        ("torch==2.4.*,2.9.0,2.13.0", ["torch==2.4.*", "torch==2.9.0", "torch==2.13.0"]),
        ("torch == 2.4.1+cpu, 2.5", ["torch==2.4.1+cpu", "torch==2.5"]),
        ("numpy<2,>=2", ["numpy<2", "numpy>=2"]),
        ("numpy<=2,>2", ["numpy<=2", "numpy>2"]),
        ("numpy~=1.26,~=2.0", ["numpy~=1.26", "numpy~=2.0"]),
        ("numpy==1.26.4,>=2", ["numpy==1.26.4", "numpy>=2"]),
        ("numpy==2.4.*,2.4.1", ["numpy==2.4.*", "numpy==2.4.1"]),
        ("Tensorflow_CPU[and-cuda]==2.16", ["tensorflow-cpu[and-cuda]==2.16"]),
    ],
)
def test_alternatives(argument: str, requirements: list[str]) -> None:
    axis = axis_of(argument)
    assert [axis.requirement(one) for one in axis.alternatives] == requirements


def test_conditions_of_one_alternative_are_joined() -> None:
    axis = axis_of("numpy>=1.26&<2,>=2.1&!=2.2.0")
    assert [one.text for one in axis.alternatives] == [">=1.26,<2", ">=2.1,!=2.2.0"]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        # One range to pip; two alternatives to who took the comma for "or".
        ("numpy>=1.26,<2", 'write "numpy>=1.26&<2" for the range'),
        ("numpy<2,>=1.26", "overlap"),
        ("numpy!=1.2,>=1", "overlap"),
        ("numpy<=2,>=2", "overlap"),
        ("numpy>1.26,<1.27", "overlap"),
        ("numpy==1.26.4,<2", "overlap"),
        ("numpy<2,2.1", "write ==2.1"),
        ("numpy==1.0,1.0", "names ==1.0 twice"),
        ("numpy==1.2,,", "comma"),
        ("numpy===1", "===1 is no condition"),
        ("numpy==abc", "==abc is no condition"),
        ("numpy & <2", "is no condition"),
        ("numpy; python_version<'3.12'", "markers"),
        ("numpy @ https://example.org/numpy.whl", "addresses"),
        ("", "names no package"),
        ("==1.0", "names no package"),
    ],
)
def test_refusals_name_the_argument_and_the_fix(argument: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        axis_of(argument)
    assert said in str(caught.value)
    assert f"'{argument}'" in str(caught.value)


def test_every_combination_once_and_not_too_many() -> None:
    axes = axes_of(["a==1,2", "b==1,2,3"])
    assert len(set(choices(axes))) == 6
    many = ",".join(map(str, range(20)))
    with pytest.raises(UsageError, match="400 combinations"):
        choices(axes_of([f"a=={many}", f"b=={many}"]))
