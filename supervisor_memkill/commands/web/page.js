"use strict";
// Swaps the content of the page for a new one. What a person opened, marked or focused stays so.
(() => {
  const SECONDS = 10, PATIENCE_SECONDS = 20;
  const lost = document.getElementById("lost");
  let since = null, busy = false, loadedAt = performance.now();

  const isReading = () => document.hidden || String(window.getSelection()) !== "";

  async function load() {
    // An address with a user name and a password in it would be refused.
    const answer = await fetch(location.origin + location.pathname + location.search, {
      cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000),
    });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const page = fresh.getElementById("page");
    if (page === null) throw new Error(`the answer has the status ${answer.status}`);
    return [fresh, page];
  }

  function show(fresh, page) {
    const old = document.getElementById("page");
    for (const one of old.querySelectorAll("details[open][id]")) {
      const same = page.querySelector(`[id="${one.id}"]`);
      if (same !== null) same.open = true;
    }
    const focus = document.activeElement;
    const summaryOf = focus instanceof HTMLElement && focus.matches("summary") ? focus.parentElement.id : "";
    old.replaceWith(document.adoptNode(page));
    if (summaryOf) document.querySelector(`[id="${summaryOf}"] > summary`)?.focus({ preventScroll: true });
    document.title = fresh.title;
    const icon = document.querySelector("link[rel=icon]"), next = fresh.querySelector("link[rel=icon]");
    if (icon !== null && next !== null) icon.href = next.href;
  }

  async function refresh() {
    if (busy || isReading()) return;
    busy = true;
    try {
      show(...await load());
      loadedAt = performance.now();
      since = null;
      lost.hidden = true;
    } catch (error) {
      since ??= new Date();
      lost.textContent = `No new page since ${since.toLocaleTimeString()}: what stands below is old. ` +
        `Does supervisor-memkill serve still run? (${error.message})`;
      lost.hidden = false;
    } finally {
      busy = false;
    }
  }

  setInterval(refresh, SECONDS * 1000);
  document.addEventListener("visibilitychange", () => {
    if (performance.now() - loadedAt > SECONDS * 1000) refresh();
  });
})();
