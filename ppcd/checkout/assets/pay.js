// The payment page's comfort: live state, a number that spaces itself, a word to the page around us.
// Everything essential works without it.
"use strict";
(() => {
  const body = document.body;
  const main = document.getElementById("main");
  const framed = window.parent !== window;
  let source = null, timer = 0, misses = 0, heard = false;

  // -- the number

  const bare = (text) => text.replace(/[^\d+]/g, "").replace(/(?!^)\+/g, "");

  const spaced = (text, field) => {
    const raw = bare(text), { code, trunk } = field.dataset;
    const groups = field.dataset.groups.split(",").map(Number);
    // "80…" is how Ukraine's trunk was dialled once.
    const heads = ["+" + code, "00" + code, code, code === "380" ? "80" : trunk, trunk];
    let head = heads.find((begin) => raw.startsWith(begin));
    // Nothing before the number itself; or the beginning of what is to be told yet.
    if (head === undefined && /^[1-9]/.test(raw) && !heads.some((begin) => begin[0] === raw[0])) head = "";
    if (head === undefined || (raw.startsWith("00") && head === trunk)) return text;
    let rest = raw.slice(head.length);
    // "+380 (0)97…": what is only dialled at home.
    const digits = groups.reduce((sum, size) => sum + size, 0);
    if (head.endsWith(code) && rest.length > digits && rest.startsWith(trunk)) rest = rest.slice(trunk.length);
    const parts = [];
    for (const size of groups) {
      if (!rest) break;
      parts.push(rest.slice(0, size));
      rest = rest.slice(size);
    }
    if (rest) parts.push(rest);
    return head === "0" ? head + parts.join(" ") : [head, ...parts].filter(Boolean).join(" ");
  };

  const dress = (field) => {
    field.addEventListener("input", (event) => {
      // While somebody corrects inside of the number, nothing jumps.
      if (field.selectionEnd !== field.value.length) return;
      if (event.inputType && event.inputType.startsWith("delete")) return;
      field.value = spaced(field.value, field);
    });
    field.addEventListener("blur", () => { field.value = spaced(field.value, field); });
    if (field.getAttribute("aria-invalid")) {
      field.addEventListener("focus", () => field.select(), { once: true });
    }
  };

  // -- what is shown

  const left = () => {
    const line = document.getElementById("left");
    if (!line) return;
    const until = performance.now() + Number(line.dataset.left) * 1000;
    const tick = () => {
      if (!line.isConnected) return;
      const seconds = (until - performance.now()) / 1000;
      const minutes = document.getElementById("minutes");
      if (seconds < 60) { line.textContent = line.dataset.soon; return; }
      if (minutes) minutes.textContent = String(Math.ceil(seconds / 60));
      setTimeout(tick, 1000);
    };
    tick();
  };

  const tell = () => {
    const { result, return: url, status } = main.dataset;
    if (!framed) return;
    const said = { source: "ppcd-checkout", status: result, screen: status, url };
    // Told to a site that is not around us, browsers complain; not all say which one is.
    const [around] = location.ancestorOrigins || [];
    for (const site of body.dataset.sites.split(" ")) {
      if (site && (!around || site === around)) window.parent.postMessage(said, site);
    }
  };

  const lost = (on) => {
    const line = document.getElementById("lost");
    line.hidden = !on;
    line.textContent = on ? body.dataset.lost : "";
  };

  const show = (news) => {
    lost(false);
    misses = 0;
    if (news.status === main.dataset.status) return;
    main.innerHTML = news.html;
    Object.assign(main.dataset, { status: news.status, live: news.live ? "1" : "0",
                                  result: news.result, return: news.return });
    const title = main.querySelector("h1");
    document.getElementById("say").textContent = title ? title.textContent : "";
    begin();
    if (!news.live) rest();
  };

  // -- how it hears

  const rest = () => {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  };

  const poll = () => {
    rest();
    const again = (ms) => { timer = setTimeout(poll, ms); };
    fetch(main.dataset.state, { cache: "no-store" })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
      .then((news) => {
        show(news);
        if (main.dataset.live === "1") again(2000);
      })
      .catch(() => {
        misses += 1;
        lost(misses > 1);
        again(Math.min(1000 * 2 ** misses, 15000));
      });
  };

  const listen = () => {
    rest();
    if (!window.EventSource) { poll(); return; }
    heard = false;
    source = new EventSource(main.dataset.events);
    source.onmessage = (event) => { heard = true; clearTimeout(timer); show(JSON.parse(event.data)); };
    source.onerror = () => { poll(); };
    // A proxy that keeps events to itself: the first one comes at once, or never.
    timer = setTimeout(() => { if (!heard) poll(); }, 4000);
  };

  const begin = () => {
    const field = main.querySelector("#phone");
    if (field) dress(field);
    // In a frame of another site's, browsers don't do so by themselves.
    if (field && field.autofocus && framed && document.hasFocus()) field.focus();
    left();
    tell();
    for (const form of main.querySelectorAll("form[method=post]")) {
      form.addEventListener("submit", (event) => {
        if (form.dataset.sent) event.preventDefault();
        form.dataset.sent = "1";
        form.setAttribute("aria-busy", "true");
      });
    }
  };

  begin();
  if (main.dataset.live === "1") listen();
  window.addEventListener("online", () => { if (main.dataset.live === "1") listen(); });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && main.dataset.live === "1") listen();
  });
  // Back from the browser's own store of pages: what it kept may be old, and its forms were sent.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
