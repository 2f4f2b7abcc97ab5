"""How the columns of the comparison tables are to be read, in words: told once, below all tables of a run."""

# By the column that a note is about; one on the whole table has none. Each begins with what it is about, for it stands apart.
Notes = dict[str, str]

_RATE = (
    "Rates: median over processes; in brackets from six processes on the 95 % interval of the median (interpolated order "
    "statistics), below six their whole range, which is an interval too, of 50 % for two processes, 75 % for three, 88 % for "
    "four, 94 % for five: the median lies outside only where every process fell on one side of it."
)
_MEMORY = (
    "Peak memory: on a GPU the allocator's peak, on a CPU the resident peak above what stood before the model, which holds what "
    "the model is the first to touch: a library's own code, its compiler. Whole process: with what stood before, the imports. "
    "Reserved: by the allocator. On the device: what NVML saw it grow by, if nobody else used it."
)
_FLAGS = (
    "Flags: few_processes: fewer than the six that an interval takes; not_converged: the interval is wider than the protocol "
    "asks; warmup_not_converged: the warm-up was cut off while its steps still changed; unstable: processes spread by more "
    "than 2 %, blocks drift by more than 1 % or an export's requests by more than 5 %, either fall into two groups, or something "
    "else ran; on a GPU also throttled, power_capped and host_bound; splits_overlap: images of one split are in another. "
    "`bench lint --flags` says what was seen."
)
_CEILING = (
    "Of the ceiling: the model's operations a second (a training step counts three forward passes) over those of the fastest "
    "matrix product in the precision, as the table of ceilings has it. Operations are counted by the definition: a "
    "convolution that needs fewer may pass it."
)
_ENERGY = (
    "J an image: of the GPU's board, or the CPU's package, while blocks were timed; sensors differ by ±10 %, so smaller "
    "differences say nothing. Above idle: less what the device took just before. By: the device's counter or, where it has none "
    "that counts, sampled power, integrated."
)
_WAITING = (
    "Waiting for data: the share of the epochs' training time that went by before a batch was in hand; of a GPU, which may have "
    "steps queued meanwhile, the most that it can have waited."
)
_TOP1 = (
    "Top-1 of one seed: in brackets Wilson's 95 % interval for a test split of this size, which says nothing of other seeds; "
    "of several: their mean, and in brackets each. The epoch was chosen on validation."
)
_TOO_FEW = "'too few': 64 requests a process are needed at p90 and 662 at p99 (MLPerf LoadGen's rule)."
_PUBLISHED = "Published figures are not measurements of ours."
MODELS: Notes = {
    "": "Parameters as built, with a classifier for the data set's classes; published parameters with 1,000. FLOPs count two a "
    "multiply-accumulate, one forward pass.",
    "Published top-1, %": _PUBLISHED,
}
TRAINING: Notes = {
    "Training img/s": _RATE,
    "Lost to the loader": "Lost to the loader: how far training from it falls short of training on batches that lie on the "
    "device, the mean over processes of each one's share and not the share of the two medians beside it; they are measured one "
    "after the other, so noise may make it negative.",
    "Top-1 on test, %": _TOP1,
    "Waiting for data": _WAITING,
    "Of the ceiling": _CEILING,
    "J an image": _ENERGY,
    "Peak memory, MiB": _MEMORY,
    "Flags": _FLAGS,
}
INFERENCE: Notes = {
    "img/s": _RATE,
    "p50, ms": "Latency is of single images: the percentile of each process's requests, their median over processes, and the "
    "range as for rates.",
    "p99, ms": _TOO_FEW,
    "Of the ceiling": _CEILING,
    "J an image": _ENERGY,
    "Peak memory, MiB": _MEMORY,
    "Flags": _FLAGS,
}
EXPORTS: Notes = {
    "": "Exports: of the model that the cell's accuracy has trained or, where there is no top-1, of one that learned for eight "
    "steps. The artifact of each row is run in processes of its own. MiB: all that was written, without what runs it. The "
    "largest error is over all logits of the compared images, as a share of the largest logit. An artifact beyond the "
    "tolerance of its precision (docs/exports.md) has no row there but one under 'Not measured'.",
    "Threads": "Threads: every physical core, or as many as the format's runtime takes: one in Node.js and on a GPU, in a page "
    "half of the logical processors at most. Load, first and latency are of single images with so many, and img/s of the cell's "
    "batch.",
    "Peak, MiB": "Peak of an export: the most memory that the runtime's process had while it answered single images, its imports "
    "included; of Chromium the sum over its processes.",
    "p99, ms": _TOO_FEW,
    "Lost, points": "Lost: the source's top-1 less the artifact's, on the same images of the test split.",
    "Flags": _FLAGS,
}
FORMATS_BY_MODEL: Notes = {
    "": "Every model in every format: p50 of single images, with whatever number of threads was quickest, and 'passes' where "
    "none was timed; where an export has none its status, the reason of which stands under 'Not measured'; a dash where it was "
    "not asked for, or not reached.",
}
EXPORT_CHOICE: Notes = {
    "": "The best of the formats above, of those that passed, and every other that is as good by what one process and one test "
    "split can tell: lowest p50 of single images within 75 %, with whatever number of threads gave it; fewest bytes within 1 %; "
    "and least top-1 lost on the test split, where it was tested, within five images (what gains counts as 0). Where the cell is "
    "a GPU's, only formats whose runtime is named for it run there; the others run on its host's processor.",
}
MULTILABEL: Notes = {
    "": "Several labels an image: scores on the test split, from 0 to 1: the mean over seeds, and in brackets each. Chosen: with "
    "thresholds chosen a class on validation for F1; ½: where a probability of one half decides. The epoch was chosen on "
    "validation too. mAP: the mean over classes of the average precision, which needs no threshold.",
    "Worst class's F1, chosen": "Worst class: the lowest F1 of any class.",
    "Waiting for data": _WAITING,
    "Flags": _FLAGS,
}
OVERVIEW: Notes = {
    "": "One row a model, N × M px: batches of N images of M × M pixels. Each figure stands again in a table of its own kind, "
    "among its neighbours: this one is fp32 where that was measured, of the largest images and batch where there are several.",
    "Published top-1, %": _PUBLISHED,
    "Training img/s": _RATE,
    "Top-1 on test, %": _TOP1,
    "Training's peak, MiB": _MEMORY,
    "Training's flags": _FLAGS,
}
