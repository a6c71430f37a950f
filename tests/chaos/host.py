"""One worker on a host of its own; a program, so that it can be started inside a network namespace.

python -m tests.chaos.host carry FOLDER URL
python -m tests.chaos.host calm FOLDER URL
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.crew import Shifted, carry
from tests.chaos.ground import Field
from tests.chaos.plan import Shape
from tests.chaos.storm import calm

SHAPE = Shape(readers=60, size=3)


def main() -> None:
    what, folder, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    own = Field(folder, url, "postgresql")
    if what == "carry":
        carry(own.config, Shifted(own.clock))
    else:
        calm(own, SHAPE, folder / "result.json")


if __name__ == "__main__":
    main()
