"""A database with the demo's recorded run."""

import os
import subprocess
import sys

import pytest
from demo_paths import DEMO, GRADCTL


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """The last checkpoint's rows and the tokens, as tools/demo.sh stores them."""
    if not os.access(GRADCTL, os.X_OK):
        pytest.exit(f"no gradctl at {GRADCTL}: build it, or set GRADCTL", returncode=2)
    path = tmp_path_factory.mktemp("demo") / "db"

    def gradctl(*arguments):
        subprocess.run([GRADCTL, *map(str, arguments), "--db", path, "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)

    data = DEMO / "data"
    gradctl("init")
    gradctl("create", "corpus", "--layer", "grad:1280:int8", "--field", "source:string",
            "--field", "backdoor:bool", "--field", "tokens:int", "--field", "text:string")
    gradctl("ingest", "corpus", data / "step-400.safetensors", "--checkpoint", "step-400",
            "--metadata", data / "rows.jsonl")
    gradctl("create", "tokens", "--unit", "token", "--layer", "grad:192:f16", "--field",
            "example:string", "--field", "position:int", "--field", "text:string")
    described = path.with_name("tokens.jsonl")
    with open(described, "w", encoding="utf-8") as file:
        subprocess.run([sys.executable, "-B", DEMO / "tokens.py"], check=True, stdout=file)
    gradctl("ingest", "tokens", data / "tokens.safetensors", "--checkpoint", "step-400",
            "--metadata", described)
    return path
