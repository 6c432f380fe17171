"""`python -m tests.chaos [--seconds 120] [--seed N] [--keys 200] [--rate 100]`: blow, then print the verdict."""

import argparse
import asyncio
import json
import secrets
import sys
from collections import Counter
from dataclasses import asdict

from tests.chaos.checker import check
from tests.chaos.storm import Storm


def main() -> int:
    """Run one storm; status 0 only if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same schedule")
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100, help="events per second")
    parser.add_argument("--patience", type=float, default=300, help="seconds until all must be settled afterwards")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON, all else to stderr")
    words = parser.parse_args()
    seed = words.seed if words.seed is not None else secrets.randbelow(2**31)
    aside = sys.stderr if words.json else sys.stdout
    print(f"seed {seed}", file=aside, flush=True)

    def say(text: str) -> None:
        if not words.quiet:
            print(f"  {text}", file=aside, flush=True)

    with Storm(seed, keys=words.keys, rate=words.rate, say=say) as storm:
        facts = asyncio.run(storm.run(words.seconds, patience=words.patience))
        verdict = check(facts)
        report = storm.report
        happened = dict(sorted(Counter(report.happenings).items()))
        for name, n in happened.items():
            print(f"{n:4d} × {name}", file=aside)
        effects, seen = sum(map(len, facts.effects.values())), len(facts.seen_by_a_person)
        print(
            f"{report.sent} sent, {report.acknowledged} acknowledged (slowest after {report.longest_answer:.1f} s), "
            f"{report.unanswered} never; {effects} effects on {len(facts.effects)} keys, "
            f"{seen} seen by a person; settled {report.settled_after:.0f} s after the storm",
            file=aside,
        )
        print(f"verdict for seed {seed}: {verdict}", file=aside)
        if not verdict.good:
            print(storm.logs(), file=aside)
    if words.json:
        counted = {"effects": effects, "keys": len(facts.effects), "seen_by_a_person": seen}
        told = asdict(report) | {"happenings": happened} | counted | asdict(verdict)
        print(json.dumps({"seed": seed, "good": verdict.good, **told}, indent=2))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
