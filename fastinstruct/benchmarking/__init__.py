"""How a near-duplicate filter does on given texts, beside others: throughput, recall, precision, growth.

Knows nothing of terminals. All tools are asked one question on the same texts in one run, in turns, and their verdicts
are held against the exact ones. Peers are imported only when they are asked; whoever has none measures ours alone.

    arms        what is measured, and our own indexes
    peers       the other tools: who there is, who is installed
    truth       the exact verdicts, and how right others are
    measuring   time, recall, precision and growth of each
    report      a table for people, one JSON document
    own_texts   all of it on a person's own file
"""

from fastinstruct.benchmarking.own_texts import BenchPlan, bench

__all__ = ["BenchPlan", "bench"]
