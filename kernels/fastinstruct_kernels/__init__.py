"""The compiled kernels of FastInstruct: arrays and scalars in, arrays and scalars out.

Knows nothing of text, of files or of the rest of FastInstruct; imports Numba and NumPy only. Importing a module of
this package compiles nothing: a kernel is compiled (or read from Numba's cache on disk) by its first call.

    _jit        the one place that names compiler options
    lcs         bit-parallel longest common subsequence, for texts of any length
    rouge       ROUGE-L F-measure in the reference's double arithmetic, and the integer bounds that follow from it
    words       bytes to words to numbers
    growth      how arrays grow without being copied
    pool        the arrays that hold a pool of texts
    rooms       how much room a list of postings has
    postings    which pool texts could match: lists of the rarest tokens, with what refuses a text unseen
    bags        bitmaps of long texts' words, so that two long texts are hardly ever compared to be refused
    spans       the lists of one token that are to be read for a text, and the reading
    candidates  what is found for a batch, visited token by token
    alone       the judgement of a text for which much is found: from the lists, or by a scan where that is less work
    comparison  pairs compared in full, each once
    handles     many arrays behind one
    judgement   what is judged, and what that needs meanwhile
    signatures  what a list keeps of each of its texts
    probe       the judgement: probe a batch against the frozen pool, settle it in order
    one_text    a text that comes alone, in one call
    scan        scores with every text of the pool, four texts at a time
    compilation hearing of what is compiled, and where the machine code is kept
    checksum    of a snapshot, at the speed of memory
    minhash     signatures of token sets, with the bits of datasketch
    equals      a table of texts by all of their tokens
    bitmaps     bitmaps of the words of texts of any length, made without sorting
    buckets     the arrays that hold a pool for LSH, and its buckets of similar signatures
    lsh         verdicts on pairs that meet in a bucket, with bounded work for each text
"""
