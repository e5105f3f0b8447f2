// The button of a partner's page:
//   <script src="https://pay.example.net/checkout/v1/checkout.js" data-session="https://…/pay/…" async></script>
// data-session  the session's url as POST /checkout/v1/sessions gave it, or
// data-from     a URL of the partner's own that answers a POST with {"url": …} when the button is pressed
// data-label    the button's text; else by data-language (uk, ru, en) or the page's lang
// data-target   a selector of the partner's own button, to be used instead of a new one
"use strict";
(() => {
  const script = document.currentScript;
  if (!script) return;
  const given = script.dataset;
  const home = new URL(script.src).origin;
  const words = { uk: ["Оплатити", "Закрити"], ru: ["Оплатить", "Закрыть"], en: ["Pay", "Close"] };
  const language = (given.language || document.documentElement.lang || "en").slice(0, 2);
  const [pay, close] = words[language] || words.en;

  const style = (element, rules) => Object.assign(element.style, rules);

  const button = () => {
    const found = given.target && document.querySelector(given.target);
    if (found) return found;
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = given.label || pay;
    style(made, { font: "600 16px/1.2 system-ui, sans-serif", padding: "14px 28px", border: "0",
                  borderRadius: "12px", background: "#4f37d8", color: "#fff", cursor: "pointer" });
    script.after(made);
    return made;
  };

  const overlay = (url, presser) => {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", pay);
    style(dialog, { width: "min(460px, 100vw)", height: "min(720px, 100dvh)", maxWidth: "100vw",
                    maxHeight: "100dvh", padding: "0", border: "0", borderRadius: "20px",
                    overflow: "hidden", background: "transparent" });
    const frame = document.createElement("iframe");
    frame.src = url;
    frame.title = pay;
    style(frame, { width: "100%", height: "100%", border: "0", display: "block" });
    const out = document.createElement("button");
    out.type = "button";
    out.textContent = "×";
    out.setAttribute("aria-label", close);
    style(out, { position: "absolute", top: "8px", right: "8px", width: "44px", height: "44px",
                 border: "0", borderRadius: "50%", font: "26px/1 system-ui, sans-serif",
                 background: "rgb(120 120 140 / 20%)", color: "inherit", cursor: "pointer" });
    let last = null;
    const hear = (event) => {
      if (event.origin !== home || event.source !== frame.contentWindow) return;
      if (!event.data || event.data.source !== "ppcd-checkout") return;
      last = event.data;
      presser.dispatchEvent(new CustomEvent("ppcd:status", { bubbles: true, detail: last }));
    };
    window.addEventListener("message", hear);
    out.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      window.removeEventListener("message", hear);
      dialog.remove();
      presser.dispatchEvent(new CustomEvent("ppcd:closed", { bubbles: true, detail: last }));
      // A paid session has nothing more to show; the signed result is the shop's to read.
      if (last && last.status === "succeeded" && last.url) location.assign(last.url);
    });
    dialog.append(frame, out);
    document.body.append(dialog);
    dialog.showModal();
  };

  const open = async (presser) => {
    let url = given.session;
    if (given.from) {
      const answer = await fetch(given.from, { method: "POST" });
      if (!answer.ok) throw new Error("the shop opened no session: " + answer.status);
      url = (await answer.json()).url;
    }
    const target = new URL(url, home);
    if (target.origin !== home) throw new Error("not a session of " + home);
    if (given.mode === "redirect" || !window.HTMLDialogElement) location.assign(target.href);
    else overlay(target.href, presser);
  };

  const presser = button();
  presser.addEventListener("click", () => {
    presser.disabled = true;
    open(presser)
      .catch((error) => {
        presser.dispatchEvent(new CustomEvent("ppcd:failed", { bubbles: true, detail: String(error) }));
      })
      .finally(() => { presser.disabled = false; });
  });
})();
