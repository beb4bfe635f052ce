"""What a recipe's code would run, as a digest: every part of it counts, though it stands in no file."""

import subprocess
import sys
import textwrap

import pytest

from unseen.targets.sources import code_digest

# each makes `train` from a number; none of it stands in a file
BODIES = {
    "a class attribute": """
        class Settings:
            depth = {n}
        def train(X, y, seed):
            return Settings.depth
    """,
    "a property": """
        class Settings:
            @property
            def depth(self):
                return {n}
        def train(X, y, seed):
            return Settings().depth
    """,
    "a class method": """
        class Settings:
            @classmethod
            def depth(cls):
                return {n}
        def train(X, y, seed):
            return Settings.depth()
    """,
    "a cached property": """
        from functools import cached_property
        class Settings:
            @cached_property
            def depth(self):
                return {n}
        def train(X, y, seed):
            return Settings().depth
    """,
    "a member of an enum": """
        from enum import Enum
        class Depth(Enum):
            DEEP = {n}
        def train(X, y, seed):
            return Depth.DEEP
    """,
    "a default of a dataclass": """
        from dataclasses import dataclass
        @dataclass
        class Settings:
            depth: int = {n}
        def train(X, y, seed):
            return Settings()
    """,
    "a function under a cache": """
        from functools import lru_cache
        @lru_cache
        def depth():
            return {n}
        def train(X, y, seed):
            return depth()
    """,
    "a function inside an installed object": """
        from sklearn.preprocessing import FunctionTransformer
        def moved(X):
            return X + {n}
        step = FunctionTransformer(moved)
        def train(X, y, seed):
            return step
    """,
    "a method of an object of Python": """
        settings = {{"depth": {n}}}
        get = settings.get
        def train(X, y, seed):
            return get("depth")
    """,
    "an inner class": """
        class Outer:
            class Inner:
                def depth(self):
                    return {n}
        def train(X, y, seed):
            return Outer
    """,
}


def made(body, n):
    names = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(body).format(n=n), "<cell>", "exec"), names)
    return names["train"]


@pytest.mark.parametrize("part", BODIES)
def test_another_value_is_another_digest_and_the_same_is_the_same(part):
    one, again, other = (code_digest(made(BODIES[part], n)) for n in (1, 1, 2))
    assert one == again
    assert one != other


def test_what_cannot_be_read_is_the_same_in_every_process(tmp_path):
    body = """
    import threading
    LOCK = threading.Lock()
    class Settings:
        lock = threading.Lock()
        names = {"b", "a", "c"}
        def __init__(self):
            self.inner = threading.Lock()
    SETTINGS = Settings()
    def train(X, y, seed):
        with LOCK, SETTINGS.lock:
            return SETTINGS
    from unseen.targets.sources import code_digest
    print(code_digest(train))
    """
    code = textwrap.dedent(body)
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert len({ran.stdout for ran in runs}) == 1
    assert runs[0].stdout.strip()
