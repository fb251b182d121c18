----------------------------- MODULE RaftTrace ------------------------------
(* Is a recorded run of crates/raft a behaviour of Raft.tla?                 *)
(*                                                                           *)
(* A step of the code may be several actions of Raft, all at one node: enter *)
(* a later term; take the message; lead or commit, if that completed a       *)
(* majority. Nothing else may hide in a step.                                *)
EXTENDS Raft, Replay

TraceInit == Init /\ ReplayInit

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
      [] body.kind = "PreVote" ->
            [kind |-> body.kind, term |-> body.term, last |-> body.last]
      [] body.kind = "RequestVote" ->
            [kind |-> body.kind, term |-> body.term, candidate |-> body.candidate,
             last |-> body.last, transfer |-> body.transfer]
      [] body.kind = "Vote" /\ ~body.granted -> [kind |-> "NoVote", term |-> body.term]
      [] body.kind \in {"StaleTerm", "AppendReject", "HeartbeatReply"} ->
            [kind |-> body.kind, term |-> body.term]
      [] OTHER -> body

-----------------------------------------------------------------------------
(* A message leaves. Promises left with the sync; the rest may leave now.    *)

Sent ==
    /\ Is("Sent") /\ FinishOther
    /\ LET body == Heard(Here.message)
           to == Here.to
           left == ToAll(N, to, body) \subseteq msgs'
       IN  CASE body.kind = "AppendEntries" ->
                   SendAppendEntries(N, to, body.prev.index, Len(body.entries)) /\ left
             [] body.kind = "Heartbeat" -> SendHeartbeat(N, to) /\ left
             [] body.kind = "Tail" ->
                   SendTail(N, to, body.prev.index, Len(body.entries)) /\ left
             [] body.kind = "PreVoteReply" ->
                   \E m \in msgs : SendPreVoteReply(N, m) /\ left
             [] body.kind \in {"StaleTerm", "NoVote", "AppendReject", "HeartbeatReply"} ->
                   SendNews(N, to, body.kind) /\ left
             [] OTHER -> UNCHANGED vars /\ left

-----------------------------------------------------------------------------
(* An input is taken.                                                        *)

Message == [from |-> Here.input.from, to |-> N, body |-> Heard(Here.input.message)]

(* Another term, in a step of its own. *)
Enter ==
    /\ StepIn /\ Hears /\ Stay("in")
    /\ Message \in msgs /\ TellsTerm(Message.body)
    /\ EnterTerm(N, Message.body.term)

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
        \/ /\ kind = "Drained" /\ Due # None /\ Due.kind = "Entries"
           /\ Propose(N, [k \in 1..Len(Due.entries) |-> Due.entries[k].batch])

Take ==
    /\ StepIn /\ Stay("out")
    /\ IF Hears THEN TakeMessage ELSE TakeOther

(* A server that is brought up to date asks again, unless it is a candidate. *)
Adopts == Hears /\ Here.input.message.kind = "Tail" /\ votes[N] = {}

(* What follows at once. *)
Follow ==
    /\ StepOut /\ Stay("out")
    /\ \/ Here.epoch > Term(N) /\ BecomeCandidate(N, FALSE)
       \/ Adopts /\ BecomePreCandidate(N)
       \/ Here.role = "Leader" /\ BecomeLeader(N)
       \/ Here.committed > commit[N] /\ AdvanceCommit(N, Here.committed)

-----------------------------------------------------------------------------
(* The step is over, and its node is what the code says.                     *)

Role(n) == IF role[n] = "PreCandidate" THEN "Candidate" ELSE role[n]

(* What a record makes of the state. *)
Apply(state, record) ==
    CASE record.kind = "HardState" ->
            [state EXCEPT !.term = record.term, !.voted_for = record.voted_for]
      [] record.kind = "Entries" ->
            [state EXCEPT !.log = SubSeq(@, 1, record.first - 1) \o record.entries]

Committed(k) == Log(N)[k].batch

Finish ==
    /\ StepOut
    /\ Role(N) = Here.role /\ Term(N) = Here.epoch
    /\ commit[N] = Here.committed /\ Len(Log(N)) = Here.last
    /\ WritesMatch(Apply) /\ CommitsMatch(commit[N], Committed)
    /\ FinishStep /\ UNCHANGED vars

Synced == Is("Synced") /\ SyncSome(N, Here.upto - durable[N]) /\ FinishSync
Crashed == Is("Crash") /\ Crash(N, Here.kept - durable[N]) /\ FinishCrash
Restarted == Is("Restart") /\ UNCHANGED vars /\ FinishOther

TraceNext ==
    /\ at <= Len(Steps)
    /\ Sent \/ Enter \/ Take \/ Follow \/ Finish \/ Synced \/ Crashed \/ Restarted
    /\ Tell

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, replay>>
=============================================================================
