use consensus_core::*;
fn main() {
    println!(
        "raft msg {} record {} effect {} input {} append {}",
        size_of::<synod_raft::Message>(),
        size_of::<synod_raft::Record>(),
        size_of::<Effect<synod_raft::Raft>>(),
        size_of::<Input<synod_raft::Raft>>(),
        size_of::<synod_raft::AppendEntries>()
    );
    println!(
        "mp msg {} record {} effect {} input {}",
        size_of::<synod_multipaxos::Message>(),
        size_of::<synod_multipaxos::Record>(),
        size_of::<Effect<synod_multipaxos::MultiPaxos>>(),
        size_of::<Input<synod_multipaxos::MultiPaxos>>()
    );
    println!(
        "membership {} snapshotmsg {} meta {} change {} read {} batch {} entry {}",
        size_of::<Membership>(),
        size_of::<SnapshotMessage>(),
        size_of::<SnapshotMeta>(),
        size_of::<Change>(),
        size_of::<Read>(),
        size_of::<Batch>(),
        size_of::<synod_raft::Entry>()
    );
}
