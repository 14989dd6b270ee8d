"""`python -m benchmarks [peers|scaling|startup|campaign|gpu]`: speed, as ratios within one run.

`python -m benchmarks against COMMIT`: this build and another, side by side.
`python -m benchmarks designs`: strata against plain sampling on real trainings.
`python -m benchmarks rare`: rare events, with the bias, spread and coverage that were measured.
"""

import sys

from benchmarks import against, campaign, designs, gpu, rare, scaling, startup, throughput

COMMANDS = {
    "against": against.main,
    "peers": throughput.main,
    "scaling": scaling.main,
    "startup": startup.main,
    "campaign": campaign.main,
    "gpu": gpu.main,
    "designs": designs.main,
    "rare": rare.main,
    "gpu-precision": gpu.one_precision,
}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        COMMANDS[sys.argv[1]](sys.argv[2:])
    else:
        throughput.main(sys.argv[1:])
