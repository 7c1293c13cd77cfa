// Follows a stream of Server-Sent Events and adds a row for each at the top of a list that the server rendered.
// Markup (macro ui.live): [data-live=url][data-most] with [data-live-rows], <template>, [data-live-on], [data-live-off],
// [data-live-over] with a link to sign in again, and [data-live-pause], a button that holds new rows back while somebody reads.
// Inside the template [data-field="x"] is filled as text, and [data-href="x"] as a link, from member x of the JSON data.

const FIRST_WAIT = 2_000; // ms
const LONGEST_WAIT = 60_000;

for (const box of document.querySelectorAll("[data-live]")) {
  const rows = box.querySelector("[data-live-rows]");
  const template = box.querySelector("template");
  const state = box.querySelector(".live-state");
  const pause = box.querySelector("[data-live-pause]");
  const most = Number(box.dataset.most) || 200;
  let held = null;
  let source = null;
  let last = null; // the id of the newest event
  let wait = FIRST_WAIT;

  const show = (now) => {
    state.hidden = false;
    for (const name of ["on", "off", "over"]) box.querySelector(`[data-live-${name}]`).hidden = name !== now;
  };

  const put = (fields) => {
    const row = template.content.cloneNode(true);
    for (const element of row.querySelectorAll("[data-field]")) {
      element.textContent = fields[element.dataset.field] ?? "";
    }
    for (const element of row.querySelectorAll("[data-href]")) {
      const href = String(fields[element.dataset.href] ?? "");
      if (/^\/(?!\/)/.test(href)) element.setAttribute("href", href); // only paths of this address
    }
    row.firstElementChild?.classList.add("fresh");
    rows.prepend(row);
    while (rows.children.length > most) rows.lastElementChild.remove();
  };

  pause.addEventListener("click", () => {
    const waiting = held ?? [];
    held = held ? null : [];
    pause.setAttribute("aria-pressed", String(held !== null));
    waiting.forEach(put);
  });

  const take = (event) => {
    last = event.lastEventId || last;
    const fields = JSON.parse(event.data);
    if (held === null) {
      put(fields);
    } else {
      held.push(fields);
      if (held.length > most) held.shift(); // the list keeps no more either
    }
  };

  const address = () => {
    const url = new URL(box.dataset.live, location.href);
    if (last !== null) url.searchParams.set("lastEventId", last);
    return url;
  };

  const connect = () => {
    source = new EventSource(address());
    source.addEventListener("message", take);
    source.addEventListener("open", () => {
      wait = FIRST_WAIT;
      show("on");
    });
    source.addEventListener("error", () => {
      show("off");
      // Unless it is closed the browser reconnects by itself, from the last id. It gives up after an answer that is
      // not a stream, and does not say which one: the session has expired, or a service is being restarted.
      if (source.readyState === EventSource.CLOSED) askWhy();
    });
  };

  const askWhy = async () => {
    const asking = new AbortController();
    const status = await fetch(address(), { signal: asking.signal }).then((answer) => answer.status, () => 0);
    asking.abort();
    if (status === 401 || status === 403) {
      const here = new URLSearchParams({ next: location.pathname + location.search });
      box.querySelector("[data-live-over] a").href = `/login?${here}`;
      show("over");
      return;
    }
    setTimeout(connect, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  };

  connect();
  addEventListener("pagehide", () => source.close());
}
