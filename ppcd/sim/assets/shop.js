// The shop: choose, give the number, wait for the answer to the SMS, learn the end.

import {call, digits, el, money, pretty, symbol} from "/demo/page.js";

const stage = document.getElementById("stage");
const steps = document.getElementById("steps");
const variants = document.querySelectorAll("input[name=variant]");

const STEPS = {
  1: ["Тариф", "Номер", "Подтверждение"],
  2: ["Тариф и номер", "Подтверждение"],
};

// What the buyer reads for each end. Nothing was debited in any of them.
const ENDS = {
  USER_DECLINED: ["Вы отказались от оплаты", "Деньги не списаны."],
  CONFIRMATION_TIMEOUT: ["Время вышло", "Мы не дождались ответа на SMS. Деньги не списаны, можно попробовать снова."],
  PROMPT_UNDELIVERABLE: ["SMS не доставлено", "Проверьте номер и что телефон включён. Деньги не списаны."],
  CANCELLED_BY_MERCHANT: ["Оплата отменена", "Деньги не списаны."],
  INSUFFICIENT_FUNDS: ["На счёте не хватает денег", "Пополните счёт телефона и попробуйте снова. Деньги не списаны."],
  SERVICE_DENIED: ["Оплата с этого номера запрещена", "Так решил оператор; он же скажет почему. Деньги не списаны."],
  USER_UNKNOWN: ["Оператор не знает этот номер", "Проверьте номер. Деньги не списаны."],
  LIMIT_EXCEEDED: ["Превышен лимит платежей", "На сегодня или на этот месяц лимит исчерпан. Деньги не списаны."],
  BILLING_REJECTED: ["Оператор отклонил оплату", "Деньги не списаны."],
  BILLING_UNAVAILABLE: ["Оператор сейчас недоступен", "Списать не получилось. Деньги не списаны, попробуйте позже."],
};

// Why no payment was begun at all, in the payment API's words.
const REFUSALS = {
  INVALID_NUMBER: "Проверьте номер: нужны 10 цифр, например 097 123 45 67.",
  ALREADY_EXISTS: "С этого номера уже ждут ответа другие оплаты. Ответьте на SMS или подождите.",
  IDENTIFIER_NOT_FOUND: "Этот номер не обслуживается.",
  SERVICE_NOT_APPLICABLE: "Этот номер не обслуживается.",
  TOO_MANY_REQUESTS: "Слишком много попыток. Подождите минуту.",
  "CARRIER_BILLING.PAYMENT_DENIED": "Оплата с этого номера запрещена.",
  "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED": "Превышен лимит платежей этого номера.",
  "CARRIER_BILLING.PAYMENT_CONFIRMED": "Ответ ДА уже получен, отменить нельзя.",
  "CARRIER_BILLING.PAYMENT_CANCELLED": "Оплата уже отменена.",
  UNREACHABLE: "Платёжная система не отвечает. Попробуйте ещё раз.",
  OFFLINE: "Нет связи с магазином. Попробуйте ещё раз.",
};

let variant = Number(sessionStorage.getItem("variant") ?? 1);
let tariffs = [];
let stream = null;
let poll = 0;

const refusal = (error) => REFUSALS[error.code] ?? `Не получилось (${error.code}). Попробуйте ещё раз.`;

function show(step, ...content) {
  const moved = stage.dataset.step !== undefined && stage.dataset.step !== String(step);
  stage.dataset.step = step;
  steps.replaceChildren(...STEPS[variant].map((name, index) => {
    const state = index + 1 < step ? "done" : index + 1 === step ? "now" : "";
    const item = el("li", {className: state}, el("span", {}, name));
    if (state === "now") item.setAttribute("aria-current", "step");
    return item;
  }));
  stage.replaceChildren(...content);
  return moved;
}

function coins(gold) {
  const count = {250: 1, 500: 2}[gold] ?? 3;
  const pile = el("span", {className: `pile pile-${count}`});
  for (let i = 0; i < count; i += 1) pile.append(symbol("coin", "coin"));
  return pile;
}

// Step 1 of variant 1: cards with a button each.
function choose() {
  forget();
  if (variant === 2) return chooseAndPay();
  const cards = tariffs.map((tariff) => el("article", {className: "tariff"},
    coins(tariff.gold),
    el("h3", {}, `${tariff.gold} gold`),
    el("p", {className: "price"}, money(tariff.amount_minor, tariff.currency)),
    el("button", {
      className: "primary",
      onclick: () => askNumber(tariff),
      ariaLabel: `Выбрать ${tariff.gold} gold`,
    }, "Выбрать"),
  ));
  show(1, el("h2", {}, "Сколько золота?"), el("div", {className: "tariffs"}, ...cards));
}

// Step 2 of variant 1.
function askNumber(tariff) {
  const back = el("button", {type: "button", className: "quiet", onclick: choose}, "Назад к тарифам");
  const form = numberForm(() => tariff, null, back);
  show(2,
    el("p", {className: "chosen"}, coins(tariff.gold),
      el("span", {}, el("strong", {}, `${tariff.gold} gold`), ` ${money(tariff.amount_minor, tariff.currency)}`)),
    form);
  form.querySelector("input[type=tel]").focus();
}

// Steps 1 and 2 on one screen: variant 2.
function chooseAndPay() {
  const options = tariffs.map((tariff, index) => el("label", {className: "tariff option"},
    el("input", {type: "radio", name: "tariff", value: tariff.id, checked: index === 0}),
    coins(tariff.gold),
    el("span", {className: "option-name"}, `${tariff.gold} gold`),
    el("span", {className: "price"}, money(tariff.amount_minor, tariff.currency)),
  ));
  const group = el("fieldset", {className: "tariffs"}, el("legend", {}, "Сколько золота?"), ...options);
  const chosen = () => tariffs.find((tariff) => tariff.id === group.querySelector(":checked").value);
  show(1, numberForm(chosen, group));
}

function numberForm(chosen, before = null, back = null) {
  const input = el("input", {
    id: "buyer", type: "tel", inputMode: "tel", autocomplete: "tel", maxLength: 24,
    placeholder: "097 123 45 67", required: true,
  });
  const problem = el("p", {id: "buyer-problem", className: "problem", role: "alert"});
  input.setAttribute("aria-describedby", "buyer-problem");
  const button = el("button", {className: "primary wide"}, "Оплатить");
  const complain = (text) => {
    problem.textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
    // On a phone it stands below the fold.
    if (text !== "") problem.scrollIntoView({block: "nearest"});
  };
  const fill = el("button", {
    type: "button",
    className: "link",
    onclick: () => {
      input.value = pretty(document.getElementById("phone").dataset.number);
      complain("");
      button.focus();
    },
  }, "Подставить номер из демонстрации");
  const form = el("form", {className: "number", noValidate: true},
    before,
    el("label", {htmlFor: "buyer", className: "ask"}, "Для оплаты введите номер Вашего мобильного телефона"),
    el("div", {className: "field"}, input, button),
    problem, el("div", {className: "more"}, fill, back));
  input.addEventListener("input", () => complain(""));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (digits(input.value) === null) {
      complain(REFUSALS.INVALID_NUMBER);
      input.focus();
      return;
    }
    button.disabled = true;
    button.textContent = "Отправляем SMS…";
    try {
      follow(await call("POST", "/shop/orders", {tariff: chosen().id, phone: input.value}));
    } catch (error) {
      complain(refusal(error));
      button.disabled = false;
      button.textContent = "Оплатить";
    }
  });
  return form;
}

function verdict(kind, picture, title, ...content) {
  const head = el("h2", {tabIndex: -1}, title);
  const moved = show(STEPS[variant].length,
    el("div", {className: `verdict ${kind}`}, symbol(picture, "badge"), head, ...content));
  if (moved) head.focus();
}

const again = (text) => el("button", {type: "button", className: "primary", onclick: choose}, text);

function draw(order) {
  const price = money(order.amount_minor, order.currency);
  const what = el("p", {className: "detail"}, `${order.title} за ${price}, телефон ${pretty(order.phone)}`);
  switch (order.progress) {
    case "waiting": {
      const problem = el("p", {className: "problem", role: "alert"});
      const cancel = el("button", {
        type: "button",
        className: "quiet",
        onclick: async () => {
          cancel.disabled = true;
          try {
            await call("POST", `/shop/orders/${order.order}/cancel`, {});
          } catch (error) {
            problem.textContent = refusal(error);
            cancel.disabled = false;
          }
        },
      }, "Отменить");
      verdict("waiting", "message", "Для подтверждения оплаты, отправьте ДА в ответ", what,
        el("p", {className: "hint"}, "SMS идёт на этот телефон. Страница ждёт ответа и обновится сама."),
        el("a", {className: "jump", href: "#phone"}, "К телефону ↓"),
        cancel, problem);
      break;
    }
    case "debiting":
      verdict("waiting", "hourglass", "Списываем деньги…", what,
        el("p", {className: "hint"}, "Ответ ДА получен, оператор списывает оплату."));
      break;
    case "pending":
      verdict("waiting", "hourglass", "Оператор пока не ответил", what,
        el("p", {className: "hint"}, "Мы не знаем, списаны ли деньги, и продолжаем выяснять. Платить повторно не нужно: мы сообщим, чем закончилось."));
      break;
    case "paid":
      verdict("paid", "tick", "Услуга оплачена", what,
        el("p", {className: "hint"}, `${order.title} уже в игре. Со счёта телефона списано ${price}.`),
        again("Купить ещё"));
      break;
    default: {
      const [title, text] = ENDS[order.reason] ?? ["Оплата не прошла", "Деньги не списаны."];
      verdict("failed", "cross", title, what, el("p", {className: "hint"}, text), again("Попробовать снова"));
    }
  }
  window.dispatchEvent(new Event("order-changed"));
}

// Follows the order by server-sent events, and by asking where a proxy breaks those.
function follow(order) {
  forget();
  sessionStorage.setItem("order", order.order);
  draw(order);
  if (ended(order)) return;
  let last = JSON.stringify(order);
  const learn = (news) => {
    if (JSON.stringify(news) === last) return;
    last = JSON.stringify(news);
    draw(news);
    if (ended(news)) stop();
  };
  stream = new EventSource(`/shop/orders/${order.order}/events`);
  stream.onmessage = (event) => learn(JSON.parse(event.data));
  poll = setInterval(async () => {
    if (stream?.readyState === EventSource.OPEN) return;
    try {
      learn(await call("GET", `/shop/orders/${order.order}`));
    } catch (error) {
      if (error.status === 404) choose();
    }
  }, 1000);
}

const ended = (order) => order.progress === "paid" || order.progress === "failed";

function stop() {
  stream?.close();
  stream = null;
  clearInterval(poll);
}

function forget() {
  stop();
  sessionStorage.removeItem("order");
}

for (const radio of variants) {
  radio.checked = Number(radio.value) === variant;
  radio.addEventListener("change", () => {
    variant = Number(radio.value);
    sessionStorage.setItem("variant", variant);
    choose();
  });
}

async function begin() {
  tariffs = await call("GET", "/shop/tariffs");
  const order = sessionStorage.getItem("order");
  if (order !== null) {
    try {
      follow(await call("GET", `/shop/orders/${order}`));
      return;
    } catch { /* an order of an earlier demo */ }
  }
  choose();
}

begin().catch(() => {
  show(1, el("p", {className: "problem", role: "alert"}, REFUSALS.OFFLINE));
  setTimeout(() => location.reload(), 2000);
});
