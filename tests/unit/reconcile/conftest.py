"""Makes ``fake_world`` importable for the tests beside it (importmode=importlib adds no path)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
