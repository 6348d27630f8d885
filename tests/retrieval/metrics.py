"""Relevance metrics over judged queries, as trec_eval computes them (linear gain, log2 discount), and the files they come from.

A set is a directory with docs.jsonl.gz ({id, title, body, ...}), queries.jsonl ({id, text, ...}) and qrels.tsv
(query, 0, document, grade).
"""

import gzip
import json
import math


def read_json_lines(path):
    """The objects of a JSON Lines file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_judgements(path):
    """{query: {document: grade}} of a qrels file."""
    judged = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            query, _, document, grade = line.rstrip("\n").split("\t")
            judged.setdefault(query, {})[document] = int(grade)
    return judged


def read_run(path):
    """{query: [document, ...]} of a TREC run file: query Q0 document rank score tag."""
    rows = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            query, _, document, rank, score = line.split()[:5]
            rows.setdefault(query, []).append((-float(score), int(rank), document))
    return {query: [document for *_, document in sorted(ranked)] for query, ranked in rows.items()}


def write_run(path, run, tag="tributary"):
    """Writes a run for other tools."""
    with open(path, "w", encoding="utf-8") as out:
        for query, documents in run.items():
            for rank, document in enumerate(documents, start=1):
                out.write(f"{query} Q0 {document} {rank} {1.0 / rank:.6f} {tag}\n")


def discounted_gain(grades, depth):
    """Discounted cumulative gain of grades in ranked order."""
    return sum(max(grade, 0) / math.log2(rank + 2) for rank, grade in enumerate(grades[:depth]))


def evaluate(run, judged, queries, condensed=False):
    """Mean metrics over the queries that have a relevant document; one that the run lacks scores 0.

    `condensed` leaves unjudged documents out of the ranking: to be read beside the plain figures where the judgements were
    pooled from a single engine.
    """
    queries = [query for query in queries if any(grade > 0 for grade in judged.get(query, {}).values())]
    sums = dict.fromkeys(["ndcg10", "recall10", "recall100", "mrr10", "p1", "judged10"], 0.0)
    for query in queries:
        grades = judged[query]
        ranked = list(dict.fromkeys(run.get(query, [])))
        sums["judged10"] += sum(document in grades for document in ranked[:10]) / max(1, min(10, len(ranked)))
        if condensed:
            ranked = [document for document in ranked if document in grades]
        gains = [max(grades.get(document, 0), 0) for document in ranked]
        relevant = sum(grade > 0 for grade in grades.values())
        ideal = discounted_gain(sorted(grades.values(), reverse=True), 10)
        first = next((rank for rank, gain in enumerate(gains[:10], start=1) if gain > 0), None)
        sums["ndcg10"] += discounted_gain(gains, 10) / ideal
        sums["recall10"] += sum(gain > 0 for gain in gains[:10]) / relevant
        sums["recall100"] += sum(gain > 0 for gain in gains[:100]) / relevant
        sums["mrr10"] += 1 / first if first else 0.0
        sums["p1"] += float(first == 1)
    return {name: total / max(1, len(queries)) for name, total in sums.items()} | {"queries": len(queries)}
