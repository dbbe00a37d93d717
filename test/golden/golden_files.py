"""Where the goldens lie and how their JSON is written."""

import json
import re
from pathlib import Path

DATA = Path(__file__).parent / "data"


def write_json(path, value):
    """Writes `value` indented, with every list of plain numbers on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    text = re.sub(r"\[\s+(-?[\d.][^\[\]{}\"]*?)\s+\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
