----------------------------- MODULE RaftModel ------------------------------
(* Raft in a small world, for TLC to walk through to the end.                *)
(*                                                                           *)
(* Three things keep it small and lose no behaviour. A leader sends at once  *)
(* whatever it could send: nobody has to receive it. What a step of the code *)
(* does at once (a majority of votes makes a leader, a majority of disks     *)
(* commits) comes before everything else. And states are the same that       *)
(* differ only in messages of terms which their receivers have left for good.*)
EXTENDS Raft, TLC

CONSTANTS
    MaxTerm, MaxLog,
    MaxCrashes, \* crashes of all nodes together
    MaxCommands,\* commands of clients
    PreVotes,   \* FALSE: a node stands at once, as by an operator's wish
    Tails,      \* TRUE: who refuses a candidate may send what it lacks
    Heartbeats  \* FALSE: only AppendEntries tells what is committed

VARIABLES crashes, commands

all == <<vars, crashes, commands>>

ModelInit == Init /\ crashes = 0 /\ commands = 0

(* What a leader may say: entries one by one, or none to tell of commits. *)
Sayable(n) ==
    IF role[n] # "Leader" THEN {}
    ELSE LET said(to, prev, count) ==
                 [from |-> n, to |-> to, body |-> [kind |-> "AppendEntries",
                  term |-> Term(n), leader |-> n, prev |-> IdAt(Log(n), prev),
                  entries |-> SubSeq(Log(n), prev + 1, prev + count),
                  leader_commit |-> commit[n]]]
             beats == {[from |-> n, to |-> to, body |-> [kind |-> "Heartbeat",
                        term |-> Term(n), leader |-> n, commit |-> HeartbeatCommit(n, to)]]
                        : to \in Peers(n)}
         IN  {said(to, prev, 1) : to \in Peers(n), prev \in 0..(Len(Log(n)) - 1)}
             \cup {said(to, Len(Log(n)), 0) : to \in Peers(n)}
             \cup (IF Heartbeats THEN beats ELSE {})

Unsaid(n) == Sayable(n) \ msgs

Say(n) ==
    /\ Do(n, <<>>, {}, Unsaid(n))
    /\ UNCHANGED <<volatile, history>>

MayCommit(n) == {index \in (commit[n] + 1)..Len(Log(n)) : ENABLED AdvanceCommit(n, index)}

MayLead(n) == role[n] = "Candidate" /\ IsMajority(votes[n] \cup OwnVote(n))

(* Somebody could bring it up to date. *)
Lags(n) == \E m \in Nodes : Newer(LastId(m), LastId(n))

Elections(n) ==
    \/ (PreVotes \/ (Tails /\ Lags(n))) /\ BecomePreCandidate(n)
    \/ Term(n) < MaxTerm /\ BecomeCandidate(n, ~PreVotes)
    \/ StepDown(n)

(* Whole tails only: a shorter one is what its sender might have sent before. *)
Refuse(n, question) ==
    /\ question.body.kind \in {"PreVote", "RequestVote"}
    /\ Newer(LastId(n), question.body.last)
    /\ \E prev \in 0..(Len(Log(n)) - 1) : SendTail(n, {question.from}, prev, Len(Log(n)) - prev)

Messages(n) ==
    \E m \in {x \in msgs : x.to = n} :
        \/ TellsTerm(m.body) /\ EnterTerm(n, m.body.term)
        \/ PreVotes /\ SendPreVoteReply(n, m)
        \/ Tails /\ Refuse(n, m)
        \/ Receive(n, m.from, m.body)

Urgent(n) == MayLead(n) \/ MayCommit(n) # {} \/ Unsaid(n) # {}

ModelNext ==
    IF \E n \in Nodes : Urgent(n)
    THEN LET n == CHOOSE x \in Nodes : Urgent(x)
         IN  /\ IF MayLead(n) THEN BecomeLeader(n)
                ELSE IF MayCommit(n) # {}
                THEN \E index \in MayCommit(n) : AdvanceCommit(n, index)
                ELSE Say(n)
             /\ UNCHANGED <<crashes, commands>>
    ELSE \E n \in Nodes :
        \/ /\ \/ Elections(n) \/ Messages(n)
              \/ ~Instant /\ \E k \in 1..Len(written[n]) : SyncSome(n, k)
           /\ UNCHANGED <<crashes, commands>>
        \/ /\ commands < MaxCommands /\ commands' = commands + 1
           /\ Len(Log(n)) < MaxLog
           /\ Propose(n, <<commands>>) /\ UNCHANGED crashes
        \/ /\ crashes < MaxCrashes /\ crashes' = crashes + 1
           /\ \E k \in 0..Len(written[n]) : Crash(n, k)
           /\ UNCHANGED commands

Spec == ModelInit /\ [][ModelNext]_all

Small == \A n \in Nodes : Len(Log(n)) <= MaxLog

Alive(m) ==
    IF m.body.kind = "Tail" THEN TRUE
    ELSE IF m.body.kind = "PreVoteReply" THEN m.body.term > disk[m.to].term
    ELSE m.body.term >= disk[m.to].term

View == <<disk, written, held, {m \in msgs : Alive(m)}, volatile, history, crashes, commands>>

Symmetric == Permutations(Nodes)
=============================================================================
