// Articles of a small JSON API, as documents.

import { lookup } from 'tributary:connector/ledger@0.1.0';
import { Failed, answering, document, exhaustive, getJson, more, text } from './kit.js';

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['base_url'],
  additionalProperties: false,
  properties: {
    base_url: { type: 'string', format: 'uri', description: 'Where the API is, such as https://api.example.com' },
    token: { type: 'string', 'x-credential': true, description: 'Name of the credential with the API token' },
  },
};

const isArticle = (value) =>
  Number.isInteger(value?.id) && ['title', 'text', 'url', 'updated_at'].every((name) => typeof value[name] === 'string');

function articles(config, page, perPage) {
  const found = getJson(`${config.base_url}/articles?page=${page}&per_page=${perPage}`, config.token);
  if (Array.isArray(found) && found.every(isArticle)) return found;
  throw new Failed('source-contract', 'unexpected_json', 'the source answered with something else than a list of articles');
}

function change(article, known) {
  const content = known === article.updated_at ? { tag: 'unchanged' } : text(article.text);
  const { title, url, updated_at: fingerprint } = article;
  return document(String(article.id), 'article', content, { title, url, fingerprint });
}

export const connector = {
  describe: () => ({
    id: 'helpdesk-javascript',
    version: '0.1.0',
    title: 'Helpdesk in JavaScript',
    configSchema: JSON.stringify(SCHEMA),
    hosts: ['/base_url'],
    roots: [],
    capabilities: { incremental: true },
  }),

  check: answering((config) => {
    const name = 'articles can be read';
    try {
      articles(JSON.parse(config), 1, 1);
      return [{ name, status: 'ok' }];
    } catch (error) {
      if (!error.payload) throw error;
      return [{ name, status: 'failed', message: error.payload.message, configPointer: '/base_url' }];
    }
  }),

  pull: answering((request) => {
    const page = Number(request.cursor ?? 1);
    const found = articles(JSON.parse(request.config), page, request.maxItems);
    const known = lookup(found.map((article) => String(article.id)));
    const changes = found.map((article, index) => change(article, known[index]));
    return found.length < request.maxItems ? exhaustive(changes) : more(changes, String(page + 1));
  }),
};
