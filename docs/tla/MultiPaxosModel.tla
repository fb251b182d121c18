-------------------------- MODULE MultiPaxosModel ---------------------------
(* Multi-Paxos in a small world, for TLC to walk through to the end.         *)
(*                                                                           *)
(* As in the other models what a step of the code does at once comes before  *)
(* everything else, a leader says at once what it could say, and states are  *)
(* the same that differ only in messages which their receivers would ignore  *)
(* for ever. Pages of learned values are left to the recorded runs.          *)
EXTENDS MultiPaxos

CONSTANTS MaxSlot, MaxRound, MaxCrashes, Proposers

VARIABLE crashes

all == <<vars, crashes>>

ModelInit == Init /\ crashes = 0

Alive(m) ==
    LET n == m.to
        b == m.body
    IN  CASE b.kind = "Promise" ->
                /\ role[n] = "Scout" /\ scout[n].ballot = b.ballot
                /\ m.from \notin scout[n].promises
          [] b.kind = "Accepted" ->
                /\ role[n] = "Leader" /\ leader[n].ballot = b.ballot
                /\ b.slot \in DOMAIN leader[n].open \ DOMAIN learned[n]
                /\ m.from \notin leader[n].open[b.slot].accepted
          [] b.kind = "Prepare" ->
                \/ Less(disk[n].promised, b.ballot)
                \/ MaxCrashes > 0 /\ disk[n].promised = b.ballot
          [] OTHER -> ~Less(b.ballot, disk[n].promised)

Own(n) == {m \in msgs : Instant /\ m.to = n /\ m.from = n /\ Alive(m)}
MayLead(n) == role[n] = "Scout" /\ IsMajority(scout[n].promises)
MayNote(n) == Upto(n) > Run(Memory(n).known)
MayBeat(n) == role[n] = "Leader" /\ Upto(n) > 0 /\ ~(ToAll(n, Peers(n), BeatOf(n)) \subseteq msgs)

Urgent(n) == MayLead(n) \/ Own(n) # {} \/ MayNote(n) \/ MayBeat(n)

Act(n) ==
    \/ \E r \in 1..MaxRound :
        n \in Proposers /\
        BecomeScout(n, [round |-> r, node |-> n, incarnation |-> incarnation[n]])
    \/ \E m \in {x \in msgs : x.to = n /\ Alive(x)} : Receive(n, m.from, m.body)
    \/ role[n] = "Leader" /\ leader[n].next <= MaxSlot /\ Propose(n, <<n + 1>>)
    \/ role[n] = "Leader" /\ StepDown(n)
    \/ ~Instant /\ \E k \in 1..Len(written[n]) : SyncSome(n, k)

ModelNext ==
    IF \E n \in Nodes : Urgent(n)
    THEN LET n == CHOOSE x \in Nodes : Urgent(x)
         IN  /\ IF MayLead(n) THEN BecomeLeader(n)
                ELSE IF Own(n) # {} THEN \E m \in Own(n) : Receive(n, n, m.body)
                ELSE IF MayNote(n) THEN NoteChosen(n) ELSE SendHeartbeat(n, Peers(n))
             /\ UNCHANGED crashes
    ELSE \E n \in Nodes :
        \/ Act(n) /\ UNCHANGED crashes
        \/ /\ crashes < MaxCrashes /\ crashes' = crashes + 1
           /\ \E k \in 0..Len(written[n]) : Crash(n, k)

View == <<disk, written, held, {m \in msgs : Alive(m)}, volatile, chosen, crashes>>

Spec == ModelInit /\ [][ModelNext]_all
=============================================================================
