"""``python -m bench``: measure, each figure beside its reference, and say whether its mark is met."""

import argparse
import os
import platform
from contextlib import nullcontext
from pathlib import Path

from bench import binds, commands, lookups, masker, memory, messages, migration, recorder, voice
from bench.figures import Report
from bench.world import World

PARTS = ("masker", "voice", "lookups", "binds", "messages", "commands", "memory", "recorder", "migration")

SLOW = ("memory", "recorder", "migration")  #: with --full, or when they are named


def main() -> None:
    options = _options()
    report = Report(judges=not options.quick)
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    sizes = options.sizes or ([10_000] if options.quick else [10_000, 1_000_000])
    if options.full and not options.sizes:
        sizes.append(10_000_000)
    rounds = 1 if options.quick else 3
    parts = options.parts or [part for part in PARTS if part not in SLOW or options.full]
    results: list[tuple[int, dict[str, list[float]]]] = []
    if "masker" in parts:
        masker.run(report, texts=1_000 if options.quick else 20_000, seed=options.seed)
        parts.remove("masker")
    with World.open(options.api_workers) if parts else nullcontext() as world:
        if world is None:
            sizes = []
        for size in sizes:
            report.say(f"filling up to {size:,} live bindings")
            world.grow(size)
            if "lookups" in parts:
                lookups.run(world, report, count=2_000 if options.quick else 20_000)
            if "binds" in parts:
                bulk_rows = 4_000 if options.quick else 100_000
                seconds = 2 if options.quick else 5
                results.append(
                    (size, binds.run(world, report, seconds=seconds, rounds=rounds, bulk_rows=bulk_rows))
                )
            if "voice" in parts and size == sizes[min(1, len(sizes) - 1)]:
                calls = options.calls or (300 if options.quick else 1_500)
                top = 0 if options.quick else 3_000
                turns = options.rounds or (1 if options.quick else 5)
                voice.run(world, report, calls=calls, rate=options.rate, rounds=turns, top_rate=top)
        if "messages" in parts:
            count = options.messages or (1_000 if options.quick else 5_000)
            turns = options.rounds or (1 if options.quick else 5)
            messages.run(world, report, messages=count, rate=200, rounds=turns)
        if "commands" in parts:
            commands.run(world, report, rounds=3 if options.quick else 15)
        if "memory" in parts:
            memory.run(world, report, requests=20_000 if options.quick else 1_000_000)
        if "recorder" in parts:
            recorder.run(world, report, calls=20_000 if options.quick else 200_000)
        if "migration" in parts:  # the last: it empties the tables
            migration.run(world, report, rows=options.rows or (20_000 if options.quick else 1_000_000))
        if len(results) > 1:
            binds.compare(report, results[0], results[-1])
    report.show(machine)
    if options.json is not None:
        report.write_json(options.json, machine)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them by default"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short run of each: does it work at all? Its figures are not held against marks",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="also with 10,000,000 live bindings (some 10 GB of disk), and the parts "
        "memory, recorder and migration",
    )
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,M", help="live bindings, ascending, instead of the usual"
    )
    parser.add_argument(
        "--api-workers", type=int, default=os.cpu_count() or 1, help="API processes (default: one a CPU)"
    )
    parser.add_argument("--calls", type=int, help="calls in one run (default 1500)")
    parser.add_argument("--messages", type=int, help="messages in one run (default 5000)")
    parser.add_argument("--rounds", type=int, help="rounds of the parts voice and messages (default 5)")
    parser.add_argument("--rows", type=int, help="old bindings in the part migration (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=700, help="of the texts in the part masker (default 700)")
    parser.add_argument("--rate", type=int, default=300, help="calls a second (default 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
