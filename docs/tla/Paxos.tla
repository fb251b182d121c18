------------------------------- MODULE Paxos --------------------------------
(* Basic Paxos, one instance for each slot of a log, as crates/paxos has it: *)
(* names of messages, fields and records are those of the code. Sections are *)
(* those of Lamport, "Paxos Made Simple" (2001).                             *)
(*                                                                           *)
(* Time is left out: a proposer may repeat a request, give up, or begin anew *)
(* at any moment. A node hears its own acceptor by messages to itself, which *)
(* wait for the disk like all promises.                                      *)
EXTENDS Stable, FiniteSets

CONSTANTS
    NoOp,       \* what is proposed where nobody has a value
    Bug         \* "none", or the name of a bug as in crates/paxos/src/mutants.rs

VARIABLES
    incarnation,\* the number of a node's life
    round,      \* the highest round in which it prepared, in this life
    phase,      \* None, or what the proposer does: Preparing or Accepting
    count,      \* None, or the acceptances that the learner counts
    chosen      \* history: [slot, batch] of everything that was ever learned

volatile == <<incarnation, round, phase, count>>
vars == <<stable, volatile, chosen>>

NoFunction == [x \in {} |-> None]
Get(f, x, default) == IF x \in DOMAIN f THEN f[x] ELSE default
Put(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]

(* Ballots: round, then node, then incarnation. *)
Zero == [round |-> 0, node |-> None, incarnation |-> 0]
Less(a, b) ==
    \/ a.round < b.round
    \/ /\ a.round = b.round /\ a.round > 0
       /\ \/ a.node < b.node
          \/ a.node = b.node /\ a.incarnation < b.incarnation

(* By slot: the promised ballot, the accepted proposal, the known value. *)
Empty == [promised |-> NoFunction, accepted |-> NoFunction, known |-> NoFunction]

Init ==
    /\ StableInit(Empty)
    /\ incarnation = [n \in Nodes |-> 1]
    /\ round = [n \in Nodes |-> 0]
    /\ phase = [n \in Nodes |-> None]
    /\ count = [n \in Nodes |-> None]
    /\ chosen = {}

Peers(n) == Nodes \ {n}
IsMajority(some) == 2 * Cardinality(some) > Cardinality(Nodes)

PromisedIn(n, slot) == Get(Memory(n).promised, slot, Zero)
AcceptedIn(n, slot) == Get(Memory(n).accepted, slot, None)
Known(n) == Memory(n).known

(* Everything up to here is known. *)
Committed(n) ==
    LET run == {k \in 0..Cardinality(DOMAIN Known(n)) : 1..k \subseteq DOMAIN Known(n)}
    IN  CHOOSE k \in run : \A l \in run : l <= k

LastChosen(n) ==
    LET slot == Committed(n)
    IN  IF slot = 0 THEN None ELSE [slot |-> slot, ballot |-> Known(n)[slot].ballot]

-----------------------------------------------------------------------------
(* The acceptor (2.2, phases 1b and 2b).                                     *)

Promised(state, slot, ballot) ==
    [state EXCEPT !.promised = Put(@, slot, ballot)]

Accepted(state, slot, ballot, batch) ==
    [state EXCEPT
        !.promised = IF Bug = "P05" THEN @ ELSE Put(@, slot, ballot),
        !.accepted = Put(@, slot, [ballot |-> ballot, batch |-> batch])]

(* Node n asks itself, too. *)
PromiseOf(n, slot, ballot) ==
    [kind |-> "Promise", slot |-> slot, ballot |-> ballot, accepted |-> AcceptedIn(n, slot)]

AcceptanceOf(slot, ballot, batch) ==
    [kind |-> "Accepted", slot |-> slot, ballot |-> ballot, fingerprint |-> batch]

(* Who lags behind is told so instead. *)
OnPrepare(n, from, body) ==
    /\ body.kind = "Prepare"
    /\ Committed(n) < body.slot
    /\ ~Less(body.ballot, PromisedIn(n, body.slot))
    /\ LET same == body.ballot = PromisedIn(n, body.slot)
           writes == IF same THEN <<>>
                     ELSE Write(Promised(Memory(n), body.slot, body.ballot))
           promise == ToAll(n, {from}, PromiseOf(n, body.slot, body.ballot))
       IN  IF Bug = "P01" THEN Do(n, writes, {}, promise) ELSE Do(n, writes, promise, {})
    /\ UNCHANGED <<volatile, chosen>>

OnAccept(n, from, body) ==
    /\ body.kind = "Accept"
    /\ ~Less(body.ballot, PromisedIn(n, body.slot))
    /\ LET old == AcceptedIn(n, body.slot)
           same == old # None /\ old.ballot = body.ballot
           writes == IF same THEN <<>>
                     ELSE Write(Accepted(Memory(n), body.slot, body.ballot, body.batch))
       IN  Do(n, writes, ToAll(n, {from}, AcceptanceOf(body.slot, body.ballot, body.batch)), {})
    /\ UNCHANGED <<volatile, chosen>>

-----------------------------------------------------------------------------
(* The proposer (2.2, phases 1a and 2a).                                     *)

PrepareOf(n) == [kind |-> "Prepare", slot |-> phase[n].slot, ballot |-> phase[n].ballot,
                 chosen |-> LastChosen(n)]
AcceptOf(n) == [kind |-> "Accept", slot |-> phase[n].slot, ballot |-> phase[n].ballot,
                batch |-> phase[n].batch]

(* 2.5: no ballot is used twice: the round rises within a life. The own      *)
(* acceptor promises, too. What was under way is given up.                   *)
Prepare(n, slot, ballot) ==
    /\ slot = Committed(n) + 1
    /\ ballot.node = n
    /\ ballot.round > round[n]
    /\ ballot.incarnation = IF Bug = "P04" THEN 1 ELSE incarnation[n]
    /\ Less(PromisedIn(n, slot), ballot)
    /\ phase' = [phase EXCEPT ![n] = [kind |-> "Preparing", slot |-> slot,
                    ballot |-> ballot, promised |-> {}, highest |-> None]]
    /\ round' = [round EXCEPT ![n] = ballot.round]
    /\ Do(n, Write(Promised(Memory(n), slot, ballot)),
          ToAll(n, {n}, PromiseOf(n, slot, ballot)),
          ToAll(n, Peers(n), [kind |-> "Prepare", slot |-> slot, ballot |-> ballot,
                              chosen |-> LastChosen(n)]))
    /\ UNCHANGED <<incarnation, count, chosen>>

(* Requests are repeated. *)
SendAgain(n, to) ==
    /\ phase[n] # None
    /\ Do(n, <<>>, {}, ToAll(n, to,
          IF phase[n].kind = "Preparing" THEN PrepareOf(n) ELSE AcceptOf(n)))
    /\ UNCHANGED <<volatile, chosen>>

OnPromise(n, from, body) ==
    /\ body.kind = "Promise"
    /\ phase[n] # None /\ phase[n].kind = "Preparing"
    /\ phase[n].slot = body.slot /\ phase[n].ballot = body.ballot
    /\ LET known == phase[n].highest
           higher == /\ body.accepted # None
                     /\ known = None \/ (known # None /\ Less(known.ballot, body.accepted.ballot))
       IN  phase' = [phase EXCEPT
                        ![n].promised = @ \cup {from},
                        ![n].highest = IF higher THEN body.accepted ELSE @]
    /\ UNCHANGED <<stable, incarnation, round, count, chosen>>

(* P2c: the value of the highest-numbered proposal, or else any. If the own  *)
(* acceptor has promised more meanwhile, the proposer gives up at once.      *)
BeginAccept(n, value) ==
    /\ phase[n] # None /\ phase[n].kind = "Preparing"
    /\ IsMajority(phase[n].promised)
    /\ IF phase[n].highest = None \/ Bug = "E-03" THEN TRUE
       ELSE value = phase[n].highest.batch
    /\ LET slot == phase[n].slot
           ballot == phase[n].ballot
           own == ~Less(ballot, PromisedIn(n, slot))
           ask == ToAll(n, Peers(n), [kind |-> "Accept", slot |-> slot, ballot |-> ballot,
                                      batch |-> value])
           none == [slot |-> slot, ballot |-> ballot, batch |-> value,
                    acceptors |-> IF Bug = "P20" THEN {n} ELSE {}]
       IN  /\ slot \notin DOMAIN Known(n)
           /\ phase' = [phase EXCEPT ![n] = IF own THEN [kind |-> "Accepting", slot |-> slot,
                                                ballot |-> ballot, batch |-> value]
                                            ELSE None]
           /\ count' = [count EXCEPT ![n] = none]
           /\ IF own THEN Do(n, Write(Accepted(Memory(n), slot, ballot, value)),
                             ToAll(n, {n}, AcceptanceOf(slot, ballot, value)), ask)
              ELSE Do(n, <<>>, {}, ask)
    /\ UNCHANGED <<incarnation, round, chosen>>

-----------------------------------------------------------------------------
(* The learner (2.3). What it knows is noted on disk; nothing waits for it.  *)

Learn(n, slot, ballot, batch) ==
    /\ slot \notin DOMAIN Known(n)
    /\ Do(n, Note([Memory(n) EXCEPT
                    !.known = Put(@, slot, [ballot |-> ballot, batch |-> batch])]), {}, {})
    /\ chosen' = chosen \cup {[slot |-> slot, batch |-> batch]}
    /\ phase' = [phase EXCEPT ![n] =
                    IF @ # None /\ @.slot = slot THEN None ELSE @]
    /\ UNCHANGED <<incarnation, round>>

OnAccepted(n, from, body) ==
    /\ body.kind = "Accepted"
    /\ count[n] # None
    /\ count[n].slot = body.slot /\ count[n].batch = body.fingerprint
    /\ count[n].ballot = body.ballot \/ Bug = "P06"
    /\ LET acceptors == count[n].acceptors \cup {from}
       IN  IF IsMajority(acceptors)
           THEN /\ Learn(n, body.slot, count[n].ballot, count[n].batch)
                /\ count' = [count EXCEPT ![n] = None]
           ELSE /\ count' = [count EXCEPT ![n].acceptors = acceptors]
                /\ UNCHANGED <<stable, incarnation, round, phase, chosen>>

EndCount(n, slot) ==
    count' = [count EXCEPT ![n] = IF @ # None /\ @.slot = slot THEN None ELSE @]

(* What was accepted under the ballot that chose, or a higher one, is it. *)
OnChosen(n, where) ==
    /\ where # None
    /\ LET old == AcceptedIn(n, where.slot)
       IN  /\ old # None
           /\ ~Less(old.ballot, where.ballot) \/ Bug = "P21"
           /\ Learn(n, where.slot, where.ballot, old.batch)
    /\ EndCount(n, where.slot)

OnLearn(n, decision) ==
    /\ Learn(n, decision.slot, decision.ballot, decision.batch)
    /\ EndCount(n, decision.slot)

SendChosen(n, to) ==
    /\ LastChosen(n) # None
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> "Chosen", slot |-> LastChosen(n).slot,
                                     ballot |-> LastChosen(n).ballot]))
    /\ UNCHANGED <<volatile, chosen>>

SendLearn(n, to, slots) ==
    /\ \A k \in 1..Len(slots) : slots[k] \in DOMAIN Known(n)
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> "Learn", decisions |->
          [k \in 1..Len(slots) |-> [slot |-> slots[k], ballot |-> Known(n)[slots[k]].ballot,
                                    batch |-> Known(n)[slots[k]].batch]]]))
    /\ UNCHANGED <<volatile, chosen>>

(* Messages that change nothing but how soon somebody acts. *)
SendHint(n, to, kind) ==
    /\ kind \in {"Nack", "LearnRequest"}
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> kind]))
    /\ UNCHANGED <<volatile, chosen>>

-----------------------------------------------------------------------------
Crash(n, k) ==
    /\ Lose(n, k)
    /\ incarnation' = [incarnation EXCEPT ![n] = @ + 1]
    /\ round' = [round EXCEPT ![n] = 0]
    /\ phase' = [phase EXCEPT ![n] = None]
    /\ count' = [count EXCEPT ![n] = None]
    /\ UNCHANGED chosen

SyncSome(n, k) == Sync(n, k) /\ UNCHANGED <<volatile, chosen>>

-----------------------------------------------------------------------------
(* What must hold.                                                           *)

Agreement == \A a, b \in chosen : a.slot = b.slot => a.batch = b.batch

(* P1a: nothing is accepted above a promise. *)
Ordered ==
    \A n \in Nodes : \A slot \in DOMAIN Memory(n).accepted :
        ~Less(PromisedIn(n, slot), AcceptedIn(n, slot).ballot)

(* What is chosen is on the disks of a majority, synced. *)
Durability ==
    \A c \in chosen :
        IsMajority({n \in Nodes : /\ c.slot \in DOMAIN disk[n].accepted
                                  /\ disk[n].accepted[c.slot].batch = c.batch})
=============================================================================
