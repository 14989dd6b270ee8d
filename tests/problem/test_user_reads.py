"""What modules of the user's own compute from besides their source."""

import ast

import pytest

from jaxsim.problem.user_reads import _reads


def places(source: str) -> list[str]:
    return [what for _, what in sorted(_reads(ast.parse(source)))]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import numpy as np\nW = np.random.normal(size=3)", "np.random.normal"),
        ("import numpy as np\nW = np.random.default_rng().normal()", "np.random.default_rng"),
        ("import random\nW = random.random()", "random.random"),
        ("import time\nW = time.time()", "time.time"),
        ("import datetime\nW = datetime.datetime.now().year", "datetime.datetime.now"),
        ("import os\nW = os.urandom(3)", "os.urandom"),
        ("import os\nW = os.environ['W']", "os.environ"),
        ("import numpy\nW = numpy.load('w.npy')", "numpy.load"),
    ],
)
def test_what_another_process_may_find_otherwise_is_named(source, what):
    assert what in places(source)


@pytest.mark.parametrize(
    "source",
    [
        "import jax\nW = jax.random.normal(jax.random.key(0), (3,))",
        "import numpy as np\nW = np.random.default_rng(0).normal(size=3)",
        "import numpy as np\nnp.random.seed(1)\nW = np.random.normal(size=3)",
        "import random\nW = random.Random(3).random()",
        "import math\nW = math.pi\ndef f(x):\n    return W * x.max()",
    ],
)
def test_what_is_the_same_in_every_process_is_not(source):
    assert places(source) == []
