"""Makes the golden files: GRADCTL=path/to/gradctl python3 make_vectors.py [FOLDER]

FOLDER is format-spec/vectors by default. Its `values/`, `database/`, `database.json` and
`projectors/` are replaced. Only for a format that is not released: golden files of a release are never remade.
"""

import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True

import gradctl  # noqa: E402
import make_database  # noqa: E402
import make_projectors  # noqa: E402
import make_values  # noqa: E402


def main(folder):
    with tempfile.TemporaryDirectory() as scratch:
        made = os.path.join(scratch, "made")
        os.makedirs(os.path.join(made, "values"))
        make_values.make(os.path.join(made, "values"), scratch)
        make_database.make(made, scratch)
        make_projectors.make(os.path.join(made, "projectors"))
        for name in ("values", "database", "projectors"):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        shutil.copytree(made, folder, dirs_exist_ok=True)
    print(f"made {folder} with {gradctl.path()}")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    main(sys.argv[1] if len(sys.argv) > 1 else
         os.path.normpath(os.path.join(here, "..", "..", "format-spec", "vectors")))
