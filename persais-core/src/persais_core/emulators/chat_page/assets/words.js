// The page's own words, in both languages. What the bot says comes from the bot.

const catalogue = {
  en: {
    online: "online",
    typing: "typing…",
    connecting: "connecting…",
    reconnecting: "reconnecting…",
    waiting: "waiting for the bot…",
    locked: "locked",
    edited: "edited",
    placeholder: "Message",
    send: "Send",
    commands: "Commands",
    noCommands: "The bot has told no commands yet",
    jump: "Jump to latest",
    earlier: "Show earlier messages",
    language: "Language",
    copy: "Copy",
    copied: "Copied",
    copyFailed: "Copying is not allowed here",
    download: "Download",
    hidden: "Hidden text, press to show",
    close: "OK",
    messages: "Messages",
    youSaid: "You",
    notSent: "Not sent: the connection is down. Your text is still here.",
    refused: "Not sent: ",
    buttonGone: "This button is no longer there.",
    noReply: "The bot has not answered this button yet.",
    voice: "Voice message",
    photo: "Photo",
    today: "Today",
    yesterday: "Yesterday",
    welcomeTitle: "Hello! I am a bot that grows when you ask.",
    welcomeText: "Tell me what I should be able to do, and I will write, test and deploy it. Start with one of these:",
    chips: ["/start", "/mechanic", "Create an agent \"Echo\" that repeats the user's messages", "/status"],
    lockedTitle: "This chat is locked",
    lockedText: "Open it with the link that the terminal printed when the bot started; it carries the key.",
  },
  ru: {
    online: "в сети",
    typing: "печатает…",
    connecting: "соединение…",
    reconnecting: "переподключение…",
    waiting: "ожидание бота…",
    locked: "закрыто",
    edited: "изменено",
    placeholder: "Сообщение",
    send: "Отправить",
    commands: "Команды",
    noCommands: "Бот пока не сообщил своих команд",
    jump: "К последним сообщениям",
    earlier: "Показать более ранние сообщения",
    language: "Язык",
    copy: "Копировать",
    copied: "Скопировано",
    copyFailed: "Копирование здесь запрещено",
    download: "Скачать",
    hidden: "Скрытый текст, нажмите, чтобы показать",
    close: "ОК",
    messages: "Сообщения",
    youSaid: "Вы",
    notSent: "Не отправлено: нет соединения. Текст остался в поле ввода.",
    refused: "Не отправлено: ",
    buttonGone: "Этой кнопки больше нет.",
    noReply: "Бот пока не ответил на эту кнопку.",
    voice: "Голосовое сообщение",
    photo: "Фото",
    today: "Сегодня",
    yesterday: "Вчера",
    welcomeTitle: "Здравствуйте! Я\u00a0бот, который растёт по вашей просьбе.",
    welcomeText: "Скажите, что я должен уметь, — я напишу, проверю и разверну это. Начните с чего-нибудь из этого:",
    chips: ["/start", "/mechanic", "Создай агента \"Echo\", который повторяет сообщения пользователя", "/status"],
    lockedTitle: "Чат закрыт",
    lockedText: "Откройте его по ссылке, которую терминал показал при запуске бота: в ней ключ.",
  },
};

const KEPT_AS = "persais-language";

function initial() {
  let kept = null;
  try { kept = localStorage.getItem(KEPT_AS); } catch { /* storage may be closed; the browser's language will do */ }
  if (kept in catalogue) return kept;
  return (navigator.language || "en").toLowerCase().startsWith("ru") ? "ru" : "en";
}

let current = initial();

export const language = () => current;

export function speak(code) {
  current = code in catalogue ? code : "en";
  try { localStorage.setItem(KEPT_AS, current); } catch { /* asked again at the next visit */ }
}

export const word = (name) => catalogue[current][name];
