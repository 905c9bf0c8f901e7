"""Texts out of files that somebody else wrote: JSON Lines or plain lines, compressed or not.

Knows nothing of what becomes of the texts. Guarantees that files are read as streams, however large, and that whatever
is wrong with one is an `InputError` of one line: `FILE:LINE: what is wrong; what to do`.

    compression  .gz and .zst, by content when reading and by name when writing
    rows         one row after another, with the text to compare
    json_rows    rows as they are written: none holds what ends a line for some reader
    against      the evaluation files that a run keeps away from
"""
