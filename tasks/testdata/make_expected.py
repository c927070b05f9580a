"""Makes the numbers that tasks/ is held against, with lm-evaluation-harness itself.

    python -m venv venv && venv/bin/pip install lm-eval==0.4.13 torch==2.14.1 transformers==5.24.0
    venv/bin/python tasks/testdata/make_expected.py MODEL_FOLDER OUT.json

Its own task definitions run unmodified, zero-shot and in float32; only the data are ours: the files beside this script, in the schema of
each task's dataset. Kept are, of every choice, the token ids of context and continuation, the log-likelihood, and whether it is greedy;
of every task, what the harness says of it.
"""

import json
import sys
from pathlib import Path

import lm_eval
import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

HERE = Path(__file__).parent
TASKS = ["boolq", "rte", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa", "piqa"]


def pair(model, context, continuation):
    """Token ids as `loglikelihood` makes them of a context that is not empty."""
    return [list(map(int, ids)) for ids in model._encode_pair(context, continuation)]


def main(folder, out):
    torch.set_num_threads(2)
    model = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager()
    ours = []
    for name in TASKS:
        file = str(HERE / f"{name}.jsonl")
        files = {split: file for split in ("train", "validation", "test")}
        data = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
        # The harness takes no overrides of a registered task by a public way.
        ours.append(manager._factory.build(manager.task_index[name], overrides=data, registry=manager._index))
    results = lm_eval.simple_evaluate(model=model, tasks=ours, num_fewshot=0, log_samples=True)
    tasks = {}
    for name in TASKS:
        said = {key.split(",")[0]: value for key, value in results["results"][name].items() if "," in key}
        items = []
        for sample in sorted(results["samples"][name], key=lambda sample: sample["doc_id"]):
            choices = []
            for request, answer in zip(sample["arguments"], sample["filtered_resps"]):
                context, continuation = pair(model, *request)
                choices.append([context, continuation, round(float(answer[0]), 6), bool(answer[1])])
            items.append({"choices": choices, **{key: sample[key] for key in ("acc", "acc_norm") if key in sample}})
        tasks[name] = {"scores": said, "items": items}
    versions = {"lm-eval": lm_eval.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    text = json.dumps({"versions": versions, "max_length": model.max_length, "tasks": tasks}, separators=(",", ":"))
    Path(out).write_text(text.replace('{"choices":', '\n{"choices":') + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
