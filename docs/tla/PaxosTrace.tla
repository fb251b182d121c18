----------------------------- MODULE PaxosTrace -----------------------------
(* Is a recorded run of crates/paxos a behaviour of Paxos.tla?               *)
(*                                                                           *)
(* A step of the code may be several actions of Paxos, all at one node: a    *)
(* prepare or a page of learned values may bring values to learn first; a    *)
(* sync may bring several answers of the own acceptor; a majority of         *)
(* promises begins phase 2 at once. Nothing else may hide in a step.         *)
EXTENDS Paxos, Replay

TraceInit == Init /\ ReplayInit

(* What Paxos.tla leaves out of the messages of the code. *)
Heard(body) ==
    CASE body.kind = "Prepare" ->
            [kind |-> body.kind, slot |-> body.slot, ballot |-> body.ballot,
             chosen |-> body.chosen]
      [] body.kind = "Accept" ->
            [kind |-> body.kind, slot |-> body.slot, ballot |-> body.ballot,
             batch |-> body.batch]
      [] body.kind = "Learn" -> [kind |-> body.kind, decisions |-> body.decisions]
      [] body.kind \in {"Nack", "LearnRequest"} -> [kind |-> body.kind]
      [] OTHER -> body

Sent ==
    /\ Is("Sent") /\ FinishOther
    /\ LET body == Heard(Here.message)
           to == Here.to
           words == ToAll(N, to, body)
           slots == [k \in 1..Len(body.decisions) |-> body.decisions[k].slot]
       IN  IF words \subseteq msgs THEN UNCHANGED vars
           ELSE /\ CASE body.kind \in {"Prepare", "Accept"} -> SendAgain(N, to)
                     [] body.kind = "Chosen" -> SendChosen(N, to)
                     [] body.kind = "Learn" -> SendLearn(N, to, slots)
                     [] body.kind \in {"Nack", "LearnRequest"} -> SendHint(N, to, body.kind)
                     [] OTHER -> FALSE
                /\ words \subseteq msgs'

-----------------------------------------------------------------------------
Message == [from |-> Here.input.from, to |-> N, body |-> Heard(Here.input.message)]
Body == Message.body

(* A value to learn that a message carries, on the way to something else. *)
Carried(n) ==
    CASE Body.kind = "Prepare" -> OnChosen(n, Body.chosen)
      [] Body.kind = "Chosen" -> OnChosen(n, Body)
      [] Body.kind = "Learn" ->
            LET new == {k \in 1..Len(Body.decisions) :
                            Body.decisions[k].slot \notin DOMAIN Known(n)}
            IN  /\ new # {}
                /\ OnLearn(n, Body.decisions[CHOOSE k \in new : \A l \in new : k <= l])
      [] OTHER -> FALSE

Receive(n, from, body) ==
    \/ OnPrepare(n, from, body)
    \/ OnPromise(n, from, body)
    \/ OnAccept(n, from, body)
    \/ OnAccepted(n, from, body)

(* What the own acceptor said to this node, and counts now. *)
Own(n) == {m \in msgs : m.to = n /\ m.from = n /\
    \/ m.body.kind = "Promise" /\ phase[n] # None /\ phase[n].kind = "Preparing"
       /\ m.body.slot = phase[n].slot /\ m.body.ballot = phase[n].ballot
       /\ n \notin phase[n].promised
    \/ m.body.kind = "Accepted" /\ count[n] # None
       /\ m.body.slot = count[n].slot /\ m.body.ballot = count[n].ballot
       /\ n \notin count[n].acceptors}

TakeMessage ==
    /\ Message \in msgs
    /\ IF ENABLED Carried(N) THEN Carried(N) /\ Stay("in")
       ELSE /\ IF ENABLED Receive(N, Message.from, Body)
               THEN Receive(N, Message.from, Body) ELSE UNCHANGED vars
            /\ Stay("out")

TakeDurable ==
    IF Own(N) = {} THEN UNCHANGED vars /\ Stay("out")
    ELSE \E m \in Own(N) : Receive(N, N, m.body) /\ Stay("in")

(* The ballot of a new round is on the own acceptor's disk first. *)
TakeOther ==
    /\ IF Here.writes = <<>> THEN UNCHANGED vars
       ELSE LET record == Here.writes[1].record
            IN  Prepare(N, record.slot, record.ballot)
    /\ Stay("out")

Take ==
    /\ StepIn
    /\ IF Hears THEN TakeMessage
       ELSE IF Here.input.kind = "Durable" THEN TakeDurable ELSE TakeOther

(* The value of phase 2 is on the own disk, or, if the own acceptor refused  *)
(* it, in the message that left.                                             *)
Values ==
    LET records_ == {Here.writes[k].record : k \in 1..Len(Here.writes)}
        written_ == {r.batch : r \in {q \in records_ : q.kind = "Accepted"}}
        sent == IF at < Len(Steps) /\ Steps[at + 1].event = "Sent"
                   /\ Steps[at + 1].message.kind = "Accept"
                THEN {Steps[at + 1].message.batch} ELSE {}
    IN  written_ \cup sent \cup (IF phase[N].highest = None THEN {NoOp}
                                 ELSE {phase[N].highest.batch})

Follow ==
    /\ StepOut /\ Stay("out")
    /\ phase[N] # None /\ phase[N].kind = "Preparing" /\ IsMajority(phase[N].promised)
    /\ \E value \in Values : BeginAccept(N, value)

-----------------------------------------------------------------------------
Apply(state, record) ==
    CASE record.kind = "Promised" -> Promised(state, record.slot, record.ballot)
      [] record.kind = "Accepted" ->
            Accepted(state, record.slot, record.ballot, record.batch)
      [] record.kind = "Chosen" ->
            [state EXCEPT !.known = Put(@, record.slot,
                [ballot |-> record.ballot,
                 batch |-> IF record.batch = None THEN state.accepted[record.slot].batch
                           ELSE record.batch])]

Decided(slot) == Known(N)[slot].batch

Finish ==
    /\ StepOut
    /\ Committed(N) = Here.committed
    /\ WritesMatch(Apply) /\ CommitsMatch(Committed(N), Decided)
    /\ FinishStep /\ UNCHANGED vars

Synced == Is("Synced") /\ SyncSome(N, Here.upto - durable[N]) /\ FinishSync
Crashed == Is("Crash") /\ Crash(N, Here.kept - durable[N]) /\ FinishCrash
Restarted ==
    /\ Is("Restart") /\ Here.incarnation = incarnation[N]
    /\ UNCHANGED vars /\ FinishOther

TraceNext ==
    /\ at <= Len(Steps)
    /\ Sent \/ Take \/ Follow \/ Finish \/ Synced \/ Crashed \/ Restarted
    /\ Tell

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, replay>>
=============================================================================
