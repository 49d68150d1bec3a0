// The chat page. One stream of events tells everything: it begins with the chat as it stands and goes on with each
// change. The page never guesses: what was said appears when the server says it was said.

import { formatted, safeAddress } from "./formatting.js";
import { language, speak, word } from "./words.js";

const GROUP_SECONDS = 300;
const TYPING_MS = 6000; // the service shows an action for about five seconds
const PRESS_MS = 15000;
const TOAST_MS = 4000;
const NEAR_END = 60; // pixels

const by = (id) => document.getElementById(id);
const app = by("app"), scroller = by("scroller"), log = by("log"), text = by("text"), menu = by("menu");

const messages = new Map(); // id -> { message, row }
const pressed = new Map(); // id of a tap -> its button and timer
const earlyAnswers = new Set(); // taps whose answer overtook the response to the tap
let commands = [];
let connection = "connecting"; // connecting | open | lost | locked
let isBotThere = false;
let typingTimer = 0;
let unread = 0;
let stream = null;
let retryMs = 500;
let retryTimer = 0;

// --- talking to the server -------------------------------------------------------------------------------------------

async function call(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(`/chat/api/${path}`, { ...options, credentials: "same-origin" });
  } catch {
    throw { code: "network", message: "" };
  }
  const value = await answer.json().catch(() => ({}));
  if (answer.status === 401) lock();
  if (!answer.ok) throw value.error ?? { code: "network", message: "" };
  return value;
}

function connect() {
  clearTimeout(retryTimer);
  stream?.close();
  stream = new EventSource("/chat/api/events");
  stream.onmessage = (event) => {
    retryMs = 500;
    on(JSON.parse(event.data));
  };
  stream.onerror = () => {
    if (connection === "locked") return;
    connection = "lost";
    showStatus();
    // The browser tries again by itself only after a connection that was answered; a refused one is ours to retry.
    if (stream.readyState === EventSource.CLOSED) {
      retryTimer = setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, 5000);
      call("history?limit=1").catch(() => {});
    }
  };
}

function on(event) {
  const handlers = {
    reset: () => reset(event),
    message: () => { stopTyping(!event.message.from_bot); keepEnd(() => put(event.message), event.message); },
    edit: () => keepEnd(() => put(event.message)),
    delete: () => keepEnd(() => remove(event.message_id)),
    typing: startTyping,
    commands: () => { commands = event.commands ?? []; updateMenu(); follow(event.language); },
    answer: () => answered(event.answer),
    presence: () => { isBotThere = event.online ?? false; showStatus(); },
  };
  handlers[event.kind]?.();
}

function lock() {
  connection = "locked";
  stream?.close();
  by("locked").hidden = false;
  by("welcome").hidden = true;
  text.disabled = by("slash").disabled = true;
  showStatus();
}

// --- the log ---------------------------------------------------------------------------------------------------------

function reset(event) {
  connection = "open";
  isBotThere = event.online ?? false;
  commands = event.commands ?? [];
  by("bot-name").textContent = document.title = event.bot || "Persais";
  keepEnd(() => {
    const told = event.messages ?? [];
    const kept = new Set(told.map((message) => message.id));
    const oldest = told.length ? told[0].id : Infinity;
    // Earlier pages that were fetched by hand stay; within the told part, what is missing was deleted.
    for (const id of [...messages.keys()]) if (id >= oldest || !told.length) if (!kept.has(id)) drop(id);
    told.forEach(keep);
    if (![...messages.keys()].some((id) => id < oldest)) by("earlier").hidden = !event.has_earlier;
    arrange();
  });
  showStatus();
  updateMenu();
  follow(event.language);
}

function put(message) {
  keep(message);
  arrange();
}

function remove(id) {
  drop(id);
  arrange();
}

function keep(message) {
  const known = messages.get(message.id);
  if (known && known.message.revision >= message.revision) return;
  const row = known?.row ?? document.createElement("article");
  messages.set(message.id, { message, row });
  draw(row, message);
}

function drop(id) {
  messages.get(id)?.row.remove();
  messages.delete(id);
}

// Puts rows in order, groups them and sets the days; touches only what is not in its place already.
function arrange() {
  let last = null;
  let place = log.firstElementChild;
  const settle = (node) => {
    if (place === node) place = node.nextElementSibling;
    else log.insertBefore(node, place);
  };
  for (const id of [...messages.keys()].sort((a, b) => a - b)) {
    const { message, row } = messages.get(id);
    const date = new Date(message.date);
    const day = date.toDateString();
    const isNewDay = !last || last.day !== day;
    if (isNewDay) settle(separator(day, date));
    const joins = last && !isNewDay && last.bot === !!message.from_bot && date - last.date < GROUP_SECONDS * 1000;
    row.classList.toggle("joins", !!joins);
    last?.row.classList.toggle("ends", !joins);
    settle(row);
    last = { day, date, bot: !!message.from_bot, row };
  }
  last?.row.classList.add("ends");
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  by("welcome").hidden = messages.size > 0 || connection !== "open";
}

function separator(day, date) {
  const found = [...log.querySelectorAll(":scope > .day")].find((node) => node.dataset.day === day);
  const node = found ?? document.createElement("div");
  node.className = "day";
  node.dataset.day = day;
  const label = dayName(date);
  if (node.firstChild?.textContent !== label) {
    const span = document.createElement("span");
    span.textContent = label;
    node.replaceChildren(span);
  }
  return node;
}

function dayName(date) {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (date.toDateString() === today.toDateString()) return word("today");
  if (date.toDateString() === yesterday.toDateString()) return word("yesterday");
  const year = date.getFullYear() === today.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString(language(), { day: "numeric", month: "long", year });
}

function draw(row, message) {
  const focused = row.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  row.className = `row ${message.from_bot ? "bot" : "user"} ${row.classList.contains("joins") ? "joins" : ""}`;
  row.dataset.messageId = message.id;
  row.dataset.from = message.from_bot ? "bot" : "user";
  const bubble = document.createElement("div");
  bubble.className = "bubble";
  if (message.attachment) bubble.append(attachment(message.attachment));
  const body = document.createElement("div");
  body.className = "text";
  body.dir = "auto";
  body.append(formatted(message.text, message.entities ?? [], (command) => send(command)), meta(message));
  bubble.append(body);
  row.replaceChildren(bubble);
  if (message.buttons?.length) row.append(keyboard(message));
  if (focused) row.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function meta(message) {
  const made = document.createElement("span");
  made.className = "meta";
  const date = new Date(message.date);
  if (message.edited) {
    const edited = document.createElement("span");
    edited.dataset.testid = "edited";
    edited.textContent = `${word("edited")} `;
    made.append(edited);
  }
  const time = document.createElement("time");
  time.dateTime = message.date;
  time.title = date.toLocaleString(language());
  time.textContent = date.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hour12: false });
  made.append(time);
  return made;
}

function attachment(file) {
  const made = document.createElement("a");
  made.className = "file";
  made.href = `/chat/api/file?id=${encodeURIComponent(file.file_id)}`;
  made.download = file.name;
  made.dataset.testid = "attachment";
  made.title = `${word("download")}: ${file.name}`;
  const icon = document.createElement("span");
  icon.className = "file-icon";
  icon.textContent = (file.name.match(/\.([A-Za-z0-9]{1,4})$/)?.[1] ?? file.kind).slice(0, 4);
  const about = document.createElement("span");
  about.className = "file-about";
  const name = document.createElement("b");
  name.textContent = file.kind === "document" ? file.name : word(file.kind);
  name.dir = "auto";
  const size = document.createElement("small");
  size.textContent = sizeName(file.size);
  about.append(name, size);
  made.append(icon, about);
  return made;
}

function sizeName(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = bytes < 1024 ** 2 ? 1 : 2;
  return `${(bytes / 1024 ** power).toLocaleString(language(), { maximumFractionDigits: 1 })} ${["", "KB", "MB"][power]}`;
}

function keyboard(message) {
  const made = document.createElement("div");
  made.className = "keyboard";
  message.buttons.forEach((line, y) => {
    const row = document.createElement("div");
    row.className = "keys";
    line.forEach((button, x) => {
      const address = button.url ? safeAddress(button.url) : null;
      const key = document.createElement(button.url ? "a" : "button");
      key.className = "key";
      key.dataset.testid = "inline-button";
      key.dataset.key = `${y}-${x}`;
      const label = document.createElement("span");
      label.textContent = button.text;
      label.dir = "auto";
      key.append(label);
      if (button.url) {
        key.classList.add("outward");
        if (address) {
          key.href = address;
          key.target = "_blank";
          key.rel = "noopener noreferrer";
        }
      } else {
        key.type = "button";
        key.addEventListener("click", () => press(message.id, button.data, key));
      }
      row.append(key);
    });
    made.append(row);
  });
  return made;
}

async function press(messageId, data, key) {
  if (key.getAttribute("aria-busy") === "true") return;
  key.setAttribute("aria-busy", "true");
  const release = () => key.removeAttribute("aria-busy");
  try {
    const { callback_id: tap } = await call("press", { message_id: messageId, data });
    if (earlyAnswers.delete(tap)) return release();
    const timer = setTimeout(() => { pressed.delete(tap); release(); toast(word("noReply")); }, PRESS_MS);
    pressed.set(tap, { release, timer });
  } catch (error) {
    release();
    if (connection !== "locked") toast(error.code === "gone" ? word("buttonGone") : word("notSent"));
  }
}

function answered(answer) {
  const waiting = pressed.get(answer.callback_id);
  if (waiting) {
    clearTimeout(waiting.timer);
    waiting.release();
    pressed.delete(answer.callback_id);
  } else {
    earlyAnswers.add(answer.callback_id);
  }
  if (answer.text && answer.alert) {
    by("alert-text").textContent = answer.text;
    if (!by("alert").open) by("alert").showModal();
  } else if (answer.text) {
    toast(answer.text);
  }
  const address = answer.url && safeAddress(answer.url);
  if (address) window.open(address, "_blank", "noopener");
}

function toast(message) {
  const made = document.createElement("div");
  made.className = "toast";
  made.dir = "auto";
  made.dataset.testid = "toast";
  made.textContent = message;
  by("toasts").replaceChildren(made);
  setTimeout(() => made.remove(), TOAST_MS);
}

// --- where the reader is ---------------------------------------------------------------------------------------------

const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;

function toEnd(behavior = "instant") {
  scroller.scrollTo({ top: scroller.scrollHeight, behavior });
}

// Changes the log; a reader at the end stays there, one who reads further up is not moved.
function keepEnd(change, added = null) {
  const stay = atEnd() || (added && !added.from_bot);
  change();
  if (stay) toEnd();
  else if (added) unread += 1;
  showJump();
}

function showJump() {
  const end = atEnd();
  if (end) unread = 0;
  by("jump").hidden = end;
  by("unread").hidden = unread === 0;
  by("unread").textContent = unread > 99 ? "99+" : String(unread);
}

async function showEarlier() {
  const oldest = Math.min(...messages.keys());
  try {
    const told = await call(`history?before=${oldest}`);
    const before = scroller.scrollHeight - scroller.scrollTop;
    told.messages.forEach(keep);
    by("earlier").hidden = !told.has_earlier;
    arrange();
    scroller.scrollTop = scroller.scrollHeight - before;
  } catch {
    toast(word("reconnecting"));
  }
}

// --- who is there ----------------------------------------------------------------------------------------------------

function showStatus() {
  const isTyping = app.classList.contains("is-typing");
  const state = connection === "open" ? (isTyping ? "typing" : isBotThere ? "online" : "waiting")
    : { lost: "reconnecting", locked: "locked" }[connection] ?? "connecting";
  const status = by("status");
  if (status.dataset.state === state && status.textContent === word(state)) return;
  status.dataset.state = state;
  status.textContent = word(state);
}

function startTyping() {
  clearTimeout(typingTimer);
  app.classList.add("is-typing");
  typingTimer = setTimeout(() => stopTyping(false), TYPING_MS);
  showStatus();
}

function stopTyping(isOwn) {
  if (isOwn) return;
  clearTimeout(typingTimer);
  app.classList.remove("is-typing");
  showStatus();
}

// --- writing ---------------------------------------------------------------------------------------------------------

async function send(said) {
  if (!said.trim()) return false;
  try {
    await call("send", { text: said });
    return true;
  } catch (error) {
    if (connection !== "locked") toast(error.code === "network" ? word("notSent") : word("refused") + error.message);
    return false;
  }
}

async function submit() {
  const said = text.value;
  if (!said.trim()) return;
  text.value = "";
  fit();
  updateMenu();
  if (!(await send(said)) && !text.value) {
    text.value = said;
    fit();
  }
}

function fit() {
  const stay = atEnd();
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + text.offsetHeight - text.clientHeight}px`;
  by("send").disabled = !text.value.trim();
  if (stay) toEnd();
}

// --- the command menu ------------------------------------------------------------------------------------------------

let chosen = 0;
let isMenuForced = false; // opened by its button rather than by typing

function matching() {
  const typed = text.value;
  if (isMenuForced && !typed) return commands;
  if (!/^\/[A-Za-z0-9_]*$/.test(typed)) return [];
  return commands.filter((item) => item.command.startsWith(typed.slice(1).toLowerCase()));
}

function updateMenu() {
  const found = matching();
  const isExact = found.length === 1 && text.value === `/${found[0].command}`;
  const isOpen = found.length > 0 && !isExact;
  chosen = Math.min(chosen, Math.max(found.length - 1, 0));
  menu.replaceChildren(...found.map((item, index) => {
    const option = document.createElement("div");
    option.className = "option";
    option.id = `option-${index}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(index === chosen));
    option.dataset.testid = "command-option";
    option.dataset.command = item.command;
    const name = document.createElement("b");
    name.textContent = `/${item.command}`;
    const about = document.createElement("span");
    about.textContent = item.description;
    about.dir = "auto";
    option.append(name, about);
    // Before the text field loses its focus, or a phone would fold its keyboard and move everything.
    option.addEventListener("pointerdown", (event) => event.preventDefault());
    option.addEventListener("click", () => choose(item));
    return option;
  }));
  menu.hidden = !isOpen;
  by("slash").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) {
    text.setAttribute("aria-activedescendant", `option-${chosen}`);
    menu.children[chosen].scrollIntoView({ block: "nearest" });
  } else {
    text.removeAttribute("aria-activedescendant");
  }
}

function closeMenu() {
  isMenuForced = false;
  chosen = 0;
  menu.hidden = true;
  by("slash").setAttribute("aria-expanded", "false");
  text.removeAttribute("aria-activedescendant");
}

function choose(item) {
  text.value = "";
  fit();
  closeMenu();
  send(`/${item.command}`);
  text.focus();
}

function onKey(event) {
  if (event.isComposing) return; // Enter that ends the choice of a character is not ours
  if (!menu.hidden) {
    const found = matching();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      chosen = (chosen + step + found.length) % found.length;
      updateMenu();
      return;
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      choose(found[chosen]);
      return;
    }
    if (event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      text.value = `/${found[chosen].command} `;
      fit();
      closeMenu();
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      closeMenu();
      return;
    }
  }
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit();
  }
}

// --- words -----------------------------------------------------------------------------------------------------------

function showWords() {
  document.documentElement.lang = language();
  const label = (id, name) => { by(id).setAttribute("aria-label", word(name)); by(id).title = word(name); };
  text.placeholder = word("placeholder");
  text.setAttribute("aria-label", word("placeholder"));
  label("send", "send");
  label("slash", "commands");
  label("jump", "jump");
  menu.setAttribute("aria-label", word("commands"));
  by("languages").setAttribute("aria-label", word("language"));
  log.setAttribute("aria-label", word("messages"));
  scroller.setAttribute("aria-label", word("messages"));
  by("earlier").textContent = word("earlier");
  by("alert-close").textContent = word("close");
  by("welcome-title").textContent = word("welcomeTitle");
  by("welcome-text").textContent = word("welcomeText");
  by("locked-title").textContent = word("lockedTitle");
  by("locked-text").textContent = word("lockedText");
  by("chips").replaceChildren(...word("chips").map((said) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.dataset.testid = "chip";
    chip.textContent = said;
    chip.addEventListener("click", () => send(said));
    return chip;
  }));
  for (const button of by("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language()));
  }
  for (const { row, message } of messages.values()) draw(row, message);
  arrange();
  showStatus();
}

// The person has one language in all windows: what this browser prefers only counts where none is known yet.
const tellLanguage = (isGuess) =>
  call("language", { language_code: language(), is_guess: isGuess }).catch(() => {});

function follow(code) {
  const wanted = code?.toLowerCase().split("-")[0];
  if (!wanted || wanted === language()) return;
  speak(wanted);
  keepEnd(showWords);
}

// --- start -----------------------------------------------------------------------------------------------------------

by("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); text.focus(); });
text.addEventListener("input", () => { isMenuForced = false; chosen = 0; fit(); updateMenu(); });
text.addEventListener("keydown", onKey);
text.addEventListener("blur", () => setTimeout(() => { if (document.activeElement !== by("slash")) closeMenu(); }, 150));
by("slash").addEventListener("pointerdown", (event) => event.preventDefault());
by("slash").addEventListener("click", () => {
  const wasOpen = !menu.hidden;
  closeMenu();
  text.focus();
  if (wasOpen) return;
  if (!commands.length) return toast(word("noCommands"));
  if (!text.value.startsWith("/")) isMenuForced = true;
  if (text.value && !text.value.startsWith("/")) return;
  updateMenu();
});
by("languages").addEventListener("click", (event) => {
  const wanted = event.target.closest("button")?.dataset.language;
  if (!wanted) return;
  speak(wanted);
  keepEnd(showWords);
  tellLanguage(false);
});
by("earlier").addEventListener("click", showEarlier);
by("jump").addEventListener("click", () => {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  toEnd(calm ? "instant" : "smooth");
});
scroller.addEventListener("scroll", showJump, { passive: true });
// The composer growing or a phone's keyboard opening must not hide the last message from a reader at the end.
let wasAtEnd = true;
scroller.addEventListener("scroll", () => { wasAtEnd = atEnd(); }, { passive: true });
new ResizeObserver(() => { if (wasAtEnd) toEnd(); }).observe(scroller);

showWords();
fit();
tellLanguage(true);
connect();
if (matchMedia("(hover: hover)").matches) text.focus();
