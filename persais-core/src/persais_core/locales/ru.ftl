# Всё, что говорит бот, по-русски. Markdown, если в коде не сказано иное.

## Агенты и маршрутизация

master-activated = 🧭 Режим Мастера активирован
mechanic-activated = 🔧 Режим Механика активирован
agent-activated = { $emoji } Режим { $title } активирован
unknown-command = Я не знаю команды /{ $command }. /help покажет, что есть.
unknown-command-button = /{ $command } — не команда: нажмите кнопку «{ $button }» на карточке изменения.
unknown-command-near = Я не знаю команды /{ $command }. Может быть, /{ $near }?{ $near ->
    [help] { "" }
   *[other] { " " }/help покажет, что есть.
    }
agent-off = Агент { $title } выключен. /config { $agent } default включит его снова.
agent-gone = Агента { $title } здесь больше нет, теперь отвечает Мастер.
attachment-not-yet = Голосовые сообщения, картинки и файлы я пока не понимаю. Напишите, пожалуйста, словами.
model-unavailable = Языковая модель не отвечает: { $cause }. Команды и агенты, которым модель не нужна, работают.
agent-cannot = Не получилось: { $cause }.
agent-broke = { $title } споткнулся об ошибку в собственном коде и не смог ответить. Попросите Механика исправить: /mechanic
unexpected = Случилось что-то непредвиденное; подробности в журнале. Сам бот не пострадал.

## Люди

stranger = Это личный бот. Пустить вас может только его владелец.
stranger-claimable = У этого бота пока нет владельца. Если он ваш, отправьте /claim и код из его терминала, например: /claim ABCD-EFGH-JKMN
claim-accepted = Добро пожаловать! Теперь это ваш бот. Нажмите /mechanic и попросите агента.
claim-wrong = Это не тот код. Он напечатан в терминале, где запущен бот.
claim-often = Трижды за час код не подошёл. Попробуйте снова через час.
claim-closed = Здесь нечего получать: у бота есть владелец, или код истёк. Пока владельца нет, новый код печатается при перезапуске.

## Команды

hello = Здравствуйте!
hello-name = Здравствуйте, { $name }!
start =
    { $hello }
    Я бот, который растёт по просьбе. Нажмите /mechanic и попросите агента простыми словами, например:

    `Создай агента "Echo", который повторяет сообщения пользователя`

    /agents покажет, кто здесь есть, /help — всё остальное.
start-user =
    { $hello }
    Просто напишите мне. /agents покажет, кто здесь есть, /help — всё остальное.
help-talking = **Разговор**
help-agents = выбрать агента
help-master = вернуться к Мастеру
help-reset = забыть этот разговор
help-why = откуда взялось поведение агента
help-status = состояние бота
help-start = приветствие
help-help = этот список
help-own = **Агенты**
help-changing = **Изменить бота**
help-mechanic = скажите обычными словами, что нужно: новый агент, изменение, другая модель или ключевые слова агента; или спросите, как устроен бот
help-deploy = запустить изменение, которое ждёт
help-abort = отменить изменение
help-stop = закончить предпросмотр изменения
help-rollback = откатить последнее изменение
help-care = **Присмотр за ботом**
help-config = как настроены агенты, и настроить их
help-visibility = кто видит агента
help-audit = кто что сделал
help-dead = что не получилось
help-claim = стать владельцем бота: код напечатан в его терминале
agents =
    { $count ->
        [0] Других агентов пока нет. /mechanic сделает нового.
        [one] Здесь сделан { $count } агент:
        [few] Здесь сделано { $count } агента:
       *[many] Здесь сделано { $count } агентов:
    }
status =
    Версия: { $version }
    Коммит: { $commit }
    База данных: { $database }
    Модель: { $model }
    Песочница: { $sandbox }
    Агент: { $agent }
status-spent = Потрачено на модели за сутки: ${ $spent }
status-resting = ⚠️ После сбоев пока не тревожу: { $services }
share-how = Скажите, какой агент и для кого, например: /visibility echo private. Бывает private (только ваш) и shared (общий).
share-near = Агента { $agent } нет. Может быть, /visibility { $near } { $visibility }?
share-private = Агент { $agent } теперь только ваш, другие его не видят.
share-shared = Агент { $agent } теперь доступен всем.
status-changes =
    { $count ->
        [0] Открытых изменений: нет
       *[other] Открытых изменений: { $count }
    }
database-ok = отвечает
database-down = не отвечает
sandbox-enforced = действует ({ $ways })
sandbox-limits-only = только ограничения ресурсов ({ $reason })
sandbox-refused = недоступна ({ $reason })
warning-unsandboxed = Код кандидатов на этой машине не изолирован.
warning-records-closed = Записи закрыты для агентов. Причина: { $cause }.
warning-safe-mode = Безопасный режим: сделанные здесь агенты выключены, потому что с ними бот не запускается. Причина: { $cause }. /rollback откатит последнее изменение, /mechanic может исправить.
menu-start = Приветствие
menu-help = Что я умею
menu-agents = Выбрать агента
menu-mechanic = Создать или изменить агента
menu-status = Состояние бота

## Механик

mechanic-not-admin = Менять бота может только его администратор.
mechanic-empty = Скажите словами, что нужно, например: `Создай агента "Echo", который повторяет сообщения пользователя`
mechanic-too-long =
    { $size ->
        [one] В этой просьбе { $size } символ, а я читаю не больше { $limit }. Скажите короче, пожалуйста.
        [few] В этой просьбе { $size } символа, а я читаю не больше { $limit }. Скажите короче, пожалуйста.
       *[many] В этой просьбе { $size } символов, а я читаю не больше { $limit }. Скажите короче, пожалуйста.
    }
mechanic-planning = 🤔 Читаю задачу...
mechanic-understood-create =
    Понял задачу. { $summary }

    Создам:
mechanic-understood-edit =
    Понял задачу. { $summary }

    Изменю:
mechanic-understood-remove =
    Понял задачу. { $summary }

    Удалю вместе с тестами и примерами:
mechanic-declined = Этого я сделать не могу. { $reason }
mechanic-answer = 🔧 { $answer }
mechanic-to-set =
    ⚙️ Настроить { $agent }: { $settings }.

    Пока ничего не изменилось.
mechanic-left = Настройки { $agent } остаются прежними.
mechanic-configured = ✅ { $agent }: { $settings }. Действует со следующего ответа; /config { $agent } default вернёт как было.
mechanic-working = ⏳ Работаю...
mechanic-branch = Branch: { $branch }
mechanic-failed = ❌ Не получилось. { $cause }
mechanic-retried = 🔁 Не получилось; новая попытка — ниже. { $cause }
mechanic-aborted = Изменение { $change } отменено.
mechanic-replaced = Вместо изменения { $change } теперь изменение { $by }.
stage-scaffolding = Каркас из шаблонов
stage-removing = Удаление файлов
stage-coding = Пишу код
stage-coding-again = Исправляю код, раунд { $round }
stage-verifying = Проверяю
stage-delivering = Коммит, push, pull request
check-paths = Пути
check-imports = Импорты
check-secrets = Секреты
check-lint = Стиль
check-typecheck = Типы
check-migrations = Таблицы
check-tests = Тесты
check-examples = Примеры
check-production = В работе
recheck-begun = С тех пор как изменение проверили, main изменился, поэтому все проверки идут ещё раз.
error-recheck-failed = С тех пор как изменение проверили, main изменился, и вместе с этим не проходят проверки: { $checks }. Ничего не слито. «Повторить» сделает его заново на нынешнем main.
error-recheck-failed-late = Пока изменение сливалось, main изменился, и вместе с этим не проходят проверки: { $checks }. Оно не работает. «Повторить» сделает его заново на нынешнем main.
error-recheck-losses = С тех пор как изменение проверили, main изменился, и теперь оно удалило бы или ограничило другие данные, чем сказано в карточке. Ничего не слито. «Повторить» сделает его заново на нынешнем main.
error-rounds-over =
    { $rounds ->
        [one] После { $rounds } раунда не проходят проверки: { $checks }.
       *[other] После { $rounds } раундов не проходят проверки: { $checks }.
    }
error-coder-denied = Кодер хотел записать файлы, которых это изменение касаться не может: { $paths }. Ничего из этого не сохранено.
error-coder-failed = Кодер не справился: { $detail }

## Карточка

card-ready = ✅ PR готов!
card-deploying = ⏳ Развёртываю...
card-deploying-there = ⏳ { $platform } разворачивает новую версию. Это займёт несколько минут; я скажу, когда она ответит.
card-deployed = 🚀 Deployed
card-aborted = 🗑 Отменено
card-replaced = 🗑 Заменено изменением { $by }
card-failed = ❌ Не развёрнуто
card-retried = 🔁 Не развёрнуто; новая попытка — ниже
card-branch = Branch: { $branch }
card-files =
    { $count ->
        [one] Files: { $count } changed
       *[other] Files: { $count } changed
    }
card-removed = 🗑 Уйдёт: { $files }
card-tests = Tests: ✅ Passed
card-examples =
    { $count ->
        [one] Примеры: { $count } сохранён
        [few] Примеры: { $count } сохранены
       *[other] Примеры: { $count } сохранено
    }{ $files ->
        [0] { "" }
        [one] { "" } (ещё { $files } файл)
        [few] { "" } (ещё { $files } файла)
       *[other] { "" } (ещё { $files } файлов)
    }
card-examples-replaced =
    { $count ->
        [one] Примеры: { $count } заменён, теперь нужен другой ответ
        [few] Примеры: { $count } заменены, теперь нужны другие ответы
       *[other] Примеры: { $count } заменено, теперь нужны другие ответы
    }{ $files ->
        [0] { "" }
        [one] { "" } (ещё { $files } файл)
        [few] { "" } (ещё { $files } файла)
       *[other] { "" } (ещё { $files } файлов)
    }
card-cost = Стоимость: ${ $cost }
button-deploy = Deploy
button-abort = Abort
button-view = View PR
view-link = Pull request: { $url }
page-pull-request = Pull request #{ $number }
page-state-open = открыт
page-state-merged = слит
page-state-closed = закрыт
page-nothing = Этот pull request ничего не меняет.
page-checks = Проверки
page-cost = Стоимость: ${ $cost }, токены: { $tokens }
page-removed = Удалено
page-request = Просьба
page-correction = Поправка
page-plan = План
deployed = 🚀 Deployed!
deployed-which = Изменение { $change }: { $summary }
deploy-failed = ❌ Новая версия не запустилась, поэтому работает прежняя. Причина: { $cause }
deploy-failed-card = Новая версия не запустилась, поэтому работает прежняя.
deploy-waits = Слияние с main пока не подтвердилось: { $cause }. Пробую дальше.
tap-unknown = Это не моя кнопка.
tap-no-agent = Этого агента больше нет.
tap-not-admin = Это может только администратор бота.
tap-used = Это уже сделано.
tap-stale = Эта кнопка относится к прежнему состоянию изменения и больше ничего не делает.
tap-deploy = Развёртываю...
tap-abort = Отменяю...
state-planning = планируется
state-awaiting-answer = ждёт вашего ответа
state-scaffolding = делается каркас
state-coding = пишется код
state-verifying = проверяется
state-delivering = оформляется
state-awaiting-approval = ждёт вашего нажатия
state-deploying = развёртывается
state-deployed = развёрнуто
state-aborted = отменено
state-answered = отвечено
state-failed = не удалось

## Поправить, вернуть, объяснить

mechanic-replaces = Понимаю это как поправку к изменению { $change }: это изменение его заменит.
mechanic-question = ❓ { $question }
plan-tables = Новые таблицы: { $names }
plan-tables-changed = Изменённые таблицы: { $names }
plan-tools = Новые инструменты: { $names }
plan-tools-changed = Изменённые инструменты: { $names }
plan-changes = Изменю:
plan-estimate = Изменения здесь стоят около ${ $cost }.
plan-estimate-small = Изменения здесь стоят меньше цента.
error-remove-failed = Без того, что удаляется, не проходят проверки: { $checks }. Скажите, что ещё изменить или удалить, или нажмите «Повторить», чтобы составить план заново.
error-remove-in-work = изменение { $change } ещё не закончено и тоже касается { $path }. Сначала разверните его или отправьте /abort { $change }, а потом нажмите «Повторить»
error-remove-link = путь { $path } ведёт по ссылке за пределы проекта; ничего не удалено
error-rounds-same = Раунд { $round } не удался точно так же, как предыдущий: новые раунды только тратили бы деньги.
card-rolled-back = ↩️ Откачено
button-retry = Повторить
button-set = Настроить
button-leave = Не менять
button-diff = Diff
tap-retry = Пробую ещё раз...
tap-set = Настраиваю...
tap-leave = Оставляю как есть.
diff-title = Изменение { $change }, страница { $page } из { $pages }
diff-file = Изменение { $change } целиком
mending-failed = ⚠️ Версия без того, что не удержалось, не запускается ({ $cause }), поэтому работает прежняя, в которой оно ещё есть. Подробности в логе; /rollback откатит изменение.
deploy-returned = ↩️ Новая версия не удержалась, поэтому снова работает прежняя. Причина: { $cause }
deploy-returned-card = Новая версия не удержалась, поэтому снова работает прежняя.
rollback-begun = ↩️ Изменение { $change } ({ $branch }) откатывается; запускаю версию без него...
rollback-done = ↩️ Откат выполнен: изменения { $change } в боте больше нет. Чтобы вернуть его, попросите Механика ещё раз теми же словами.
rollback-stuck = ❌ Изменение { $change } убрано из main, но версия без него не запускается, поэтому работает нынешняя. Причина: { $cause }
rollback-failed = Ничего не откачено: { $cause }.
rollback-told = ↩️ { $who } откатывает изменение { $change } ({ $branch }).
revert-made = Изменение снова убрано из main.
revert-done = ✅ Изменение { $change } теперь убрано из main.
revert-stuck = ⚠️ Убрать изменение из main не удалось: { $cause }. Пока это не сделано, следующая версия вернёт его.
deploy-which = Ждут несколько изменений. Скажите, какое: /deploy и номер. { $changes }
rollback-asked = Откат запрошен...
abort-nothing = Нет изменения, которое можно отменить.
abort-unknown =
    { $count ->
        [0] Изменения { $what } среди открытых нет, отменять нечего.
       *[other] Изменения { $what } среди открытых нет. Отменить можно: { $changes }
    }
abort-begun = Отменяю изменение { $change }...
abort-failed = Изменение { $change } отменить не удалось: { $cause }. Чтобы попробовать ещё раз, отправьте /abort { $change }
abort-late = Изменение { $change } отменить не удалось: его уже начали развёртывать. Когда это закончится, /rollback его откатит.
deploy-nothing = Нет изменения, которое ждёт развёртывания.
deploy-unknown =
    { $count ->
        [0] Изменение { $what } не ждёт развёртывания, и другие тоже не ждут.
       *[other] Изменение { $what } не ждёт развёртывания. Ждут: { $changes }
    }
stop-nothing = Здесь не идёт предпросмотр.
reset-done = Всё забыто. Дальше отвечает Мастер.
state-rolled-back = откачено
why-unknown = Агента { $agent } здесь не делали, рассказать о нём нечего.
why-unknown-other = Агента { $agent } здесь не делали, рассказать о нём нечего. Назовите другого, например /why { $other }, или ответьте /why на моё сообщение.
being-made = Агента { $agent } пока нет: его делает изменение { $change } ({ $state }).
why-near = Агента { $agent } нет. Может быть, /why { $near }?
why-agent = Агент: { $agent }
why-removed = Его больше нет: он удалён изменением { $change }, а /rollback { $change } его вернёт.
why-request = Первая просьба: { $request }
why-correction = Поправка: { $text }
why-last-request = Последнее изменение по просьбе: { $request }
why-commit = Коммит: { $commit } (изменение { $change })
why-pull-request = Pull request: { $url }
why-approved = Одобрил: { $who }
why-checks = Пройдены проверки: { $checks }
why-cost = Стоимость: ${ $cost }

## Офлайн-модель

emulators-model-read = Запрос прочитан.
emulators-model-creates = Новый агент { $title }: { $does }.
emulators-model-changes = Изменение агента { $title }: { $does }.
emulators-model-removes = Агент { $title } уйдёт.
emulators-model-milder = Чтобы он остался и только молчал, его можно выключить: { $off }
emulators-model-comments = Один комментарий в начале { $file }: «{ $text }».
emulators-model-does-repeat = повторяет каждое сообщение с «{ $text }» впереди
emulators-model-does-prefix = отвечает текстом «{ $text }», а за ним сообщение
emulators-model-does-suffix = отвечает сообщением, а за ним текст «{ $text }»
emulators-model-does-upper = отвечает сообщением заглавными буквами
emulators-model-does-lower = отвечает сообщением строчными буквами
emulators-model-does-reverse = отвечает сообщением задом наперёд
emulators-model-beyond = Я офлайн-модель: умею только простых текстовых агентов (повторить сообщение, добавить текст до или после него, заглавные или строчные буквы, задом наперёд) и комментарии в файлах. Для остального задайте OPENROUTER_API_KEY или LLM_BASE_URL и запустите снова.
emulators-model-half = Я офлайн-модель и сделаю только часть этого, что-то одно: { $does }. Лучше ничего, чем половина. Попросите об одном из этого, или задайте OPENROUTER_API_KEY или LLM_BASE_URL и запустите заново.
emulators-model-exists = Агент { $title } уже есть: /{ $agent }. Напишите «измени агента { $title }» и что он должен делать, или выберите другое имя.
emulators-model-missing = Агента { $title } нет, менять нечего. Есть такие: { $agents }.
emulators-model-only = Я офлайн-модель: у агента { $title } могу изменить только то, что он делает с сообщением (повторить, добавить текст до или после, заглавные или строчные буквы, задом наперёд), температуру, модель и то, выключен ли он и есть ли вообще. Чтобы выключить, напишите «выключи { $title }» или { $off }, чтобы удалить — «удали агента { $title }». Чтобы вернуть всё, как было до изменения, напишите /rollback и его номер. Для остального задайте OPENROUTER_API_KEY или LLM_BASE_URL и запустите снова.
emulators-model-which-text = Какой текст агент должен добавлять и куда? Напишите его в кавычках, например: добавляй "Привет: " перед каждым сообщением.
emulators-model-which-side = Текст должен стоять перед каждым сообщением или после него?
emulators-model-which-deed = Что агент должен делать с каждым сообщением? Как офлайн-модель я знаю: повторить его, добавить текст до или после него (в кавычках), заглавные буквы, строчные буквы, задом наперёд.
emulators-model-which-agent = О каком агенте речь? Есть такие: { $agents }. Назовите его или напишите «создай агента», если нужен новый.
emulators-model-no-agents = Кроме Мастера и Механика, агентов пока нет. Напишите, например: Создай агента "Echo", который повторяет сообщения пользователя
emulators-model-agents = Кроме Мастера и Механика, есть:
emulators-model-more-agents = … и другие: /agents покажет всех.
emulators-model-off = (выключен)
emulators-model-code = Его код — { $file }.
emulators-model-tells = Как офлайн-модель я могу сказать только, какие агенты есть, для чего каждый и где его код. Для остального задайте OPENROUTER_API_KEY или LLM_BASE_URL и запустите снова.
emulators-model-long-text = Текст должен быть одной строкой не длиннее { $limit } видимых символов. Какой выбрать?
emulators-model-which-file = В какой файл добавить комментарий? Есть такие: { $files }.
emulators-model-no-file = Нет файла { $file }, который можно менять. Есть такие: { $files }.
emulators-model-talk-hello = Здравствуйте! Рад вас видеть.
emulators-model-talk-thanks = Пожалуйста!
emulators-model-talk-who = Я Мастер, агент, который с вами говорит, а за мной стоит только офлайн-модель.
emulators-model-talk-other = Я прочитал сообщение, но понять его по-настоящему не могу: за мной стоит только офлайн-модель.
emulators-model-how =
    Я офлайн-модель и почти не умею беседовать. Чтобы подключить настоящую, задайте OPENROUTER_API_KEY или LLM_BASE_URL и запустите снова.

    Что можно попробовать прямо сейчас: /mechanic, а затем
    `Создай агента "Echo", который повторяет сообщения пользователя`

## Предпросмотр

button-try = Попробовать
button-stop = Стоп
tap-try = Запускаю предпросмотр...
preview-mark = 👁 предпросмотр · { $title }
preview-started = 👁 Предпросмотр { $title }: пишите ему; рабочий бот его ещё не знает
preview-how = Закончить: «Стоп» или /stop. Поправить: напишите, например, /mechanic нет, лучше строчными буквами
preview-tables = Таблицы у предпросмотра свои: вначале они пусты, а в конце исчезают вместе с записями.
preview-ended = 👁 Предпросмотр окончен
preview-ended-time = 👁 Предпросмотр окончен: время { $title } вышло. Кнопка «Попробовать» на карточке запустит его снова.
preview-decided = 👁 Предпросмотр окончен: по изменению принято решение.
preview-broke = 👁 Предпросмотр окончен: { $title } остановлен, причина: { $cause }.
preview-failed = 👁 Предпросмотр не запустился: { $cause }
error-preview-many =
    { $count ->
        [one] уже идёт { $count } предпросмотр; сначала остановите его
        [few] уже идут { $count } предпросмотра; сначала остановите один
       *[other] уже идут { $count } предпросмотров; сначала остановите один
    }
preview-none = Предпросмотра этого изменения больше нет.
preview-gone = 👁 Предпросмотр больше не идёт, поэтому это никто не прочёл. Кнопка «Попробовать» на карточке запустит его снова.
preview-silent = (нет ответа)
preview-buttons = Кнопки: { $buttons } (напишите нужную; нажимать их можно будет после развёртывания)
preview-error = ⚠️ { $cause }

## Migrations

migration-add-enum = Создаётся тип { $name }.
migration-add-label = Тип { $name } дополняется: { $detail }.
migration-add-table = Создаётся таблица { $table }.
migration-add-column = В таблицу { $table } добавляется поле { $column }.
migration-carry-over = В таблице { $table } поле { $detail } становится полем { $column } вместе с содержимым.
migration-part-fields = В таблице { $table } эти поля больше не держатся одинаковыми: { $detail }.
migration-allow-empty = В таблице { $table } поле { $column } теперь может быть пустым.
migration-set-default = В таблице { $table } поле { $column } получает значение по умолчанию.
migration-ease-column = В таблице { $table } поле { $column } больше не обязательно.
migration-widen-type = В таблице { $table } поле { $column } становится вместительнее ({ $detail }).
migration-add-index = В таблице { $table } записи быстрее находятся по { $detail }.
migration-drop-index = В таблице { $table } убирается индекс по { $detail }.
migration-drop-unique = В таблице { $table } значения { $detail } больше не обязаны быть разными.
migration-drop-foreign-key = В таблице { $table } поле { $detail } больше не обязано ссылаться на другую запись.
migration-add-unique = В таблице { $table } значения { $detail } теперь должны быть разными.
migration-add-foreign-key = В таблице { $table } поле { $detail } теперь должно ссылаться на существующую запись.
migration-change-type = В таблице { $table } поле { $column } меняет тип на { $detail }; прежние значения хранятся ещё 30 дней.
migration-forbid-empty = В таблице { $table } поле { $column } больше не может быть пустым; пустые получат значение.
migration-drop-column = В таблице { $table } удаляется поле { $column }; его содержимое хранится ещё 30 дней.
migration-drop-table = Удаляется таблица { $table } со всеми записями; они хранятся ещё 30 дней.
card-losses = ⚠️ Когда новая версия проверит себя, это изменение удалит или ограничит данные:
card-left = 🗄 { $change ->
        [0] Осталось от прежнего изменения
       *[other] Осталось от изменения { $change }
    }; Deploy and drop сделает и это: { $what }
card-renamed = ✏️ { $before } становится { $after } вместе с содержимым.
button-deploy-drop = Deploy and drop
migration-dropped = 🗄 То, что новой версии больше не нужно, отложено. Оно хранится 30 дней.
migration-drop-failed = ⚠️ Новая версия работает, но ничего не удалено. Причина: { $cause }
error-migration-failed = ❌ Таблицы изменить не удалось, поэтому ничего не запущено. Причина: { $cause }
error-migration-not-taken-back = ⚠️ Вернуть таблицы к прежнему виду не удалось. Причина: { $cause }

## Что пошло не так

error-coder-unfit = файлы не подходят: { $cause }
error-coder-crashed = его программа закончилась без результата: { $cause }
error-coder-secret = в том, что должна была прочесть модель, стоял секрет бота, поэтому запрос не отправлен; уберите секрет из файлов
error-coder-calls = он обращался к модели чаще, чем нужно для любого изменения, и был остановлен; попробуйте ещё раз или попросите изменение поменьше
error-coder-unreachable = до сервера модели { $host } не достучаться, или он не ответил ({ $kind })
error-model-credit = на счёте у сервера модели закончились деньги; пополните его
error-coder-model = сервер модели не знает модели { $model }; проверьте CODER_MODEL
error-coder-refused = сервер модели не принял запрос ({ $status }): { $text }
error-worktree-strays = рабочая папка отличается в { $paths }, а это не часть изменения; нажмите «Повторить»
error-coder-resting = программист несколько раз подряд не справился сам по себе, и я полминуты его не тревожу; попробуйте потом
error-forge-resting = сервис с pull request несколько раз подряд не ответил, и я полминуты его не тревожу; попробуйте потом
error-records-closed = записи нельзя открыть безопасно, поэтому они остаются закрытыми; почему — скажет /status
error-tool-odd = модели нельзя дать инструмент { $tool }: у его аргументов нет простых типов
error-share-unknown = агента { $agent }, которого вы могли бы скрыть или показать, нет
error-share-unowned = у агента { $agent } нет владельца: его не создавало ни одно изменение; он остаётся общим
error-model-resting = модель { $model } раз за разом не отвечает, и я полминуты её не тревожу
error-model-silent = модель ничего не ответила
error-model-key = сервер модели не принимает ключ; проверьте { $setting }
error-model-name = сервер модели не знает модели { $model }; проверьте DEFAULT_MODEL
error-model-busy = сервер модели говорит, что мы спрашиваем слишком часто; попробуйте чуть позже
error-model-slow = модель не ответила за { $seconds } с
error-model-away = до сервера модели не достучаться; проверьте сеть { $address ->
    [set] и LLM_BASE_URL
   *[usual] и прокси или файрвол, если они есть
    }
error-model-failed = сервер модели ответил ошибкой { $status }
error-model-junk = сервер модели прислал то, что ответом не является
error-model-tools = модель всё вызывала инструменты и так и не ответила; спросите другими словами
error-budget-change = это изменение потратило на модели ${ $spent }, больше не разрешает MAX_COST_PER_CHANGE
error-budget-day = за 24 часа на модели потрачено ${ $spent }, больше не разрешает MAX_COST_PER_DAY
error-plan = модель не дала пригодного плана ({ $problem }); скажите другими словами или попробуйте ещё раз
error-plan-words = модель не дала плана, а сказала: { $words } Скажите другими словами или попробуйте ещё раз
error-unexpected = { unexpected }
error-disk-full = на диске бота не осталось места для { $place }; освободите место и попробуйте ещё раз
error-disk-closed = боту не разрешено писать в { $place } (диск только для чтения или папка чужая); разрешите и попробуйте ещё раз
error-and-more =
    { $first }

    { $more }
error-change-none = изменения { $change } нет
error-preview-stale = эта кнопка относится к прежнему состоянию изменения
error-preview-stuck =
    { $count ->
        [one] для одного ответа он обратился к модели больше { $count } раза
       *[other] для одного ответа он обратился к модели больше { $count } раз
    }
error-preview-unloadable = его нельзя загрузить: { $cause }
error-preview-no-agent = агента { $agent } в нём нет
error-examples-full = в { $path } нет места: примеров хранится не больше { $limit }; сначала уберите несколько вручную
error-examples-large = { $path } стал бы больше { $size } кБ; сначала уберите несколько примеров
error-forge-closed = pull request #{ $number } закрыт
error-forge-newer = в pull request #{ $number } есть коммиты новее одобренного
error-forge-none = нет pull request #{ $number }
error-git-elsewhere = репозиторий отправляет меня на другой сервер; проверьте GIT_REMOTE_URL
error-git-no-main = в репозитории нет ветки main
error-git-no-repository = { $path } — не корень отдельного репозитория; такой создаёт `persais new`
error-git-unusable = { $place } использовать нельзя: { $cause }
error-git-many-files = в рабочей папке больше { $limit } файлов
error-git-unborn = в { $url } ещё нет ветки main; сначала отправьте туда свой проект: `git push { $url } HEAD:main`
error-git-uncloned = { $url } не удалось клонировать: { $cause }
error-git-apart = main в { $url } и main этого проекта разошлись; сведите их вручную или укажите в GIT_REMOTE_URL пустой репозиторий
error-git-link = { $path } ведёт по ссылке за пределы рабочей папки; ничего не закоммичено
error-examples-too-large = { $path } больше { $size } кБ; уберите несколько примеров
error-examples-references = в { $path } есть ссылки (&, *); напишите каждый текст целиком
error-examples-deep = { $path } — не список примеров: списки вложены слишком глубоко
error-examples-no-yaml = { $path } не читается как `YAML`: { $cause }
error-examples-shape = в { $path } должны быть `agent:` и `examples:`, и больше ничего
error-examples-wrong = примеры в { $path } использовать нельзя: { $cause }
error-examples-elsewhere = в { $path } сказано, что он об агенте { $agent }; файл называется по своему агенту
error-sandbox-refused = песочница недоступна ({ $cause }); нужен Linux с Landlock или ALLOW_UNSANDBOXED=1
error-sandbox-broken = песочницу не удалось подготовить: { $cause }
error-sandbox-unreachable = пользователь песочницы не может попасть в { $folder }; переместите эту папку
error-sandbox-odd-file = { $name } — не файл и не папка; уберите это из проекта
error-sandbox-large = в проекте больше { $files } файлов или { $size } МБ; вынесите данные из него
error-sandbox-left = { $folder } не удалось удалить; удалите вручную ({ $cause })
error-sandbox-endless = программу в песочнице не удалось остановить; перезапустите машину или контейнер
error-ended-time = не уложился в { $seconds } с
error-ended-memory = занял больше { $size } МБ памяти
error-ended-processes =
    { $count ->
        [one] запустил больше { $count } процесса
       *[other] запустил больше { $count } процессов
    }
error-ended-files =
    { $count ->
        [one] создал больше { $count } файла
       *[other] создал больше { $count } файлов
    }
error-ended-disk = записал больше { $size } МБ
error-ended-output = напечатал больше { $size } кБ
error-ended-unwanted = стал больше не нужен
error-ended-itself = закончился с кодом { $code }{ $last }
error-ended-silent = не ответил за { $seconds } с
error-ended-flood = сказал больше { $size } кБ за один раз
error-ended-odd = сказал то, что не похоже на ответ
error-called-off = изменение тем временем отменили
error-changed-meanwhile = файлы изменились после проверки; попробуйте ещё раз
error-merge-conflict = main тем временем изменился в { $paths }; нажмите «Повторить», и всё будет сделано заново на нынешнем main
error-revert-conflict = на этом изменении построены более поздние; сначала откатите их
error-merge-conflict-somewhere = main тем временем изменился в тех же местах; нажмите «Повторить», и всё будет сделано заново на нынешнем main
error-merged-elsewhere = pull request слит, но в main нет { $commit }; посмотрите на него в GitHub
error-forge-retargeted = pull request #{ $number } больше не направлен в main; ничего не слито. Верните ему базу main в GitHub или отмените изменение
error-merge-protected = основная ветка на GitHub защищена, и pull request #{ $number } не отвечает её правилам; слейте его там сами или разрешите владельцу токена обходить правила
error-merged-already = оно уже в main. Когда его установят (кнопка Deploy, а после неудачи «Повторить»), /rollback его откатит
error-taken-back = изменение не удержалось, и тем временем бот сам его откатил
error-merge-refused = GitHub не сливает запрос №{ $number }; посмотрите причину на его странице и попробуйте снова
error-git-no-token = репозиторий спрашивает, кто я; GITHUB_TOKEN не задан
error-git-token-refused = репозиторий не принимает GITHUB_TOKEN; возможно, он неверен, истёк или не даёт права записи
error-git-push-refused = репозиторий не принимает отправленное ({ $cause })
error-forge-busy = GitHub отвечает, что запросов слишком много; попробуйте через несколько минут
error-forge-away = GitHub недоступен или отвечает не то; попробуйте позже
error-forge-failed = GitHub отвечает ошибкой { $status }; попробуйте позже
error-forge-token = GitHub не принимает GITHUB_TOKEN; нужен новый
error-forge-rights = GITHUB_TOKEN не даёт на это права в { $repository }; нужны чтение и запись для содержимого, pull request и статусов коммитов
error-forge-missing = GitHub не показывает репозиторий { $repository } по этому GITHUB_TOKEN; проверьте GIT_REMOTE_URL и список репозиториев токена
error-forge-moved = репозиторий { $repository } на GitHub переехал; впишите новый адрес в GIT_REMOTE_URL
error-forge-refused = GitHub отказывает: { $cause }
error-rollback-none = нет развёрнутого изменения, которое можно откатить
error-rollback-words = назовите коммит (не меньше 7 шестнадцатеричных цифр), номер изменения или ничего
error-rollback-unknown = развёрнутого изменения { $what } нет. Откатить можно, начиная с последнего: { $changes }
error-coder-said = Модель ничего не изменила и сказала: { $words }
error-coder-no-edits = Модель ответила, не изменив ни одного файла.
error-coder-malformed = Правки модели не подошли к файлам, даже после повторной просьбы.
error-coder-token-limit = Модель упёрлась в предел токенов. Часто помогает «Повторить»; если нет, попросите изменение поменьше.
error-coder-cost-limit = Кодер исчерпал лимит расходов, не закончив изменение. Попросите меньше или увеличьте MAX_COST_PER_CHANGE или MAX_COST_PER_DAY.
error-coder-timed-out = Кодер не уложился в отведённое время.

## Тревоги и журнал действий

mechanic-own-words = Это написал кто-то другой, поэтому для меня это просто текст, а не просьба. Скажите, пожалуйста, своими словами, что нужно изменить.
error-tests-not-run = Тесты не запускались: песочница недоступна ({ $cause }). Развернуть из этого ничего нельзя; нужен Linux с Landlock или ALLOW_UNSANDBOXED=1 на машине без секретов.
menu-audit = Кто что сделал
alert-claim = Кто-то раз за разом пытается присвоить этого бота.
alert-edit = Программист хотел записать туда, куда изменению нельзя. Ничего из этого не сохранено.
alert-gate = Проверки отклонили код, который тянется к запрещённому.
alert-sandbox = Песочница на этой машине не держит; подробнее — в /status.
alert-secret = В файлах изменения нашёлся ключ или пароль. Оно не выпущено.
alert-tables = Таблицы не подходят к этой версии: части записей в ней может быть не видно. Ничего не удалено.
alert-tap = Кнопки нажимал тот, кому нельзя, или таких кнопок нет.
alert-turn = Изменить бота попросил не человек. В этом отказано.
alert-count =
    { $count ->
        [one] Это случилось { $count } раз.
        [few] Это случилось { $count } раза.
       *[many] Это случилось { $count } раз.
    }
alert-changes = Изменения: { $changes }
alert-actors = Пользователь: { $actors }
alert-more = Все действия — в /audit.
audit-title =
    { $count ->
        [one] Последнее { $count } действие, новое внизу, время по UTC:
        [few] Последние { $count } действия, новые внизу, время по UTC:
       *[many] Последние { $count } действий, новые внизу, время по UTC:
    }
audit-empty = Ничего такого в журнале нет.
audit-bot = бот
act-agent-configured = агент настроен
act-agent-shared = изменена видимость агента
act-coder-began = программист начал
act-coder-ended = программист закончил
act-edit-refused = правка отклонена
act-tool-called = вызван инструмент
act-attic-emptied = чердак очищен
act-cap-reached = достигнут предел расходов
act-change-abort = нажата кнопка Abort
act-change-aborted = изменение отменено
act-change-corrected = изменение уточнено
act-change-deploy = развёртывание одобрено
act-change-deploy-drop = развёртывание с удалением одобрено
act-change-failed = изменение не удалось
act-change-planned = изменение спланировано
act-change-requested = запрошено изменение
act-change-set = нажата кнопка «Настроить»
act-change-leave = нажата кнопка «Не менять»
act-change-retry = нажата кнопка «Повторить»
act-change-try = нажата кнопка «Попробовать»
act-checks-failed = проверки не пройдены
act-checks-passed = проверки пройдены
act-claim = попытка присвоить бота
act-command-refused = команда отклонена
act-deployed = развёрнуто
act-gate-refused = код отклонён
act-loss-allowed = разрешена потеря данных
act-merged = слито в main
act-preview-begun = начат предпросмотр
act-pull-request-opened = открыт pull request
act-release-activated = версия начала работу
act-release-confirmed = версия подтверждена
act-rolled-back = откат
act-sandbox-refused = кандидат не запущен
act-sandbox-weak = песочница не держит
act-secret-found = найден секрет
act-settings-changed = изменены настройки
act-stranger-refused = отказано незнакомцу
act-tables-changed = таблицы изменены
act-tables-dropped = таблицы удалены
act-tables-taken-back = таблицы возвращены
act-taken-back = версия возвращена
act-tap = нажатие кнопки
act-turn-refused = просьба отклонена

coder-status-edited = файлы записаны
coder-status-no-edits = ничего не записано
coder-status-malformed = непригодные правки
coder-status-denied = правки отклонены
coder-status-token-limit = предел токенов
coder-status-cost-limit = предел расходов
coder-status-llm-error = сбой модели
coder-status-apply-error = правки не подошли
coder-status-crashed = аварийный конец
coder-status-timed-out = время вышло
detail-yes = да
detail-no = нет
detail-arguments = передано
detail-cost = стоимость
detail-denied = не разрешено
detail-about = о чём
detail-agent = агент
detail-attempt = попытка
detail-branch = ветка
detail-button = кнопка
detail-cap = предел
detail-cause = причина
detail-checks = проверки
detail-enabled = включён
detail-files = файлы
detail-findings = замечания
detail-instead-of = вместо изменения
detail-keywords = ключевые слова
detail-kind = вид
detail-lane = чат
detail-max-tokens = токенов не больше
detail-model = модель
detail-origin = откуда
detail-pull-request = pull request
detail-round = раунд
detail-safe-mode = безопасный режим
detail-spent = потрачено
detail-status = состояние
detail-temperature = температура
detail-tool = инструмент
detail-visibility = видимость
detail-wanted = что нужно

## Настройки агентов

config-list = Как настроены агенты:
config-usage = `/config АГЕНТ model=ИМЯ temperature=0 max_tokens=500 enabled=no keywords=раз,два` задаёт названное, `/config АГЕНТ model=default` возвращает одну настройку, `/config АГЕНТ default` — все. temperature — от 0 до 2.
config-done = ✅ { $agent }: { $settings }. Действует со следующего ответа; /config { $agent } default вернёт как было.
config-done-usual = ✅ { $agent }: { $settings }. Действует со следующего ответа.
config-refused = Ничего не изменилось: { $cause }.
config-model = модель { $model }
config-temperature = температура { $temperature }
config-max-tokens =
    { $count ->
        [one] не больше { $count } токена
       *[other] не больше { $count } токенов
    }
config-keywords = ключевые слова { $keywords }
config-on = включён
config-off = выключен
config-usual = как обычно
config-back = { $setting } как обычно
config-allowed-model = `model` — имя, под которым модель знает её сервер, например `openai/gpt-5-mini`
config-allowed-temperature = `temperature` — число от 0 до 2
config-allowed-max-tokens = `max_tokens` — целое число от 1 до { $most }
config-allowed-enabled = `enabled` — это `yes` или `no`
config-allowed-keywords = `keywords` — до 20 слов через запятую, каждое не длиннее 40 символов
config-no-setting = настройки { $words } нет; есть { $settings }
config-twice = `{ $setting }` названа дважды
config-no-value = у `{ $setting }` нет значения: { $allowed }
config-wrong-value = { $allowed }, а не { $value }
error-config-no-agent = агента { $agent } нет, известны только: { $agents }
error-config-no-agent-near = агента { $agent } нет, может быть, { $near }? Известны: { $agents }
error-config-mechanic = модель Механика — это CODER_MODEL в настройках бота
error-config-master = Мастера нельзя выключить: он отвечает, когда больше некому
error-config-model = модель { $model } с такими настройками не отвечает ({ $cause })

## Отложенное

set-aside = ⚠️ Не получилось: дважды случилась непредвиденная ошибка. Запрос сохранён, администратор может повторить его.
set-aside-message = ⚠️ Одно из моих сообщений не удалось доставить. Оно сохранено, администратор может отправить его ещё раз.
dead-none = Здесь пусто: всё, о чём просили, сделано или делается.
dead-list = Отложено, потому что раз за разом не получалось:
dead-more =
    { $count ->
        [one] Здесь { $count } самая старая запись; есть и другие.
        [few] Здесь { $count } самые старые записи; есть и другие.
       *[other] Здесь { $count } самых старых записей; есть и другие.
    }
dead-tries =
    { $count ->
        [one] { $count } попытка
        [few] { $count } попытки
       *[other] { $count } попыток
    }
dead-how = Напишите /dead, /dead retry 3 или /dead drop 3, где 3 — номер записи.
dead-retried = Запись { $letter }: пробую ещё раз.
dead-dropped = Запись { $letter } снята; она остаётся в истории.
dead-button-retry = Повторить { $letter }
dead-button-drop = Снять { $letter }
dead-kind-turn = сообщение без ответа
dead-kind-send = недоставленное сообщение
dead-kind-change = работа над изменением
dead-kind-migration = изменение таблиц
dead-kind-update = то, что бот не смог прочитать
dead-kind-job = задание
error-dead-unknown = записи { $letter } среди отложенного нет; /dead покажет, что есть
error-dead-only-drop = в записи { $letter } нечего повторять; её можно снять: /dead drop { $letter }
act-dead-letter-retried = отложенное повторено
act-dead-letter-dropped = отложенное снято
