// What the shop and the phone share: calls, elements, how money and numbers are written.

export class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

/** Calls the server; gives the JSON answer, or throws Refused with the server's own word. */
export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : {"Content-Type": "application/json"},
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, "OFFLINE");
  }
  let value = null;
  try {
    value = await answer.json();
  } catch { /* an empty or foreign answer: its status says enough */ }
  if (!answer.ok) {
    throw new Refused(answer.status, value?.error ?? value?.code ?? `STATUS_${answer.status}`);
  }
  return value;
}

/** An element with properties and children; texts are always texts, never markup. */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const SIGNS = {UAH: "грн"};

export function money(minor, currency) {
  const text = (minor / 100).toLocaleString("ru", {minimumFractionDigits: 2, maximumFractionDigits: 2});
  return `${text}\u00a0${SIGNS[currency] ?? currency}`;
}

/** 380971234567 from any usual way to type it; null when it is no number of ours. */
export function digits(typed) {
  let text = typed.replace(/\D/g, "");
  if (text.length === 10 && text.startsWith("0")) text = `38${text}`;
  else if (text.length === 9 && !text.startsWith("0")) text = `380${text}`;
  return /^380[1-9]\d{8}$/.test(text) ? text : null;
}

/** +380 97 123 45 67, in one line. */
export function pretty(number) {
  return number.replace(/^\+?(380)(\d\d)(\d{3})(\d\d)(\d\d)$/, "+$1\u00a0$2\u00a0$3\u00a0$4\u00a0$5");
}

export const clock = (at) => at.toLocaleTimeString("ru", {hour: "2-digit", minute: "2-digit"});
