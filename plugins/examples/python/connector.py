"""Articles of a small JSON API, as documents."""

import json
from urllib.parse import urlencode

from wit_world import exports
from wit_world.imports import ledger
from wit_world.imports.types import Capabilities, CheckItem, CheckStatus, Content_Unchanged, Descriptor, Page, PullRequest

import kit

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["base_url"],
    "additionalProperties": False,
    "properties": {
        "base_url": {"type": "string", "format": "uri", "description": "Where the API is, such as https://api.example.com"},
        "token": {"type": "string", "x-credential": True, "description": "Name of the credential with the API token"},
    },
}


def articles(config: dict, page: int, per_page: int) -> list[dict]:
    query = urlencode({"page": page, "per_page": per_page})
    return kit.get_json(f"{config['base_url']}/articles?{query}", list, credential=config.get("token"))


def document(article: dict, known: str | None):
    unchanged = known == article["updated_at"]
    return kit.document(
        str(article["id"]),
        "article",
        Content_Unchanged() if unchanged else kit.text(article["text"]),
        title=article["title"],
        url=article["url"],
        fingerprint=article["updated_at"],
    )


class Connector(exports.Connector):
    def describe(self) -> Descriptor:
        return Descriptor(
            id="helpdesk-python",
            version="0.1.0",
            title="Helpdesk in Python",
            config_schema=json.dumps(SCHEMA),
            hosts=["/base_url"],
            roots=[],
            capabilities=Capabilities.INCREMENTAL,
        )

    @kit.answering
    def check(self, config: str) -> list[CheckItem]:
        name = "articles can be read"
        try:
            articles(json.loads(config), page=1, per_page=1)
        except kit.Err as error:
            return [CheckItem(name, CheckStatus.FAILED, error.value.message, "/base_url")]
        return [CheckItem(name, CheckStatus.OK, None, None)]

    @kit.answering
    def pull(self, request: PullRequest) -> Page:
        page = int(request.cursor or 1)
        found = articles(json.loads(request.config), page, request.max_items)
        with kit.shape("an article"):
            known = ledger.lookup([str(article["id"]) for article in found])
            changes = [document(article, fingerprint) for article, fingerprint in zip(found, known)]
        return kit.exhaustive(changes) if len(found) < request.max_items else kit.more(changes, str(page + 1))
