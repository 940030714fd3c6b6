# SPDX-License-Identifier: MIT
"""What the fuzzers share: seeds, workers that may crash, counting, making a failing case smaller.

A case is a list of steps that its seed decides alone. Cases run in worker processes that say which
seed comes next, so that a crash or a hang has a seed, too. A fuzzer is an object with

    unit        what its length is counted in: "operations" or "programs"
    features    names that --without takes, with a line about each
    generate(seed, features) -> list of steps, of which any part is a case as well
    run(seed, steps, features, counts, verbose) -> units done; raises Finding
"""

import argparse
import collections
import faulthandler
import gc
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback

CASES_A_WORKER = 2000  # a crash that needs the cases before it needs at most so many
FOUND, SECONDS_TO_MINIMISE = 3, 40


class Finding(Exception):
    """The engine did what it must not do."""


def main(fuzzer):
    options = parse(fuzzer)
    features = set(fuzzer.features) - set(options.without)
    if options.only:
        features = set(options.only)
    if options.worker:
        return work(fuzzer, features, options)
    if options.steps is not None:
        return run_one(fuzzer, features, options)
    return Parent(fuzzer, options).run()


def parse(fuzzer):
    names = "\n".join(f"  {name:<20} {text}" for name, text in fuzzer.features.items())
    parser = argparse.ArgumentParser(
        description=fuzzer.__doc__,
        epilog=f"features:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def names_of(text):
        for name in text.split(","):
            if name not in fuzzer.features:
                raise argparse.ArgumentTypeError(f"no feature {name!r}")
        return text.split(",")

    add = parser.add_argument
    add(f"--{fuzzer.unit}", type=float, dest="units", metavar="N", help="how many to run")
    add("--seconds", type=float, help="how long to run, if that is shorter")
    add("--start", type=int, default=0, metavar="SEED", help="the first case; to resume a run")
    add("--cases", type=int, metavar="N", help="how many cases to run, if that is fewer")
    add("--jobs", type=int, default=1, metavar="N", help="worker processes at a time")
    add("--findings", type=int, default=1, metavar="N", help="stop after so many")
    add("--without", type=names_of, default=[], metavar="FEATURE,...")
    add("--only", type=names_of, default=[], metavar="FEATURE,...")
    add("--steps", type=steps_of, metavar="K,...", help="of the case --start, these steps only")
    add("--minimise", action=argparse.BooleanOptionalAction, default=True)
    add("--timeout", type=float, default=300.0, help="seconds after which a case hangs")
    add("--verbose", action="store_true", help="show each step (with --steps or --cases 1)")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.units is None and options.seconds is None and options.cases is None:
        options.seconds = 10.0
    return options


def steps_of(text):
    """'1,4-6' as [1, 4, 5, 6]; 'all' as []."""
    steps = []
    for part in [] if text == "all" else text.split(","):
        first, _, last = part.partition("-")
        steps += range(int(first), int(last or first) + 1)
    return steps


def steps_text(steps):
    parts, k = [], 0
    while k < len(steps):
        last = k
        while last + 1 < len(steps) and steps[last + 1] == steps[last] + 1:
            last += 1
        parts.append(str(steps[k]) if last == k else f"{steps[k]}-{steps[last]}")
        k = last + 1
    return ",".join(parts)


def feature_options(options):
    given = []
    for name in ("without", "only"):
        if getattr(options, name):
            given += [f"--{name}", ",".join(getattr(options, name))]
    return given


# -- in the worker ---------------------------------------------------------------------------------


def say(**message):
    os.write(1, (json.dumps(message) + "\n").encode())


def prepare_process():
    faulthandler.enable()
    gc.collect()
    gc.freeze()  # so that a collection looks at what the cases made, and takes no time


def run_case(fuzzer, seed, features, counts, timeout, steps=None, verbose=False):
    """Units done. Everything random comes from the seed."""
    all_steps = fuzzer.generate(seed, features)
    chosen = all_steps if not steps else [all_steps[k] for k in steps if k < len(all_steps)]
    random.seed(seed)
    faulthandler.dump_traceback_later(timeout, exit=True)
    try:
        return fuzzer.run(seed, chosen, features, counts, verbose)
    finally:
        faulthandler.cancel_dump_traceback_later()


def work(fuzzer, features, options):
    """Runs every --jobs-th case from --start; says what it does in lines of JSON."""
    prepare_process()
    counts = collections.Counter()
    units, told = 0, time.monotonic()
    end = told + options.seconds if options.seconds else float("inf")
    for k in range(options.cases or sys.maxsize):
        seed = options.start + k * options.jobs
        say(case=seed, so_far=units)
        try:
            units += run_case(fuzzer, seed, features, counts, options.timeout, options.steps)
        except Exception as error:
            is_ours = isinstance(error, Finding)
            say(units=units, counts=counts)
            say(finding=str(error) if is_ours else traceback.format_exc())
            return FOUND
        counts["cases"] += 1
        now = time.monotonic()
        if now - told > 0.5 or now > end:
            say(units=units, counts=counts)
            units, told = 0, now
            counts.clear()
            if now > end:
                return 0
    say(units=units, counts=counts)
    return 0


def run_one(fuzzer, features, options):
    """One case, or a part of it, in this process."""
    prepare_process()
    counts = collections.Counter()
    try:
        run_case(
            fuzzer,
            options.start,
            features,
            counts,
            options.timeout,
            options.steps,
            options.verbose,
        )
    except Finding as finding:
        print(f"finding: {finding}")
        return 1
    print("no finding;", summary(counts))
    return 0


def summary(counts):
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


# -- in the parent ---------------------------------------------------------------------------------


class Parent:
    def __init__(self, fuzzer, options):
        self.fuzzer, self.options = fuzzer, options
        self.lock = threading.Lock()
        self.units, self.counts, self.findings = 0, collections.Counter(), []
        self.started = self.shown = time.monotonic()
        self.next = [options.start + job for job in range(options.jobs)]
        self.left = [options.cases or sys.maxsize] * options.jobs

    def run(self):
        jobs = [
            threading.Thread(target=self.keep_working, args=(job,))
            for job in range(self.options.jobs)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        seconds = self.elapsed()
        if self.findings:
            prepare_process()
        for seed, base, text in self.findings:
            self.explain(seed, base, text)
        print(
            f"{self.units:,} {self.fuzzer.unit} in {seconds:.0f} s"
            f" ({self.units / max(seconds, 1e-9):,.0f} a second), seeds {self.options.start} to"
            f" {max(self.next) - 1}: {len(self.findings)} finding(s)"
        )
        print(summary(self.counts))
        return 1 if self.findings else 0

    def keep_working(self, job):
        while not self.is_done() and self.left[job] > 0:
            cases = min(self.left[job], CASES_A_WORKER)
            base = self.next[job]
            status, text = self.worker(job, base, cases)
            if status:
                with self.lock:
                    self.findings.append((self.next[job] - self.options.jobs, base, text))

    def is_done(self):
        with self.lock:
            options = self.options
            return (
                len(self.findings) >= options.findings
                or (options.units is not None and self.units >= options.units)
                or (options.seconds is not None and self.elapsed() >= options.seconds)
            )

    def elapsed(self):
        return time.monotonic() - self.started

    def command(self, *more):
        return [
            sys.executable,
            os.path.abspath(sys.argv[0]),
            *feature_options(self.options),
            "--timeout",
            str(self.options.timeout),
            *map(str, more),
        ]

    def worker(self, job, base, cases):
        """Runs cases until they or the time are over; the exit status, and what was said of it."""
        options, text = self.options, ""
        limits = ["--worker", "--start", base, "--cases", cases, "--jobs", options.jobs]
        if options.seconds is not None:
            limits += ["--seconds", max(0.1, options.seconds - self.elapsed())]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                self.command(*limits), stdout=subprocess.PIPE, stderr=errors, text=True
            )
            enough, untold = False, 0
            for line in process.stdout:
                message = json.loads(line)
                if "case" in message:
                    self.next[job] = message["case"] + options.jobs
                    self.left[job] -= 1
                    untold = message["so_far"]
                elif "finding" in message:
                    text = message["finding"]
                else:
                    untold = 0
                    enough = self.count(message) or enough
                if enough and not text and "units" in message and process.poll() is None:
                    process.terminate()
                    process.wait()
                    return 0, ""
            status = process.wait()
            if status and not text:
                self.count({"units": untold, "counts": {}})
                errors.seek(0)
                text = f"the process ended with status {status}\n{errors.read()[-8000:]}"
            return status, text

    def count(self, message):
        """Adds up; whether that is enough."""
        with self.lock:
            self.units += message["units"]
            self.counts.update(message["counts"])
            now = time.monotonic()
            if now - self.shown > 30:
                self.shown = now
                print(f"... {self.units:,} {self.fuzzer.unit}, next {min(self.next)}", flush=True)
            return self.options.units is not None and self.units >= self.options.units

    # -- a finding --

    def explain(self, seed, base, text):
        print(f"\nFINDING in case {seed}:\n{text.rstrip()}")
        options = " ".join(feature_options(self.options))
        script = os.path.relpath(sys.argv[0])
        kind = self.failure_of(seed, None)
        if not kind:
            print(
                f"It needs the cases before it:\n  python {script} {options} --start {base}"
                f" --cases {(seed - base) // self.options.jobs + 1}"
            )
            return
        steps = list(range(len(self.fuzzer.generate(seed, self.active()))))
        if self.options.minimise:
            steps = self.minimise(seed, steps, kind)
        print(
            f"again: python {script} {options} --start {seed} --steps {steps_text(steps) or 'all'}"
            " --verbose",
            flush=True,
        )
        self.show(seed, steps)

    def active(self):
        if self.options.only:
            return set(self.options.only)
        return set(self.fuzzer.features) - set(self.options.without)

    def alone(self, seed, steps, *more):
        return self.command("--start", seed, "--steps", steps_text(steps or []) or "all", *more)

    def failure_of(self, seed, steps):
        """What kind of failure these steps end in, or ''."""
        if not hasattr(os, "fork"):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            status = subprocess.run(self.alone(seed, steps), **quiet).returncode
            return f"status {status}" if status else ""
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            self.fail_in_child(seed, steps, writer)
        os.close(writer)
        with open(reader, encoding="utf-8") as said:
            text = said.read()
        status = os.waitpid(process, 0)[1]
        return (text or f"status {status}") if status else ""

    def fail_in_child(self, seed, steps, writer):
        status, kind = 1, ""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            timeout = min(self.options.timeout, 20)
            run_case(self.fuzzer, seed, self.active(), collections.Counter(), timeout, steps)
            status = 0
        except Finding as finding:
            kind = str(finding)
        except Exception as error:
            kind = repr(error)
        finally:
            os.write(writer, re.sub(r"[-+.\d]+|0x\w+", "0", kind).encode()[:60])
            os._exit(status)

    def minimise(self, seed, steps, kind):
        """Leaves steps out, halves first, as long as what is left still fails."""
        end = time.monotonic() + SECONDS_TO_MINIMISE
        size = len(steps) // 2
        while size and time.monotonic() < end:
            before = len(steps)
            k = 0
            while k < len(steps) and time.monotonic() < end:
                fewer = steps[:k] + steps[k + size :]
                if fewer and self.failure_of(seed, fewer) == kind:
                    steps = fewer
                else:
                    k += size
            if size > 1 or len(steps) == before:  # once more as long as single steps can go
                size //= 2
        return steps

    def show(self, seed, steps):
        process = subprocess.run(
            self.alone(seed, steps, "--verbose"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        print("\n".join(process.stdout.splitlines()[-60:]))
