"""Runs a command at a terminal of its own, prints what that showed, and ends as the command did.

    python3 terminal.py COMMAND…

Standard output is not the terminal: it carries a copy of everything that was written to it.
"""

import os
import pty
import sys


def main(command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    while True:
        try:
            shown = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody has the terminal open any more.
            break
        if not shown:
            break
        os.write(1, shown)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
