from mtcnn_doctor.checks.requirements import requirement_conflict

from mtcnn_doctor.model import Severity


def test_wrong_version_is_an_error(problems, python311, installed):
    packages = installed(
        "tensorflow==2.15.1: numpy<2.0.0,>=1.23.5 | wrapt<1.15,>=1.11.0",
        "numpy==1.26.4",
        "wrapt==2.0.0",
    )
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR
    assert finding.about == "tensorflow"
    assert "wrapt 2.0.0 is installed" in finding.title
    assert finding.remedy.commands == ('pip install "wrapt<1.15,>=1.11.0"',)


def test_missing_requirement(problems, python311, installed):
    packages = installed("facenet-pytorch==2.6.0: requests | tqdm", "tqdm==4.67.1")
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert finding.title == ("facenet-pytorch 2.6.0 requires requests, which is not installed")
    assert finding.remedy.commands == ('pip install "requests"',)


def test_several_conflicts_of_one_package_are_one_finding(problems, python311, installed):
    packages = installed("keras==3.0: absl-py | rich | namex")
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert "and 2 more" in finding.title


def test_numpy_conflict_points_to_its_root(problems, python311, installed):
    packages = installed(
        "h5py==3.10.0: numpy<2.0.0 | ml-dtypes~=0.2.0",
        "ml-dtypes==0.2.0",
        "numpy==2.2.6",
    )
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert "numpy-abi:h5py" in finding.requires
    assert "numpy-abi:ml-dtypes" in finding.requires


def test_markers_and_extras(judge, python311, installed):
    packages = installed(
        'torch==2.9.0: colorama ; sys_platform == "win32" | jinja2 ; python_version < "3.9"'
        ' | optree>=0.13.0 ; extra == "optree"',
        "numpy==2.2.0",
    )
    assert judge(requirement_conflict, python=python311, packages=packages) == []


def test_extra_that_somebody_asks_for(problems, python311, installed):
    packages = installed(
        'mtcnn==1.0.0: joblib | tensorflow>=2.12 ; extra == "tensorflow"',
        "joblib==1.4.2",
        "project==1.0: mtcnn[tensorflow]",
    )
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert "requires tensorflow>=2.12, which is not installed" in finding.title


def test_variants_of_one_module_stand_in_for_each_other(judge, python311, installed):
    packages = installed(
        "mtcnn==0.1.1: keras>=2.0.0 | opencv-python>=4.1.0 | tensorflow",
        "keras==3.5.0",
        "opencv-python-headless==4.11.0.86",
        "tensorflow-cpu==2.18.0",
    )
    assert judge(requirement_conflict, python=python311, packages=packages) == []


def test_pre_releases_and_local_versions_count(judge, python311, installed):
    packages = installed(
        "torchvision==0.28.0+cpu: torch==2.13.0 | numpy>=2.0",
        "torch==2.13.0+cpu",
        "numpy==2.5.0rc1",
    )
    assert judge(requirement_conflict, python=python311, packages=packages) == []


def test_conflicts_elsewhere_are_only_told(judge, python311, installed):
    packages = installed("jupyter-thing==1.0: traitlets>=9", "traitlets==5.0", "numpy==2.2.0")
    [finding] = judge(requirement_conflict, python=python311, packages=packages)
    assert finding.severity is Severity.INFO


def test_imported_all_the_same_is_a_warning(problems, python311, installed):
    packages = installed("tensorflow==2.15.1: wrapt<1.15", "wrapt==2.0.0")
    [finding] = problems(
        requirement_conflict, python=python311, packages=packages, tensorflow={"state": "ok"}
    )
    assert finding.severity is Severity.WARNING


def test_wrong_version_deep_down_is_a_warning(problems, python311, installed):
    packages = installed(
        "tensorflow==2.15.1: tensorboard<2.16", "tensorboard==2.15.0: markdown>=99", "markdown==3.0"
    )
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert (finding.about, finding.severity) == ("tensorboard", Severity.WARNING)


def test_what_other_checks_report_is_left_to_them(judge, python311, installed):
    packages = installed(
        "facenet-pytorch==2.6.0: torch<2.3.0,>=2.2.0 | numpy<2.0.0,>=1.24.0"
        " | Pillow<10.3.0,>=10.2.0",
        "torch==2.13.0: nvidia-cudnn-cu13==9.19.0",
        "nvidia-cudnn-cu13==9.1.0",
        "tensorflow==2.15.1: numpy<2.0.0 | protobuf<5.0.0 | keras<2.16 | h5py>=99",
        "numpy==2.4.0",
        "pillow==12.0.0",
        "protobuf==6.31.1",
        "keras==3.12.0",
        "h5py==3.14.0",
    )
    assert judge(requirement_conflict, python=python311, packages=packages) == []


def test_lines_that_do_not_parse_are_ignored(judge, python311, installed):
    packages = installed("torch==2.9.0: ???", "numpy==not-a-version")
    assert judge(requirement_conflict, python=python311, packages=packages) == []


def test_without_markers_it_is_skipped(judge, installed):
    [finding] = judge(requirement_conflict, python={"version": "3.11.7"}, packages=installed())
    assert finding.severity is Severity.SKIP


def test_a_companion_of_another_torch_is_not_installed_over_this_one(
    problems, python311, installed
):
    for torch in ("2.13.0+cpu", "9.9.0"):
        packages = installed(
            "facenet-pytorch==2.6.0: torchvision<0.18.0,>=0.17.0", f"torch=={torch}"
        )
        [finding] = problems(requirement_conflict, python=python311, packages=packages)
        assert "would replace torch" in finding.remedy.text
        (command,) = finding.remedy.commands
        assert "venv" in command
        assert '"facenet-pytorch==2.6.0"' in command


def test_a_companion_of_this_torch_is(problems, python311, installed):
    packages = installed("facenet-pytorch==2.6.0: torchvision<0.18.0,>=0.17.0", "torch==2.2.2+cpu")
    [finding] = problems(requirement_conflict, python=python311, packages=packages)
    assert finding.remedy.commands == ('pip install "torchvision<0.18.0,>=0.17.0"',)
