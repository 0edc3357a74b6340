"""Environment of a run: hardware, system, versions."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from pyhash import _core
from pyhash._inputs.threads import resolve_n_threads

_PACKAGES = {"pyhash": "pyhash-crossmodal", "numpy": "numpy", "faiss-cpu": "faiss-cpu", "usearch": "usearch"}


def describe() -> dict[str, object]:
    """Return the machine, the versions and the date."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": resolve_n_threads(None),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": _system(),
        "load": round(os.getloadavg()[0], 2),
        "cpu_level": _core.cpu_level(),
        "faiss_options": _faiss_options(),
        "versions": {"Python": platform.python_version(), **{k: _version(v) for k, v in _PACKAGES.items()}},
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields.items()}
        if "model name" in fields:
            # Virtual machines hide the model's name; family and model identify the microarchitecture.
            return f"{fields['model name']} (family {fields.get('cpu family')}, model {fields.get('model')})"
    if platform.system() == "Darwin":
        call = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError, AttributeError):
        return f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"{name}, {platform.system()} {platform.release().split('-')[0]}, {platform.machine()}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _faiss_options() -> str:
    try:
        import faiss
    except ImportError:
        return "not installed"
    return faiss.get_compile_options().strip()
