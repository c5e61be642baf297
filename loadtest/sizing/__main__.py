"""Sizing: the tables and plots of docs/sizing.md and docs/scaling.md, and the model behind them.

    python3 loadtest/sizing                 prints every line of the pages that is not what follows from the inputs
    python3 loadtest/sizing write           makes it so
    python3 loadtest/sizing plan 2TB/day --event 400 --batch 1 --connections 200000 --log kafka --shards 96
    python3 loadtest/sizing measure …       measures inputs, with a release build; under tests/infra/s3.sh, kafka.sh
"""

import argparse
import sys

import measure
import pages
import plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=lambda _: pages.check())
    commands = parser.add_subparsers(prog="loadtest/sizing")
    commands.add_parser("check", help="the default")
    commands.add_parser("write").set_defaults(run=lambda _: pages.write())
    for name, module in (("plan", plan), ("measure", measure)):
        command = commands.add_parser(name, help=module.__doc__)
        command.set_defaults(run=module.run)
        module.add_arguments(command)
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
