------------------------------- MODULE Replay -------------------------------
(* What the three trace modules share: the walk along a tape.                *)
(*                                                                           *)
(* `synod simulate --tla FILE` writes what crossed the borders of the        *)
(* replicas as the module Tape: Steps is a sequence of                       *)
(*   Step     an input, and what the replica made of it: records written,    *)
(*            batches committed, and its status afterwards                   *)
(*   Sent     a message left its node for real                               *)
(*   Synced   so many of the node's records are durable                      *)
(*   Crash    memory is gone, and so many records are left                   *)
(*   Restart  a life begins                                                  *)
EXTENDS Stable, Tape, TLC

VARIABLES
    at,         \* the next line of the tape
    stage,      \* "in": its input is not yet taken; "out": it is
    durable,    \* durable[n]: records of n that are on its disk
    records     \* records[n]: records of n

replay == <<at, stage, durable, records>>

ReplayInit ==
    /\ at = 1 /\ stage = "in"
    /\ durable = [n \in Nodes |-> 0]
    /\ records = [n \in Nodes |-> 0]

Here == Steps[at]
N == Here.node

Is(event) == Here.event = event
StepIn == Here.event = "Step" /\ stage = "in"
StepOut == Here.event = "Step" /\ stage = "out"
Hears == Here.input.kind = "Message"

(* The next thing is still of this line, or of the next one. *)
Stay(where) == stage' = where /\ UNCHANGED <<at, durable, records>>
Turn == at' = at + 1 /\ stage' = "in"

(* The records that the code wrote make of the state what the text says. *)
WritesMatch(Apply(_, _)) ==
    LET many == Len(Here.writes)
        before == Len(written[N]) - many
        state(k) == IF k = 0 THEN disk[N] ELSE written[N][k].state
    IN  /\ records[N] + many = durable[N] + Len(written[N])
        /\ before >= 0
        /\ \A k \in 1..many :
            written[N][before + k] =
                [state |-> Apply(state(before + k - 1), Here.writes[k].record),
                 needed |-> Here.writes[k].needed]

(* What this step has yet to write; None if nothing. *)
Due ==
    LET done == durable[N] + Len(written[N]) - records[N]
    IN  IF done < Len(Here.writes) THEN Here.writes[done + 1].record ELSE None

(* The batches given out are these, up to index last. *)
CommitsMatch(last, Batch(_)) ==
    LET before == last - Len(Here.commits)
    IN  \A k \in 1..Len(Here.commits) :
            /\ Here.commits[k].index = before + k
            /\ Here.commits[k].batch = Batch(before + k)

FinishStep ==
    /\ Turn
    /\ records' = [records EXCEPT ![N] = @ + Len(Here.writes)]
    /\ UNCHANGED durable

FinishSync ==
    /\ Turn
    /\ durable' = [durable EXCEPT ![N] = Here.upto]
    /\ UNCHANGED records

FinishCrash ==
    /\ Turn
    /\ durable' = [durable EXCEPT ![N] = Here.kept]
    /\ records' = [records EXCEPT ![N] = Here.kept]

FinishOther == Turn /\ UNCHANGED <<durable, records>>

(* Says how far it came. *)
Tell ==
    /\ (at' > at) => PrintT(<<"line", at>>)
    /\ (at' > Len(Steps)) => PrintT("ACCEPTED")
=============================================================================
