"""Start modules of cutstream as processes that import nothing from the current folder.

Python looks for modules in the current folder first, where another account may have put some: in /tmp, or in a folder
that it has prepared. So each process is isolated (`python -I`): it also ignores the variables PYTHON* and the packages
that `pip install --user` installs. This file is the program that runs there, and it adds cutstream's own folder, so
that a checkout that is not installed works, too.
"""

from __future__ import annotations

import os
import runpy
import sys


def python_command(module: str) -> tuple[str, ...]:
    """Return the command line that runs a module of cutstream, with the running interpreter. Arguments may follow."""
    return (sys.executable, "-I", os.path.abspath(__file__), module)


def main() -> None:
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if root not in sys.path:
        sys.path.insert(0, root)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
