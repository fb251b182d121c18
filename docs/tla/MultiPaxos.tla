----------------------------- MODULE MultiPaxos -----------------------------
(* Multi-Paxos as crates/multipaxos has it: names of messages, fields,       *)
(* records and roles are those of the code. Sections are those of Lamport,   *)
(* "Paxos Made Simple" (2001); scout and leader are those of van Renesse &   *)
(* Altinbuken, "Paxos Made Moderately Complex" (2015).                       *)
(*                                                                           *)
(* Time is left out: whatever waits for a timer may happen at any moment, so *)
(* canvassing (who has lost the leader?) decides nothing here. A node hears  *)
(* its own acceptor by messages to itself, which wait for the disk like all  *)
(* promises.                                                                 *)
EXTENDS Stable, FiniteSets

CONSTANTS
    NoOp,       \* what is proposed in gaps
    Bug         \* "none", or the name of a bug as in crates/multipaxos/src/mutants.rs

VARIABLES
    incarnation,\* the number of a node's life
    round,      \* the highest round of a ballot of its own, in this life
    role,       \* "Follower", "Canvasser", "Scout", "Leader"
    scout,      \* what a scout has: [ballot, from, missing, promises, pvalues], or None
    leader,     \* what a leader has: [ballot, next, open], or None
    learned,    \* learned[n]: the batch of each slot that n knows to be chosen
    chosen      \* history: [slot, batch] of everything that was ever learned

volatile == <<incarnation, round, role, scout, leader, learned>>
vars == <<stable, volatile, chosen>>

NoFunction == [x \in {} |-> None]
Put(f, x, value) == [y \in DOMAIN f \cup {x} |-> IF y = x THEN value ELSE f[y]]
Max(some) == CHOOSE x \in some : \A y \in some : y <= x

(* Ballots: round, then node, then incarnation. *)
Zero == [round |-> 0, node |-> None, incarnation |-> 0]
Less(a, b) ==
    \/ a.round < b.round
    \/ /\ a.round = b.round /\ a.round > 0
       /\ \/ a.node < b.node
          \/ a.node = b.node /\ a.incarnation < b.incarnation

(* The promise for all slots, the accepted pvalues, and the notes. *)
Empty == [promised |-> Zero, accepted |-> NoFunction, known |-> NoFunction]

Init ==
    /\ StableInit(Empty)
    /\ incarnation = [n \in Nodes |-> 1]
    /\ round = [n \in Nodes |-> 0]
    /\ role = [n \in Nodes |-> "Follower"]
    /\ scout = [n \in Nodes |-> None]
    /\ leader = [n \in Nodes |-> None]
    /\ learned = [n \in Nodes |-> NoFunction]
    /\ chosen = {}

Peers(n) == Nodes \ {n}
IsMajority(some) == 2 * Cardinality(some) > Cardinality(Nodes)
Promised(n) == Memory(n).promised
Accepted(n) == Memory(n).accepted

(* The slots from 1 on that a function has without gap. *)
Run(f) == Max({k \in 0..Cardinality(DOMAIN f) : 1..k \subseteq DOMAIN f})
Upto(n) == Run(learned[n])

(* Some of the slots of a function, lowest first. *)
Sorted(slots) ==
    LET nth(k) == CHOOSE s \in slots : Cardinality({t \in slots : t <= s}) = k
    IN  [k \in 1..Cardinality(slots) |-> nth(k)]

Follow(n) ==
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ scout' = [scout EXCEPT ![n] = None]
    /\ leader' = [leader EXCEPT ![n] = None]

(* Node n knows these values, too. *)
Learn(n, news) ==
    /\ learned' = [learned EXCEPT ![n] =
            [s \in DOMAIN @ \cup DOMAIN news |-> IF s \in DOMAIN @ THEN @[s] ELSE news[s]]]
    /\ chosen' = chosen \cup {[slot |-> s, batch |-> news[s]] : s \in DOMAIN news}

-----------------------------------------------------------------------------
(* The acceptor (2.2; one promise for all slots: 3).                         *)

Accept(state, ballot, slot, batch) ==
    [state EXCEPT !.promised = ballot,
                  !.accepted = Put(@, slot, [ballot |-> ballot, batch |-> batch])]

(* The states that one acceptance after the other makes, in these slots.     *)
AcceptedIn(state, ballot, slots, Value(_)) ==
    LET upon(k) == {slots[j] : j \in 1..k}
    IN  [k \in 1..Len(slots) |-> [state EXCEPT
            !.promised = ballot,
            !.accepted = [s \in DOMAIN @ \cup upon(k) |->
                IF s \in upon(k) THEN [ballot |-> ballot, batch |-> Value(s)] ELSE @[s]]]]

(* A ballot has one value for a slot, so that a vote need not repeat it.     *)
AcceptedOf(ballot, slot, count) ==
    [kind |-> "Accepted", ballot |-> ballot, slot |-> slot, count |-> count]

(* Phase 1b, whole. What is chosen is reported as chosen. *)
Report(n, ballot, from) ==
    LET upto == Upto(n)
        first == IF from > upto THEN from ELSE upto + 1
        slots == Sorted({s \in DOMAIN Accepted(n) : s >= first})
        last == IF Bug = "M03" /\ slots # <<>> THEN <<slots[Len(slots)]>> ELSE slots
    IN  [kind |-> "Promise", ballot |-> ballot, from |-> from,
         chosen |-> [k \in 1..(first - from) |-> learned[n][from + k - 1]],
         accepted |-> [k \in 1..Len(last) |-> [ballot |-> Accepted(n)[last[k]].ballot,
                        slot |-> last[k], batch |-> Accepted(n)[last[k]].batch]],
         next |-> None]

OnPrepare(n, from, body) ==
    /\ body.kind = "Prepare"
    /\ ~Less(body.ballot, Promised(n))
    /\ LET same == body.ballot = Promised(n)
           writes == IF same THEN <<>>
                     ELSE Write([Memory(n) EXCEPT !.promised = body.ballot])
           promise == ToAll(n, {from}, Report(n, body.ballot, body.from))
       IN  /\ IF Bug = "M20" THEN Do(n, writes, {}, promise) ELSE Do(n, writes, promise, {})
           /\ IF same THEN UNCHANGED <<role, scout, leader>> ELSE Follow(n)
    /\ UNCHANGED <<incarnation, round, learned, chosen>>

(* The first k values of a promise that may leave; the rest is asked for.    *)
Piece(promise, k) ==
    LET told == Len(promise.chosen)
    IN  IF k < told
        THEN [promise EXCEPT !.chosen = SubSeq(@, 1, k), !.accepted = <<>>,
                             !.next = promise.from + k]
        ELSE [promise EXCEPT !.accepted = SubSeq(@, 1, k - told),
                             !.next = promise.accepted[k - told + 1].slot]

SendPiece(n, whole, k) ==
    /\ whole \in msgs /\ whole.from = n /\ whole.body.kind = "Promise"
    /\ whole.body.next = None
    /\ k \in 1..(Len(whole.body.chosen) + Len(whole.body.accepted) - 1)
    /\ Do(n, <<>>, {}, {[whole EXCEPT !.body = Piece(@, k)]})
    /\ UNCHANGED <<volatile, chosen>>

(* What follows from a leader's word that slots up to here are chosen: only  *)
(* a value accepted under that leader's own ballot is the chosen one.        *)
Heard(n, accepted, ballot, upto) ==
    LET mine(s) == /\ s \in DOMAIN accepted
                   /\ accepted[s].ballot = ballot \/ Bug = "M04"
        run == {k \in (Upto(n) + 1)..upto :
                    \A s \in (Upto(n) + 1)..k : s \in DOMAIN learned[n] \/ mine(s)}
    IN  [s \in {k \in run : k \notin DOMAIN learned[n]} |-> accepted[s].batch]

(* What was proposed in one burst comes in one message, is one record where  *)
(* all of it follows what is held, else a record for each slot that is not   *)
(* held yet; and one answer.                                                 *)
OnAccept(n, from, body) ==
    /\ body.kind = "Accept"
    /\ ~Less(body.ballot, Promised(n))
    /\ LET ballot == body.ballot
           run == body.slot..(body.slot + Len(body.batches) - 1)
           old(s) == s \in DOMAIN Accepted(n) /\ Accepted(n)[s].ballot = ballot
           new == Sorted({s \in run : ~old(s)})
           value(s) == body.batches[s - body.slot + 1]
           states == AcceptedIn(Memory(n), ballot, new, value)
           all == IF new = <<>> THEN Accepted(n) ELSE states[Len(new)].accepted
           answer == ToAll(n, {from}, AcceptedOf(ballot, body.slot, Len(body.batches)))
           follows == \A s \in DOMAIN Accepted(n) : s < body.slot
           writes == IF follows THEN Write(states[Len(new)])
                     ELSE [k \in 1..Len(new) |-> [state |-> states[k], needed |-> TRUE]]
       IN  /\ IF Bug = "M25" THEN Do(n, writes, {}, answer) ELSE Do(n, writes, answer, {})
           /\ Learn(n, Heard(n, all, ballot, body.chosen))
    /\ Follow(n)
    /\ UNCHANGED <<incarnation, round>>

OnHeartbeat(n, from, body) ==
    /\ body.kind = "Heartbeat"
    /\ ~Less(body.ballot, Promised(n))
    /\ Learn(n, Heard(n, Accepted(n), body.ballot, body.chosen))
    /\ Follow(n)
    /\ UNCHANGED <<stable, incarnation, round>>

-----------------------------------------------------------------------------
(* The scout (2.2, phase 1, for all slots: 3).                               *)

BecomeCanvasser(n) ==
    /\ role[n] # "Leader"
    /\ role' = [role EXCEPT ![n] = "Canvasser"]
    /\ scout' = [scout EXCEPT ![n] = None]
    /\ UNCHANGED <<stable, incarnation, round, leader, learned, chosen>>

(* 2.5: no ballot is used twice: the round rises within a life. *)
BecomeScout(n, ballot) ==
    /\ role[n] # "Leader"
    /\ ballot.node = n /\ ballot.incarnation = incarnation[n]
    /\ ballot.round > round[n] /\ Less(Promised(n), ballot)
    /\ LET from == Upto(n) + 1
       IN  /\ scout' = [scout EXCEPT ![n] = [ballot |-> ballot, from |-> from,
                missing |-> [m \in Nodes |-> from], promises |-> {}, pvalues |-> NoFunction]]
           /\ Do(n, Write([Memory(n) EXCEPT !.promised = ballot]),
                 ToAll(n, {n}, Report(n, ballot, from)),
                 ToAll(n, Peers(n), [kind |-> "Prepare", ballot |-> ballot, from |-> from]))
    /\ round' = [round EXCEPT ![n] = ballot.round]
    /\ role' = [role EXCEPT ![n] = "Scout"]
    /\ UNCHANGED <<incarnation, leader, learned, chosen>>

SendPrepare(n, to) ==
    /\ role[n] = "Scout"
    /\ Do(n, <<>>, {}, {[from |-> n, to |-> m, body |-> [kind |-> "Prepare",
          ballot |-> scout[n].ballot, from |-> scout[n].missing[m]]] : m \in to})
    /\ UNCHANGED <<volatile, chosen>>

(* P2c: of each slot the highest-numbered pvalue. *)
Absorb(pvalues, new) ==
    LET slots == DOMAIN pvalues \cup {p.slot : p \in new}
        all(s) == {p \in new : p.slot = s} \cup
                  (IF s \in DOMAIN pvalues THEN {pvalues[s]} ELSE {})
        best(s) == CHOOSE p \in all(s) :
            \A q \in all(s) : IF Bug = "M21" THEN ~Less(q.ballot, p.ballot)
                              ELSE ~Less(p.ballot, q.ballot)
    IN  [s \in slots |-> best(s)]

(* Values that are reported as chosen behind a gap are as good as accepted   *)
(* under the scout's ballot.                                                 *)
OnPromise(n, from, body) ==
    /\ body.kind = "Promise"
    /\ role[n] = "Scout" /\ body.ballot = scout[n].ballot
    /\ body.from = scout[n].missing[from]
    /\ from \notin scout[n].promises
    /\ LET told == {[ballot |-> body.ballot, slot |-> body.from + k - 1,
                     batch |-> body.chosen[k]] : k \in 1..Len(body.chosen)}
           new == {p \in told : p.slot \notin DOMAIN learned[n]}
           old == {body.accepted[k] : k \in 1..Len(body.accepted)}
       IN  scout' = [scout EXCEPT
            ![n].pvalues = Absorb(@, new \cup old),
            ![n].missing[from] = IF body.next = None THEN @ ELSE body.next,
            ![n].promises = IF body.next = None THEN @ \cup {from} ELSE @]
    /\ UNCHANGED <<stable, incarnation, round, role, leader, learned, chosen>>

-----------------------------------------------------------------------------
(* The leader (2.2, phase 2).                                                *)

AcceptOf(n, ballot, slot, batches) ==
    [kind |-> "Accept", ballot |-> ballot, slot |-> slot, batches |-> batches, chosen |-> Upto(n)]
BeatOf(n) == [kind |-> "Heartbeat", ballot |-> leader[n].ballot, chosen |-> Upto(n)]

OpenSlot(batch) == [batch |-> batch, accepted |-> {}]

(* 3: in all slots that phase 1 found in use the reported value is proposed, *)
(* and a no-op in the gaps between.                                          *)
BecomeLeader(n) ==
    /\ role[n] = "Scout" /\ IsMajority(scout[n].promises)
    /\ LET ballot == scout[n].ballot
           pvalues == scout[n].pvalues
           last == Max({0} \cup DOMAIN pvalues \cup DOMAIN learned[n])
           slots == Sorted({s \in (Upto(n) + 1)..last : s \notin DOMAIN learned[n]})
           known == IF Bug = "M01" THEN Accepted(n) ELSE pvalues
           value(s) == IF s \in DOMAIN known THEN known[s].batch ELSE NoOp
           states == AcceptedIn(Memory(n), ballot, slots, value)
           all == {slots[k] : k \in 1..Len(slots)}
       IN  /\ leader' = [leader EXCEPT ![n] = [ballot |-> ballot, next |-> last + 1,
                            open |-> [s \in all |-> OpenSlot(value(s))]]]
           /\ Do(n, [k \in 1..Len(slots) |-> [state |-> states[k], needed |-> TRUE]],
                 {[from |-> n, to |-> n, body |-> AcceptedOf(ballot, s, 1)] : s \in all},
                 UNION {ToAll(n, Peers(n), AcceptOf(n, ballot, s, <<value(s)>>)) : s \in all}
                 \cup ToAll(n, Peers(n),
                        [kind |-> "Heartbeat", ballot |-> ballot, chosen |-> Upto(n)]))
    /\ scout' = [scout EXCEPT ![n] = None]
    /\ role' = [role EXCEPT ![n] = "Leader"]
    /\ UNCHANGED <<incarnation, round, learned, chosen>>

(* The next free slots. *)
Propose(n, batches) ==
    /\ role[n] = "Leader"
    /\ LET slot == leader[n].next
           ballot == leader[n].ballot
           many == Len(batches)
           run == slot..(slot + many - 1)
           value(s) == batches[s - slot + 1]
           states == AcceptedIn(Memory(n), ballot, [k \in 1..many |-> slot + k - 1], value)
       IN  /\ Do(n, Write(states[many]),
                 ToAll(n, {n}, AcceptedOf(ballot, slot, many)),
                 ToAll(n, Peers(n), AcceptOf(n, ballot, slot, batches)))
           /\ leader' = [leader EXCEPT ![n].next = slot + many,
                ![n].open = [s \in DOMAIN @ \cup run |->
                    IF s \in run THEN OpenSlot(value(s)) ELSE @[s]]]
    /\ UNCHANGED <<incarnation, round, role, scout, learned, chosen>>

(* So many slots from this one on, in one message, or once more.             *)
SendAccept(n, to, slot, many) ==
    /\ role[n] = "Leader" /\ many > 0
    /\ slot..(slot + many - 1) \subseteq DOMAIN leader[n].open
    /\ Do(n, <<>>, {}, ToAll(n, to, AcceptOf(n, leader[n].ballot, slot,
          [k \in 1..many |-> leader[n].open[slot + k - 1].batch])))
    /\ UNCHANGED <<volatile, chosen>>

SendHeartbeat(n, to) ==
    /\ role[n] = "Leader"
    /\ Do(n, <<>>, {}, ToAll(n, to, BeatOf(n)))
    /\ UNCHANGED <<volatile, chosen>>

(* A leader learns from votes only. *)
OnAccepted(n, from, body) ==
    /\ body.kind = "Accepted"
    /\ role[n] = "Leader" /\ body.ballot = leader[n].ballot
    /\ LET open == leader[n].open
           votes(s) == open[s].accepted \cup {from}
           run == body.slot..(body.slot + body.count - 1)
           counted == run \cap (DOMAIN open \ DOMAIN learned[n])
           done == {s \in counted : IsMajority(votes(s))}
       IN  /\ counted # {}
           /\ leader' = [leader EXCEPT ![n].open = [s \in DOMAIN open |->
                IF s \in counted THEN [open[s] EXCEPT !.accepted = votes(s)] ELSE open[s]]]
           /\ Learn(n, [s \in done |-> open[s].batch])
    /\ UNCHANGED <<stable, incarnation, round, role, scout>>

(* Outbid, or not heard by a quorum. *)
StepDown(n) ==
    /\ role[n] # "Follower"
    /\ Follow(n)
    /\ UNCHANGED <<stable, incarnation, round, learned, chosen>>

-----------------------------------------------------------------------------
(* The learner's notes on disk; nothing waits for them.                      *)

NoteChosen(n) ==
    /\ Upto(n) > Run(Memory(n).known)
    /\ Do(n, Note([Memory(n) EXCEPT !.known = [s \in 1..Upto(n) |-> learned[n][s]]]), {}, {})
    /\ UNCHANGED <<volatile, chosen>>

(* Another replica says what is chosen in the first unknown slot. *)
LearnFromOther(n, slot, batch) ==
    /\ role[n] # "Leader"
    /\ slot = Upto(n) + 1 /\ Run(Memory(n).known) = Upto(n)
    /\ Learn(n, [s \in {slot} |-> batch])
    /\ Do(n, Note([Memory(n) EXCEPT !.known = Put(@, slot, batch)]), {}, {})
    /\ UNCHANGED <<incarnation, round, role, scout, leader>>

SendLearned(n, to, from, many) ==
    /\ from >= 1 /\ from + many - 1 <= Upto(n)
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> "Learned", from |-> from,
          batches |-> [k \in 1..many |-> learned[n][from + k - 1]]]))
    /\ UNCHANGED <<volatile, chosen>>

(* Messages that change nothing but how soon somebody acts. *)
SendHint(n, to, kind) ==
    /\ kind \in {"Canvass", "CanvassReply", "Nack", "HeartbeatReply", "Learn"}
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> kind]))
    /\ UNCHANGED <<volatile, chosen>>

-----------------------------------------------------------------------------
Crash(n, k) ==
    /\ Lose(n, k)
    /\ incarnation' = [incarnation EXCEPT ![n] = @ + 1]
    /\ round' = [round EXCEPT ![n] = 0]
    /\ learned' = [learned EXCEPT ![n] =
                    IF k = 0 THEN disk[n].known ELSE written[n][k].state.known]
    /\ Follow(n)
    /\ UNCHANGED chosen

SyncSome(n, k) == Sync(n, k) /\ UNCHANGED <<volatile, chosen>>

Receive(n, from, body) ==
    \/ OnPrepare(n, from, body)
    \/ OnPromise(n, from, body)
    \/ OnAccept(n, from, body)
    \/ OnAccepted(n, from, body)
    \/ OnHeartbeat(n, from, body)

-----------------------------------------------------------------------------
(* What must hold.                                                           *)

Agreement == \A a, b \in chosen : a.slot = b.slot => a.batch = b.batch

(* P1a: nothing is accepted above the promise. *)
Ordered ==
    \A n \in Nodes : \A s \in DOMAIN Accepted(n) : ~Less(Promised(n), Accepted(n)[s].ballot)

(* What is chosen is on the disks of a majority, synced. *)
Durability ==
    \A c \in chosen :
        IsMajority({n \in Nodes : /\ c.slot \in DOMAIN disk[n].accepted
                                  /\ disk[n].accepted[c.slot].batch = c.batch})
=============================================================================
