"""Where the demo and gradctl are; the demo's modules can be imported after this one."""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools" / "demo"
GRADCTL = Path(os.environ.get("GRADCTL") or ROOT / ".build" / "release" / "gradctl").absolute()
sys.path.append(str(DEMO))
