"""The harness itself: it sees every call, replays what it saw, does what it is told, and would
notice a database that forgets to sync."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pytest

import calls
from calls import Call, Match, graddb
from disk import Disk, File, write_state
from script import NAMES
from survival import Survival


# MARK: seeing

# What strace calls them: everything that can change what is on a disk.
CHANGES = {
    "write": "w", "pwrite64": "w", "writev": "w", "pwritev": "w", "pwritev2": "w", "sendfile": "w",
    "copy_file_range": "w", "ftruncate": "t", "truncate": "t", "fallocate": "a", "fsync": "s",
    "fdatasync": "s", "rename": "r", "renameat": "r", "renameat2": "r", "link": "l", "linkat": "l",
    "unlink": "u", "unlinkat": "u", "rmdir": "d", "mkdir": "m", "mkdirat": "m", "symlink": "y",
    "symlinkat": "y", "syncfs": "?", "mknod": "?", "mknodat": "?", "io_submit": "?",
    "io_uring_setup": "?",
}  # fmt: skip
LINE = re.compile(r"(?:\[[^\]]*\] )?(\w+)\((.*)\) += (-?\d+)")


def traced(name, prefix, world):
    """Counter of (kind, path) as the kernel saw them in one run, from strace's files."""
    seen = Counter()
    for file in prefix.parent.glob(prefix.name + ".*"):
        for text in file.read_text(errors="replace").splitlines():
            match = LINE.match(text)
            if not match or str(world) not in text:
                continue
            call, arguments, _ = match.groups()
            path = re.search(re.escape(str(world)) + r'[^">]*', arguments)
            if path is None:
                continue
            if call in ("open", "openat", "creat"):
                if re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", arguments) or call == "creat":
                    seen["O", plain(path[0])] += 1
            elif call in ("unlink", "unlinkat") and "AT_REMOVEDIR" in arguments:
                seen["d", plain(path[0])] += 1
            elif call in CHANGES:
                seen[CHANGES[call], plain(path[0])] += 1
            elif call == "mmap" and "PROT_WRITE" in arguments and "MAP_SHARED" in arguments:
                seen["?", plain(path[0])] += 1
    return seen


def plain(path):
    """A path without what differs from run to run."""
    path = re.sub(r"LOG\.old\.\d+|(making|repairing|damaged)-\d+", "…", path)
    return os.path.normpath(re.sub(r"/world[^/]*/", "/world/", path))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_the_kernel_sees_is_missed(script, faults, name):
    """strace beside the library: the same opens for writing, writes, syncs and names, path by path.
    Without strace this is not known, and the test is skipped."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace to compare with")
    world = script.copy(name, script.directory / f"world-traced-{name}")
    prefix, log = script.directory / f"strace-{name}", script.directory / f"traced-{name}.calls"
    command = ["strace", "-ff", "-y", "-qq", "-s", "0", "-o", prefix, graddb.GRADCTL]
    arguments = script.arguments(script.taken[name].step, world)
    env = graddb.environment()
    # Only gradctl is looked at by the library: strace itself writes elsewhere.
    for variable, value in faults.environment(world, log=log).items():
        if variable.startswith("FAULTS") or variable == "LD_PRELOAD":
            command[1:1] = ["-E", f"{variable}={value}"]
    done = subprocess.run([*command, *map(str, arguments)], env=env, capture_output=True, timeout=120)
    if done.returncode != 0 and b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    recorded = Counter()
    for call in calls.numbered(calls.read(log)):
        if call.kind != "g":
            recorded[call.kind, plain(call.path)] += 1
    kernel = traced(name, prefix, world)
    # The library asks the kernel to unlink where the program asked to remove: the same.
    assert kernel == recorded
    assert sum(recorded.values()) >= 5
    shutil.rmtree(world)


def recorded_ones(files, prepared):
    """Without what nobody records: the lock that the questions after a step have made, and what was
    prepared for the step that follows."""
    return {
        path: content
        for path, content in files.items()
        if not path.endswith("/readers")
        and not (prepared and (path == prepared or path.startswith(f"{prepared}/")))
    }


@pytest.mark.parametrize("name", NAMES)
def test_replaying_what_was_seen_gives_what_is_there(script, name):
    taken = script.taken[name]
    disk = Disk(script.world)
    disk.top = Disk(taken.world).top
    for call in taken.calls:
        disk.apply(call)
    following = NAMES.index(name) + 1
    there, prepared = script.world, None
    if following < len(NAMES):
        after = script.taken[NAMES[following]]
        there = after.world
        prepared = after.step.database if after.step.prepare else None
    assert recorded_ones(disk.live(), prepared) == recorded_ones(Disk(there).live(), prepared)
    # What has no pending changes looks the same after a power failure.
    assert disk.after_power_failure("all") == disk.live()


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_database_that_does_not_sync_its_log_would_be_found_out(script, faults, forgetful):
    """Right after the log's sync a tag is there, unless the disk ignores that sync."""
    taken = script.taken["tag"]
    disk = Disk(script.world)
    disk.top = Disk(taken.world).top

    def is_sync_of_log(call):
        return call.kind == "s" and call.path.endswith(".log")

    last = max(index for index, call in enumerate(taken.calls) if is_sync_of_log(call))
    # The directory is synced next, for the name of the log.
    for call in taken.calls[: last + 2]:
        if not (forgetful and is_sync_of_log(call)):
            disk.apply(call)
    state = disk.after_power_failure("none")
    world = write_state(state, script.directory / f"forgetful-{forgetful}")
    landed = Survival(script, "tag").landed(world, faults.unsynced(world), same_run=True)
    assert landed != forgetful


# MARK: the simulated disk


def call(kind, path, other="", handle=0, offset=0, length=0, data=b"", result=0, injected=False, flags=0):
    return Call(kind, flags, 1, result, handle, offset, length, injected, path, other, data)


@pytest.fixture
def disk(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"a" * 600)
    return Disk(root), root


def test_bytes_and_names_need_a_sync_of_their_own(disk):
    disk, root = disk
    disk.apply(call("O", f"{root}/new", handle=1, flags=os.O_CREAT | os.O_WRONLY))
    disk.apply(call("w", f"{root}/new", handle=1, data=b"xyz"))
    old = {"old": b"a" * 600}
    assert disk.after_power_failure("none") == old
    assert disk.after_power_failure("names") == old | {"new": b""}
    assert disk.after_power_failure("all") == old | {"new": b"xyz"} == disk.live()
    disk.apply(call("s", f"{root}/new", handle=1))
    assert disk.after_power_failure("none") == old
    disk.apply(call("o", str(root), handle=2))
    disk.apply(call("s", str(root), handle=2))
    assert disk.after_power_failure("none") == old | {"new": b"xyz"}
    disk.apply(call("r", f"{root}/new", f"{root}/old"))
    assert disk.after_power_failure("bytes") == old | {"new": b"xyz"}
    assert disk.after_power_failure("names") == {"old": b"xyz"}
    outcomes = [disk.after_power_failure("sectors", seed) for seed in range(20)]
    assert all(each in ({"old": b"xyz"}, old | {"new": b"xyz"}) for each in outcomes)
    assert outcomes[1:] != outcomes[:-1]


def test_sectors_are_kept_or_lost_one_by_one(disk):
    disk, root = disk
    disk.apply(call("O", f"{root}/old", handle=1, flags=os.O_WRONLY))
    disk.apply(call("w", f"{root}/old", handle=1, offset=100, data=b"b" * 1000))
    states = {disk.after_power_failure("sectors", seed)["old"] for seed in range(60)}
    expected = set()
    for kept in range(8):
        content = bytearray(b"a" * 600)
        for sector in range(3):
            if kept >> sector & 1:
                first, last = max(100, sector * 512), min(1100, sector * 512 + 512)
                content.extend(bytes(max(0, last - len(content))))
                content[first:last] = b"b" * (last - first)
        expected.add(bytes(content))
    assert states == expected
    assert {disk.after_power_failure("writes", seed)["old"] for seed in range(20)} == {
        b"a" * 600, b"a" * 100 + b"b" * 1000,
    }  # fmt: skip


def test_what_a_failed_sync_covered_is_lost_for_good():
    file = File(b"old")
    file.write(1, 0, b"new")
    file.lose()
    file.write(2, 3, b"!")
    file.sync()
    assert file.durable == b"old!"
    assert file.live == b"new!"


# MARK: acting

PROGRAM = """
import os, sys
base = sys.argv[1]
os.mkdir(base + "/d")
file = os.open(base + "/d/f", os.O_WRONLY | os.O_CREAT, 0o644)
for k in range(4):
    try:
        print(k, os.write(file, b"0123456789"), flush=True)
    except OSError as error:
        print(k, error.errno, flush=True)
try:
    os.fsync(file)
    print("synced", flush=True)
except OSError as error:
    print("sync", error.errno, flush=True)
os.rename(base + "/d/f", base + "/d/g")
"""


def act(faults, root, **options):
    """Runs a little program: mkdir 1, open 2, writes 3 to 6, fsync 7, rename 8."""
    root.mkdir()
    env = faults.environment(root, log=f"{root}.calls", **options)
    done = subprocess.run([sys.executable, "-c", PROGRAM, root], env=env, capture_output=True, text=True)
    found = {path.name: path.stat().st_size for path in (root / "d").glob("*")}
    return done.returncode, done.stdout.split("\n")[:-1], found


def test_calls_fail_and_processes_die_where_they_are_told_to(faults, tmp_path):
    whole = [f"{k} 10" for k in range(4)] + ["synced"]
    killed = -signal.SIGKILL
    number = iter(range(100))

    def outcome(**options):
        return act(faults, tmp_path / str(next(number)), **options)

    assert outcome() == (0, whole, {"g": 40})
    assert [c.number for c in calls.numbered(calls.read(tmp_path / "0.calls"))] == list(range(1, 9))
    assert outcome(at=4, action="kill-before") == (killed, whole[:1], {"f": 10})
    assert outcome(at=4, action="kill-middle") == (killed, whole[:1], {"f": 15})
    assert outcome(at=4, action="kill-after") == (killed, whole[:1], {"f": 20})
    assert outcome(at=4, action="EIO") == (0, ["0 10", "1 5", *whole[2:]], {"g": 30})
    assert outcome(at=4, action="ENOSPC", sticky=True) == (
        0, ["0 10", "1 28", "2 28", "3 28", "synced"], {"g": 10})  # fmt: skip
    assert outcome(at=4, action="short") == (0, ["0 10", "1 5", *whole[2:]], {"g": 35})
    assert outcome(at=4, action="short-ENOSPC") == (
        0, ["0 10", "1 5", "2 28", "3 28", "synced"], {"g": 15})  # fmt: skip
    assert outcome(at=7, action="EIO") == (0, [*whole[:4], "sync 5"], {"g": 40})
    match = Match("w", "*/d/f", "*", 3)
    assert outcome(match=match, action="EDQUOT") == (0, ["0 10", "1 10", "2 122", *whole[3:]], {"g": 30})
    assert outcome(match=Match("r", "*/f", "*/g"), action="kill-before") == (killed, whole, {"f": 40})
    assert outcome(match=Match("r", "*/f", "*/h"), action="kill-before") == (0, whole, {"g": 40})
