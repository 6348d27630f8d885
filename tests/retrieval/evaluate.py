#!/usr/bin/env python3
"""Scores the search of a running server on judged queries. Standard library only.

    evaluate.py push  SET --url http://127.0.0.1:8080 --workspace ID --email E --password P
    evaluate.py score SET --url http://127.0.0.1:8080 --workspace ID --token T --min ndcg10=0.84
    evaluate.py score SET --queries sku_queries.jsonl --judgements sku_qrels.tsv ...
    evaluate.py score SET --run FILE            # a TREC run file instead of a server

SET is a directory as metrics.py describes it. `push` sends its documents (title, body as plain text, all else as fields) and
prints the position they are searchable at; `score` prints the metrics and ends with status 1 when one is below --min or a query
failed. Log in with --email and --password (or TRIBUTARY_ADMIN_EMAIL and TRIBUTARY_ADMIN_PASSWORD), or give a --token.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from metrics import evaluate, read_json_lines, read_judgements, read_run, write_run

BATCH_DOCUMENTS = 200
BATCH_BYTES = 2_000_000


class Server:
    """The API of a server, with a session that is renewed when it has expired."""

    def __init__(self, url, token=None, email=None, password=None):
        self.url = url.rstrip("/")
        self.token, self.email, self.password = token, email, password

    def post(self, path, body):
        """Answers the JSON of a POST; raises OSError with the server's words when it refuses."""
        if self.token is None:
            self.log_in()
        try:
            return self._send(path, body)
        except urllib.error.HTTPError as error:
            if error.code == 401 and self.email:
                self.log_in()
                return self._send(path, body)
            raise OSError(f"{path}: {error.code} {error.read().decode(errors='replace')}") from error

    def log_in(self):
        if not (self.email and self.password):
            raise OSError("give a --token, or --email and --password")
        self.token = None
        answer = self._send("/api/v1/auth/login", {"email": self.email, "password": self.password})
        self.token = answer["access_token"]

    def _send(self, path, body):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)


def batches(documents):
    """Documents of a set in the shape the API takes, some at a time."""
    batch, size = [], 0
    for document in documents:
        fields = {name: value for name, value in document.items() if name not in ("id", "title", "body")}
        item = {
            "external_id": document["id"],
            "title": document["title"],
            "content": document["body"],
            "media_type": "text/plain",
            "fields": fields,
        }
        length = len(json.dumps(item))
        if batch and (len(batch) == BATCH_DOCUMENTS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def push(options, server):
    """Sends the documents of the set; True when all were taken."""
    documents = read_json_lines(options.set / "docs.jsonl.gz")
    started, position, failed = time.perf_counter(), 0, 0
    for batch in batches(documents):
        answer = server.post(f"/api/v1/workspaces/{options.workspace}/documents", {"documents": batch})
        position = max(position, answer["position"])
        for result in answer["results"]:
            if result["outcome"] == "failed":
                failed += 1
                print(f"failed: {result['external_id']}: {result.get('error')}", file=sys.stderr)
    seconds = time.perf_counter() - started
    print(f"{len(documents)} documents in {seconds:.1f} s, {failed} failed, position {position}")
    return failed == 0


def ask(options, server, queries):
    """The run of a server: ({query: [external id, ...]}, latencies in ms, number of failed queries)."""
    run, latencies, failed = {}, [], 0
    for query in queries:
        body = {"workspace_id": options.workspace, "query": query["text"], "top_k": options.top_k}
        body |= json.loads(options.extra)
        if options.min_position is not None:
            body["min_position"] = options.min_position
        started = time.perf_counter()
        try:
            results = server.post("/api/v1/knowledge/query", body)["results"]
        except (OSError, KeyError, ValueError) as error:
            failed += 1
            print(f"failed: {query['id']}: {error}", file=sys.stderr)
            continue
        latencies.append(1000 * (time.perf_counter() - started))
        run[query["id"]] = [result["external_id"] for result in results]
    return run, sorted(latencies), failed


def score(options, server):
    """Prints the metrics; True when nothing failed and none is below its floor."""
    queries = read_json_lines(options.set / options.queries)
    judged = read_judgements(options.set / options.judgements)
    latencies, failed = [], 0
    if options.run:
        run = read_run(options.run)
    else:
        run, latencies, failed = ask(options, server, queries)
    found = evaluate(run, judged, [query["id"] for query in queries], options.condensed)
    found |= {"failed": failed, "empty": sum(not run.get(query["id"]) for query in queries)}
    if latencies:
        found["p50_ms"] = latencies[len(latencies) // 2]
        found["p95_ms"] = latencies[int(len(latencies) * 0.95)]
    if options.save_run:
        write_run(options.save_run, run)
    if options.json:
        print(json.dumps(found))
    else:
        print("  ".join(f"{name}={value:.4f}" if isinstance(value, float) else f"{name}={value}"
                        for name, value in found.items()))
    floors = [floor.split("=") for floor in options.min]
    below = [f"{name} {found[name]:.4f} < {value}" for name, value in floors if found[name] < float(value)]
    if below:
        print("below the floor: " + ", ".join(below), file=sys.stderr)
    return not below and not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["push", "score"])
    parser.add_argument("set", type=Path, help="directory of the set")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--workspace", help="id of the workspace")
    parser.add_argument("--token")
    parser.add_argument("--email", default=os.environ.get("TRIBUTARY_ADMIN_EMAIL"))
    parser.add_argument("--password", default=os.environ.get("TRIBUTARY_ADMIN_PASSWORD"))
    parser.add_argument("--queries", default="queries.jsonl", help="file of the queries in the set")
    parser.add_argument("--judgements", default="qrels.tsv", help="file of their judgements in the set")
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--min-position", type=int, help="wait until the index has applied this position")
    parser.add_argument("--extra", default="{}", help='JSON merged into each query: {"mode": "lexical"}')
    parser.add_argument("--run", type=Path, help="score this TREC run file instead of a server")
    parser.add_argument("--save-run", type=Path, help="write the server's rankings as a TREC run file")
    parser.add_argument("--condensed", action="store_true", help="leave unjudged documents out of the rankings")
    parser.add_argument("--min", nargs="*", default=[], metavar="METRIC=FLOOR")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.workspace and not options.run:
        parser.error("--workspace is needed to talk to a server")
    server = Server(options.url, options.token, options.email, options.password)
    try:
        done = push(options, server) if options.command == "push" else score(options, server)
    except (OSError, ValueError) as error:
        sys.exit(f"{options.command} failed: {error}")
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
