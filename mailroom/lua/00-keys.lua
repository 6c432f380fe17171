#!lua name=@LIBRARY@
--[[ The mailroom inside Valkey or Redis: every state change is one of these functions, and each is safe to repeat.

Every key begins with `relais:{p0}:` (the hash tag keeps a partition on one node). All keys there are:

  key                  type    what it holds                                          written by            lives
  schema               string  version of this page                                   open                  for ever
  hash_key             string  key of the keyed hashes, unless RELAIS_HASH_KEY is set open                  for ever
  e:<event>            string  event record: a line of JSON, then the vendor's body   put, again, …         until its count is 0, + retain
  taken                string  how many events were taken so far: their `n`           put                   for ever
  refs                 hash    event -> what still needs it; absent means 1           settle                with the event
  known:<bucket>       hash    base of an id -> contents that came with it, at most 20 put                   4 days
  seen:<bucket>        set     schema 1: ids of all events that were put              put                   2 days
  objects:<bucket>     hash    object at a platform -> what a source last told of it, put                   403 days
                               both hashed
  last:<minute>        hash    box -> digest, id, end: its newest without a sender id put                   120 s
  same:<hash>          string  the event that counts, of messages that are the same   put                   as the source says
  b:<room>:<box>       list    [state, item, mark, …]; the first element is the state put, take, settle, …  while it has items
  one:<room>           hash    box -> state and element, where it needs no list       put, take, settle     while not empty
  also:<room>          hash    delivery -> its further boxes, where its marks stand   take, settle, …       while it waits
  weak:<room>          hash    delivery -> its weak names                             settle, revive        while it waits
  under:<room>         hash    weak name -> delivery and home of who had it last      take, settle          while that waits
  ready:<room>         list    boxes of no class that may be taken, oldest first      put, settle, …        while not empty
  ready:<room>:<class> list    the same of a class: a source; `!`: what is urgent     put, settle, …        while not empty
  turns:<room>         list    classes that have something ready, next turn first     put, take, …          while not empty
  left:<room>          hash    class -> items left of its turn; `!`: boxes since      take                  while it is ready
                               somebody else was served
  notes:<room>         set     box and class in whose line it stands no more, but for put, settle, take     until that comes up
                               a note: it was pulled forward
  shares               hash    source -> how much more it gets in its turn, 2 to 10   python (configure)    while a book says so
  terms                hash    state, source -> ms that it is kept, where less        python (configure)    while a book says so
  suspect:<room>       list    ready boxes whose drain died                           bury                  while not empty
  waiting:<room>       zset    box -> ms when it is due; a rule said so, the vendor,  settle, bury, …       while not empty
                               or its search is behind
  retry:<room>         zset    box -> ms when it is due; its destination was away     settle                while not empty
  woken:<room>         zset    what was in `retry` when the breaker opened            settle                until take made it ready
  parked:<room>        zset    box -> number of its first event, whose source is held take                  until that is released
  leased:<room>        hash    box -> drain; its size is the room's concurrency       take, settle          while not empty
  held:<room>          hash    box -> why it waits for a person, JSON                 settle, bury          until released
  d:<delivery>         string  delivery record, JSON                                  settle, skip, unhold  until settled; dead: 30 days
  room:<room>          hash    pool, concurrency, every, burst, lag, paused, unusable configure, pause      for ever (one a destination)
                               tat, breaker, probe_at, probe_every, rests, quota,     settle, rest,
                               holds                                                  hold_source, …
  failing              hash    room -> boxes that failed one after the other          settle                until one does not
  rooms                set     rooms that ever held something, or cannot be served    put, settle, …        for ever (one a destination)
  take:<drain>         string  the last take of a drain, to answer it again           take                  10 minutes
  beats                hash    drain -> pool and counter                              beat                  until it leaves or is buried
  speaks               hash    process -> its schema, and its place (boot, pid, …)    beat, python          until it leaves or is buried
  bell:<pool>          list    a ring for each drain that should look                 put, settle, …        while not empty
  once:<hash>          string  `only_once` marks                                      settle                as the rule says
  co:<room>:<hash>     string  the newest waiting delivery of a coalescing action     settle                a day and the delay
  dead                 zset    dead item -> when                                      settle, skip          30 days
  dropped              zset    dead item that was given up -> when                     drop                  10 minutes
  deadinfo             hash    dead item -> room, box, code, JSON                     settle, skip          30 days
  deadbox              hash    dead item -> room and box (`born`: it never was in it) settle, skip          until its end
  passed               hash    room and box -> its items in deadbox, newest sent      settle, skip, revive  while one is in deadbox
  quarantine           zset    event -> when                                          quarantine            30 days
  unmatched            zset    event that no rule wanted -> when its payload goes     settle                while not empty
  newest:<day>         hash    name -> how new the newest event routed under it is;   settle                31 days
                               name and type -> when the newest of a type happened
  refused              stream  refused requests, without secrets                      refuse                1,000 entries, 3 days
  ledger:<day>         hash    event -> lines of JSON without values                  settle, drop, …       31 days
  missed:<name>        string  rules that did not fire, which lines of the ledger     settle                32 days
                               say by this name, JSON
  log                  stream  ids of events put, ended and changed by people, for    put, settle, …        about 20,000 entries
                               `tail` and lists
  counts               hash    metric counters                                        all                   for ever
  rules:<day>          hash    fired, observed or unreached, and rule -> how often    python (drain)        31 days
                               `last` before it: when it did last, in ms
  shadow               hash    version of the book that is only observed, at, by      python (console)      until it is ended
  shadow:<version>     hash    what it would do otherwise -> how often; `last`        settle                31 days
  shadowed:<version>   list    the latest events of which it would, newest first      settle                31 days
  m:<name>:<hash>      string  id map and marks of a destination                      learn, meet, python   as the destination says
  joined:<room>        string  that the id map knows an object by several names       learn, meet           as the destination says
  echo:<source>:<hash> list    what we wrote to an object, of which a source may tell: python (drain)        as the destination says
                               types, times, keyed hashes of fields, JSON; 50 at most
  echoed:<hash>        string  of source, type, delivery: the event that was its echo, python (drain)        as the destination says
                               and a keyed hash of what that told
  order:<event>:<room> string  mark that an action of an `in_order` rule died         python (drain)        a day
  books                hash    version -> files of each book in force or observed     python (rulebook)     for ever
  book                 string  version of the book in force                           python (rulebook)     for ever
  book_times           zset    version -> when it was taken last                        python (rulebook)     for ever
  approved             string  version of the book that a person approved last        python (rulebook)     for ever
  parents              hash    work or receive process -> pool (or -), workers, count python (sweep, app)   until it leaves or is forgotten
  came                 hash    source -> ms when a webhook of it was last taken       python (observations) for ever (one a source)
  sources:<day>        hash    what happened and a source -> how often: taken|shop,   python (observations) 8 days
                               refused|shop|<code>, unread|shop|<field>
  busy:<day>:<source>  string  a bit for each minute: whether webhooks of it came;    python (observations) 36 days
                               * for source: whether a receiver was there
  quiet                hash    source of whose silence people were told -> ms of its  python (observations) while it is quiet
                               last webhook
  watching             string  which worker looks for silent sources                  python (quiet)        150 s
  shape:<source>       hash    type, kind and path of a field -> in how many samples, python (shapes)       400 days
                               `first` and `last` before it: ms and number of sample
  verified             hash    source, and name of a secret -> ms when it last proved python (observations) for ever (one a secret)
  sweeper:<pool>       string  which process sweeps                                   python (sweep.py)     4 s
  told:<what>:<source> string  an alert that is told once a day                       put                   a day
  untold               list    "<room> <code>" of boxes held by bury: alerts to send  bury                  until told
  pulls                hash    source -> how far its pulling has come, JSON           python (pulls)        for ever (one a source)
  fills                hash    source -> its back-fill: from, until, how far, JSON    python (pulls)        for ever (one a source)
  pulling:<source>     string  which process pulls from it                            python (pulls)        60 s
  quota:<hash>         hash    of a key of a vendor: name, rooms, every, burst, tat,  set_quota,            63 days
                               rests; own, limit, reserve, begins, ends, after, used, spend_quota, take, …
                               told, mark, before
  quotas               set     hashes of the keys that ever had a rate or quota       set_quota             for ever (one a key)
  forgotten            hash    receipts of persons who were forgotten, JSON: keyed     python (forgetting)   for ever; its hashes
                               hashes, when, how much                                                        as backups live
  forgot:<receipt>     hash    receiver -> rows that went from its spool for it        python (forgetting)   7 days
  replid               string  the store's replication id at the last sweep           python (sweep.py)     for ever
  rewritten            string  that the append-only file is to be written anew, once  python (aof_rewrite)  a day
  users                hash    name of a person who may use the console -> role,      python (access)       for ever (one a person)
                               hash of the pass phrase, …, JSON
  signed_out           hash    name -> how often they signed out everywhere           python (access)       for ever (one a person)
  views                hash    name -> what lists they keep under a name, JSON        python (access)       for ever (one a person)
  session:<hash>       string  whose session of the console it is, JSON               python (access)       28,800 s
  entry:<hash>         string  what a link into the console is worth, JSON            python (access)       600 s
  sign_on:<hash>       string  a sign-in that began at the provider of single sign-on: python (access)       600 s
                               hash of the browser, its address, secrets of it, JSON
  attempts:<hash>      string  attempts to sign in, of a person or from an address    python (access)       3,600 s
  patience:<hash>      string  that its next attempt has to wait                      python (access)       300 s
  cases                hash    destination, code and rule of failures -> state, since, python (cases)        for ever (one a cause)
                               until, by, why, first, JSON
  case_counts          hash    the same -> how often                                  python (cases)        for ever (one a cause)
  case_last            hash    the same -> ms when it failed last                     python (cases)        for ever (one a cause)
  held_alerts          list    texts of alerts that wait for business hours, 100      python (alerts)       until these begin
  alert_test           string  the test of the alerts that a worker is to answer      python (cases)        30 s
  alert_tested:<id>    string  what became of it                                      python (cases)        30 s
  job:<id>             hash    an act on many things: order, by, at, state, count,    python (jobs)         31 days
                               done, ended; `w:` and a word -> how many ended so
  jobitems:<id>        list    what is left of it to do                               python (jobs)         31 days
  jobleft:<id>         list    what was left alone, and the word for why, JSON        python (jobs)         31 days
  jobdone:<id>         list    what it dropped, for an undo                           python (jobs)         10 minutes
  jobs                 zset    job -> ms when it was ordered                          python (jobs)         31 days
  jobs_open            hash    job that has not ended -> running or paused            python (jobs)         until it ends
  jobrun:<id>          string  which console does it                                  python (jobs)         20 s
  intent:<hash>        string  the job that somebody ordered by this intent           python (jobs)         a day
  tokens               hash    hash of a named token -> name, role, JSON              python (access)       for ever (one a token)
  tokens_used          hash    the same -> ms when it was used last                   python (access)       for ever (one a token)
  audit                stream  who did, searched and saw what, and why, JSON          python (access)       400 days
  written              string  nothing; setting it moves the place in the stream      touch                 for ever

State of a box (its first element):  "<s> <attempt> <doubt> <deaths> <token> <handed> <class>"
  s        r ready, l leased, w waiting, h held, b blocked (in no list)
  attempt  attempts that the first item has used
  doubt    how many items at the head may have been sent by somebody who died or got no answer
  deaths   how many drains died while holding this box, since it last moved on
  token    of the lease (l), or the ms when it is due (w); else `-`
  handed   how many items the drain got (l); else 0
  class    the source of what made the box non-empty, or `!`: something urgent has come in since. Until it is empty
Words at the end that say nothing are left out: a box of no class is `r 0 0 0`.

A box of one element is mostly no list but a field of `one:<room>`: `<state>\n<element>`, where a state that nothing has
happened to is said as `r:<class>` or `b:<class>`. It has one form at a time. Whoever does more than lease or end the
element makes it a list; a list stays one until it is empty, and a store of schema 1 or 2 has lists only. Of an event, such a new
state is followed by its further boxes (`r:<class> <box> …`); as soon as anything happens to it `also:in` has them.

Classes share a room out: a turn of a class is so many items (`left`), then it is the next one's. What is urgent goes
first, with three quarters of a call at the most. A box is ready in one line: that of its class, or the urgent one. Where
it was pulled forward, an entry stays behind in the line of its class, and `notes` knows of it: when it comes up it is
passed over, and until then a box of that class that becomes ready uses it.

A delivery that several names stand for is an item in the box of its first name, its home, and a mark `=<delivery> <home>`
in the box of each further one. It is leased only when it is first in all of them: until then its home is blocked, and a
box whose first element is a mark is blocked as well. Two that share a weak name are never leased at once; a weak name has
no box and orders nothing.

A paused room says why, as JSON: by a person (with `until` it ends by itself: the first `take` that finds something ready
after that lifts it), by its breaker (several boxes in a row found nobody there), or by key (the destination refuses ours).
The last two have `probe_at`: from then on one box may be leased to see whether that still
holds, the next one `probe_every` ms later. What failed meanwhile is ready; so when the destination answers, all goes on,
but for what is to be left alone for a while whoever answers: the vendor said for how long, or its search would not show
yet what may have been made. Such a box waits in `waiting`, never in `retry`.
A room also rests: `rests` is the ms until which its destination asked to be left alone (`Retry-After`). Until then
nothing is leased from it, not even a probe.

`quota` of a room names what its key may be used for, by itself and by others with the same key: a rate (then `tat` and a
rest stand there), and so many requests (`limit`) from `begins` to `ends`, of which `reserve` are left for what is urgent;
the next page ends `after`. `used` is what we spent, `told` what others spent beside us by what the vendor says is left. A
lease spends one request, each further one is spent before it is sent. `mark` and `before`: when, and how much was used
then. Where nobody has said which page it is now, nothing is leased.

A source is held by a person: what comes of it is kept in its boxes and not routed. `take` parks a box whose first event is
of such a source (it waits, in `parked`), and hands out of others what stands before one. So what stands behind it waits,
too, whoever sent it. A record with `go` is let go although its source is held.

Times are the store's own clock in ms. Nothing is decided by them but when a wait ends and how fast a room may send.
]]
