// Keeps a page of the console up to date. Without it every page works the same and is loaded again now and then.
//
// What may change stands in elements with `data-live` and an id; the server renders them, here they are only put in their place.
"use strict";

const POLL_MS = 3000;
const main = document.getElementById("main");
const said = document.getElementById("said");

/** Says something to whoever does not look at the page. */
function say(element) {
  const state = element.querySelector(".state");
  if (state && said.textContent !== state.textContent) said.textContent = state.textContent;
}

/** Puts what the server rendered in the place of what has the same id. */
function put(fresh) {
  const old = document.getElementById(fresh.id);
  if (!old || old.outerHTML === fresh.outerHTML) return;
  // What somebody opened stays open.
  fresh.querySelectorAll("details").forEach((it, n) => {
    it.open = old.querySelectorAll("details")[n]?.open ?? false;
  });
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceWith(fresh);
  if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

/** Asks for the page again, and takes what is live in it. */
async function refresh() {
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  // Logged out, or not there any more: the page itself says so.
  if (response.status === 401 || response.status === 403 || response.status === 404) return location.reload();
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  page.querySelectorAll("[data-live][id]").forEach((it) => put(document.adoptNode(it)));
}

/** Watches a run to its end. */
function watch() {
  const events = new EventSource(`${location.pathname}/events`);
  const take = (event) => {
    const template = document.createElement("template");
    template.innerHTML = event.data;
    const fresh = template.content.firstElementChild;
    put(fresh);
    say(document.getElementById(fresh.id));
  };
  events.addEventListener("state", take);
  events.addEventListener("done", (event) => {
    events.close();
    take(event);
    refresh();
  });
  // The browser connects again by itself, unless it was turned away: then the page says why.
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), POLL_MS);
  });
  addEventListener("pagehide", () => events.close());
}

if (document.querySelector("[data-events]")) {
  watch();
} else if (main.hasAttribute("data-poll")) {
  const poll = async () => {
    if (!document.hidden) await refresh().catch(() => {});
    setTimeout(poll, POLL_MS);
  };
  setTimeout(poll, POLL_MS);
}
