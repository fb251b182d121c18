------------------------------- MODULE Stable -------------------------------
(* What all algorithms share: nodes with disks, and messages between them.   *)
(*                                                                           *)
(* A node writes records, one after the other. A sync makes a prefix of them *)
(* durable; a crash keeps what is durable and any prefix of the rest. A      *)
(* message that is a promise leaves only when all records that were written  *)
(* before it, and that are needed, are durable (`Outbox` in consensus-core). *)
(*                                                                           *)
(* Instead of records this text keeps what they add up to: the state that a  *)
(* recovery would find after each of them.                                   *)
EXTENDS Naturals, Sequences

CONSTANTS
    Nodes,      \* the replicas: 0, 1, 2, ...
    None,       \* nobody, nothing
    Instant     \* TRUE: disks are instant, which makes a model small

VARIABLES
    disk,       \* disk[n]: what survives any crash of n
    written,    \* written[n]: what followed, oldest first: [state, needed]
    held,       \* held[n]: promises that wait for the disk: [message, after]
    msgs        \* every message that ever left: [from, to, body]

stable == <<disk, written, held, msgs>>

StableInit(empty) ==
    /\ disk = [n \in Nodes |-> empty]
    /\ written = [n \in Nodes |-> <<>>]
    /\ held = [n \in Nodes |-> {}]
    /\ msgs = {}

(* The state in memory of what goes to disk. *)
Memory(n) == IF written[n] = <<>> THEN disk[n] ELSE written[n][Len(written[n])].state

Write(state) == <<[state |-> state, needed |-> TRUE]>>
Note(state) == <<[state |-> state, needed |-> FALSE]>>

(* The same words to several nodes. *)
ToAll(from, to, body) == {[from |-> from, to |-> n, body |-> body] : n \in to}

LastNeeded(writes) ==
    LET needed == {k \in 1..Len(writes) : writes[k].needed}
    IN  IF needed = {} THEN 0 ELSE CHOOSE k \in needed : \A l \in needed : l <= k

(* Node n writes these records, then makes these promises; other messages    *)
(* leave at once.                                                            *)
Do(n, writes, promises, free) ==
    IF Instant THEN
        /\ disk' = IF writes = <<>> THEN disk
                   ELSE [disk EXCEPT ![n] = writes[Len(writes)].state]
        /\ msgs' = msgs \cup promises \cup free
        /\ UNCHANGED <<written, held>>
    ELSE
        LET all == written[n] \o writes
            after == LastNeeded(all)
            new == {[message |-> m, after |-> after] : m \in promises}
        IN  /\ written' = [written EXCEPT ![n] = all]
            /\ held' = [held EXCEPT ![n] = IF after = 0 THEN @ ELSE @ \cup new]
            /\ msgs' = msgs \cup free \cup (IF after = 0 THEN promises ELSE {})
            /\ UNCHANGED disk

(* The first k of the records that were not yet durable are. *)
Sync(n, k) ==
    /\ k \in 1..Len(written[n])
    /\ disk' = [disk EXCEPT ![n] = written[n][k].state]
    /\ written' = [written EXCEPT ![n] = SubSeq(@, k + 1, Len(@))]
    /\ held' = [held EXCEPT ![n] =
                    {[h EXCEPT !.after = @ - k] : h \in {g \in @ : g.after > k}}]
    /\ msgs' = msgs \cup {h.message : h \in {g \in held[n] : g.after <= k}}

(* Memory is gone, and the first k of the unsynced records are left. *)
Lose(n, k) ==
    /\ k \in 0..Len(written[n])
    /\ disk' = IF k = 0 THEN disk ELSE [disk EXCEPT ![n] = written[n][k].state]
    /\ written' = [written EXCEPT ![n] = <<>>]
    /\ held' = [held EXCEPT ![n] = {}]
    /\ UNCHANGED msgs
=============================================================================
