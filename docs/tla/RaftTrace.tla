----------------------------- MODULE RaftTrace ------------------------------
(* Is a recorded run of crates/raft a behaviour of Raft.tla?                 *)
(*                                                                           *)
(* The module Recorded holds what crossed the borders of the replicas, see   *)
(* Tape.tla. A step of the code may be several actions of Raft, all at one   *)
(* node: enter a later term; take the message; lead or commit, if that       *)
(* completed a majority. Nothing else may hide in a step.                    *)
EXTENDS Raft, Tape, TLC

VARIABLES
    at,         \* the next line of the tape
    stage,      \* "in": its input is not yet taken; "out": it is
    durable,    \* durable[n]: records of n that are on its disk
    records     \* records[n]: records of n

tape == <<at, stage, durable, records>>

TraceInit ==
    /\ Init
    /\ at = 1 /\ stage = "in"
    /\ durable = [n \in Nodes |-> 0]
    /\ records = [n \in Nodes |-> 0]

Here == Steps[at]
N == Here.node

(* What Raft.tla leaves out of the messages of the code. *)
Heard(body) ==
    CASE body.kind = "AppendEntries" ->
            [kind |-> body.kind, term |-> body.term, leader |-> body.leader,
             prev |-> body.prev, entries |-> body.entries,
             leader_commit |-> body.leader_commit]
      [] body.kind = "AppendReply" ->
            [kind |-> body.kind, term |-> body.term, matched |-> body.matched]
      [] body.kind = "Heartbeat" ->
            [kind |-> body.kind, term |-> body.term, leader |-> body.leader,
             commit |-> body.commit]
      [] body.kind = "Vote" /\ ~body.granted -> [kind |-> "NoVote", term |-> body.term]
      [] body.kind \in {"StaleTerm", "AppendReject", "HeartbeatReply"} ->
            [kind |-> body.kind, term |-> body.term]
      [] OTHER -> body

Next(line) == at' = line /\ UNCHANGED <<durable, records>>

-----------------------------------------------------------------------------
(* A message leaves. Promises left with the sync; the rest may leave now.    *)

Sent ==
    /\ Here.event = "Sent"
    /\ Next(at + 1) /\ UNCHANGED stage
    /\ LET body == Heard(Here.message)
           to == Here.to
           left == ToAll(N, to, body) \subseteq msgs'
       IN  CASE body.kind = "AppendEntries" ->
                   SendAppendEntries(N, to, body.prev.index, Len(body.entries)) /\ left
             [] body.kind = "Heartbeat" -> SendHeartbeat(N, to) /\ left
             [] body.kind = "PreVoteReply" ->
                   \E m \in msgs : SendPreVoteReply(N, m) /\ left
             [] body.kind \in {"StaleTerm", "NoVote", "AppendReject", "HeartbeatReply"} ->
                   SendNews(N, to, body.kind) /\ left
             [] OTHER -> UNCHANGED vars /\ left

-----------------------------------------------------------------------------
(* An input is taken.                                                        *)

Hears == Here.input.kind = "Message"
Message == [from |-> Here.input.from, to |-> N, body |-> Heard(Here.input.message)]

(* Another term, in a step of its own. *)
Enter ==
    /\ stage = "in" /\ Here.event = "Step" /\ Hears
    /\ Message \in msgs /\ TellsTerm(Message.body)
    /\ EnterTerm(N, Message.body.term)
    /\ Next(at) /\ UNCHANGED stage

(* A server that hears its leader does not listen to candidates. *)
MayIgnore ==
    \/ ~ENABLED Receive(N, Message.from, Message.body)
    \/ Message.body.kind = "RequestVote"

TakeMessage ==
    /\ Message \in msgs
    /\ \/ Receive(N, Message.from, Message.body)
       \/ MayIgnore /\ UNCHANGED vars

TakeOther ==
    LET kind == Here.input.kind
    IN  \/ UNCHANGED vars
        \/ kind = "Timer" /\ (BecomePreCandidate(N) \/ StepDown(N))
        \/ kind = "Campaign" /\ BecomeCandidate(N, TRUE)
        \/ kind = "Propose" /\ Propose(N, Here.input.batch)

Take ==
    /\ stage = "in" /\ Here.event = "Step"
    /\ IF Hears THEN TakeMessage ELSE TakeOther
    /\ stage' = "out" /\ Next(at)

(* What follows at once. *)
Follow ==
    /\ stage = "out"
    /\ \/ Here.epoch > Term(N) /\ BecomeCandidate(N, FALSE)
       \/ Here.role = "Leader" /\ BecomeLeader(N)
       \/ Here.committed > commit[N] /\ AdvanceCommit(N, Here.committed)
    /\ Next(at) /\ UNCHANGED stage

-----------------------------------------------------------------------------
(* The step is over, and its node is what the code says.                     *)

Role(n) == IF role[n] = "PreCandidate" THEN "Candidate" ELSE role[n]

(* What a record makes of the state. *)
Apply(state, record) ==
    IF record.kind = "HardState"
    THEN [state EXCEPT !.term = record.term, !.voted_for = record.voted_for]
    ELSE [state EXCEPT !.log = SubSeq(@, 1, record.first - 1) \o record.entries]

WritesMatch ==
    LET before == Len(written[N]) - Len(Here.writes)
        state(k) == IF k = 0 THEN disk[N] ELSE written[N][k].state
    IN  /\ records[N] + Len(Here.writes) = durable[N] + Len(written[N])
        /\ before >= 0
        /\ \A k \in 1..Len(Here.writes) :
            written[N][before + k] =
                [state |-> Apply(state(before + k - 1), Here.writes[k].record),
                 needed |-> Here.writes[k].needed]

CommitsMatch ==
    LET before == commit[N] - Len(Here.commits)
    IN  \A k \in 1..Len(Here.commits) :
            /\ Here.commits[k].index = before + k
            /\ Here.commits[k].batch = Log(N)[before + k].batch

Finish ==
    /\ stage = "out"
    /\ Role(N) = Here.role /\ Term(N) = Here.epoch
    /\ commit[N] = Here.committed /\ Len(Log(N)) = Here.last
    /\ WritesMatch /\ CommitsMatch
    /\ records' = [records EXCEPT ![N] = @ + Len(Here.writes)]
    /\ at' = at + 1 /\ stage' = "in"
    /\ UNCHANGED <<vars, durable>>

-----------------------------------------------------------------------------
Synced ==
    /\ Here.event = "Synced"
    /\ SyncSome(N, Here.upto - durable[N])
    /\ durable' = [durable EXCEPT ![N] = Here.upto]
    /\ at' = at + 1 /\ UNCHANGED <<stage, records>>

Crashed ==
    /\ Here.event = "Crash"
    /\ Crash(N, Here.kept - durable[N])
    /\ durable' = [durable EXCEPT ![N] = Here.kept]
    /\ records' = [records EXCEPT ![N] = Here.kept]
    /\ at' = at + 1 /\ UNCHANGED stage

Restarted == Here.event = "Restart" /\ Next(at + 1) /\ UNCHANGED <<vars, stage>>

TraceNext ==
    /\ at <= Len(Steps)
    /\ Sent \/ Enter \/ Take \/ Follow \/ Finish \/ Synced \/ Crashed \/ Restarted
    /\ (at' > at) => PrintT(<<"line", at>>)
    /\ (at' > Len(Steps)) => PrintT("ACCEPTED")

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, tape>>
=============================================================================
