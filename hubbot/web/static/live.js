// Keeps a page fresh while it is open; every page works without it.
(() => {
  "use strict";
  if (!document.querySelector("[data-live]")) return;
  let version = document.body.dataset.version ?? null;
  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(old.id);
      // Whoever is at a button or reads an opened list is not interrupted.
      if (next && !old.contains(document.activeElement) && !old.querySelector("details[open]")) {
        old.replaceWith(next);
      }
    }
  };
  const source = new EventSource("/live");
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (version !== null && told.version !== version) refresh().catch(() => {});
    version = told.version;
    for (const { id, percent, what } of told.progress) {
      const bar = document.getElementById(`progress-${id}`);
      const words = document.getElementById(`what-${id}`);
      if (bar) bar.value = percent;
      if (words) words.textContent = `${percent} %, ${what}`;
    }
  };
})();
