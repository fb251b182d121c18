//! Raft: a cluster elects a leader, and the leader's log becomes everybody's.
//!
//! The paper is Diego Ongaro and John Ousterhout, "In Search of an Understandable Consensus
//! Algorithm", in its extended version (2014); its sections are cited as §5.2 and so on. "Thesis"
//! is Ongaro's dissertation of the same year.
//!
//! # The algorithm
//!
//! Time is cut into *terms*, counted upwards. Each term begins with an election; at most one server
//! wins it and is the *leader* until the term ends. The leader alone takes commands: it appends
//! them to its log, has the others append them, and says which are *committed*. All that Raft must
//! get right follows from two questions: who may become leader, and when is an entry committed.
//!
//! 1. **Election.** A follower that hears no leader for a while becomes a candidate: it raises its
//!    term, votes for itself, and asks for votes. A server gives one vote a term, to the first who
//!    asks, and keeps it on disk. A majority wins, so a term has one leader at most. Timeouts are
//!    drawn at random, so that candidates seldom get in each other's way.
//! 2. **Replication.** An entry carries the term of the leader that created it. With new entries
//!    the leader names the entry before them; a follower that does not hold that entry refuses, and
//!    the leader steps back until they agree. What follows at the follower is then overwritten.
//!    So if two logs hold an entry of the same index and term, they are equal up to it.
//! 3. **Commit.** An entry is committed when it is on the disks of a majority *and the leader
//!    created it in its own term*. Older entries are committed only together with a later one of
//!    the leader's term; by themselves they may be overwritten even on a majority (Figure 8). Every
//!    leader therefore starts with a no-op.
//! 4. **The restriction.** A server votes only for a candidate whose log is at least as up-to-date
//!    as its own: a later last term, or the same and no shorter. A committed entry is on a
//!    majority, a winner has the votes of a majority, so one of its voters held the entry, and so
//!    does the winner.
//!
//! Two more rules keep the peace. Before a server disturbs the others with a new term it asks
//! whether it could win (*pre-vote*), and who hears a leader says no. A leader that does not hear
//! from a majority steps down (*check quorum*), and so does one whose disk stands still.
//!
//! # Snapshots, members, reads, leaders
//!
//! * **Snapshots** (§7). The driver decides when; a snapshot is durable before the log forgets what
//!   it covers, and some entries are kept for servers that lag a little. A follower that needs what
//!   is forgotten is told so with every heartbeat that it answers, and gets a snapshot from any
//!   server: a snapshot says what is decided, so it stands outside the terms. What follows it in
//!   the follower's log is kept if the log agrees with the snapshot's last entry; otherwise the
//!   whole log goes.
//! * **Members** (§6, thesis 4). Who takes part is said by the latest entry of the log, committed
//!   or not; when that is cut, by the one before. One voter more or less is one entry; any other
//!   change is joint, and its second half follows by itself. A change needs the version that the
//!   operator saw, no other change under way, and an entry of the leader's own term that is
//!   committed: else two leaders could each make one, with a quorum of its own. A server that is
//!   to vote and lags first learns; see `change.rs`. A leader that is removed hands over once
//!   that is committed. A removed server campaigns until its removal is known to be committed, as
//!   it may be the only one that can win (thesis §4.2.2); whoever hears a leader ignores it.
//! * **Reads** (thesis §6.4). A leader that has committed in its term notes what is committed, and
//!   answers once a majority has answered a heartbeat that began after the question came; all that
//!   wait share a round. Followers ask their leader. With leases a leader answers at once, for a
//!   shortest election timeout less the drift of clocks after the *sending* of a heartbeat that a
//!   majority answered. For so long nobody who answered helps to elect another: not after news of a
//!   later term, not after a restart, and not by an operator's wish.
//! * **Leaders** (thesis §3.10). A leader hands over by bringing its heir up to date and telling it
//!   to campaign; meanwhile it takes no commands, and its lease is over for the term. A server of a
//!   higher priority is handed the leadership by itself.
//!
//! | normal case, n servers | |
//! |---|---|
//! | messages for one batch | 2(n − 1): AppendEntries and its reply |
//! | delays that the client sees | 4, with its own two |
//! | syncs at each server | 1, the leader's in parallel with the followers' |
//! | a read at the leader | 2(n − 1) messages a round, for all that wait; with a lease none |
//! | a read at a follower | two messages more |
//!
//! # Paper and code
//!
//! | paper | here |
//! |---|---|
//! | Figure 2, state: persistent, volatile | `Server` in `server.rs`, [`Record`] |
//! | Figure 2, state of leaders: nextIndex, matchIndex | `Progress` in `progress.rs` |
//! | Figure 2, AppendEntries, receiver, step 1; RequestVote, step 1 | `Raft::on_stale` |
//! | Figure 2, AppendEntries, receiver, step 2 | `check_consistency` in `follower.rs` |
//! | Figure 2, AppendEntries, receiver, steps 3 and 4 | `store` in `follower.rs` |
//! | Figure 2, AppendEntries, receiver, step 5 | `Follower::on_append_entries` |
//! | Figure 2, RequestVote, receiver, step 2 | `Raft::on_request_vote`, `Server::may_vote_for` |
//! | Figure 2, all servers: a later term | `Raft::enter_term` |
//! | Figure 2, all servers: apply what is committed | `Server::commit_to` |
//! | Figure 2, followers: election timeout | `Follower::on_timeout`, `Follower::wait` |
//! | Figure 2, candidates | `Candidate::begin`, `Candidate::count`, `Raft::follower` |
//! | Figure 2, leaders: heartbeats | `Leader::on_heartbeat_timer` |
//! | Figure 2, leaders: commands | `Leader::on_propose` |
//! | Figure 2, leaders: AppendEntries from nextIndex | `Leader::replicate` |
//! | Figure 2, leaders: success, failure | `Leader::on_append_reply`, `Leader::on_append_reject` |
//! | Figure 2, leaders: commitIndex; §5.4.2 | `Leader::advance_commit` |
//! | Figure 3, what is always true | [`invariants`]; across servers, the simulator's oracles |
//! | Figure 4, roles | `Role` and the `become_…` functions in `replica.rs` |
//! | §5.3, at the end: skipping a term at a time | [`Conflict`], `Leader::on_append_reject` |
//! | §5.3, retries | `Leader::on_heartbeat_reply`, `Progress::is_overdue` |
//! | §5.4.1, up-to-date | order of [`EntryId`], `Server::is_up_to_date` |
//! | Omni-Paxos §2, constrained election | `tail.rs`: `Server::bring_up_to_date`, `Raft::on_tail` |
//! | §5.5, stable storage before answers | `Message::gate`, `Server::confirm` |
//! | §6, members in force | `Members` in `members.rs`, `Server::append` |
//! | §6, joint consensus | `Membership::is_quorum`, `Leader::change_voters`, `Leader::settle` |
//! | §6, a leader that is not part of the new members | `Leader::say_farewell` |
//! | §7, compaction; Figure 13, last included | `Server::on_snapshot_taken`, `Record::Start` |
//! | Figure 13, InstallSnapshot | `Message::Compacted`; chunks: `consensus-core` |
//! | Figure 13, steps 6 to 8 | `Server::on_snapshot_installed`, `Remembered::put_beside` |
//! | §8, the no-op | `Leader::begin` |
//! | §8, duplicates of commands | the sessions of `consensus-core`, for all algorithms |
//! | thesis §3.10, leadership transfer | `transfer.rs`, `Raft::on_timeout_now` |
//! | thesis §4.1, one server at a time; Ongaro 2015 | `Leader::wished`, `Leader::change_voters` |
//! | thesis §4.2.1, catching up | `Promotion` in `change.rs` |
//! | thesis §4.2.2, removing the leader | `Server::may_campaign`, `Leader::say_farewell` |
//! | thesis §4.2.3, disruptive servers | `Raft::hears_leader`, `Patience` in `follower.rs` |
//! | thesis §6.2, a leader without a majority | `Leader::on_check_quorum` |
//! | thesis §6.4, ReadIndex | `Leader::on_read`, `Leader::serve_reads`, `Leader::confirm` |
//! | thesis §6.4, reads at followers | `Forwarded` in `read.rs` |
//! | thesis §6.4.1, leases | `Lease` in `read.rs`, `Follower::hears_leader`, [`Drift`] |
//! | thesis §9.6, pre-vote | `PreCandidate`, `Raft::on_pre_vote` |
//! | thesis §10.2.1, writing in parallel | `Server::append`, `Leader::advance_commit` |
//! | thesis §10.2.2, pipelining | `Progress`, `Pace::Pipeline` |
//!
//! # Where we depart
//!
//! * An RPC is two messages. The reply `false` has two forms: [`Message::StaleTerm`] for an old
//!   term and [`Message::AppendReject`] for a failed check.
//! * A heartbeat is a message of its own, without entries. It says what is committed of that part
//!   of the log which its receiver has acknowledged, and its reply tells the leader what got lost.
//!   What is sent again has a kind of its own, so that costs of repair and of commands stay apart.
//! * A vote request waits for the candidate's disk, like a vote. The paper asks only that the state
//!   is saved before *responding*; but a candidate that forgot its term could ask again in it, with
//!   a shorter log, and count an old vote.
//! * A candidate whose election was not decided asks again (pre-vote) before the next term, so that
//!   terms do not run away while nobody can win.
//! * The time for which a server trusts its leader needs no clock: the election timeout runs in two
//!   parts, the shortest timeout and a random rest, and only the first protects the leader.
//! * A hint is put to better use than in the paper: where the leader has entries of the conflicting
//!   term, it steps back to its own last of them, and sends less.
//! * A leader does not send InstallSnapshot. It says that the beginning is forgotten; the follower
//!   asks for chunks at its own pace, so that a lost one costs one, and nobody keeps state for it.
//! * A server that is to vote catches up as a learner before, whoever asks; the thesis leaves that
//!   to operators.
//! * **Constrained elections**, not in the paper: who refuses a vote because its log is newer sends
//!   the candidate what it lacks, so that the only server that reaches a majority can lead. Votes
//!   are given as ever. Why this is safe stands in `tail.rs`; [`Candidates::Wait`] switches it off.
//! * A leader keeps what follows a snapshot for the server that is taking it, within limits
//!   ([`Config::held_entries`]), or a busy leader would have to send one snapshot after another.
//! * A wish to lead goes through the leader where there are leases, as votes by wish would end a
//!   lease behind its back.
//!
//! # Left out
//!
//! * Weighted votes and witnesses.
//! * A server that lost its disk must not come back under its old name: the driver sees to that.
//! * Quorum reads without the leader, which Multi-Paxos has.

mod audit;
mod candidate;
mod change;
mod config;
mod entry;
mod follower;
pub mod invariants;
mod leader;
mod log;
mod members;
mod message;
mod mutants;
mod progress;
mod read;
mod record;
mod replica;
mod roles;
mod server;
mod snapshot;
mod tail;
mod transfer;
mod votes;
mod wishes;

pub use config::{Candidates, Config, Repair};
pub use consensus_core::Drift;
pub use entry::{Entries, Entry, EntryId, Term};
pub use message::{AppendEntries, Conflict, Message, Tail};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{Raft, Timer};
