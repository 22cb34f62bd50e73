"""The ```sql examples of format-spec/query-language.md, and the file that has their answers."""

import re
from pathlib import Path

import query_files
import statement_reader

SPEC = Path(__file__).resolve().parents[2] / "format-spec" / "query-language.md"
PATH = query_files.HERE / "query-language.test"
HEAD = """\
# The examples of format-spec/query-language.md, in its order; made from it by answers.py.
param: q=q.safetensors
param: generations=generations.safetensors
param: name=dolly

"""


def statements():
    blocks = re.findall(r"^```sql\n(.*?)^```", SPEC.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [statement for block in blocks for statement in statement_reader.split(block)]


def file():
    """The file as the specification wants it: answers where it had them."""
    known = {block.statement: block.answer for block in query_files.load(PATH).blocks}
    found = query_files.QueryFile(PATH, HEAD)
    found.directives["param"] = re.findall(r"^param: (.*)$", HEAD, re.MULTILINE)
    found.blocks = [query_files.Block("", text, known.get(text, ""), found, 0) for text in statements()]
    return found
