"""What must hold of a world after a kill, a power failure or a failed call within a step: the
database opens at the state before the step or after it, whole; every stored byte is sound; the next
writer repairs what is left, and the step, run again, ends where it would have ended."""

from concurrent.futures import ThreadPoolExecutor

import worn
from calls import graddb
from script import database
from seen import timeless

WORKERS = graddb.os.cpu_count() or 1


class Survival:
    def __init__(self, script, name):
        self.script = script
        self.taken = script.taken[name]
        self.step = self.taken.step
        # Times differ from run to run: in a world of another run they are not looked at.
        self.before, self.after = self.taken.before, self.taken.after

    @property
    def is_visible(self):
        """Whether the step changes anything that can be seen."""
        return timeless(self.before) != timeless(self.after)

    def landed(self, world, env=None, same_run=False):
        """Whether it can be seen that the step has happened: all of it, or nothing. `same_run`: to
        the millisecond."""
        seen = self.script.see(world, env)
        if same_run and seen == self.after or not same_run and timeless(seen) == timeless(self.after):
            return True
        assert self._is_before(seen), f"neither before nor after {self.step.name}:\n{seen}"
        return False

    def _nothing_is_left(self, world, env):
        """Of a step that cleans up: whether another one would find nothing to do."""
        result = self.script.run_afterwards(self.step, world, env).expect()
        return not any(value for name, value in result.line.items() if name not in ("seconds", "dry_run", "backups"))

    def _is_before(self, seen):
        if seen == self.before:
            return True
        if not self.step.again:
            return False
        # A rank keeps what it has finished, wherever it was stopped; nothing else may differ.
        kept = [{k: v for k, v in each.items() if k != "staged"} for each in (seen, self.before)]
        return kept[0] == kept[1]

    def verify(self, world, env=None, must_have_landed=False, same_run=False):
        """Returns whether it could be seen that the step had happened."""
        landed = self.landed(world, env, same_run)
        assert landed or not must_have_landed, f"{self.step.name} was acknowledged, and is lost"
        is_over = not self.step.afterwards or self._nothing_is_left(world, env)
        if landed and is_over and not self.step.is_tidy:
            if "table" in self.after:
                # Any command that writes: it makes the recovery run.
                self._gradctl(world, env, "tag", "t", "probe")
                self._gradctl(world, env, "tag", "t", "probe", "--delete")
        else:
            self.script.run(self.step, world, again=True, env=env).expect()
        again = self.script.see(world, env)
        assert timeless(again) == timeless(self.after), f"after another run of {self.step.name}"
        assert not self.step.afterwards or self._nothing_is_left(world, env)
        if self.step.prepare:
            path = database(world, self.step)
            worn.verify_repaired(path, database(self.taken.world, self.step), env)
            return landed
        self._gradctl(world, env, "check", "--deep")
        return landed

    def _gradctl(self, world, env, *arguments):
        result = graddb.run(*arguments, "--db", database(world), "--json", env=env)
        return result.expect()


def in_parallel(function, items):
    """Calls a function for each item, on all processors; fails with the first failure."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(function, items))
