----------------------------- MODULE PaxosModel -----------------------------
(* Basic Paxos in a small world, for TLC to walk through to the end. What a  *)
(* step of the code does at once (a majority of promises begins phase 2)     *)
(* comes before everything else. And states are the same that differ only in *)
(* messages which their receivers would ignore for ever.                     *)
EXTENDS Paxos

CONSTANTS MaxSlot, MaxRound, MaxCrashes, Proposers

VARIABLE crashes

all == <<vars, crashes>>

ModelInit == Init /\ crashes = 0

Value(n) == n + 1

Receive(n, from, body) ==
    \/ body.kind = "Prepare" /\ OnChosen(n, body.chosen)
    \/ OnPrepare(n, from, body)
    \/ OnPromise(n, from, body)
    \/ OnAccept(n, from, body)
    \/ OnAccepted(n, from, body)
    \/ body.kind = "Chosen" /\ OnChosen(n, body)

(* A ballot is prepared once, so an answer to an earlier one is dead; and an *)
(* acceptor never goes back below a promise that is on its disk.             *)
Alive(m) ==
    LET n == m.to
        b == m.body
        asked(what) == what[n] # None /\ what[n].slot = b.slot /\ what[n].ballot = b.ballot
        under == Get(disk[n].promised, b.slot, Zero)
    IN  CASE b.kind = "Promise" -> /\ asked(phase) /\ phase[n].kind = "Preparing"
                                   /\ m.from \notin phase[n].promised
          [] b.kind = "Accepted" ->
                Bug = "P06" \/ (asked(count) /\ m.from \notin count[n].acceptors)
          [] b.kind = "Prepare" -> Less(under, b.ballot) \/ (MaxCrashes > 0 /\ under = b.ballot)
          [] b.kind = "Accept" -> ~Less(b.ballot, under)
          [] OTHER -> TRUE

MayAccept(n) == phase[n] # None /\ phase[n].kind = "Preparing" /\ IsMajority(phase[n].promised)
MayTell(n) ==
    /\ LastChosen(n) # None
    /\ \E m \in Peers(n) : [from |-> n, to |-> m, body |-> [kind |-> "Chosen",
            slot |-> LastChosen(n).slot, ballot |-> LastChosen(n).ballot]] \notin msgs
Own(n) == {m \in msgs : Instant /\ m.to = n /\ m.from = n /\ Alive(m)}

Urgent(n) == MayAccept(n) \/ Own(n) # {} \/ MayTell(n)

Values(n) == IF phase[n].highest = None THEN {Value(n)} ELSE {phase[n].highest.batch, Value(n)}

Act(n) ==
    \/ \E slot \in 1..MaxSlot, r \in 1..MaxRound :
        n \in Proposers /\
        Prepare(n, slot, [round |-> r, node |-> n,
                          incarnation |-> IF Bug = "P04" THEN 1 ELSE incarnation[n]])
    \/ \E m \in {x \in msgs : x.to = n /\ Alive(x)} : Receive(n, m.from, m.body)
    \/ ~Instant /\ \E k \in 1..Len(written[n]) : SyncSome(n, k)

ModelNext ==
    IF \E n \in Nodes : Urgent(n)
    THEN LET n == CHOOSE x \in Nodes : Urgent(x)
         IN  /\ IF MayAccept(n) THEN \E v \in Values(n) : BeginAccept(n, v)
                ELSE IF Own(n) # {} THEN \E m \in Own(n) : Receive(n, n, m.body)
                ELSE SendChosen(n, Peers(n))
             /\ UNCHANGED crashes
    ELSE \E n \in Nodes :
        \/ Act(n) /\ UNCHANGED crashes
        \/ /\ crashes < MaxCrashes /\ crashes' = crashes + 1
           /\ \E k \in 0..Len(written[n]) : Crash(n, k)

View == <<disk, written, held, {m \in msgs : Alive(m)}, volatile, chosen, crashes>>

Spec == ModelInit /\ [][ModelNext]_all
=============================================================================
