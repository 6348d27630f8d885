// What the contract's types leave to each connector: answers as JSON or as failures, and shapes with little in them.

import { read } from 'tributary:connector/blobs@0.1.0';
import { send } from 'tributary:connector/http@0.1.0';

const FAULTS = {
  401: 'auth-invalid', 403: 'permission', 404: 'not-found', 410: 'not-found',
  408: 'transient', 425: 'transient', 429: 'rate-limited',
};

/** To be thrown: one sentence for the administrator, saying what to do. */
export class Failed extends Error {
  constructor(fault, code, message, more = {}) {
    super(message);
    this.payload = { fault, code, message, ...more };
  }
}

/** A defect becomes a failure that says what and where; else nobody would see more than a crash. */
export const answering = (method) => (...given) => {
  try {
    return method(...given);
  } catch (error) {
    if (error?.payload) throw error;
    const where = String(error?.stack ?? '').split('\n')[0];
    throw new Failed('internal', 'defect', `${error} at ${where}; report it to the author`);
  }
};

/** The answer as JSON. When it is none, a failure of the right kind is thrown. */
export function getJson(url, credential, maxBytes = 32n << 20n) {
  const authorized = credential && { name: credential, inject: { tag: 'authorization' }, scopes: [] };
  const answer = send({ method: 'get', url, headers: [], credential: authorized, rates: [], maxBytes });
  const place = answer.url.split('?')[0];
  const said = body(answer);
  if (answer.status < 200 || answer.status > 299) {
    const fault = FAULTS[answer.status] ?? (answer.status >= 500 ? 'transient' : 'source-contract');
    const wait = answer.headers.find(([name]) => name === 'retry-after')?.[1] ?? '';
    const retryAfterMs = /^\d{1,9}$/.test(wait) ? BigInt(wait) * 1000n : undefined;
    const message = `${place} answered ${answer.status}: ${said.slice(0, 300)}`;
    throw new Failed(fault, `http_${answer.status}`, message, { httpStatus: answer.status, retryAfterMs });
  }
  try {
    return JSON.parse(said);
  } catch (error) {
    throw new Failed('source-contract', 'unexpected_json', `${place} did not answer JSON: ${error.message}`);
  }
}

/** The whole body of an answer, as text. */
export function body(answer) {
  const decoder = new TextDecoder();
  let text = '';
  for (let offset = 0n; offset < answer.sizeBytes;) {
    const bytes = read(answer.body, offset, 1 << 20);
    text += decoder.decode(bytes, { stream: true });
    offset += BigInt(bytes.length);
  }
  return text + decoder.decode();
}

export const text = (plain) => ({ tag: 'sections', val: [{ heading: [], text: plain }] });

export function document(externalId, kind, content, { title = '', url, fingerprint } = {}) {
  const provenance = { url, authors: [], path: [] };
  return { tag: 'upsert', val: { externalId, title, kind, content, fields: [], provenance, fingerprint } };
}

/** A page after which the host asks again with this cursor. */
export const more = (changes, cursor) => ({ changes, cursor, next: { tag: 'more' } });

/** The last page of a run that named everything: what was not named is deleted. */
export const exhaustive = (changes) => ({ changes, next: { tag: 'complete-exhaustive' } });
