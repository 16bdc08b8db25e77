"""Control groups and buses, made of files in a folder."""

import sys
import types

import pytest

from mtcnn_doctor.target.probes import cpu, gpu, memory

GIB = 1024**3


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes files below a folder and returns it as a root."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)

    return make


def test_version_2_takes_the_tightest_limit(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/pod/container\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory",
            "sys/fs/cgroup/pod/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": "1000\n",
            "sys/fs/cgroup/pod/memory.events": "low 0\noom 3\noom_kill 2\n",
            "sys/fs/cgroup/pod/container/memory.max": "max\n",
            "sys/fs/cgroup/pod/container/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
        }
    )
    facts = memory.control_group(64 * GIB, root)
    assert facts["cgroup_version"] == 2
    assert facts["cgroup_limit"] == 2 * GIB
    assert facts["cgroup_usage"] == 1000
    assert facts["oom_kills"] == 2
    assert cpu.quota(root) == 1.5


def test_version_2_in_a_namespace(machine):
    """The path in /proc/self/cgroup is the host's; what is mounted is the container's own."""
    root = machine(
        {
            "proc/self/cgroup": "0::/kubepods/burstable/pod1/abc\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
        }
    )
    assert memory.control_group(64 * GIB, root)["cgroup_limit"] == GIB
    assert cpu.quota(root) == 0.5


def test_version_2_outside_the_namespace_root(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/../../other\n",
            "sys/fs/cgroup/cgroup.controllers": "memory",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
        }
    )
    assert memory.control_group(None, root)["cgroup_limit"] == GIB


def test_version_1(machine):
    root = machine(
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{3 * GIB}\n",
            "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": "77\n",
            "sys/fs/cgroup/memory/docker/abc/memory.oom_control": "under_oom 0\noom_kill 1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        }
    )
    facts = memory.control_group(64 * GIB, root)
    assert (facts["cgroup_version"], facts["cgroup_limit"]) == (1, 3 * GIB)
    assert (facts["cgroup_usage"], facts["oom_kills"]) == (77, 1)
    assert cpu.quota(root) == 2.0


def test_a_parent_that_is_fuller_leaves_less(machine):
    """The tightest limit is the child's, and the parent's other children have eaten its own."""
    root = machine(
        {
            "proc/self/cgroup": "0::/pod/container\n",
            "sys/fs/cgroup/cgroup.controllers": "memory",
            "sys/fs/cgroup/pod/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{4 * GIB - 1000}\n",
            "sys/fs/cgroup/pod/memory.stat": "anon 1\ninactive_file 500\nactive_file 7\n",
            "sys/fs/cgroup/pod/memory.swap.max": "300\n",
            "sys/fs/cgroup/pod/memory.swap.current": "100\n",
            "sys/fs/cgroup/pod/container/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/pod/container/memory.current": "1000\n",
        }
    )
    facts = memory.control_group(64 * GIB, root)
    assert (facts["cgroup_limit"], facts["cgroup_usage"]) == (GIB, 1000)
    assert facts["cgroup_headroom"] == 1500  # the page cache is given back first
    assert facts["cgroup_headroom_path"].endswith("/pod")
    assert facts["cgroup_swap"] == 200


def test_swap_of_version_1_is_counted_with_memory(machine):
    root = machine(
        {
            "proc/self/cgroup": "5:memory:/x\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/x/memory.usage_in_bytes": f"{GIB // 2}\n",
            "sys/fs/cgroup/memory/x/memory.stat": "inactive_file 5\ntotal_inactive_file 1024\n",
            "sys/fs/cgroup/memory/x/memory.memsw.limit_in_bytes": f"{GIB + 4096}\n",
            "sys/fs/cgroup/memory/x/memory.memsw.usage_in_bytes": f"{GIB // 2 + 96}\n",
        }
    )
    facts = memory.control_group(64 * GIB, root)
    assert facts["cgroup_headroom"] == GIB // 2 + 1024
    assert facts["cgroup_swap"] == 4000


def test_folders_and_processes_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet" / "there"))
    facts = memory.collect({})
    cache = next(row for row in facts["folders"] if row["role"] == "cache")
    assert cache["path"] == str(tmp_path)
    assert 0 < cache["free"] <= cache["total"]
    if sys.platform == "linux":
        assert all(set(row) == {"name", "pid", "rss"} for row in facts["processes"])


def test_limits_that_limit_nothing(machine):
    root = machine(
        {
            "proc/self/cgroup": "5:memory:/x\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{128 * GIB}\n",
        }
    )
    assert memory.control_group(64 * GIB, root)["cgroup_limit"] is None
    assert cpu.quota(root) is None


def test_no_control_groups(machine):
    root = machine({"etc/hostname": "x"})
    assert memory.control_group(GIB, root)["cgroup_version"] is None
    assert cpu.quota(root) is None


def test_without_psutil(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psutil", None)
    facts = memory.collect({})
    assert facts["total"] >= facts["available"] > 0
    assert cpu.collect({})["logical"] >= 1


def test_display_controllers(machine):
    root = machine(
        {
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n",
            "sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086\n",
            "sys/bus/pci/devices/0000:00:1f.0/class": "0x060100\n",
            "sys/bus/pci/devices/0000:00:1f.0/vendor": "0x1002\n",
        }
    )
    assert gpu.pci_vendors(root) == ["intel", "nvidia"]


class LibraryNotFound(Exception):
    pass


LibraryNotFound.__name__ = "NVMLError_LibraryNotFound"


class DriverNotLoaded(Exception):
    pass


DriverNotLoaded.__name__ = "NVMLError_DriverNotLoaded"


class Mismatch(Exception):
    pass


@pytest.mark.parametrize(
    ("kind", "state"),
    [(LibraryNotFound, "no-library"), (DriverNotLoaded, "no-driver"), (Mismatch, "error")],
)
def test_failures_of_nvml_are_told_apart(monkeypatch, kind, state):
    def fail():
        raise kind("Driver/library version mismatch")

    monkeypatch.setitem(__import__("sys").modules, "pynvml", types.SimpleNamespace(nvmlInit=fail))
    facts = gpu.collect({})
    assert facts["nvml"] == state
    assert "mismatch" in facts["nvml_error"]
    assert facts["devices"] == []


def test_no_binding(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert gpu.collect({})["nvml"] == "no-binding"
