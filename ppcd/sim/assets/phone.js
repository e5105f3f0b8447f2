// The phone: what it received, what was answered from it, and its account at the operator.

import {call, clock, digits, el, money, pretty} from "/demo/page.js";

const POLL_MS = 500;
const POLL_HIDDEN_MS = 3000;

const get = (id) => document.getElementById(id);
const [phone, chat, composer, text, to, toLabel] =
  ["phone", "chat", "composer", "text", "to", "to-label"].map(get);
const [number, balance, mode, topUp, problem, numberProblem] =
  ["number", "balance", "mode", "top-up", "phone-problem", "number-problem"].map(get);

const yes = composer.querySelector(".yes");

let own = localStorage.getItem("phone") ?? "380971234567";
let received = [];
let drawn = "";
let account = null;
let touched = 0;

// The simulated operator keeps what a phone received; what it sent, this page remembers.
const sentKey = () => `sent-${own}`;
const sent = () => JSON.parse(sessionStorage.getItem(sentKey()) ?? "[]");

function bubble(entry) {
  const at = new Date(entry.at);
  const who = entry.mine ? `на ${entry.to}` : entry.from;
  return el("div", {className: entry.mine ? "bubble mine" : "bubble"},
    el("p", {}, entry.text),
    el("p", {className: "meta"}, `${who} · ${clock(at)}`));
}

function draw({jump = false} = {}) {
  const all = [...received, ...sent().map((entry) => ({...entry, mine: true}))]
    .map((entry, index) => ({...entry, index, ms: new Date(entry.at).getTime()}))
    .sort((a, b) => a.ms - b.ms || a.index - b.index);
  const now = JSON.stringify([own, all]);
  if (now === drawn) return;
  drawn = now;
  chat.replaceChildren(...(all.length ? all.map(bubble)
    : [el("p", {className: "empty"}, "Сообщений пока нет. Выберите золото в магазине и введите этот номер.")]));
  chat.scrollTop = chat.scrollHeight;
  const senders = [...new Set(received.map((entry) => entry.from).reverse())];
  to.replaceChildren(...senders.map((sender) => el("option", {value: sender}, sender)));
  toLabel.hidden = senders.length < 2;
  offerCode();
  for (const control of composer.querySelectorAll("button, input")) control.disabled = !senders.length;
  if (jump) {
    phone.classList.remove("buzz");
    void phone.offsetWidth; // lets the animation begin anew
    phone.classList.add("buzz");
  }
}

// A prompt that asks for a code as well («ДА 4821») is answered with it by one press.
function offerCode() {
  const last = received.findLast((entry) => entry.from === to.value);
  const code = last?.text.match(/ДА[\s\u00a0]+(\d{4})(?!\d)/)?.[1];
  yes.textContent = yes.dataset.text = code === undefined ? "ДА" : `ДА ${code}`;
}

function drawAccount() {
  balance.textContent = money(account.balance_minor, account.currency);
  // Not while somebody is choosing, nor over a choice that is on its way.
  if (document.activeElement !== mode && Date.now() - touched > 1000) mode.value = account.mode;
}

async function refresh() {
  const asked = own;
  const [messages, state] = await Promise.allSettled([
    call("GET", `/sim/handsets/${asked}/messages`),
    call("GET", `/sim/billing/accounts/${asked}`),
  ]);
  if (asked !== own) return;
  if (messages.status === "fulfilled") {
    const jump = messages.value.length > received.length && drawn !== "";
    received = messages.value;
    draw({jump});
  }
  if (state.status === "fulfilled") {
    account = state.value;
    drawAccount();
  }
}

async function loop() {
  try {
    await refresh();
  } finally {
    setTimeout(loop, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  }
}

async function reply(words) {
  if (words === "" || !received.length) return;
  const target = to.value || received.at(-1).from;
  problem.textContent = "";
  try {
    await call("POST", `/sim/handsets/${own}/replies`, {text: words, to: target});
  } catch {
    problem.textContent = "Не отправлено. Попробуйте ещё раз.";
    return;
  }
  const entry = {text: words, to: target, at: new Date().toISOString()};
  sessionStorage.setItem(sentKey(), JSON.stringify([...sent(), entry].slice(-50)));
  text.value = "";
  draw();
}

async function setAccount(change) {
  touched = Date.now();
  try {
    account = await call("PUT", `/sim/billing/accounts/${own}`, change);
    drawAccount();
  } catch { /* the next look at the account shows what is true */ }
}

function use(chosen) {
  own = chosen;
  localStorage.setItem("phone", own);
  phone.dataset.number = own;
  received = [];
  drawn = "";
  touched = 0;
  number.value = pretty(own);
  get("own-number").textContent = pretty(own);
  draw();
  drawn = "";
  refresh();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  reply(text.value.trim());
});
for (const chip of composer.querySelectorAll("[data-text]")) {
  chip.addEventListener("click", () => reply(chip.dataset.text));
}
to.addEventListener("change", offerCode);
mode.addEventListener("change", () => setAccount({mode: mode.value}));
topUp.addEventListener("click", () => setAccount({balance_minor: account.balance_minor + 10_000}));
number.addEventListener("change", () => {
  const chosen = digits(number.value);
  const ours = chosen !== null && chosen.startsWith("38097");
  numberProblem.textContent = ours ? "" : "Нужен номер 097 и ещё 7 цифр.";
  if (ours) use(chosen);
});
get("card").addEventListener("submit", (event) => event.preventDefault());

const tick = () => {
  get("clock").textContent = clock(new Date());
};
tick();
setInterval(tick, 1000);
use(own);
loop();
