// Follows a stream of Server-Sent Events and puts a row for each at the top of a list that the server has begun.
// Markup (macro ui.live): [data-live=url][data-most] with [data-live-rows], <template>, [data-live-on], [data-live-off],
// and [data-live-pause], a button that holds new rows back so that somebody can read.
// Inside the template [data-field="x"] is filled as text, and [data-href="x"] as a link, from member x of the JSON data.

for (const box of document.querySelectorAll("[data-live]")) {
  const rows = box.querySelector("[data-live-rows]");
  const template = box.querySelector("template");
  const state = box.querySelector(".live-state");
  const pause = box.querySelector("[data-live-pause]");
  const most = Number(box.dataset.most) || 200;
  let held = null;

  const show = (connected) => {
    state.hidden = false;
    box.querySelector("[data-live-on]").hidden = !connected;
    box.querySelector("[data-live-off]").hidden = connected;
  };

  const put = (fields) => {
    const row = template.content.cloneNode(true);
    for (const element of row.querySelectorAll("[data-field]")) {
      element.textContent = fields[element.dataset.field] ?? "";
    }
    for (const element of row.querySelectorAll("[data-href]")) {
      const href = String(fields[element.dataset.href] ?? "");
      if (/^\/(?!\/)/.test(href)) element.setAttribute("href", href); // only to a path of ours
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

  const source = new EventSource(box.dataset.live);
  source.addEventListener("open", () => show(true));
  source.addEventListener("error", () => show(false)); // the browser tries again by itself, from the last id
  source.addEventListener("message", (event) => {
    const fields = JSON.parse(event.data);
    if (held === null) {
      put(fields);
    } else {
      held.push(fields);
      if (held.length > most) held.shift(); // the list would not hold it either
    }
  });
  addEventListener("pagehide", () => source.close());
}
