// Lines of text files on a web server, as documents. `BASE/1.txt`, `BASE/2.txt` … hold one document a line: id, title and text,
// with tabs between them. The first number that is not there (404) is the end.

import { Config, Host, LogLevel, Memory } from "@extism/as-pdk";
import { error_set, http_request, length } from "@extism/as-pdk/lib/env";

@external("extism:host/env", "http_status_code")
declare function http_status_code(): i32;

// The server's own functions take and give JSON.
@external("extism:host/user", "ledger_lookup")
declare function ledger_lookup(question: u64): u64;

export function describe(): i32 {
  return answer(`{
    "id": "lines", "version": "0.1.0", "title": "Lines of text files",
    "config_schema": {
      "type": "object", "required": ["base_url"], "additionalProperties": false,
      "properties": {"base_url": {"type": "string", "title": "Where the files lie"}}
    },
    "hosts": ["/base_url"], "capabilities": ["enumerate"]
  }`);
}

export function check(): i32 {
  request(1);
  if (http_status_code() == 200) {
    return answer('[{"name": "the first file can be read", "status": "ok"}]');
  }
  return answer('[{"name": "the first file can be read", "status": "failed", "config_pointer": "/base_url", ' +
    '"message": "BASE/1.txt is not there: look at the address."}]');
}

export function pull(): i32 {
  const page = pageOf(Host.inputString());
  const body = request(page);
  const status = http_status_code();
  if (status == 404) {
    return answer('{"changes": [], "next": "complete_exhaustive"}');
  }
  if (status != 200) {
    const fault = status == 401 ? "auth_invalid" : status == 403 ? "permission" : status == 429 ? "rate_limited" : "transient";
    return fail(fault, "unexpected_status", "The server answered " + status.toString() + ".");
  }
  // What was cut off, or is something else entirely, must not look like a shorter list: what is missing would be deleted.
  if (!body.endsWith("\n")) return fail("source_contract", "cut_off", "The file does not end with a line feed.");
  const changes = new Array<string>();
  const lines = body.split("\n");
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].length == 0) continue;
    const columns = lines[i].split("\t");
    if (columns.length != 3) return fail("source_contract", "bad_line", "A line does not have three columns.");
    changes.push(document(columns[0], columns[1], columns[2]));
  }
  Host.log(LogLevel.Debug, "page " + page.toString() + " has " + changes.length.toString() + " documents");
  return answer('{"changes": [' + changes.join(",") + '], "cursor": "' + (page + 1).toString() + '", "next": "more"}');
}

// The text is its own fingerprint here, being one line.
function document(id: string, title: string, text: string): string {
  const known = isKnown(id, text);
  const content = known ? '"unchanged"' : '{"sections": [{"text": ' + quoted(text) + "}]}";
  return '{"upsert": {"external_id": ' + quoted(id) + ', "title": ' + quoted(title) + ', "kind": "line", "content": ' +
    content + ', "fingerprint": ' + quoted(text) + "}}";
}

function isKnown(id: string, fingerprint: string): bool {
  const question = Memory.allocateString('{"external_ids": [' + quoted(id) + "]}");
  const found = ledger_lookup(question.offset);
  const text = new Memory(found, length(found)).toString();
  return text == '{"ok":[' + quoted(fingerprint) + "]}";
}

function request(page: i32): string {
  const base = Config.get("base_url");
  const url = (base == null ? "" : base) + "/" + page.toString() + ".txt";
  const body = http_request(Memory.allocateString('{"url": ' + quoted(url) + "}").offset, 0);
  return body == 0 ? "" : new Memory(body, length(body)).toString();
}

// The cursor is the number of the next file, and digits are all that is ever in it.
function pageOf(input: string): i32 {
  const start = input.indexOf('"cursor":"');
  return start < 0 ? 1 : i32(parseInt(input.substring(start + 10, input.indexOf('"', start + 10))));
}

// `Host.outputString` counts UTF-16 units where bytes are meant, so bytes are what is given.
function answer(json: string): i32 {
  Host.output(Uint8Array.wrap(String.UTF8.encode(json)));
  return 0;
}

function fail(fault: string, code: string, message: string): i32 {
  const json = '{"fault": "' + fault + '", "code": "' + code + '", "message": ' + quoted(message) + "}";
  error_set(Memory.allocateString(json).offset);
  return 1;
}

function quoted(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit == 0x22 || unit == 0x5c) out += "\\" + text.charAt(i);
    else if (unit < 0x20) out += "\\u" + unit.toString(16).padStart(4, "0");
    else out += text.charAt(i);
  }
  return out + '"';
}
