"""Progress for everyone: what each iteration changes in the git work tree, where its runner does not say it itself.

What is changed (`git`, `worktree`) and what that is worth (`score`) the embedded runner asks here as well. The rest is
for all others. A thread beside `ralph-otel run` follows the journals of the launch. When an iteration ends, it takes a
snapshot of the work tree, compares it with the one before, and appends a `progress.measured` in the iteration's span.
The runner waits for none of this, so it may be a step further when the snapshot is taken. Hence these rules:

- The first iteration's state before is recorded while `ralph-otel run` gets ready to start the command (`baseline`).
- The moment an agent of a shell script ends it is looked when each file was changed, where there are not too many, and
  which commit is checked out (`looks`). Commits that come between two iterations count for the next one.
- A file counts for the iteration into which its last change falls (by its inode's ctime). What a script changes between
  two iterations counts for none.
- Where nothing counts for an iteration, but a later one has changed files already, nobody can say whether this one had
  changed the same files: no measurement, which leaves its progress unknown. So it goes with iterations that are shorter
  than a snapshot takes, which are measured together: the last change of every file is seen, and who came after it has
  made none.
- Of iterations side by side, the one that began last has changed what was changed while both ran.
- Files that the script itself holds open, where `>> loop.log` or `| tee loop.log` goes, do not count, nor do folders in
  which runners keep their state. What git ignores does not count either.

A snapshot that takes long, in a large tree, is followed by a pause of four times as long; one that takes too long gives
no measurement, and several of them in a row end the watch.
"""
