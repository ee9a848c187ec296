"""Progress for everyone: what each iteration changes in the git work tree, where its runner does not say it itself.

A thread beside `ralph-otel run` follows the journals of the launch. When an iteration ends, it takes a snapshot of the
work tree, compares it with the one before, and appends a `progress.measured` in the iteration's span. The runner waits
for none of this, so it may be a step further when the snapshot is taken. Hence these rules:

- A file counts when its last change (its inode's ctime) falls into the iteration. What the script changes between two
  iterations counts for none; what the next iteration has changed already counts for that one, when it ends.
- If the next iteration has begun to change files, and nothing else has changed, then nobody can say whether this one
  has changed the same files: no measurement, which leaves its progress unknown.
- Iterations that end while a snapshot is taken are measured together. If nothing has changed, then none of them made
  progress. Otherwise the last of them gets the changes, and the others stay unknown. So do iterations side by side: the
  one that ends first gets what has changed so far.
- Files that the script itself holds open, where `>> loop.log` or `| tee loop.log` goes, do not count, nor do folders in
  which runners keep their state. What git ignores does not count either.

A snapshot that takes long, in a large tree, is followed by a pause of four times as long; one that takes too long gives
no measurement, and several of them in a row end the watch.
"""
