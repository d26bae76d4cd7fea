"""What every component of a kind must do, as checks that `kbench conform` and the tests run alike.

A check takes a component's name and returns what is wrong, in a sentence with its figure, or None.
"""

from collections.abc import Callable

Check = Callable[[str], str | None]
