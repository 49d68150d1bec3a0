// Message text with entities becomes elements. Text enters the page as text nodes only, and links are followed only
// where their scheme is one of four, so nothing a bot or a model writes can become markup or script.

import { word } from "./words.js";

const PLAIN = {
  bold: "strong", italic: "em", underline: "u", strikethrough: "s", code: "code",
  blockquote: "blockquote", expandable_blockquote: "blockquote",
};
const SAFE = new Set(["http:", "https:", "tg:", "mailto:"]);
const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);

export function safeAddress(raw) {
  try {
    const address = new URL(raw);
    return SAFE.has(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

// Offsets are UTF-16 units, which is what JavaScript strings count in.
export function formatted(text, entities, onCommand) {
  const sorted = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  const root = document.createDocumentFragment();
  fill(root, text, sorted, 0, text.length, onCommand);
  return root;
}

function fill(parent, text, entities, from, to, onCommand) {
  let at = from;
  let index = 0;
  while (index < entities.length) {
    const entity = entities[index];
    const start = Math.max(entity.offset, at);
    const end = Math.min(entity.offset + entity.length, to);
    index += 1;
    if (end <= start) continue;
    const inner = [];
    while (index < entities.length && entities[index].offset < end) inner.push(entities[index++]);
    // What reaches beyond this element goes on after it.
    const rest = inner.filter((item) => item.offset + item.length > end);
    // A block brings line breaks of its own, before it and behind it.
    const before = BLOCKS.has(entity.type) && text[start - 1] === "\n" ? start - 1 : start;
    if (before > at) parent.append(text.slice(at, before));
    const [outer, inside] = element(entity, text.slice(start, end), onCommand);
    if (inside) fill(inside, text, inner, start, end, onCommand);
    parent.append(outer);
    at = end;
    if (BLOCKS.has(entity.type) && text[at] === "\n") at += 1;
    entities = [...rest, ...entities.slice(index)];
    index = 0;
  }
  if (at < to) parent.append(text.slice(at, to));
}

// Returns the element to insert and the one to fill with the text, or null when it is filled already.
function element(entity, shown, onCommand) {
  if (entity.type in PLAIN) {
    const made = document.createElement(PLAIN[entity.type]);
    if (made.tagName === "BLOCKQUOTE") made.dir = "auto";
    if (made.tagName === "CODE") made.dir = "ltr";
    return [made, made];
  }
  if (entity.type === "pre") return [codeBlock(entity.language, shown), null];
  if (entity.type === "spoiler") return spoiler();
  if (entity.type === "bot_command") {
    const made = button("command", shown, () => onCommand(shown));
    return [made, null];
  }
  const address = safeAddress({ text_link: entity.url, url: shown, email: `mailto:${shown}` }[entity.type]);
  const made = document.createElement(address ? "a" : "span");
  if (address) {
    made.href = address;
    made.target = "_blank";
    made.rel = "noopener noreferrer";
  }
  return [made, made];
}

function button(className, label, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = label;
  made.addEventListener("click", onClick);
  return made;
}

function codeBlock(language, code) {
  const box = document.createElement("div");
  box.className = "code";
  box.dir = "ltr";
  const head = document.createElement("div");
  head.className = "code-head";
  const label = document.createElement("span");
  label.textContent = language || "";
  const copy = button("copy", word("copy"), async () => {
    try {
      await navigator.clipboard.writeText(code);
      copy.textContent = word("copied");
    } catch {
      copy.textContent = word("copyFailed");
    }
    setTimeout(() => { copy.textContent = word("copy"); }, 1600);
  });
  copy.dataset.testid = "copy";
  head.append(label, copy);
  const pre = document.createElement("pre");
  pre.tabIndex = 0;
  const inner = document.createElement("code");
  const shown = code.replace(/\n$/, "");
  if (language === "diff") inner.append(...coloured(shown));
  else inner.textContent = shown;
  pre.append(inner);
  box.append(head, pre);
  return box;
}

// The lines of a diff, as a client that knows the language would colour them.
function coloured(diff) {
  return diff.split("\n").map((line, number, all) => {
    const made = document.createElement("span");
    const head = /^(diff |index |new file|deleted file|---|\+\+\+)/.test(line);
    made.className = head ? "diff-head" : { "+": "diff-added", "-": "diff-removed", "@": "diff-place" }[line[0]] || "";
    made.textContent = number < all.length - 1 ? `${line}\n` : line;
    return made;
  });
}

function spoiler() {
  const made = document.createElement("span");
  made.className = "spoiler";
  made.tabIndex = 0;
  made.setAttribute("role", "button");
  made.setAttribute("aria-label", word("hidden"));
  const inside = document.createElement("span");
  made.append(inside);
  const show = (event) => {
    if (made.classList.contains("shown") || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    made.classList.add("shown");
    made.removeAttribute("role");
    made.removeAttribute("aria-label");
    made.removeAttribute("tabindex");
  };
  // The first press only uncovers: a link below must not be followed unseen.
  made.addEventListener("click", show, true);
  made.addEventListener("keydown", show);
  return [made, inside];
}
