import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(sys.prefix) / "vision"  # `make test-all` puts them there
SCRIPT = Path(__file__).parents[1] / "vision_packages.py"


@pytest.mark.slow("imports timm, torchvision and open_clip")
def test_models_of_timm_torchvision_and_open_clip(tmp_path):
    if not PACKAGES.is_dir():
        pytest.skip(f"needs timm, torchvision and open_clip in {PACKAGES}")
    command = [sys.executable, "-W", "error", SCRIPT, PACKAGES, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["check_timm", "check_torchvision", "check_open_clip"]
