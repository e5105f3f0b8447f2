// The shop's page: an order, its payment page opened by checkout.js, and «Услуга оплачена».
// The proof of payment is the webhook that the shop's server gets; here it is only shown.

import {call, pretty} from "/demo/page.js";

// Only the demo: a shop that stands alone goes beside the phone.
if (window === window.top) location.replace(`/${location.search}`);
const ownPhone = () => localStorage.getItem("phone") ?? "380971234567";

const POLL_MS = 1000;
const REFUSALS = {
  NO_SESSION: "Не получилось начать оплату. Попробуйте ещё раз.",
  OFFLINE: "Нет связи с магазином. Попробуйте ещё раз.",
};

const get = (id) => document.getElementById(id);
const buy = get("buy");
let choices = 0;
let order = new URLSearchParams(location.search).get("order");

function showPhone() {
  get("own").textContent = pretty(ownPhone());
  get("phone").value = `+${ownPhone()}`;
  get("known").hidden = false;
}

const complain = (code) => {
  get("problem").textContent = REFUSALS[code] ?? `Не получилось (${code}). Попробуйте ещё раз.`;
};

// Which order «Оплатить» pays: checkout.js posts to `data-from` and opens the url in the answer.
function offer(id) {
  order = id;
  get("checkout").dataset.from = `/shop/orders/${order}/session`;
  buy.disabled = false;
}

async function newOrder() {
  const choice = (choices += 1);
  buy.disabled = true;
  get("problem").textContent = "";
  showPhone();
  const integration = document.querySelector("input[name=integration]:checked").value;
  sessionStorage.setItem("integration", integration);
  const phone = integration === "known" ? {phone: `+${ownPhone()}`} : {};
  try {
    const made = await call("POST", "/shop/orders", {integration, ...phone});
    // Of several answers on their way, only that to the last choice counts.
    if (choice === choices) offer(made.order);
  } catch (error) {
    if (choice === choices) complain(error.code);
  }
}

async function look() {
  if (order === null) return;
  const asked = order;
  const news = await call("GET", `/shop/orders/${asked}`);
  // Under an open payment page nothing moves: it says the same, and is closed when it was read.
  if (asked !== order || !news.paid || document.querySelector("dialog[open]")) return;
  order = null;
  get("sale").hidden = true;
  get("bought").textContent = news.bought;
  get("paid").hidden = false;
  get("paid-title").focus();
}

const again = () => setTimeout(() => look().catch(() => {}).finally(again), POLL_MS);

buy.addEventListener("ppcd:closed", () => look().catch(() => {}));
buy.addEventListener("ppcd:failed", () => complain("NO_SESSION"));
window.addEventListener("storage", (event) => {
  if (event.key === "phone") newOrder();
});

for (const radio of document.querySelectorAll("input[name=integration]")) {
  radio.checked = radio.value === (sessionStorage.getItem("integration") ?? "1");
  radio.addEventListener("change", newOrder);
}

async function begin() {
  buy.disabled = true;
  showPhone();
  if (order !== null) {
    try {
      await look();
      // Back without having paid: the same order can still be paid, or another one begun.
      if (order !== null) offer(order);
      return;
    } catch { /* an order of an earlier demo */ }
  }
  await newOrder();
}

begin().finally(again);
