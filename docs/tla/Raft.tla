-------------------------------- MODULE Raft --------------------------------
(* Raft as crates/raft has it: names of messages, fields and roles are those *)
(* of the code. Sections are those of Ongaro & Ousterhout, "In Search of an  *)
(* Understandable Consensus Algorithm" (extended version, 2014).             *)
(*                                                                           *)
(* Time is left out: whatever waits for a timer may happen at any moment, so *)
(* that the rules of patience (hearing a leader, checking a quorum) only     *)
(* choose among these behaviours. So are nextIndex and flow control: a       *)
(* leader may send any piece of its log at any time.                         *)
EXTENDS Stable, FiniteSets

CONSTANTS
    NoOp,       \* the batch with which a leader takes office
    Bug         \* "none", or the name of a bug as in crates/raft/src/mutants.rs

VARIABLES
    role,       \* "Follower", "PreCandidate", "Candidate", "Leader"
    votes,      \* who would vote, or voted, for this node; itself apart
    matched,    \* matchIndex of a leader: matched[n][m]
    commit,     \* commitIndex
    elected,    \* history: [term, node] of every election that was won
    chosen      \* history: [index, entry, term] of the first commits, term = the node's

volatile == <<role, votes, matched, commit>>
history == <<elected, chosen>>
vars == <<stable, volatile, history>>

Empty == [term |-> 0, voted_for |-> None, log |-> <<>>]

Init ==
    /\ StableInit(Empty)
    /\ role = [n \in Nodes |-> "Follower"]
    /\ votes = [n \in Nodes |-> {}]
    /\ matched = [n \in Nodes |-> [m \in Nodes |-> 0]]
    /\ commit = [n \in Nodes |-> 0]
    /\ elected = {}
    /\ chosen = {}

Term(n) == Memory(n).term
Log(n) == Memory(n).log
Peers(n) == Nodes \ {n}
IsMajority(some) == 2 * Cardinality(some) > Cardinality(Nodes)
Min(a, b) == IF a < b THEN a ELSE b
Max(a, b) == IF a > b THEN a ELSE b

(* How many come before the first of these numbers; all, if there are none.  *)
Prefix(bad, all) == IF bad = {} THEN all ELSE (CHOOSE k \in bad : \A l \in bad : k <= l) - 1

TermAt(log, index) == IF index = 0 THEN 0 ELSE log[index].term
IdAt(log, index) == [term |-> TermAt(log, index), index |-> index]
LastId(n) == IdAt(Log(n), Len(Log(n)))

(* 5.4.1: the later last term, or the same and no shorter. *)
IsUpToDate(last, n) ==
    LET own == LastId(n)
    IN  IF Bug = "R05" THEN last.index >= own.index
        ELSE \/ last.term > own.term
             \/ last.term = own.term /\ last.index >= own.index

(* Node n commits what its log holds after commit[n], up to here. *)
Commit(n, log, upto) ==
    /\ commit' = [commit EXCEPT ![n] = Max(@, upto)]
    /\ LET known(k) == \E c \in chosen : c.index = k /\ c.entry = log[k]
           new == {k \in (commit[n] + 1)..upto : ~known(k)}
       IN  chosen' = chosen \cup {[index |-> k, entry |-> log[k], term |-> Term(n)] : k \in new}

-----------------------------------------------------------------------------
(* Elections: 5.1, 5.2, 5.4.1; pre-vote: thesis 9.6.                         *)

(* A later term was heard of. *)
EnterTerm(n, term) ==
    /\ term > Term(n)
    /\ Do(n, Write([Memory(n) EXCEPT !.term = term, !.voted_for = None]), {}, {})
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ UNCHANGED <<matched, commit, history>>

BecomePreCandidate(n) ==
    /\ role[n] # "Leader"
    /\ Do(n, <<>>, {}, ToAll(n, Peers(n),
          [kind |-> "PreVote", term |-> Term(n) + 1, last |-> LastId(n)]))
    /\ role' = [role EXCEPT ![n] = "PreCandidate"]
    /\ votes' = [votes EXCEPT ![n] = {n}]
    /\ UNCHANGED <<matched, commit, history>>

(* A pre-vote is answered or not; nothing changes at the one who answers. *)
SendPreVoteReply(n, question) ==
    /\ question \in msgs /\ question.to = n /\ question.body.kind = "PreVote"
    /\ question.body.term > Term(n)
    /\ role[n] # "Leader"
    /\ Do(n, <<>>, {}, ToAll(n, {question.from},
          [kind |-> "PreVoteReply", term |-> question.body.term,
           granted |-> IsUpToDate(question.body.last, n)]))
    /\ UNCHANGED <<volatile, history>>

OnPreVoteReply(n, from, body) ==
    /\ body.kind = "PreVoteReply" /\ body.granted
    /\ role[n] = "PreCandidate" /\ body.term = Term(n) + 1
    /\ votes' = [votes EXCEPT ![n] = @ \cup {from}]
    /\ UNCHANGED <<stable, role, matched, commit, history>>

(* The term begins with a vote for itself, and the request is a promise: it  *)
(* waits for term and vote to be on disk. `transfer`: an operator's wish.    *)
BecomeCandidate(n, transfer) ==
    /\ role[n] # "Leader"
    /\ transfer \/ (role[n] = "PreCandidate" /\ IsMajority(votes[n]))
    /\ LET term == Term(n) + 1
           ask == ToAll(n, Peers(n), [kind |-> "RequestVote", term |-> term,
                    candidate |-> n, last |-> LastId(n), transfer |-> transfer])
           state == [Memory(n) EXCEPT !.term = term, !.voted_for = n]
       IN  IF Bug = "R40" THEN Do(n, Write(state), {}, ask)
           ELSE Do(n, Write(state), ask, {})
    /\ role' = [role EXCEPT ![n] = "Candidate"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ UNCHANGED <<matched, commit, history>>

MayVoteFor(n, candidate, last) ==
    /\ Memory(n).voted_for \in {None, candidate}
    /\ IsUpToDate(last, n)

OnRequestVote(n, from, body) ==
    /\ body.kind = "RequestVote" /\ body.term = Term(n)
    /\ MayVoteFor(n, from, body.last)
    /\ LET writes == IF Memory(n).voted_for = from THEN <<>>
                     ELSE Write([Memory(n) EXCEPT !.voted_for = from])
           vote == ToAll(n, {from}, [kind |-> "Vote", term |-> Term(n),
                                     candidate |-> from, granted |-> TRUE])
       IN  IF Bug = "R02" THEN Do(n, writes, {}, vote) ELSE Do(n, writes, vote, {})
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ UNCHANGED <<matched, commit, history>>

OnVote(n, from, body) ==
    /\ body.kind = "Vote" /\ body.granted /\ body.candidate = n
    /\ role[n] = "Candidate" /\ body.term = Term(n)
    /\ votes' = [votes EXCEPT ![n] = @ \cup {from}]
    /\ UNCHANGED <<stable, role, matched, commit, history>>

(* The own vote counts when it is on disk. *)
OwnVote(n) ==
    IF (disk[n].term = Term(n) /\ disk[n].voted_for = n) \/ Bug = "R09" THEN {n} ELSE {}

(* 8: a leader begins with a no-op. *)
BecomeLeader(n) ==
    /\ role[n] = "Candidate"
    /\ IsMajority(votes[n] \cup OwnVote(n))
    /\ Do(n, Write([Memory(n) EXCEPT !.log = Append(@, [term |-> Term(n), batch |-> NoOp])]),
          {}, {})
    /\ role' = [role EXCEPT ![n] = "Leader"]
    /\ matched' = [matched EXCEPT ![n] = [m \in Nodes |-> 0]]
    /\ elected' = elected \cup {[term |-> Term(n), node |-> n]}
    /\ UNCHANGED <<votes, commit, chosen>>

(* Thesis 6.2: no majority answers, or the disk stands still. *)
StepDown(n) ==
    /\ role[n] = "Leader"
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ UNCHANGED <<stable, matched, commit, history>>

(* How many of these entries, which follow prev, the log holds already. *)
HeldOf(n, prev, entries) ==
    LET same(k) == /\ prev + k <= Len(Log(n))
                   /\ Log(n)[prev + k].term = entries[k].term
    IN  IF Bug = "R06" THEN 0 ELSE Prefix({k \in 1..Len(entries) : ~same(k)}, Len(entries))

-----------------------------------------------------------------------------
(* Candidates that lag are brought up to date (crates/raft/src/tail.rs; not  *)
(* in the paper). Who refuses sends a piece of its log; here anybody may, at *)
(* any time, as a candidate checks what it hears.                            *)

SendTail(n, to, prev, count) ==
    /\ prev \in 0..Len(Log(n)) /\ count \in 1..(Len(Log(n)) - prev)
    /\ Do(n, <<>>, {}, ToAll(n, to,
          [kind |-> "Tail", term |-> Term(n), prev |-> IdAt(Log(n), prev),
           entries |-> SubSeq(Log(n), prev + 1, prev + count)]))
    /\ UNCHANGED <<volatile, history>>

Newer(a, b) == a.term > b.term \/ (a.term = b.term /\ a.index > b.index)

TailEnd(body) == [term |-> body.entries[Len(body.entries)].term,
                  index |-> body.prev.index + Len(body.entries)]

(* It ends later than the log of n, and continues it without touching what n *)
(* knows to be committed.                                                    *)
MayAdopt(n, body) ==
    /\ body.kind = "Tail" /\ body.term <= Term(n) /\ body.entries # <<>>
    /\ Newer(TailEnd(body), LastId(n)) \/ Bug = "R100"
    /\ body.prev.index <= Len(Log(n))
    /\ TermAt(Log(n), body.prev.index) = body.prev.term \/ Bug = "R102"
    /\ LET old == HeldOf(n, body.prev.index, body.entries)
       IN  old < Len(body.entries) /\ body.prev.index + old >= commit[n]

Adopted(n, body) ==
    LET old == HeldOf(n, body.prev.index, body.entries)
    IN  SubSeq(Log(n), 1, body.prev.index + old)
            \o SubSeq(body.entries, old + 1, Len(body.entries))

(* Who asks whether it could win leaves its term, unless the tail ends in it: *)
(* it may have acknowledged to the leader of that term what it replaces now. *)
(* A candidate has acknowledged nothing in the term that it began.           *)
OnTail(n, from, body) ==
    /\ MayAdopt(n, body)
    /\ \/ role[n] = "PreCandidate"
       \/ role[n] = "Candidate" /\ body.term = Term(n)
    /\ \E log \in {Adopted(n, body)} :
        LET leaves == /\ role[n] = "PreCandidate" /\ TailEnd(body).term < Term(n)
                      /\ Bug # "R104"
            later == [Memory(n) EXCEPT !.term = @ + 1, !.voted_for = None]
        IN  /\ IF leaves
               THEN Do(n, Write(later) \o Write([later EXCEPT !.log = log]), {}, {})
               ELSE Do(n, Write([Memory(n) EXCEPT !.log = log]), {}, {})
            /\ role' = [role EXCEPT ![n] = IF leaves THEN "Follower" ELSE @]
            /\ votes' = [votes EXCEPT ![n] = IF role[n] = "PreCandidate" THEN {} ELSE @]
    /\ UNCHANGED <<matched, commit, history>>

-----------------------------------------------------------------------------
(* Replication: 5.3.                                                         *)

Propose(n, batches) ==
    /\ role[n] = "Leader"
    /\ Do(n, Write([Memory(n) EXCEPT !.log = @ \o
            [k \in 1..Len(batches) |-> [term |-> Term(n), batch |-> batches[k]]]]),
          {}, {})
    /\ UNCHANGED <<volatile, history>>

(* Proposals leave while the disk works. *)
SendAppendEntries(n, to, prev, count) ==
    /\ role[n] = "Leader"
    /\ prev \in 0..Len(Log(n)) /\ count \in 0..(Len(Log(n)) - prev)
    /\ Do(n, <<>>, {}, ToAll(n, to,
          [kind |-> "AppendEntries", term |-> Term(n), leader |-> n,
           prev |-> IdAt(Log(n), prev), entries |-> SubSeq(Log(n), prev + 1, prev + count),
           leader_commit |-> commit[n]]))
    /\ UNCHANGED <<volatile, history>>

Consistent(n, prev) ==
    /\ prev.index <= Len(Log(n))
    /\ TermAt(Log(n), prev.index) = prev.term \/ Bug = "E-21"

OnAppendEntries(n, from, body) ==
    /\ body.kind = "AppendEntries" /\ body.term = Term(n) /\ role[n] # "Leader"
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ UNCHANGED <<matched, elected>>
    /\ LET prev == body.prev.index
           last == prev + Len(body.entries)
           reply == ToAll(n, {from}, [kind |-> "AppendReply", term |-> Term(n),
                                      matched |-> last])
       IN  \E old \in {HeldOf(n, prev, body.entries)} :  \* Bound, so that TLC computes it once.
           LET new == SubSeq(body.entries, old + 1, Len(body.entries))
               log == SubSeq(Log(n), 1, prev + old) \o new
               writes == IF new = <<>> THEN <<>> ELSE Write([Memory(n) EXCEPT !.log = log])
           IN  IF ~Consistent(n, body.prev) \/ (new # <<>> /\ prev + old < commit[n])
               THEN UNCHANGED <<stable, commit, chosen>>
               ELSE \E all \in {IF new = <<>> THEN Log(n) ELSE log} :
                    LET known == IF Bug = "R07" THEN Len(all) ELSE last
                    IN  /\ IF Bug = "R41" THEN Do(n, writes, {}, reply)
                           ELSE Do(n, writes, reply, {})
                        /\ Commit(n, all, Min(body.leader_commit, known))

OnAppendReply(n, from, body) ==
    /\ body.kind = "AppendReply" /\ body.term = Term(n) /\ role[n] = "Leader"
    /\ body.matched <= Len(Log(n))
    /\ matched' = [matched EXCEPT ![n][from] = Max(@, body.matched)]
    /\ UNCHANGED <<stable, role, votes, commit, history>>

(* The part of the log that the own disk holds, too. *)
DurableIndex(n) ==
    LET same(k) == k <= Len(disk[n].log) /\ disk[n].log[k] = Log(n)[k]
    IN  IF Bug = "R09" THEN Len(Log(n))
        ELSE Prefix({k \in 1..Len(Log(n)) : ~same(k)}, Len(Log(n)))

(* 5.4.2: on the disks of a majority, and of the current term. *)
AdvanceCommit(n, index) ==
    /\ role[n] = "Leader"
    /\ index \in (commit[n] + 1)..Len(Log(n))
    /\ LET own == IF DurableIndex(n) >= index THEN {n} ELSE {}
           holders == own \cup {m \in Peers(n) : matched[n][m] >= index}
       IN  IF Bug = "R08" THEN 2 * Cardinality(holders) + 1 >= Cardinality(Nodes)
           ELSE IsMajority(holders)
    /\ Log(n)[index].term = Term(n) \/ Bug = "R01"
    /\ Commit(n, Log(n), index)
    /\ UNCHANGED <<stable, role, votes, matched, elected>>

(* A heartbeat commits only what its receiver has acknowledged. *)
HeartbeatCommit(n, to) == IF Bug = "E-23" THEN commit[n] ELSE Min(commit[n], matched[n][to])

SendHeartbeat(n, to) ==
    /\ role[n] = "Leader"
    /\ Do(n, <<>>, {}, {[from |-> n, to |-> m,
              body |-> [kind |-> "Heartbeat", term |-> Term(n), leader |-> n,
                        commit |-> HeartbeatCommit(n, m)]] : m \in to})
    /\ UNCHANGED <<volatile, history>>

OnHeartbeat(n, from, body) ==
    /\ body.kind = "Heartbeat" /\ body.term = Term(n) /\ role[n] # "Leader"
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ Commit(n, Log(n), IF Bug = "E-23" THEN Min(body.commit, Len(Log(n)))
                         ELSE IF body.commit <= Len(Log(n)) THEN body.commit ELSE 0)
    /\ UNCHANGED <<stable, matched, elected>>

(* Answers that tell of a term, and beyond that only make repair faster. A   *)
(* vote that is not granted is called NoVote here.                           *)
SendNews(n, to, kind) ==
    /\ kind \in {"StaleTerm", "NoVote", "AppendReject", "HeartbeatReply"}
    /\ Do(n, <<>>, {}, ToAll(n, to, [kind |-> kind, term |-> Term(n)]))
    /\ UNCHANGED <<volatile, history>>

-----------------------------------------------------------------------------
Crash(n, k) ==
    /\ Lose(n, k)
    /\ role' = [role EXCEPT ![n] = "Follower"]
    /\ votes' = [votes EXCEPT ![n] = {}]
    /\ matched' = [matched EXCEPT ![n] = [m \in Nodes |-> 0]]
    /\ commit' = [commit EXCEPT ![n] = 0]
    /\ UNCHANGED history

SyncSome(n, k) == Sync(n, k) /\ UNCHANGED <<volatile, history>>

(* What a message does once terms are equal. *)
Receive(n, from, body) ==
    \/ OnPreVoteReply(n, from, body)
    \/ OnRequestVote(n, from, body)
    \/ OnVote(n, from, body)
    \/ OnTail(n, from, body)
    \/ OnAppendEntries(n, from, body)
    \/ OnAppendReply(n, from, body)
    \/ OnHeartbeat(n, from, body)

(* Pre-votes stand outside the terms. *)
TellsTerm(body) == body.kind \notin {"PreVote", "PreVoteReply"}

-----------------------------------------------------------------------------
(* What must hold (Figure 3, and oracle O6 of the simulator).                *)

ElectionSafety ==
    \A a, b \in elected : a.term = b.term => a.node = b.node

Agreement ==
    \A a, b \in chosen : a.index = b.index => a.entry = b.entry

LogMatching ==
    \A a, b \in Nodes :
        \A k \in 1..Min(Len(Log(a)), Len(Log(b))) :
            Log(a)[k].term = Log(b)[k].term =>
                SubSeq(Log(a), 1, k) = SubSeq(Log(b), 1, k)

LeaderCompleteness ==
    \A n \in Nodes : role[n] = "Leader" =>
        \A c \in chosen : c.term < Term(n) =>
            c.index <= Len(Log(n)) /\ Log(n)[c.index] = c.entry

(* What is committed is on the disks of a majority, synced. *)
Durability ==
    \A c \in chosen :
        IsMajority({n \in Nodes : c.index <= Len(disk[n].log)
                                  /\ disk[n].log[c.index] = c.entry})
=============================================================================
