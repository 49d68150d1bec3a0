# Everything the bot says, in English. Markdown, unless the code says plain.

## Agents and routing

master-activated = 🧭 Master mode activated
mechanic-activated = 🔧 Mechanic mode activated
agent-activated = { $emoji } { $title } mode activated
unknown-command = I know no command /{ $command }. /help shows what there is.
unknown-command-button = /{ $command } is no command: tap { $button } on the card of the change.
unknown-command-near = I know no command /{ $command }. Did you mean /{ $near }?{ $near ->
    [help] { "" }
   *[other] { " " }/help shows what there is.
    }
agent-off = { $title } is switched off. /config { $agent } default takes that back.
agent-gone = { $title } is not here any more; Master answers from here on.
attachment-not-yet = I cannot use voice messages, pictures or files yet. Please write it in words.
model-unavailable = The language model does not answer: { $cause }. Commands and agents that need no model still work.
agent-cannot = That did not work: { $cause }.
agent-broke = { $title } ran into an error in its own code and could not answer. You can ask the Mechanic to mend it: /mechanic
unexpected = Something unexpected went wrong; the details are in the log. The bot itself is unharmed.

## People

stranger = This bot is private. Its owner has to let you in.
stranger-claimable = This bot has no owner yet. If it is yours, send /claim and the code from its terminal, for example: /claim ABCD-EFGH-JKMN
claim-accepted = Welcome! This bot is yours now. Try /mechanic and ask for an agent.
claim-wrong = That is not the code. It stands in the terminal where the bot was started.
claim-often = That was not the code three times within an hour. Try again in an hour.
claim-closed = There is nothing to claim here: the bot has an owner, or the code has expired. A restart prints a new code while nobody owns it.

## Commands

hello = Hello!
hello-name = Hello, { $name }!
start =
    { $hello }
    I am a bot that grows by being asked. Tap /mechanic and ask for an agent in plain words, for example:

    `Create an agent "Echo" that repeats the user's messages`

    /agents shows who is here, /help everything else.
start-user =
    { $hello }
    Just write to me. /agents shows who is here, /help everything else.
help-talking = **Talking**
help-agents = the agents, to choose one
help-master = back to Master
help-reset = forget this conversation
help-why = where an agent's behaviour comes from
help-status = how the bot is
help-start = the greeting
help-help = this list
help-own = **Agents**
help-changing = **Changing the bot**
help-mechanic = say in plain words what you need: a new agent, a change, another model or other keywords for an agent; or ask how the bot works
help-deploy = put the change that waits into service
help-abort = call a change off
help-stop = end the preview of a change
help-rollback = take the last change back
help-care = **Looking after it**
help-config = how each agent is set, and set it
help-visibility = who sees an agent
help-audit = who did what
help-dead = what kept failing
help-claim = make this bot yours, with the code from its terminal
agents =
    { $count ->
        [0] There are no agents yet besides these. /mechanic makes one.
        [one] One agent was made here:
       *[other] { $count } agents were made here:
    }
status =
    Version: { $version }
    Commit: { $commit }
    Database: { $database }
    Model: { $model }
    Sandbox: { $sandbox }
    Agent: { $agent }
status-spent = Spent on models in 24 hours: ${ $spent }
status-resting = ⚠️ Left alone for a moment after failures: { $services }
share-how = Say which agent and for whom, for example: /visibility echo private. It is private (yours alone) or shared.
share-near = There is no agent { $agent }. Did you mean /visibility { $near } { $visibility }?
share-private = { $agent } is yours alone now. Others do not see it any more.
share-shared = { $agent } is there for everybody now.
status-changes =
    { $count ->
        [0] Open changes: none
       *[other] Open changes: { $count }
    }
database-ok = answers
database-down = does not answer
sandbox-enforced = enforced ({ $ways })
sandbox-limits-only = limits only ({ $reason })
sandbox-refused = refused ({ $reason })
warning-unsandboxed = Code of candidates is not isolated on this machine.
warning-records-closed = Records are closed to agents. Cause: { $cause }.
warning-safe-mode = Safe mode: the agents made here are switched off, because the bot does not start with them. Cause: { $cause }. /rollback takes the last change back, /mechanic can mend it.
menu-start = The greeting
menu-help = What I can do
menu-agents = Choose an agent
menu-mechanic = Make or change an agent
menu-status = How the bot is

## The Mechanic

mechanic-not-admin = Only an admin of this bot can change it.
mechanic-empty = Tell me in words what you need, for example: `Create an agent "Echo" that repeats the user's messages`
mechanic-too-long = That request has { $size } characters, and I read at most { $limit }. Please say it shorter.
mechanic-planning = 🤔 Reading your request...
mechanic-understood-create =
    Got it. { $summary }

    I will create:
mechanic-understood-edit =
    Got it. { $summary }

    I will change:
mechanic-understood-remove =
    Got it. { $summary }

    I will remove, with their tests and examples:
mechanic-declined = I cannot do that. { $reason }
mechanic-answer = 🔧 { $answer }
mechanic-to-set =
    ⚙️ To be set for { $agent }: { $settings }.

    Nothing has changed yet.
mechanic-left = { $agent } stays as it was set.
mechanic-configured = ✅ { $agent }: { $settings }. In force from its next answer on; /config { $agent } default takes it back.
mechanic-working = ⏳ Working...
mechanic-branch = Branch: { $branch }
mechanic-failed = ❌ It did not work. { $cause }
mechanic-retried = 🔁 It did not work, so it is tried again below. { $cause }
mechanic-aborted = Change { $change } was aborted.
mechanic-replaced = Change { $change } was replaced by change { $by }.
stage-scaffolding = Skeleton from templates
stage-removing = Removing the files
stage-coding = Writing the code
stage-coding-again = Mending the code, round { $round }
stage-verifying = Checking
stage-delivering = Commit, push, pull request
check-paths = Paths
check-imports = Imports
check-secrets = Secrets
check-lint = Style
check-typecheck = Types
check-migrations = Tables
check-tests = Tests
check-examples = Examples
check-production = In use
recheck-begun = Main has changed since this was checked, so all checks run once more.
error-recheck-failed = Main has changed since this was checked, and together with that it fails: { $checks }. Nothing was merged. Retry makes it anew on what main is now.
error-recheck-failed-late = Main has changed while this was merged, and together with that it fails: { $checks }. It does not serve. Retry makes it anew on what main is now.
error-recheck-losses = Main has changed since this was checked, and it would now drop or bind other data than the card says. Nothing was merged. Retry makes it anew on what main is now.
error-rounds-over = After { $rounds } rounds these checks still fail: { $checks }.
error-coder-denied = The coder wanted to write files that this change may not touch: { $paths }. Nothing of it was kept.
error-coder-failed = The coder did not finish: { $detail }

## The card

card-ready = ✅ PR is ready!
card-deploying = ⏳ Deploying...
card-deploying-there = ⏳ { $platform } is redeploying. That takes some minutes; I will tell you when the new version answers.
card-deployed = 🚀 Deployed
card-aborted = 🗑 Aborted
card-replaced = 🗑 Replaced by change { $by }
card-failed = ❌ Not deployed
card-retried = 🔁 Not deployed; it is tried again below
card-branch = Branch: { $branch }
card-files =
    { $count ->
        [one] Files: 1 changed
       *[other] Files: { $count } changed
    }
card-removed = 🗑 Goes: { $files }
card-tests = Tests: ✅ Passed
card-examples =
    { $count ->
        [one] Examples: 1 saved
       *[other] Examples: { $count } saved
    }{ $files ->
        [0] { "" }
        [one] { "" } (1 more file)
       *[other] { "" } ({ $files } more files)
    }
card-examples-replaced =
    { $count ->
        [one] Examples: 1 replaced, as you asked for another answer
       *[other] Examples: { $count } replaced, as you asked for other answers
    }{ $files ->
        [0] { "" }
        [one] { "" } (1 more file)
       *[other] { "" } ({ $files } more files)
    }
card-cost = Cost: ${ $cost }
button-deploy = Deploy
button-abort = Abort
button-view = View PR
view-link = The pull request: { $url }
page-pull-request = Pull request #{ $number }
page-state-open = open
page-state-merged = merged
page-state-closed = closed
page-nothing = This pull request changes nothing.
page-checks = Checks
page-cost = Cost: ${ $cost }, { $tokens } tokens
page-removed = Removed
page-request = Request
page-correction = Correction
page-plan = Plan
deployed = 🚀 Deployed!
deployed-which = Change { $change }: { $summary }
deploy-failed = ❌ The new version did not start, so the old one keeps serving. Cause: { $cause }
deploy-failed-card = The new version did not start, so the old one keeps serving.
deploy-waits = It is not known to be merged yet: { $cause }. I keep trying.
tap-unknown = This button is not one of mine.
tap-no-agent = That agent is not here any more.
tap-not-admin = Only an admin of this bot may do that.
tap-used = That was done already.
tap-stale = This button belongs to an older state of the change and does nothing any more.
tap-deploy = Deploying...
tap-abort = Aborting...
state-planning = planning
state-awaiting-answer = waiting for your answer
state-scaffolding = scaffolding
state-coding = coding
state-verifying = checking
state-delivering = delivering
state-awaiting-approval = waiting for your tap
state-deploying = deploying
state-deployed = deployed
state-aborted = aborted
state-answered = answered
state-failed = failed

## Correcting, taking back, explaining

mechanic-replaces = I take that as a correction of change { $change }, whose place this takes.
mechanic-question = ❓ { $question }
plan-tables = New tables: { $names }
plan-tables-changed = Changed tables: { $names }
plan-tools = New tools: { $names }
plan-tools-changed = Changed tools: { $names }
plan-changes = I will change:
plan-estimate = Changes here cost about ${ $cost }.
plan-estimate-small = Changes here cost less than a cent.
error-remove-failed = Without what is removed these checks fail: { $checks }. Say what else is to be changed or removed, or tap Retry for a new plan.
error-remove-in-work = change { $change } is still open and is about { $path } too. Deploy it or send /abort { $change } first, then tap Retry
error-remove-link = { $path } leads out of the project through a link; nothing was removed
error-rounds-same = Round { $round } failed exactly as the one before, so more rounds would only cost money.
card-rolled-back = ↩️ Rolled back
button-retry = Retry
button-set = Set
button-leave = Leave
button-diff = Diff
tap-retry = Trying again...
tap-set = Setting...
tap-leave = Leaving it as it is.
diff-title = Change { $change }, page { $page } of { $pages }
diff-file = The whole change { $change }
mending-failed = ⚠️ The version without what had not held does not start ({ $cause }), so the one before goes on, and still holds it. The log says more; /rollback takes a change out.
deploy-returned = ↩️ The new version did not hold, so the old one serves again. Cause: { $cause }
deploy-returned-card = The new version did not hold, so the old one serves again.
rollback-begun = ↩️ Change { $change } ({ $branch }) is taken back; the version without it is being started...
rollback-done = ↩️ Rolled back: change { $change } is not in the bot any more. To have it again, ask the Mechanic for it in the same words.
rollback-stuck = ❌ Change { $change } was taken out of main, but the version without it does not start, so the present one keeps serving. Cause: { $cause }
rollback-failed = Nothing was rolled back: { $cause }.
rollback-told = ↩️ { $who } rolls back change { $change } ({ $branch }).
revert-made = The change was taken out of main again.
revert-done = ✅ Change { $change } is out of main now.
revert-stuck = ⚠️ It could not be taken out of main: { $cause }. Until that is done, the next version would bring it back.
deploy-which = Several changes are waiting. Say which one: /deploy and its number. { $changes }
rollback-asked = The rollback has been asked for...
abort-nothing = There is no change that could be aborted.
abort-unknown =
    { $count ->
        [0] { $what } is no change that could be aborted; there is none at all.
        [one] { $what } is no change that could be aborted. This one could: { $changes }
       *[other] { $what } is no change that could be aborted. These could: { $changes }
    }
abort-begun = Change { $change } is being aborted...
abort-failed = Change { $change } could not be aborted: { $cause }. To try again, send /abort { $change }
abort-late = Change { $change } could not be aborted: its deployment had begun. Once it is over, /rollback takes it back.
deploy-nothing = No change is waiting to be deployed.
deploy-unknown =
    { $count ->
        [0] { $what } is no change that waits to be deployed; none does.
        [one] { $what } is no change that waits to be deployed. This one does: { $changes }
       *[other] { $what } is no change that waits to be deployed. These do: { $changes }
    }
stop-nothing = No preview is running here.
reset-done = Forgotten. Master answers from here on.
state-rolled-back = rolled back
why-unknown = { $agent } was not made here, so there is nothing to tell of it.
why-unknown-other = { $agent } was not made here, so there is nothing to tell of it. Name an agent that was, such as /why { $other }, or send /why as a reply to a message of mine.
being-made = There is no agent { $agent } yet: change { $change } makes it ({ $state }).
why-near = There is no agent { $agent }. Did you mean /why { $near }?
why-agent = Agent: { $agent }
why-removed = It is not there any more: change { $change } removed it, and /rollback { $change } brings it back.
why-request = First asked for: { $request }
why-correction = Corrected: { $text }
why-last-request = Last changed by: { $request }
why-commit = Commit: { $commit } (change { $change })
why-pull-request = Pull request: { $url }
why-approved = Approved by: { $who }
why-checks = Checks passed: { $checks }
why-cost = Cost: ${ $cost }

## The offline model

emulators-model-read = I read your request.
emulators-model-creates = New agent { $title }: { $does }.
emulators-model-changes = Change of the agent { $title }: { $does }.
emulators-model-removes = The agent { $title } goes.
emulators-model-milder = To keep it and only have it say nothing, switch it off instead: { $off }
emulators-model-comments = One comment at the top of { $file }: “{ $text }”.
emulators-model-does-repeat = repeats each message with “{ $text }” in front
emulators-model-does-prefix = answers with “{ $text }” and then the message
emulators-model-does-suffix = answers with the message and then “{ $text }”
emulators-model-does-upper = answers with the message in upper case
emulators-model-does-lower = answers with the message in lower case
emulators-model-does-reverse = answers with the message reversed
emulators-model-beyond = I am the offline model: I know only simple text agents (repeat a message, put a text before or after it, upper or lower case, reversed) and comments in files. For more, set OPENROUTER_API_KEY or LLM_BASE_URL and start again.
emulators-model-half = I am the offline model and could do only a part of that, one of: { $does }. I would rather do nothing than half of it. Ask for one such thing alone, or set OPENROUTER_API_KEY or LLM_BASE_URL and start again.
emulators-model-exists = There is an agent { $title } already: /{ $agent }. Say “change the agent { $title }” and what it should do, or choose another name.
emulators-model-missing = There is no agent { $title } to change. These exist: { $agents }.
emulators-model-only = I am the offline model: all that I can change of { $title } is what it does with a message (repeat it, put a text before or after it, upper or lower case, reversed), its temperature, its model, and whether it is switched off, or there at all. Say “switch { $title } off”, or type { $off }, to switch it off, and “delete the agent { $title }” to remove it. Type /rollback and a change's number to take back what that change made. For more, set OPENROUTER_API_KEY or LLM_BASE_URL and start again.
emulators-model-which-text = Which text should the agent add, and where? Put it in quotes, for example: put "Hello: " before each message.
emulators-model-which-side = Should the text stand before or after each message?
emulators-model-which-deed = What should the agent do with each message? As the offline model I know: repeat it, put a text before or after it (in quotes), upper case, lower case, reversed.
emulators-model-which-agent = Which agent is meant? These exist: { $agents }. Say its name, or “create an agent” for a new one.
emulators-model-no-agents = Besides Master and the Mechanic there is no agent yet. Say, for example: Create an agent "Echo" that repeats the user's messages
emulators-model-agents = Besides Master and the Mechanic there are:
emulators-model-more-agents = … and more: /agents shows all.
emulators-model-off = (switched off)
emulators-model-code = Its code is { $file }.
emulators-model-tells = As the offline model I can tell only which agents there are, what each is for, and where its code is. For more, set OPENROUTER_API_KEY or LLM_BASE_URL and start again.
emulators-model-long-text = The text must be one line of at most { $limit } visible characters. Which one should it be?
emulators-model-which-file = Which file should get the comment? These exist: { $files }.
emulators-model-no-file = There is no file { $file } that may be changed. These exist: { $files }.
emulators-model-talk-hello = Hello! Nice to see you.
emulators-model-talk-thanks = You are welcome!
emulators-model-talk-who = I am Master, the agent that talks with you, and behind me is only the offline model.
emulators-model-talk-other = I read your message, but I cannot really understand it: behind me is only the offline model.
emulators-model-how =
    I am the offline model and can hardly converse. For a real one, set OPENROUTER_API_KEY or LLM_BASE_URL and start again.

    What you can try right now: /mechanic, and then
    `Create an agent "Echo" that repeats the user's messages`

## Preview

button-try = Try
button-stop = Stop
tap-try = Starting the preview...
preview-mark = 👁 preview · { $title }
preview-started = 👁 Preview of { $title }: write to it; production does not know it yet
preview-how = Stop, or /stop, ends it. To correct it, write for example: /mechanic no, in lower case
preview-tables = Its tables are its own: empty at first, and thrown away when the preview ends.
preview-ended = 👁 Preview ended
preview-ended-time = 👁 Preview ended: the time of { $title } is over. Tap Try on the card to start it again.
preview-decided = 👁 Preview ended, as the change was decided on.
preview-broke = 👁 Preview ended: { $title } was stopped because { $cause }.
preview-failed = 👁 The preview did not start: { $cause }
error-preview-many =
    { $count ->
        [one] { $count } preview is running already; stop it first
       *[other] { $count } previews are running already; stop one first
    }
preview-none = There is no preview of that change any more.
preview-gone = 👁 The preview is not running any more, so nobody has read this. Tap Try on the card to start it again.
preview-silent = (no answer)
preview-buttons = Buttons: { $buttons } (type one; they can be tapped once this is deployed)
preview-error = ⚠️ { $cause }

## Migrations

migration-add-enum = The type { $name } is made.
migration-add-label = The type { $name } learns: { $detail }.
migration-add-table = The table { $table } is made.
migration-add-column = The table { $table } gets the field { $column }.
migration-carry-over = In { $table }, the field { $detail } becomes { $column }, with what is in it.
migration-part-fields = In { $table }, these fields are not kept the same any more: { $detail }.
migration-allow-empty = In { $table }, the field { $column } may be empty from now on.
migration-set-default = In { $table }, the field { $column } gets a default.
migration-ease-column = In { $table }, the field { $column } need not be given any more.
migration-widen-type = In { $table }, the field { $column } gets more room ({ $detail }).
migration-add-index = In { $table }, records are found faster by { $detail }.
migration-drop-index = In { $table }, the index for { $detail } goes.
migration-drop-unique = In { $table }, { $detail } need not be unique any more.
migration-drop-foreign-key = In { $table }, { $detail } need not refer to another record any more.
migration-add-unique = In { $table }, { $detail } must be unique from now on.
migration-add-foreign-key = In { $table }, { $detail } must refer to a record that exists from now on.
migration-change-type = In { $table }, the field { $column } becomes { $detail }; what it held is kept aside for 30 days.
migration-forbid-empty = In { $table }, the field { $column } must not be empty from now on; empty ones get a value.
migration-drop-column = In { $table }, the field { $column } is dropped; what is in it is kept aside for 30 days.
migration-drop-table = The table { $table } is dropped with all its records; they are kept aside for 30 days.
card-losses = ⚠️ This change loses or binds data, once the new version has proven itself:
card-left = 🗄 { $change ->
        [0] Left from an earlier change
       *[other] Left from change { $change }
    }, and done by Deploy and drop too: { $what }
card-renamed = ✏️ { $before } becomes { $after }, with what is in it.
button-deploy-drop = Deploy and drop
migration-dropped = 🗄 What the new version no longer needs was put aside. It is kept for 30 days.
migration-drop-failed = ⚠️ The new version serves, but nothing was dropped. Cause: { $cause }
error-migration-failed = ❌ The tables could not be changed, so nothing was deployed. Cause: { $cause }
error-migration-not-taken-back = ⚠️ The tables could not be brought back to what they were. Cause: { $cause }

## What went wrong

error-coder-unfit = the files do not fit: { $cause }
error-coder-crashed = its program ended without a result: { $cause }
error-coder-secret = a secret of the bot stood in what the model was to read, so it was not sent; take it out of the files
error-coder-calls = it made more calls than any change needs and was stopped; try again, or ask for a smaller change
error-coder-unreachable = the model's server at { $host } could not be reached or did not answer ({ $kind })
error-model-credit = the account at the model's server has no credit left; top it up
error-coder-model = the model's server does not know { $model }; check CODER_MODEL
error-coder-refused = the model's server refused the request ({ $status }): { $text }
error-worktree-strays = the work folder differs in { $paths }, which is not part of this change; tap Retry
error-coder-resting = the coder failed several times in a row and is left alone for half a minute; try again then
error-forge-resting = the place that keeps pull requests failed several times in a row and is left alone for half a minute; try again then
error-records-closed = the records cannot be opened safely, so they stay closed; /status says why
error-tool-odd = the model cannot be given the tool { $tool }: its arguments have no plain types
error-share-unknown = there is no agent { $agent } that you could share or hide
error-share-unowned = nobody owns { $agent }, because no change of this bot made it; it stays shared
error-model-resting = the model { $model } kept failing and is left alone for half a minute
error-model-silent = the model answered nothing at all
error-model-key = the model's server refuses the key; check { $setting }
error-model-name = the model's server knows no model { $model }; check DEFAULT_MODEL
error-model-busy = the model's server says that we ask too often; try again soon
error-model-slow = the model did not answer within { $seconds } s
error-model-away = the model's server cannot be reached; check the network and { $address ->
    [set] LLM_BASE_URL
   *[usual] a proxy or firewall if there is one
    }
error-model-failed = the model's server failed with status { $status }
error-model-junk = the model's server answered something that is no answer
error-model-tools = the model went on calling its tools and never answered; ask in other words
error-budget-change = this change has spent ${ $spent } on models, and MAX_COST_PER_CHANGE allows no more
error-budget-day = ${ $spent } were spent on models in 24 hours, and MAX_COST_PER_DAY allows no more
error-plan = the model gave no usable plan ({ $problem }); say it in other words or try again
error-plan-words = the model gave no plan, and said: { $words } Say it in other words, or try again
error-unexpected = { unexpected }
error-disk-full = there is no room left on the bot's disk for { $place }; make some, then try again
error-disk-closed = the bot may not write { $place } (its disk is read-only, or the folder is not its own); let it, then try again
error-and-more =
    { $first }

    { $more }
error-change-none = there is no change { $change }
error-preview-stale = this button belongs to an older state of the change
error-preview-stuck =
    { $count ->
        [one] it asked the model more than once for one answer
       *[other] it asked the model more than { $count } times for one answer
    }
error-preview-unloadable = it cannot be loaded: { $cause }
error-preview-no-agent = there is no agent { $agent } in it
error-examples-full = { $path } has no room: at most { $limit } examples are kept; take some out by hand first
error-examples-large = { $path } would have more than { $size } kB; take some examples out first
error-forge-closed = pull request #{ $number } is closed
error-forge-newer = pull request #{ $number } has newer commits than the one that was approved
error-forge-none = there is no pull request #{ $number }
error-git-elsewhere = the repository sends me to another host; check GIT_REMOTE_URL
error-git-no-main = the repository has no branch main
error-git-no-repository = { $path } is not the top of a git repository of its own; `persais new` makes one
error-git-unusable = { $place } cannot be used: { $cause }
error-git-many-files = the work folder holds more than { $limit } files
error-git-unborn = { $url } has no branch main yet; push your project there first: git push { $url } HEAD:main
error-git-uncloned = { $url } cannot be cloned: { $cause }
error-git-apart = main at { $url } and this project's have gone different ways; bring them together with git, or give GIT_REMOTE_URL an empty repository
error-git-link = { $path } leads out of the work folder through a link; nothing was committed
error-examples-too-large = { $path } has more than { $size } kB; take some examples out
error-examples-references = { $path } uses references (&, *); write each text out
error-examples-deep = { $path } is no YAML of examples: lists lie in lists, too deep
error-examples-no-yaml = { $path } is no YAML: { $cause }
error-examples-shape = { $path } must hold `agent:` and `examples:`, and nothing else
error-examples-wrong = the examples in { $path } cannot be used: { $cause }
error-examples-elsewhere = { $path } says that it is about { $agent }; a file is named after its agent
error-sandbox-refused = the sandbox is unavailable ({ $cause }); use a Linux with Landlock, or set ALLOW_UNSANDBOXED=1
error-sandbox-broken = the sandbox could not be set up: { $cause }
error-sandbox-unreachable = { $folder } cannot be reached by the sandbox's user; move it to another place
error-sandbox-odd-file = { $name } is neither a file nor a folder; remove it from the project
error-sandbox-large = the project has more than { $files } files or { $size } MB; move data out of it
error-sandbox-left = { $folder } could not be removed; remove it by hand ({ $cause })
error-sandbox-endless = a program in the sandbox could not be ended; restart the machine or the container
error-ended-time = it did not end within { $seconds } s
error-ended-memory = it used more than { $size } MB of memory
error-ended-processes =
    { $count ->
        [one] it started more than { $count } process
       *[other] it started more than { $count } processes
    }
error-ended-files =
    { $count ->
        [one] it made more than { $count } file
       *[other] it made more than { $count } files
    }
error-ended-disk = it wrote more than { $size } MB
error-ended-output = it printed more than { $size } kB
error-ended-unwanted = it was no longer wanted
error-ended-itself = it ended with exit code { $code }{ $last }
error-ended-silent = it did not answer within { $seconds } s
error-ended-flood = it said more than { $size } kB at once
error-ended-odd = it said something that is no answer
error-called-off = the change was called off meanwhile
error-changed-meanwhile = the files changed after they were checked; try again
error-merge-conflict = main has changed meanwhile in { $paths }; tap Retry to have it made anew on what main is now
error-revert-conflict = later changes build on this one; take those back first
error-merge-conflict-somewhere = main has changed meanwhile in the same places; tap Retry to have it made anew on what main is now
error-merged-elsewhere = the pull request was merged, and main does not hold { $commit }; look at it at GitHub
error-forge-retargeted = pull request #{ $number } does not go to main any more; nothing was merged. Set its base to main at GitHub, or abort the change
error-merge-protected = main is protected at GitHub, and pull request #{ $number } does not meet its rules; merge it there, or let the token's owner pass the rules
error-merged-already = main has it already. Once it is deployed (Deploy, or Retry where it failed), /rollback takes it back
error-taken-back = it did not hold, and was taken back by itself meanwhile
error-merge-refused = GitHub does not merge pull request #{ $number }; see why on its page and try again
error-git-no-token = the repository asks who I am; GITHUB_TOKEN is not set
error-git-token-refused = the repository refuses GITHUB_TOKEN; it may be wrong, expired, or without the right to write contents
error-git-push-refused = the repository does not take the push ({ $cause })
error-forge-busy = GitHub says that I ask too often; try again in some minutes
error-forge-away = GitHub cannot be reached or answers something else; try again later
error-forge-failed = GitHub fails with status { $status }; try again later
error-forge-token = GitHub refuses GITHUB_TOKEN; a new one is needed
error-forge-rights = GITHUB_TOKEN may not do that in { $repository }; it needs contents, pull requests and commit statuses, read and write
error-forge-missing = GitHub shows no repository { $repository } to GITHUB_TOKEN; check GIT_REMOTE_URL and the token's repositories
error-forge-moved = { $repository } has moved at GitHub; its new address belongs into GIT_REMOTE_URL
error-forge-refused = GitHub refuses it: { $cause }
error-rollback-none = there is no deployed change that could be rolled back
error-rollback-words = name a commit (at least 7 hex digits) or the number of a change, or nothing
error-rollback-unknown = { $what } is no deployed change. These can be rolled back, the newest first: { $changes }
error-coder-said = The model changed nothing, and said: { $words }
error-coder-no-edits = The model answered without changing a file.
error-coder-malformed = The model's edits did not fit the files, even after they were sent back.
error-coder-token-limit = The model ran into its token limit. Retry often helps; if it does not, ask for a smaller change.
error-coder-cost-limit = The coder reached the cost limit before the change was whole. Ask for less, or raise MAX_COST_PER_CHANGE or MAX_COST_PER_DAY.
error-coder-timed-out = The coder did not finish in time.

## Alarms and the log of acts

mechanic-own-words = That was written by somebody else, so I take it as something to read and not as a wish. Please say in your own words what is to change.
error-tests-not-run = Tests not run: the sandbox is unavailable ({ $cause }). Nothing can be deployed from this; use a Linux with Landlock, or set ALLOW_UNSANDBOXED=1 on a machine without secrets.
menu-audit = Who did what
alert-claim = Somebody tries again and again to claim this bot.
alert-edit = The coder wanted to write where a change may not. Nothing of it was kept.
alert-gate = The checks refused code that reaches for what it may not.
alert-sandbox = The sandbox does not hold on this machine; /status says more.
alert-secret = A key or a password stood in the files of a change. It was not delivered.
alert-tables = The tables do not go with this version, so records may be missing from what it shows; none was deleted.
alert-tap = Buttons were tapped by somebody who may not, or that do not exist.
alert-turn = Something that is no person asked for a change of the bot. It was refused.
alert-count =
    { $count ->
        [one] It happened once.
       *[other] It happened { $count } times.
    }
alert-changes = Changes: { $changes }
alert-actors = By user: { $actors }
alert-more = /audit shows the acts.
audit-title =
    { $count ->
        [one] The last act, its time in UTC:
       *[other] The last { $count } acts, newest at the bottom, times in UTC:
    }
audit-empty = Nothing like that has been noted.
audit-bot = the bot
act-agent-configured = agent configured
act-agent-shared = agent shared or hidden
act-coder-began = coder began
act-coder-ended = coder ended
act-edit-refused = edit refused
act-tool-called = tool called
act-attic-emptied = attic emptied
act-cap-reached = cost cap reached
act-change-abort = tapped Abort
act-change-aborted = change aborted
act-change-corrected = change corrected
act-change-deploy = deployment approved
act-change-deploy-drop = deployment and drop approved
act-change-failed = change failed
act-change-planned = change planned
act-change-requested = change requested
act-change-set = tapped Set
act-change-leave = tapped Leave
act-change-retry = tapped Retry
act-change-try = tapped Try
act-checks-failed = checks failed
act-checks-passed = checks passed
act-claim = claim
act-command-refused = command refused
act-deployed = deployed
act-gate-refused = code refused
act-loss-allowed = loss of data allowed
act-merged = merged
act-preview-begun = preview begun
act-pull-request-opened = pull request opened
act-release-activated = release activated
act-release-confirmed = release confirmed
act-rolled-back = rolled back
act-sandbox-refused = candidate not run
act-sandbox-weak = sandbox does not hold
act-secret-found = secret found
act-settings-changed = settings changed
act-stranger-refused = stranger turned away
act-tables-changed = tables changed
act-tables-dropped = tables dropped
act-tables-taken-back = tables taken back
act-taken-back = release taken back
act-tap = tap
act-turn-refused = wish refused

coder-status-edited = files written
coder-status-no-edits = nothing written
coder-status-malformed = unusable edits
coder-status-denied = edits refused
coder-status-token-limit = token limit reached
coder-status-cost-limit = cost limit reached
coder-status-llm-error = the model failed
coder-status-apply-error = edits did not fit
coder-status-crashed = crashed
coder-status-timed-out = out of time
detail-yes = yes
detail-no = no
detail-arguments = given
detail-cost = cost
detail-denied = not allowed
detail-about = about
detail-agent = agent
detail-attempt = try
detail-branch = branch
detail-button = button
detail-cap = cap
detail-cause = cause
detail-checks = checks
detail-enabled = switched on
detail-files = files
detail-findings = findings
detail-instead-of = instead of change
detail-keywords = keywords
detail-kind = kind
detail-lane = chat
detail-max-tokens = most tokens
detail-model = model
detail-origin = from
detail-pull-request = pull request
detail-round = round
detail-safe-mode = safe mode
detail-spent = spent
detail-status = status
detail-temperature = temperature
detail-tool = tool
detail-visibility = visibility
detail-wanted = wanted

## Settings of agents

config-list = How each agent is set:
config-usage = `/config AGENT model=NAME temperature=0 max_tokens=500 enabled=no keywords=one,two` sets what it names, `/config AGENT model=default` takes one setting back, `/config AGENT default` all of them. temperature is 0 to 2.
config-done = ✅ { $agent }: { $settings }. In force from its next answer on; /config { $agent } default takes it back.
config-done-usual = ✅ { $agent }: { $settings }. In force from its next answer on.
config-refused = Nothing was changed: { $cause }.
config-model = model { $model }
config-temperature = temperature { $temperature }
config-max-tokens =
    { $count ->
        [one] at most { $count } token
       *[other] at most { $count } tokens
    }
config-keywords = keywords { $keywords }
config-on = switched on
config-off = switched off
config-usual = as usual
config-back = { $setting } as usual
config-allowed-model = `model` is a name as the model's server knows it, such as `openai/gpt-5-mini`
config-allowed-temperature = `temperature` is a number from 0 to 2
config-allowed-max-tokens = `max_tokens` is a whole number from 1 to { $most }
config-allowed-enabled = `enabled` is `yes` or `no`
config-allowed-keywords = `keywords` are at most 20 words with commas between them, each of at most 40 characters
config-no-setting = there is no setting { $words }; there are { $settings }
config-twice = `{ $setting }` is named twice
config-no-value = `{ $setting }` has no value: { $allowed }
config-wrong-value = { $allowed }, not { $value }
error-config-no-agent = there is no agent { $agent }, only: { $agents }
error-config-no-agent-near = there is no agent { $agent }, did you mean { $near }? Those there are: { $agents }
error-config-mechanic = the Mechanic's model is CODER_MODEL in the settings of the bot
error-config-master = Master cannot be switched off, since it answers when no other agent does
error-config-model = the model { $model } does not answer with these settings ({ $cause })

## Set aside

set-aside = ⚠️ I could not do that: something unexpected went wrong twice. It is kept, and an admin can have it tried again.
set-aside-message = ⚠️ One of my messages to you could not be delivered. It is kept, and an admin can have it sent again.
dead-none = Nothing is waiting here: whatever was asked for was done, or is being done.
dead-list = Set aside, because it kept failing:
dead-more =
    { $count ->
        [one] This is the oldest one; there are more.
       *[other] These are the { $count } oldest; there are more.
    }
dead-tries =
    { $count ->
        [one] { $count } try
       *[other] { $count } tries
    }
dead-how = Say /dead, /dead retry 3 or /dead drop 3, with the number of a letter.
dead-retried = Letter { $letter } is being tried again.
dead-dropped = Letter { $letter } was dropped; it stays on record.
dead-button-retry = Retry { $letter }
dead-button-drop = Drop { $letter }
dead-kind-turn = a message without an answer
dead-kind-send = a message that was not delivered
dead-kind-change = work on a change
dead-kind-migration = a change of the tables
dead-kind-update = something the bot could not read
dead-kind-job = a job
error-dead-unknown = no letter { $letter } is waiting; /dead shows those that are
error-dead-only-drop = letter { $letter } holds nothing that could be tried again; /dead drop { $letter } drops it
act-dead-letter-retried = set-aside work tried again
act-dead-letter-dropped = set-aside work dropped
