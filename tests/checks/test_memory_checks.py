"""What fits into memory, by recorded facts."""

import json
import re

import pytest
from mtcnn_doctor.checks import memory as module
from mtcnn_doctor.checks.memory import BUNDLED, disk_space, ram_headroom, shm_size

from mtcnn_doctor import gallery
from mtcnn_doctor.knowledge import memory as knowledge
from mtcnn_doctor.knowledge.memory import Workload
from mtcnn_doctor.model import Severity

MIB = 1 << 20
GIB = 1 << 30


def big(width, height):
    return [{"path": "/data/photo.jpg", "format": "jpeg", "width": width, "height": height}]


@pytest.fixture
def everything(installed):
    return installed("numpy==2.4.6", "torch==2.13.0", "facenet-pytorch==2.6.0")


def left(amount, **more):
    return {"total": 64 * GIB, "available": int(amount), "swap_free": 0, "swap_total": 0, **more}


def test_plenty_of_memory_says_nothing(judge, everything):
    for images in (None, big(3840, 2160)):
        assert not judge(ram_headroom, memory=left(4 * GIB), packages=everything, settings={},
                         images=images)  # fmt: skip


def test_too_little_names_what_fits(judge, everything):
    memory = left(64 * GIB, cgroup_limit=512 * MIB, cgroup_headroom=480 * MIB, cgroup_swap=0)
    [finding] = judge(ram_headroom, memory=memory, packages=everything, settings={},
                      images=big(3840, 2160))  # fmt: skip
    assert finding.severity is Severity.ERROR
    assert finding.title.startswith("torch, facenet-pytorch need more memory than may be used: 480")
    assert finding.evidence["may be used"] == "480 MiB (the control group)"
    size = re.search(r"fits up to (\d+)x(\d+)", finding.evidence["torch"])
    width, height = map(int, size.groups())
    model = knowledge.model_of("torch")
    # What is named fits, and hardly more does.
    assert model.peak(Workload(width, height)) <= 480 * MIB
    assert model.peak(Workload(int(width * 1.02), int(height * 1.02))) > 480 * MIB
    assert width / height == pytest.approx(16 / 9, rel=0.01)
    assert "use a detector that takes less (numpy)" in finding.remedy.text


def test_the_smallest_face_named_fits_and_a_smaller_one_does_not(judge, installed):
    packages = installed("numpy==2.4.6", "torch==2.13.0")
    model = knowledge.model_of("torch")
    work = Workload(3840, 2160)
    room = (model.peak(work) + model.peak(Workload(3840, 2160, 60.0))) // 2
    [finding] = judge(ram_headroom, memory=left(room), packages=packages, settings={},
                      images=big(3840, 2160))  # fmt: skip
    face = float(re.search(r"min_face_size ([\d.]+)", finding.evidence["torch"])[1])
    assert model.peak(Workload(3840, 2160, face)) <= room
    assert model.peak(Workload(3840, 2160, face - 0.2)) > room
    assert "raise min_face_size (smaller faces are then not looked for)" in finding.remedy.text


def test_memory_that_would_be_nearly_used_up_is_a_warning(judge, installed):
    packages = installed("numpy==2.4.6", "torch==2.13.0")
    need = knowledge.model_of("torch").peak(Workload(*BUNDLED))
    [finding] = judge(ram_headroom, memory=left(need * 1.05), packages=packages, settings={})
    assert finding.severity is Severity.WARNING
    assert "torch would take nearly all of" in finding.title
    assert "1 process at a time" in finding.evidence["torch"]
    assert judge(ram_headroom, memory=left(need * 1.2), packages=packages, settings={}) == []


def test_a_limit_on_address_space_counts_what_is_reserved(judge, installed):
    """512 MiB of it are not enough for torch, though its resident memory would fit."""
    packages = installed("numpy==2.4.6", "torch==2.13.0")
    memory = left(32 * GIB, rlimits={"RLIMIT_AS": 512 * MIB, "RLIMIT_DATA": None})
    [finding] = judge(ram_headroom, memory=memory, packages=packages, settings={})
    assert finding.severity is Severity.ERROR
    assert finding.evidence["may be used"] == "512 MiB (RLIMIT_AS (ulimit -v))"
    assert "of address space; no image fits" in finding.evidence["torch"]
    assert "numpy" not in finding.evidence


@pytest.mark.parametrize(
    ("memory", "size", "bound"),
    [
        (left(GIB), GIB, "what the machine has left"),
        ({"available": GIB, "swap_free": GIB}, 2 * GIB, "what the machine has left"),
        (left(9 * GIB, cgroup_headroom=GIB, cgroup_swap=0), GIB, "the control group"),
        (
            {"available": 9 * GIB, "swap_free": GIB, "cgroup_headroom": GIB, "cgroup_swap": MIB},
            GIB + MIB,
            "the control group",
        ),
        (left(9 * GIB, cgroup_limit=2 * GIB, cgroup_usage=GIB), GIB, "the control group"),
        (left(9 * GIB, commit_left=GIB), GIB, "the kernel's commit limit"),
        (left(9 * GIB, rlimits={"RLIMIT_DATA": GIB}), GIB, "RLIMIT_DATA (ulimit -d)"),
        ({"rlimits": {"RLIMIT_AS": GIB}}, GIB, "RLIMIT_AS (ulimit -v)"),
    ],
)
def test_the_least_of_all_bounds_counts(memory, size, bound):
    space = knowledge.room(memory)
    assert (space.bytes, space.bound) == (size, bound)


def test_unknown_memory_is_no_bound():
    assert knowledge.room({}) is None
    assert knowledge.room({"rlimits": {"RLIMIT_AS": None}}) is None


def test_who_holds_the_memory_is_told(judge, installed):
    memory = left(100 * MIB, processes=[{"name": "python", "pid": 7, "rss": 30 * GIB}])
    packages = installed("numpy==2.4.6", "torch==2.13.0")
    [finding] = judge(ram_headroom, memory=memory, packages=packages, settings={})
    assert finding.evidence["other programs"] == "python 30.0 GiB"
    assert "close programs that hold memory" in finding.remedy.text
    assert "raise the limit" not in finding.remedy.text


def test_what_came_through_is_not_doubted(judge, installed):
    packages = installed("numpy==2.4.6", "torch==2.13.0")
    memory = left(200 * MIB)

    def after(outcome):
        return judge(ram_headroom, memory=memory, packages=packages, settings={},
                     runs=[{"name": "torch", "outcome": outcome}])  # fmt: skip

    assert after("ok") == []
    assert after("not-loadable") == []
    # What died of it has an error of its own.
    assert after("out-of-memory")[0].severity is Severity.WARNING
    assert after("crash")[0].severity is Severity.ERROR


def test_only_what_is_asked_for_is_judged(judge, everything):
    memory = left(200 * MIB)
    settings = {"backends": ["numpy"], "backends_requested": ["numpy"]}
    assert judge(ram_headroom, memory=memory, packages=everything, settings=settings) == []


def test_the_settings_of_the_cascade_count(judge, installed):
    packages = installed("numpy==2.4.6", "facenet-pytorch==2.6.0")
    model = knowledge.model_of("facenet-pytorch", "2.6.0")
    room = model.peak(Workload(3840, 2160, 60.0)) * 1.3
    for size, fine in ((60.0, True), (12.0, False)):
        found = judge(
            ram_headroom,
            memory=left(room),
            packages=packages,
            settings={"cascade": {"min_face_size": size}},
            images=big(3840, 2160),
        )
        assert (found == []) is fine


def test_a_release_that_nobody_measured_is_not_judged(judge, installed):
    packages = installed("facenet-pytorch==9.0.0")
    assert judge(ram_headroom, memory=left(10 * MIB), packages=packages, settings={}) == []


#: What people advise, and what does not help (or makes it worse).
FALSE_CURES = re.compile(
    r"batch.?size|larger batch|threshold|scale.?factor|MirroredStrategy|number of pyramid levels"
    r"|Optimize\.DEFAULT|quanti[sz]|garbage collect|gc\.collect|empty_cache|class_weight|SAME",
    re.IGNORECASE,
)


def test_false_cures_are_never_proposed(judge, everything):
    said = [module.ram_headroom.documentation, module.shm_size.documentation]
    for amount in (50, 200, 400, 450, 600):
        for limits in ({}, {"RLIMIT_AS": amount * MIB}):
            for images in (None, big(3840, 2160), big(12000, 9000)):
                for finding in judge(ram_headroom, memory=left(amount * MIB, rlimits=limits),
                                     packages=everything, settings={}, images=images):  # fmt: skip
                    said += [
                        finding.title,
                        finding.effect,
                        finding.cause,
                        finding.remedy.text,
                        *map(str, finding.evidence.values()),
                        *finding.remedy.commands,
                    ]
    assert len(said) > 50
    assert [text for text in said if FALSE_CURES.search(text)] == []


def test_the_bundled_size_is_that_of_the_largest_bundled_image():
    page = json.loads((gallery.bundled()[0].path.parent / "expected.json").read_text("utf-8"))
    areas = [image["width"] * image["height"] for image in page["images"]]
    assert BUNDLED[0] * BUNDLED[1] == max(areas)


def test_a_larger_image_or_a_smaller_face_never_takes_less():
    for model in knowledge.models():
        for one, other in (
            (Workload(640, 480), Workload(3840, 2160)),
            (Workload(1920, 1080, 80), Workload(1920, 1080, 20)),
            (Workload(1920, 1080, 20, 0.709), Workload(1920, 1080, 20, 0.9)),
        ):
            assert model.peak(one) <= model.peak(other), model.contender
        assert model.worst_percent <= 15


@pytest.mark.parametrize(("total", "free"), [(MIB, MIB), (GIB, MIB)])
def test_small_or_full_shared_memory(problems, installed, total, free):
    memory = {"shm_total": total, "shm_free": free}
    [finding] = problems(shm_size, memory=memory, packages=installed())
    assert finding.severity is Severity.WARNING
    assert "1 MiB" in finding.title


def test_shared_memory_of_docker_is_only_mentioned(judge, installed):
    memory = {"shm_total": 64 * MIB, "shm_free": 64 * MIB}
    assert judge(shm_size, memory=memory, packages=installed("numpy==2.0")) == []
    [finding] = judge(shm_size, memory=memory, packages=installed("torch==2.13.0"))
    assert finding.severity is Severity.INFO


def test_shared_memory_that_cannot_be_written(problems, installed):
    memory = {"shm_total": GIB, "shm_free": GIB, "shm_writable": False}
    assert "cannot be written" in problems(shm_size, memory=memory, packages=installed())[0].title


def test_ordinary_shared_memory(judge, installed):
    for memory in ({}, {"shm_total": GIB, "shm_free": GIB, "shm_writable": True}):
        assert judge(shm_size, memory=memory, packages=installed("torch==2.13.0")) == []


def folder(role, path, free, **more):
    return {"role": role, "path": path, "free": free, "total": 100 * GIB, "device": 1, **more}


def test_full_folders_are_told_once_a_file_system(problems):
    tmp, cache = folder("temporary files", "/tmp", MIB), folder("cache", "/home/u/.cache", MIB)
    [finding] = problems(disk_space, memory={"folders": [tmp, cache]})
    assert finding.title == "the folder for temporary files has 1 MiB left"
    assert "TMPDIR" in finding.remedy.text
    [finding] = problems(disk_space, memory={"folders": [{**tmp, "free": GIB}, cache]})
    assert "XDG_CACHE_HOME" in finding.remedy.text


def test_a_file_system_without_names_left(problems):
    row = folder("temporary files", "/tmp", 50 * GIB, files_free=3)
    [finding] = problems(disk_space, memory={"folders": [row]})
    assert "room for 3 more files" in finding.title


def test_folders_with_space(problems):
    row = folder("temporary files", "/tmp", GIB, files_free=100000)
    for folders in ([row], [], [{"role": "cache", "path": "/x"}]):
        assert problems(disk_space, memory={"folders": folders}) == []
