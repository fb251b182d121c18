-------------------------- MODULE MultiPaxosTrace ---------------------------
(* Is a recorded run of crates/multipaxos a behaviour of MultiPaxos.tla?     *)
(*                                                                           *)
(* A step of the code may be several actions of MultiPaxos, all at one node: *)
(* learn what the message says is chosen; take the message, or all answers   *)
(* of the own acceptor that a sync let out; lead; propose what waited for    *)
(* room; and note on disk what is chosen. The records that the step wrote    *)
(* say which. Nothing else may hide in a step.                               *)
EXTENDS MultiPaxos, Replay

TraceInit == Init /\ ReplayInit

Hints == {"Canvass", "CanvassReply", "Nack", "HeartbeatReply", "Learn"}

(* What MultiPaxos.tla leaves out of the messages of the code. *)
Said(body) ==
    CASE body.kind = "Prepare" ->
            [kind |-> body.kind, ballot |-> body.ballot, from |-> body.from]
      [] body.kind = "Promise" ->
            [kind |-> body.kind, ballot |-> body.ballot, from |-> body.from,
             chosen |-> body.chosen, accepted |-> body.accepted, next |-> body.next]
      [] body.kind = "Accept" ->
            [kind |-> body.kind, ballot |-> body.ballot, slot |-> body.slot,
             batches |-> body.batches, chosen |-> body.chosen]
      [] body.kind = "Accepted" ->
            [kind |-> body.kind, ballot |-> body.ballot, slot |-> body.slot,
             count |-> body.count]
      [] body.kind = "Heartbeat" ->
            [kind |-> body.kind, ballot |-> body.ballot, chosen |-> body.chosen]
      [] body.kind = "Learned" ->
            [kind |-> body.kind, from |-> body.from, batches |-> body.batches]
      [] body.kind \in Hints -> [kind |-> body.kind]
      [] OTHER -> body

(* A piece of a promise that could have left whole. *)
SentPiece(to, body) ==
    \E whole \in msgs :
        /\ whole.to \in to /\ whole.body.kind = "Promise"
        /\ whole.body.ballot = body.ballot /\ whole.body.from = body.from
        /\ SendPiece(N, whole, Len(body.chosen) + Len(body.accepted))

Sent ==
    /\ Is("Sent") /\ FinishOther
    /\ LET body == Said(Here.message)
           to == Here.to
           words == ToAll(N, to, body)
       IN  IF words \subseteq msgs THEN UNCHANGED vars
           ELSE /\ CASE body.kind = "Prepare" -> SendPrepare(N, to)
                     [] body.kind = "Promise" -> SentPiece(to, body)
                     [] body.kind = "Accept" -> SendAccept(N, to, body.slot, Len(body.batches))
                     [] body.kind = "Heartbeat" -> SendHeartbeat(N, to)
                     [] body.kind = "Learned" ->
                            SendLearned(N, to, body.from, Len(body.batches))
                     [] body.kind \in Hints -> SendHint(N, to, body.kind)
                     [] OTHER -> FALSE
                /\ words \subseteq msgs'

-----------------------------------------------------------------------------
Message == [from |-> Here.input.from, to |-> N, body |-> Said(Here.input.message)]
Body == Message.body

(* Values that a message says are chosen. *)
Told ==
    IF Body.kind = "Learned" THEN Body.batches
    ELSE IF Body.kind = "Promise" /\ role[N] = "Scout" THEN Body.chosen
    ELSE <<>>

Carried ==
    /\ Due # None
    /\ CASE Due.kind = "Chosen" -> NoteChosen(N)
         [] Due.kind = "Learned" ->
                LET k == Due.slot - Body.from + 1
                IN  /\ k \in 1..Len(Told) /\ Told[k] = Due.batch
                    /\ LearnFromOther(N, Due.slot, Due.batch)
         [] OTHER -> FALSE

TakeMessage ==
    /\ Message \in msgs
    /\ IF Told # <<>> /\ Due # None /\ Due.kind \in {"Chosen", "Learned"}
       THEN Carried /\ Stay("in")
       ELSE /\ IF ENABLED Receive(N, Message.from, Body)
               THEN Receive(N, Message.from, Body)
               ELSE IF Body.kind = "Nack" THEN UNCHANGED vars \/ StepDown(N)
               ELSE UNCHANGED vars
            /\ Stay("out")

(* What the own acceptor said to this node, and counts now. *)
Own(n) == {m \in msgs : m.to = n /\ m.from = n /\ ENABLED Receive(n, n, m.body) /\
    IF m.body.kind = "Accepted" THEN n \notin leader[n].open[m.body.slot].accepted ELSE TRUE}

TakeDurable ==
    IF Own(N) = {} THEN UNCHANGED vars /\ Stay("out")
    ELSE \E m \in Own(N) : Receive(N, N, m.body) /\ Stay("in")

TakeOther ==
    /\ CASE Due # None /\ Due.kind = "Promised" -> BecomeScout(N, Due.ballot)
         [] OTHER ->
            \/ UNCHANGED vars
            \/ Here.input.kind = "Timer" /\ (BecomeCanvasser(N) \/ StepDown(N))
    /\ Stay("out")

Take ==
    /\ StepIn
    /\ IF Hears THEN TakeMessage
       ELSE IF Here.input.kind = "Durable" THEN TakeDurable ELSE TakeOther

(* What follows at once. *)
Next ==
    /\ StepOut /\ Stay("out")
    /\ IF role[N] = "Scout" /\ IsMajority(scout[N].promises) THEN BecomeLeader(N)
       ELSE /\ Due # None
            /\ CASE Due.kind = "Chosen" -> NoteChosen(N)
                 [] Due.kind = "Promised" -> BecomeScout(N, Due.ballot)
                 [] Due.kind = "Accepted" -> Propose(N, <<Due.batch>>)
                 [] Due.kind = "AcceptedRun" -> Propose(N, Due.batches)
                 [] OTHER -> FALSE

-----------------------------------------------------------------------------
Apply(state, record) ==
    CASE record.kind = "Promised" -> [state EXCEPT !.promised = record.ballot]
      [] record.kind = "Accepted" ->
            Accept(state, record.ballot, record.slot, record.batch)
      [] record.kind = "AcceptedRun" ->
            LET many == Len(record.batches)
                value(s) == record.batches[s - record.slot + 1]
            IN  AcceptedIn(state, record.ballot,
                           [k \in 1..many |-> record.slot + k - 1], value)[many]
      [] record.kind = "Learned" -> [state EXCEPT !.known = Put(@, record.slot, record.batch)]
      [] record.kind = "Chosen" ->
            [state EXCEPT !.known = [s \in 1..record.upto |->
                IF s \in DOMAIN @ THEN @[s] ELSE state.accepted[s].batch]]

Decided(slot) == learned[N][slot]

Role(n) == IF role[n] \in {"Canvasser", "Scout"} THEN "Candidate" ELSE role[n]

Finish ==
    /\ StepOut
    /\ Role(N) = Here.role
    /\ Upto(N) = Here.committed
    /\ Max({0} \cup DOMAIN learned[N] \cup DOMAIN Accepted(N)) = Here.last
    /\ WritesMatch(Apply) /\ CommitsMatch(Upto(N), Decided)
    /\ FinishStep /\ UNCHANGED vars

Synced == Is("Synced") /\ SyncSome(N, Here.upto - durable[N]) /\ FinishSync
Crashed == Is("Crash") /\ Crash(N, Here.kept - durable[N]) /\ FinishCrash
Restarted ==
    /\ Is("Restart") /\ Here.incarnation = incarnation[N]
    /\ UNCHANGED vars /\ FinishOther

TraceNext ==
    /\ at <= Len(Steps)
    /\ Sent \/ Take \/ Next \/ Finish \/ Synced \/ Crashed \/ Restarted
    /\ Tell

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, replay>>
=============================================================================
