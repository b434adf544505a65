"""The archive: libpod's tar, in seekable zstd frames, with pyodcr.json as its last entry.

The tar, as Podman's ``container checkpoint --export`` writes it (:mod:`.names` is the whole list)::

    config.dump  spec.dump          first, so that a reader knows at once what it holds
    network.status  ctr.log  ...  checkpoint/  checkpoint/*.img  volumes/NAME.tar
    pyodcr.json                     ours, last (:mod:`.manifest`); Podman and checkpointctl pass over it
    two zero blocks

Its compressed form is a row of independent frames, so that they are compressed and decompressed in
parallel and one entry can be read without the rest (:mod:`.index`)::

    | small entries, header and data, up to 1 MiB a frame                        | zstd, checksum
    | the header of a large entry                                                | zstd, stored, checksum
    | 4 MiB of its data | 4 MiB | ... | the rest and the padding                | zstd, checksum, each
    | ...                                                                        |
    | header of pyodcr.json, pyodcr.json, padding, two zero blocks               | zstd, stored, checksum
    | seek table                                                                 | zstd, skippable frame

No frame holds bytes of two large entries, and no small entry stands in two frames. gzip is the same row
of members without the table; with ``none`` the tar stands bare. Two kinds of frames are stored, not compressed:
the last, since there is exactly one way to write it, and the header of a large entry, whose size as a frame is then
known before what it says, so that it can be written when the entry has grown to its end.

**Nothing in an archive of ours is harmless to change.** ``pyodcr.json`` holds the SHA-256 of each entry, of
all tar headers, and of all frames before its own; it ends in a seal over itself; padding must be zero; the last
frame and the seek table must be, byte for byte, what they would be if written anew; and the headers say that they
are ours, so ``pyodcr.json`` cannot be missing. Taken out of its wrapping, or put into another, an archive stands on
what the tar holds, which is all but the frames. These are checks against damage. They prove no authorship: who can
write the archive can write the hashes.

``writer`` and ``reader`` are the two ends, ``verify`` reads all and keeps nothing, ``index`` reads one entry,
``extract`` writes entries below a directory.
"""
