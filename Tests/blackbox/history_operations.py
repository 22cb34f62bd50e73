"""The operations of a random history, each done by gradctl and by the model, their acknowledgements
compared. `histories.History` is what they are of."""

import json
import shutil
import string

import predicates
import second_reader
from graddb import BAD_INPUT, OK, USAGE, Database
from history_questions import row_values
from second_reader import Refused

CODECS = ["f32", "f16", "bf16", "int8", "int4", "bit"]
CHECKPOINTS = ["c1", "c2", "c3"]


class Operations:
    """What `step` draws from."""

    def step(self):
        """One operation, drawn at random, of those that can be done."""
        operations = [(self.ingest, 6), (self.ingest_again, 3), (self.delete_ids, 4),
                      (self.delete_where, 2), (self.restore, 3), (self.recode, 3), (self.compact, 3),
                      (self.expire, 2), (self.gc, 2), (self.tag, 2), (self.staged, 1),
                      (self.precondition, 1), (self.wrong, 2), (self.diff, 2), (self.archive, 1)]
        names, weights = zip(*operations)
        self.random.choices(names, weights)[0]()

    def _json(self, *arguments, **options):
        self.done.append("gradctl " + " ".join(map(str, arguments)))
        return self.db.json(*arguments, **options)

    def _tag(self):
        """A tag for every fifth commit, some of them taken already."""
        return self.random.choice("vwx") if self.random.random() < 0.2 else None

    def _message(self):
        self.messages += 1
        return f"message {self.messages}" if self.random.random() < 0.2 else ""

    def _fields_of(self, row_id):
        """Those of a live row, sometimes left out, or new ones."""
        row = self.model.newest.by_id.get(row_id)
        if row is not None:
            return dict(row.fields) if self.random.random() < 0.5 else {}
        return {n: v for n, v in predicates.random_row(self.random).items() if v is not None}

    def _inputs(self, ids):
        vectors = {name: self._vectors(len(ids), dims) for name, (dims, _) in self.layers.items()}
        zero = self.rng.random(len(ids)) < 0.1
        for rows in vectors.values():
            rows[zero] = 0
        fields = [self._fields_of(row_id) for row_id in ids]
        metadata = [{"id": row_id} | fields[i] for i, row_id in enumerate(ids)]
        return (vectors, fields, self.files.tensors("in.safetensors", vectors),
                self.files.metadata("in.jsonl", metadata))

    def _new_to(self, checkpoint, count):
        """Ids that the checkpoint lacks, at most so many."""
        state = self.model.newest
        has = {state.rows[number].id for number in state.at(checkpoint)}
        free = [row_id for row_id in self.pool if row_id not in has]
        return self.random.sample(free, min(count, len(free)))

    def ingest(self, resume=None):
        checkpoint = self.random.choice(CHECKPOINTS)
        ids = self._new_to(checkpoint, self.random.randint(1, 12))
        resume = self.random.random() < 0.3 if resume is None else resume
        state = self.model.newest
        if resume:
            there = [state.rows[number].id for number in state.at(checkpoint)]
            ids += self.random.sample(there, min(3, len(there)))
            self.random.shuffle(ids)
        if not ids:
            return
        vectors, fields, source, metadata = self._inputs(ids)
        step, weight = self._step_and_weight(checkpoint)
        tag, message = self._tag(), self._message()
        if resume and all(row_id in there for row_id in ids):
            tag = None
        wanted = self.model.ingest(checkpoint, ids, fields, vectors, step, weight, resume, tag, message)
        self.done.append(f"ingest {checkpoint} {ids} resume={resume}")
        said = self.db.ingest("t", source, checkpoint=checkpoint, metadata=metadata, resume=resume,
                              step=step, weight=weight, tag=tag, message=message or None)
        self._agree(said, wanted | {"checkpoint": checkpoint})

    def _step_and_weight(self, checkpoint):
        if checkpoint in self.model.newest.checkpoints:
            return None, None
        return self.random.choice([(None, 0.5), (100, -2.0), (0, 1e-5), (7, 3.0)])

    def _agree(self, said, wanted):
        assert {key: said[key] for key in wanted} == wanted, self

    def ingest_again(self):
        """Ids of deleted rows, which come as new rows with other fields."""
        state, checkpoint = self.model.newest, self.random.choice(CHECKPOINTS)
        gone = [row_id for row_id in self.pool if row_id not in state.by_id]
        ids = self.random.sample(gone, min(len(gone), 5)) + self._new_to(checkpoint, 2)
        ids = list(dict.fromkeys(ids))
        if not ids:
            return self.delete_ids()
        vectors, fields, source, metadata = self._inputs(ids)
        step, weight = self._step_and_weight(checkpoint)
        wanted = self.model.ingest(checkpoint, ids, fields, vectors, step, weight)
        self.done.append(f"ingest {checkpoint} {ids}")
        self._agree(self.db.ingest("t", source, checkpoint=checkpoint, metadata=metadata, step=step,
                                   weight=weight), wanted)

    def staged(self):
        checkpoint = self.random.choice(CHECKPOINTS)
        ids = self._new_to(checkpoint, 9)
        if len(ids) < 4:
            return
        vectors, fields, _, _ = self._inputs(ids)
        step, weight = self._step_and_weight(checkpoint)
        self.done.append(f"staged {checkpoint} {ids}")
        for rank, part in enumerate((slice(0, 3), slice(3, None))):
            source = self.files.tensors(
                "rank.safetensors", {name: rows[part] for name, rows in vectors.items()})
            metadata = self.files.metadata(
                "rank.jsonl", [{"id": i} | f for i, f in zip(ids[part], fields[part])])
            self.db.ingest("t", source, checkpoint=checkpoint, metadata=metadata,
                           rank=f"{rank}/2", step=step, weight=weight)
        wanted = self.model.ingest(checkpoint, ids, fields, vectors, step, weight,
                                   operation="commit")
        del wanted["skipped"]
        self._agree(self._json("commit", "t", "--checkpoint", checkpoint).line, wanted)

    def recode(self):
        layer = self.random.choice(list(self.layers))
        kind, beside = self.random.choice(CODECS), self.random.random() < 0.5
        arguments = ["recode", "t", "--layer", layer, "--codec", kind] + ["--beside"] * beside
        try:
            wanted = self.model.recode(layer, kind, beside)
        except Refused as refusal:
            self.db.run(*arguments, "--json").expect(refusal.status)
            return
        # Companions have rows that are deleted too.
        least = wanted.pop("rows")
        said = self._json(*arguments).line
        self._agree(said, wanted)
        assert said["rows"] >= least

    def _id_file(self, ids):
        """In a form of its own: as it is, as JSON, as an object, or lines that query printed."""
        form = self.random.choice(["plain", "json", "object", "mixed"])
        lines = []
        for row_id in ids:
            shape = self.random.choice(["plain", "json", "object"]) if form == "mixed" else form
            # What reads as JSON is taken as JSON.
            if shape == "plain" and (self.integer_ids or reads_plainly(row_id)):
                lines.append(str(row_id))
            elif shape == "object":
                lines.append(json.dumps({"rank": 1, "id": row_id, "score": 0.5},
                                        ensure_ascii=self.random.random() < 0.5))
            else:
                lines.append(json.dumps(row_id, ensure_ascii=self.random.random() < 0.5))
            lines += [""] * (self.random.random() < 0.1)
        return "\n".join(lines) + self.random.choice(["", "\n"])

    def delete_ids(self):
        live = list(self.model.newest.by_id)
        ids = self.random.sample(live, min(len(live), self.random.randint(1, 6)))
        lines = ids + self.random.sample(ids, min(len(ids), 1))
        missing, flags = [], []
        if self.random.random() < 0.3 or not ids:
            missing = [row_id for row_id in self.pool if row_id not in self.model.newest.by_id][:2]
            self.random.shuffle(lines)
            lines += missing
            flags = ["--ignore-missing"]
        if not lines:
            return
        dry = self.random.random() < 0.2
        text = self._id_file(lines).encode()
        if missing:
            refused = self.db.run("delete", "t", "--ids", "-", "--json", stdin=text)
            assert refused.expect(BAD_INPUT).error["kind"] == "bad_input"
        tag = None if dry else self._tag()
        wanted = self.model.delete(ids, len(missing), tag, dry_run=dry)
        flags += ["--dry-run"] * dry + (["--tag", tag] if tag else [])
        source, stdin = ("-", text) if self.random.random() < 0.5 else (
            self.files.write("ids.txt", text), None)
        self.done.append(f"the next deletes {ids}")
        self._agree(self._json("delete", "t", "--ids", source, *flags, stdin=stdin).line, wanted)

    def delete_where(self):
        state = self.model.newest
        for _ in range(20):
            condition = self.questions.condition()
            chosen = [number for number in state.rows
                      if condition.of(row_values(state, number)) is True]
            if len(chosen) <= max(3, len(state.rows) // 3):
                break
        else:
            return
        dry, message = self.random.random() < 0.2, self._message()
        wanted = self.model.delete([state.rows[n].id for n in chosen], 0, None, message, dry)
        flags = ["--dry-run"] * dry + (["--message", message] if message else [])
        self._agree(self._json("delete", "t", "--where", condition.text, *flags).line, wanted)

    def _name(self, number):
        """A snapshot's number, a tag of it, or its time where no later one has the same."""
        names = [number]
        if number:
            names += [tag for tag, to in self.model.tags.items() if to == number]
            later = {n for n, time in self.model.times.items() if time == self.model.times[number]}
            if max(later) == number and number in self.model.states:
                names.append(self.model.times[number])
        return self.random.choice(names)

    def restore(self):
        number = self.random.choice([0, *self.model.states, *self.model.states])
        if number == 0 and self.random.random() < 0.5:
            return self.ingest()
        name, tag, message = self._name(number), self._tag(), self._message()
        wanted = self.model.restore(number, tag, message)
        flags = (["--tag", tag] if tag else []) + (["--message", message] if message else [])
        self._agree(self._json("restore", "t", "--to", name, *flags).line, wanted)

    def compact(self):
        everything = self.random.random() < 0.5
        before, newest = self.db.snapshots("t"), self.model.newest.number
        said = self._json("compact", "t", *(["--all"] * everything)).line
        if said["snapshot"] == newest:
            assert said["rewritten"] == said["rows"] == said["dropped"] == 0, self
            assert self.db.snapshots("t") == before
            return
        state = self.model.compact()
        assert said["snapshot"] == state.number and said["segments_before"] == before[0]["segments"]
        after = self.db.snapshots("t")[0]
        assert (said["segments"], said["bytes"]) == (after["segments"], after["bytes"])
        assert said["rows"] <= len(state.vectors)
        filled = len({checkpoint for checkpoint, _ in state.vectors})
        if everything:
            # What has the norms of a preconditioner is not mixed with what has not.
            most = filled << len(state.preconditioners)
            assert filled <= said["segments"] <= most, self
        # Nothing of a deleted row is left, and of every encoding that the snapshot lacks.
        again = self.db.json("compact", "t", *(["--all"] * everything)).line
        assert again["snapshot"] == state.number and again["rewritten"] == 0, self

    def expire(self):
        keep = self.random.choice([None, self.random.randint(1, 6)])
        before = self.random.choice([None, *self.model.times.values()])
        if keep is None and before is None:
            keep = 3
        flags = (["--keep-last", keep] if keep else []) + (["--older-than", before] if before else [])
        wanted = self.model.expire(keep, before, dry_run=True)
        self._agree(self._json("expire", "t", *flags, "--dry-run").line, wanted)
        if self.random.random() < 0.2:
            return
        wanted = self.model.expire(keep, before)
        self._agree(self._json("expire", "t", *flags).line, wanted)

    def _seen_by_users(self):
        """All but how much is stored."""
        info = self.db.info("t")
        for key in ("stored_bytes", "garbage_bytes", "amplification"):
            del info[key]
        return info, self.db.snapshots("t")

    def gc(self):
        with second_reader.Database(str(self.db.path)) as opened:
            left = second_reader.garbage.Garbage(opened, "t")
        wanted = {
            "segments": len(left.documents["segment"]), "rows": len(left.rows),
            "checkpoints": len(left.documents["checkpoint"]),
            "preconditioners": len(left.documents["preconditioner"]),
            "deleted_row_containers": len(left.containers),
            "bytes": sum(part["bytes"] for doc in left.documents["segment"] + left.emptied
                         for part in doc["encodings"])
            + sum(doc["bytes"] for doc in left.documents["preconditioner"]),
        }
        assert set(left.rows) <= self.model.unseen_rows(), self
        assert self.db.info("t")["garbage_bytes"] == wanted["bytes"], self
        before = self._seen_by_users()
        dry = self._json("gc", "--dry-run").line
        self._agree(dry, wanted | {"dry_run": True, "file_bytes": 0})
        done = self._json("gc").line
        self._agree(done, wanted | {"dry_run": False})
        assert self._seen_by_users() == before, self
        assert self.db.info("t")["garbage_bytes"] == 0
        nothing = dict.fromkeys(wanted, 0)
        self._agree(self._json("gc").line, nothing)
        with second_reader.Database(str(self.db.path)) as opened:
            assert second_reader.garbage.left(opened) == [], self
        assert self.problems() == [], self

    def tag(self):
        if self.model.tags and self.random.random() < 0.4:
            name = self.random.choice(list(self.model.tags))
            self.model.untag(name)
            self._json("tag", "t", name, "--delete")
        elif self.model.states:
            name, number = self.random.choice(string.ascii_lowercase), self.random.choice(
                list(self.model.states))
            self.model.tag(name, number)
            self._json("tag", "t", name, number)

    def precondition(self):
        state = self.model.newest
        if state.preconditioners and self.random.random() < 0.4:
            name = self.random.choice(list(state.preconditioners))
            wanted = self.model.remove_preconditioner(name)
            return self._agree(
                self._json("precondition", "t", "--name", name, "--remove").line, wanted)
        checkpoints = [c for c in state.checkpoints
                       if all(state.decoded(c, layer).any() for layer in state.layers)]
        name = next((n for n in ("p", "q", "r") if n not in state.preconditioners), None)
        if not checkpoints or name is None:
            return self.ingest()
        chosen = self.random.sample(checkpoints, self.random.randint(1, len(checkpoints)))
        wanted = self.model.precondition(name, chosen)
        self._agree(self._json("precondition", "t", "--name", name, "--kind", "diagonal",
                               "--checkpoint", *chosen).line, wanted)

    def diff(self):
        numbers = [0, *self.model.states]
        a, b = self.random.choice(numbers), self.random.choice(numbers)
        lines = self._json("diff", "t", self._name(a), self._name(b), "--ids").lines
        old, new = (self.model.states.get(n, self.model.empty) for n in (a, b))
        changes = {
            "added": [row for row in new.rows.values() if row.id not in old.by_id],
            "removed": [row for row in old.rows.values() if row.id not in new.by_id],
            "changed": [row for row in new.rows.values() if row.id in old.by_id
                        and old.by_id[row.id] is not row],
        }
        told = sorted((row.number, kind, row.id) for kind, rows in changes.items() for row in rows)
        assert [(line["change"], line["id"]) for line in lines[:-1]] == [
            (kind, row_id) for _, kind, row_id in told], self
        self._agree(lines[-1], {
            "table": "t", "from": a, "to": b, "equal": old.held == new.held,
            **{f"rows_{kind}": len(rows) for kind, rows in changes.items()},
            "from_hash": old.hash, "to_hash": new.hash, "fields_added": [], "fields_removed": [],
        })
        names = [{name: (c.step, c.weight) for name, c in state.checkpoints.items()}
                 for state in (old, new)]
        vectors = [{(state.checkpoints[name].number, n) for name, n in state.vectors}
                   for state in (old, new)]
        encodings = [{e for encodings in state.encodings.values() for e in encodings}
                     for state in (old, new)]
        made = [{(name, id(made)) for name, made in state.preconditioners.items()}
                for state in (old, new)]
        with second_reader.Database(str(self.db.path)) as opened:
            segments = [{doc["segment"] for doc in opened.table("t", n).segments} for n in (a, b)]
        for place, kind in ((0, "removed"), (1, "added")):
            ours, other = place, 1 - place
            self._agree(lines[-1], {
                f"vectors_{kind}": len(vectors[ours] - vectors[other]),
                f"segments_{kind}": len(segments[ours] - segments[other])})
            assert sorted(lines[-1][f"checkpoints_{kind}"]) == sorted(
                set(names[ours]) - set(names[other])), self
            assert sorted((e["layer"], e["codec"]) for e in lines[-1][f"encodings_{kind}"]) == sorted(
                (e.layer, e.codec) for e in encodings[ours] - encodings[other]), self
            assert sorted(lines[-1][f"preconditioners_{kind}"]) == sorted(
                name for name, _ in made[ours] - made[other]), self
        assert sorted(lines[-1]["checkpoints_changed"]) == sorted(
            n for n in names[0] if n in names[1] and names[0][n] != names[1][n]), self

    def back_up(self):
        """A backup, restored elsewhere, answers as this database, and holds the same."""
        backups, elsewhere = self.directory / "backups", Database(self.directory / "restored")
        self._json("backup", "create", backups)
        assert self.db.run("backup", "verify", backups, "--json").expect(OK).lines[-1]["ok"]
        self._json("backup", "restore", backups, "--into", elsewhere.path)
        here, self.db = self.db, elsewhere
        try:
            assert self.db.snapshots("t") == here.snapshots("t"), self
            self._ask_again()
            assert self.db.check()["problems"] == 0
            assert self.problems() == [], self
            repaired = self.db.json("repair", "--dry-run").lines
            assert len(repaired) == 1 and repaired[0]["damaged"] is False, self
        finally:
            self.db = here
            shutil.rmtree(elsewhere.path)

    def archive(self):
        """A snapshot that is exported and imported elsewhere holds the same, whatever its row numbers."""
        state = self.random.choice(list(self.model.states.values()))
        file, elsewhere = self.directory / "archive", Database(self.directory / "imported").init()
        said = self._json("export", "t", "--at", state.number, "--out", file).line
        wanted = {"table": "t", "rows": len(state.rows), "vectors": len(state.vectors),
                  "hash": state.hash}
        self._agree(said, wanted | {"snapshot": state.number})
        self._agree(elsewhere.json("import", file).line, wanted | {"snapshot": 1})
        line = elsewhere.snapshots("t")[0]
        self._agree(line, {"operation": "import", "hash": state.hash, "rows": len(state.rows)})
        question = self.questions.of(state)[0]
        lines = elsewhere.query(question.text.format(at=""), params={"q": self.query_file})
        for found in (lines, question.expected):
            for line in found:
                del line["row"]
        question.assert_answered(lines, str(self))
        assert second_reader.problems(elsewhere.path) == [], self
        assert elsewhere.check()["problems"] == 0
        shutil.rmtree(elsewhere.path)

    def wrong(self):
        """Something that cannot be done; the comparison afterwards finds the table unchanged."""
        state, gone = self.model.newest, set(range(1, self.model.newest.number)) - set(self.model.states)
        never = state.number + 1
        attempts = [
            (USAGE, ["restore", "t", "--to", never]), (USAGE, ["restore", "t", "--to", "never"]),
            (USAGE, ["diff", "t", 0, never]), (USAGE, ["tag", "t", "z", never]),
            (USAGE, ["expire", "t"]), (USAGE, ["expire", "t", "--keep-last", 0]),
            (USAGE, ["delete", "t"]), (USAGE, ["delete", "t", "--where", "nothing = 1"]),
            (USAGE, ["query", f"FROM t AT {never} SCORE self"]),
            (USAGE, ["delete", "t", "--where", "i = 1", "--ids", "-"]),
        ]
        for number in list(gone)[:1]:
            attempts += [(USAGE, ["restore", "t", "--to", number]), (USAGE, ["tag", "t", "z", number]),
                         (USAGE, ["diff", "t", number, state.number])]
        missing = [row_id for row_id in self.pool if row_id not in state.by_id]
        if missing:
            self.files.write("wrong.txt", json.dumps(missing[0]))
            attempts.append((BAD_INPUT, ["delete", "t", "--ids", self.directory / "wrong.txt"]))
            row = missing[0] if self.integer_ids else "'" + str(missing[0]).replace("'", "''") + "'"
            attempts.append((USAGE, ["query", f"FROM t SCORE dot TO ROW {row}"]))
        for status, arguments in self.random.sample(attempts, 3):
            refused = self.db.run(*arguments, "--json").expect(status)
            assert refused.error["exit"] == status and refused.stdout == b"", self


def reads_plainly(row_id):
    """Whether a line with the id as it is means the id: it is no JSON of its own, and nothing is trimmed."""
    try:
        json.loads(row_id)
    except ValueError:
        return bool(row_id) and row_id == row_id.strip()
    return False
